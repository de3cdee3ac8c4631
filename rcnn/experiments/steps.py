"""Which steps of a plan are done: a record of each, what its files were, and whether they still are.

OUT/steps/<step>.json has the step's command, and what its inputs and outputs were.  A step is

    done      its command, inputs and outputs are what the record says
    missing   it was never begun, or an output is gone
    begun     it was begun and not finished; it goes on
    stale     its command, an input or an output is not what the record says
    open      it is done as it stands, but an input is to be made again, which may or may not change it

A file is known by its size and time of change, and where the time differs, by its SHA-256 (up to HASHED bytes); a
folder by the names and sizes of the files in it.
"""
import hashlib
import json
import subprocess
from pathlib import Path

from rcnn.files import InputError, remove, sha256, write_text

HASHED = 1 << 28  # bytes; larger files are known by size and time alone


class Records:
    """The records of the steps of the folder `out`."""

    def __init__(self, out):
        self.folder = Path(out) / "steps"

    def read(self, step):
        """Return the record of a step as a dict, None where there is none that can be read."""
        try:
            record = json.loads(self._path(step).read_text(encoding="utf-8"))
            return record if {"command", "inputs", "outputs", "finished", "seconds"} <= set(record) else None
        except (OSError, ValueError, TypeError):
            return None

    def state(self, step):
        """Return "done", "missing", "begun" or "stale", by the step's own record; see `states` for "open"."""
        record = self.read(step)
        if record is None:
            return "missing"
        stale = "stale" if record["finished"] or self._left(step) else "missing"
        named = list(step.command), set(map(str, step.inputs)), set(map(str, step.outputs))
        if (record["command"], set(record["inputs"]), set(record["outputs"])) != named:
            return stale
        if not all(unchanged(path, stamp) for path, stamp in record["inputs"].items() if Path(path).exists()):
            return stale
        if not record["finished"]:
            return "begun"
        if not all(path.exists() for path in step.outputs):
            return "missing"
        return "done" if all(unchanged(path, stamp) for path, stamp in record["outputs"].items()) else "stale"

    def states(self, steps):
        """Return {step name: state} of steps in their order."""
        states, renewed = {}, set()
        for step in steps:
            state = self.state(step)
            if state == "done" and renewed & set(step.inputs):
                state = "open"
            states[step.name] = state
            if state != "done":
                renewed.update(step.outputs)
        return states

    def begin(self, step, state):
        """Note that a step begins; one that is stale loses what it made.

        Raises InputError where something that no record tells of is in the way of what it makes, or cannot be written.
        """
        record = self.read(step)
        if record is None:
            for path in step.outputs:
                if path.exists():
                    raise InputError(f"{path} is there, and {self._path(step)} does not say what made it; move it away")
        if state == "stale":
            self.clear(step)
            record = None
        self._write(step, record["seconds"] if record else 0.0)

    def pause(self, step, seconds):
        """Note for how long a step has run that did not finish."""
        record = self.read(step)
        self._write(step, record["seconds"] + seconds, record["inputs"])

    def finish(self, step, seconds):
        """Note that a step is done after so many more seconds; InputError where it did not make what it should."""
        lacking = [str(path) for path in step.outputs if not path.exists()]
        if lacking:
            raise InputError(f"it did not make {lacking[0]}")
        record = self.read(step)
        self._write(step, record["seconds"] + seconds, record["inputs"], finished=True)

    def _left(self, step):
        """Return whether anything of what a step makes or leaves is there."""
        return any(path.exists() for path in step.outputs) or any(
            any(Path(folder).glob(pattern)) for folder, pattern in step.leftovers)

    def clear(self, step):
        """Remove what a step made and left, and its record."""
        for path in step.outputs:
            remove(path)
        for folder, pattern in step.leftovers:
            for path in Path(folder).glob(pattern):
                remove(path)
        remove(self._path(step))

    def _path(self, step):
        return self.folder / f"{step.name}.json"

    def _write(self, step, seconds, inputs=None, finished=False):
        """Write a step's record; inputs: their stamps as they were when it began, None to take them now."""
        inputs = inputs or {str(path): stamp(path) for path in step.inputs}
        record = {"command": list(step.command), "inputs": inputs,
                  "outputs": {str(path): stamp(path) if finished else None for path in step.outputs},
                  "finished": finished, "seconds": round(seconds, 1)}
        write_text(self._path(step), json.dumps(record, indent=1) + "\n")


def refuse_stale(states, out, hint):
    """Raise InputError where one of {step name: state} is stale; hint: what the user can do."""
    stale = [name for name, state in states.items() if state == "stale"]
    if stale:
        raise InputError(f"{len(stale)} of {len(states)} steps in {out} were made with other settings or from other "
                         f"files, the first is {stale[0]}; {hint}")


def stamp(path):
    """Return what a file or folder is known by, as a dict for JSON."""
    path = Path(path)
    if path.is_dir():
        return {"files": _listing(path)}
    found = path.stat()
    return {"bytes": found.st_size, "changed": found.st_mtime_ns,
            "sha256": sha256(path) if found.st_size <= HASHED else None}


def unchanged(path, known):
    """Return whether a file or folder is there and is what `stamp` said of it."""
    path = Path(path)
    if not path.exists() or path.is_dir() != ("files" in known):
        return False
    if path.is_dir():
        return _listing(path) == known["files"]
    found = path.stat()
    if found.st_size != known["bytes"]:
        return False
    return found.st_mtime_ns == known["changed"] or known["sha256"] is not None and sha256(path) == known["sha256"]


def _listing(folder):
    """Return the SHA-256 of the names and sizes of the files in a folder, without hidden ones, such as half files."""
    names = sorted((str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*")
                   if path.is_file() and not path.name.startswith("."))
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def commit(folder):
    """Return the commit of the code in a folder, with a + if tracked files differ from it, None where git has none."""
    def git(*words):
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()
    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
