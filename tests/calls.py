"""Programs called in this process, with options by name, and what they refuse."""

import sys
from pathlib import Path

import pytest
import runs

from rcnn.files import ProgramError


def words(*arguments, **options):
    """Return a command line; options: one that is None is left out, one of several words is split, "" is a flag."""
    options = {name: value for name, value in options.items() if value is not None}
    return [*map(str, arguments), *(word for name in options for word in (f"--{name}", *str(options[name]).split()))]


def caller(monkeypatch, tool, by=lambda main: main(), **usual):
    """Return a function that calls a program's main(), by `by`, with the usual options, or others in their place."""
    module = runs.module(tool)

    def call(*arguments, **options):
        monkeypatch.setattr(sys, "argv", [f"{tool}.py", *words(*arguments, **{**usual, **options})])
        return by(module.main)

    return call


def refused(call, said, *arguments, **options):
    """Assert that a call raises a ProgramError of one line, and leaves the current folder as it was."""

    def contents():
        return {path: path.read_bytes() for path in Path(".").rglob("*") if path.is_file() and ".lmdb" not in str(path)}

    before = contents()
    with pytest.raises(ProgramError, match=said) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value) and contents() == before
