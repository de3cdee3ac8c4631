"""Running the command-line programs as a user does, and killing them."""

import importlib
import os
import random
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from rcnn.data.records import open_records, partial_path, read_manifest
from rcnn.files import remove

ROOT = Path(__file__).resolve().parent.parent


def module(tool):
    """Return the program as a module, to call its functions."""
    return importlib.import_module(f"rcnn.programs.{tool}")


def options(**named):
    """Return the words of options: `pairs_per_video=2` is --pairs-per-video 2; a list or tuple is several values."""
    words = []
    for name, value in named.items():
        words += [f"--{name.replace('_', '-')}", *(value if isinstance(value, (list, tuple)) else [value])]
    return words


def start(tool, *arguments):
    """Start tools/<tool>.py in a process group of its own; return the Popen."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, ROOT / f"tools/{tool}.py", *map(str, arguments)],
        env=environment,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(tool, *arguments):
    """Run tools/<tool>.py; return (exit status, standard output, standard error)."""
    process = start(tool, *arguments)
    out, error = process.communicate(timeout=120)
    assert "Traceback" not in error, error
    return process.returncode, out, error


def bare(*words, path=ROOT, cwd=None):
    """Run Python with the installed packages, and those in folder `path`, but without pycaffe; return the run.

    Packages that stand in a folder of the path are seen, what a .pth file of .venv adds is not.
    """
    packages = os.pathsep.join([str(path), sysconfig.get_path("purelib")])
    done = subprocess.run(
        [sys.executable, "-S", *map(str, words)],
        env={**os.environ, "PYTHONPATH": packages},
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def contents(path):
    """Return (records, manifest) of a finished LMDB."""
    with open_records(path) as records:
        return dict(records), read_manifest(path)


def kill_ten_times(tool, out, *arguments, seed):
    """Build `out`, killing the program and its workers with SIGKILL at ten random moments of its life.

    Where a build ends before its moment, its contents are yielded and the next begins anew; so are the last one's.
    """
    arguments = [*arguments, "--out", out]
    chance, kills, landed = random.Random(seed), 0, 0
    began = time.monotonic()
    status, _, error = run(tool, *arguments)
    assert status == 0, error
    length = time.monotonic() - began
    while kills < 10:
        if out.exists():
            yield contents(out)
            remove(out)
        process = start(tool, *arguments)
        try:
            process.communicate(timeout=chance.uniform(0, length))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            landed += (partial_path(out) / "data.mdb").exists()
        assert process.returncode in (0, -signal.SIGKILL)
    assert landed, "no kill came while the LMDB was being written"
    status, _, error = run(tool, *arguments)
    assert status == 0, error
    yield contents(out)
