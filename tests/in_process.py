"""Running a program in the test's own process, which takes no start of Python and is seen by coverage."""

import sys
from pathlib import Path

import pytest
import runs

from rcnn import command


def run(program, *words):
    """Run a program of rcnn/programs with these words; return its exit status.  What it prints is pytest's capsys's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{program}.py", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            command.run(runs.module(program).main)
    return end.value.code or 0


def files(folder="."):
    """Return {path: (time of change, bytes)} of all in a folder, without what LMDB's readers touch."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != "lock.mdb"]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


def changed(before, after):
    """Return the paths that differ in two results of `files`."""
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}
