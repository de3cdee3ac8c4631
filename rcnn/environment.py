"""The environment variables of whoever runs a program, where a library would take what we do not want from them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def without(prefix: str, keep: str = "") -> dict[str, str]:
    """Return the environment without the variables whose names begin with `prefix`, but for the one named `keep`."""
    return {name: value for name, value in os.environ.items() if name == keep or not name.startswith(prefix)}


@contextmanager
def only(variables: Mapping[str, str]) -> Iterator[None]:
    """Have the environment be `variables` until the block ends, for a library that reads it as it is imported."""
    before = dict(os.environ)
    _become(variables)
    try:
        yield
    finally:
        _become(before)


def _become(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
