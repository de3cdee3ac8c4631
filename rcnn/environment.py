"""The environment variables of whoever runs a program, where a library would take what we do not want from them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def without(prefix: str, keep: str = "") -> dict[str, str]:
    """Return the environment without the variables whose names begin with `prefix`, but for the one named `keep`."""
    return {name: value for name, value in os.environ.items() if name == keep or not name.startswith(prefix)}


@contextmanager
def hidden(prefix: str, keep: str = "") -> Iterator[None]:
    """Have the environment be as `without` says until the block ends, for a library that reads it when imported."""
    names = os.environ.keys() - without(prefix, keep).keys()
    values = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(values)
