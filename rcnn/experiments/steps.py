"""The steps of a plan: what each needs, and which are done, by a record of what each one's files were.

OUT/steps/<step>.json has a step's command, and what its inputs and outputs were.  A step is

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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from rcnn import recipe
from rcnn.data.records import MANIFEST
from rcnn.experiments.estimates import STARTING
from rcnn.files import InputError, ProgramError, remove, sha256, write_text

HASHED = 1 << 28  # bytes; larger files are known by size and time alone


@dataclass(frozen=True)
class Step:
    """One program to run.

    Parameters
    ----------
    name
        Unlike any other step's.
    command
        The program's name in tools/ and its arguments, all that decides the result.
    inputs, outputs
        What it reads and makes.
    leftovers
        (folder, glob pattern) of what else it leaves, which must go before it begins anew.
    settings
        Arguments that decide only how it is done (--gpu, --workers).
    seconds, bytes
        Estimates of time and disk.
    """

    name: str
    command: tuple[str, ...]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    leftovers: tuple[tuple[Path, str], ...] = ()
    settings: tuple[str, ...] = ()
    seconds: float = 0.0
    bytes: float = 0.0

    @property
    def typed(self) -> list[str]:
        """The words by which a person runs the program."""
        return ["python", f"tools/{self.command[0]}", *self.command[1:], *self.settings]


def lmdb(path: Path) -> tuple[Path, Path]:
    """Return the files of an LMDB: the manifest, which says what is in it, and the records."""
    return path / MANIFEST, path / "data.mdb"


def program_step(
    name: str,
    program: str,
    outputs: Sequence[Path],
    cost: tuple[float, float] = (STARTING, 0.0),
    inputs: Optional[Sequence[Path]] = None,
    leftovers: Sequence[tuple[Path, str]] = (),
    settings: Sequence[str] = (),
    **options: Any,
) -> Step:
    """Return a Step.

    Parameters
    ----------
    name, program, outputs, leftovers, settings
        As a Step has them.
    cost
        Its seconds and bytes.
    inputs
        None: the paths among the options but for `out`, of an LMDB the manifest.
    options
        Those of the program, in the order of its command; () has no value, None is left out.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if inputs is None:
        values = [value for key, value in options.items() if key != "out"]
        paths = [path for value in values for path in (value if isinstance(value, list) else [value])]
        inputs = [lmdb(path)[0] if path.suffix == ".lmdb" else path for path in paths if isinstance(path, Path)]
    command = (program, *recipe.words(options))
    return Step(name, command, tuple(inputs), tuple(outputs), tuple(leftovers), tuple(settings), *cost)


def needs(steps: Sequence[Step]) -> dict[str, set[str]]:
    """Return {step name: names of the steps that make its inputs}."""
    made_by = {path: step.name for step in steps for path in step.outputs}
    return {step.name: {made_by[path] for path in step.inputs if path in made_by} for step in steps}


def chains(steps: Sequence[Step]) -> dict[str, float]:
    """Return {step name: seconds of the longest chain of steps, each needing the one before, that it begins}."""
    before = needs(steps)
    lengths: dict[str, float] = {}
    for step in reversed(steps):
        lengths[step.name] = step.seconds + max(
            (length for name, length in lengths.items() if step.name in before[name]), default=0.0
        )
    return lengths


def wall(steps: Sequence[Step], jobs: int) -> float:
    """Return the seconds that steps take, `jobs` side by side: their share of the sum, or their longest chain."""
    return max([sum(step.seconds for step in steps) / jobs, *chains(steps).values()])


class StepError(ProgramError):
    """A step of a plan failed."""


class Records:
    """The records of the steps in a folder.

    Parameters
    ----------
    out
        Folder of all that is made; nothing is written until a step begins.
    """

    def __init__(self, out: Union[str, Path]):
        self.folder = Path(out) / "steps"

    def read(self, step: Step) -> Optional[dict]:
        """Return the record of a step, None where there is none that can be read."""
        try:
            record = json.loads(self._path(step).read_text(encoding="utf-8"))
            return record if {"command", "inputs", "outputs", "finished", "seconds"} <= set(record) else None
        except (OSError, ValueError, TypeError):
            return None

    def seconds(self, step: Step) -> Optional[float]:
        """Return for how long a step has run in all, over all runs but those that were killed; None if never."""
        return (self.read(step) or {}).get("seconds")

    def state(self, step: Step) -> str:
        """Return "done", "missing", "begun" or "stale", by the step's own record; see `states` for "open"."""
        record = self.read(step)
        if record is None:
            return "missing"
        stale = "stale" if record["finished"] or _leaves_something(step) else "missing"
        named = list(step.command), set(map(str, step.inputs)), set(map(str, step.outputs))
        if (record["command"], set(record["inputs"]), set(record["outputs"])) != named:
            return stale
        if not all(unchanged(path, before) for path, before in record["inputs"].items() if Path(path).exists()):
            return stale
        if not record["finished"]:
            return "begun"
        if not all(path.exists() for path in step.outputs):
            return "missing"
        return "done" if all(unchanged(path, before) for path, before in record["outputs"].items()) else "stale"

    def states(self, steps: Sequence[Step]) -> dict[str, str]:
        """Return {step name: state} of steps that stand in their order."""
        states: dict[str, str] = {}
        renewed: set[Path] = set()
        for step in steps:
            state = self.state(step)
            if state == "done" and renewed & set(step.inputs):
                state = "open"
            states[step.name] = state
            if state != "done":
                renewed.update(step.outputs)
        return states

    def begin(self, step: Step, state: str) -> None:
        """Note that a step begins; one that is stale loses what it made.

        Raises
        ------
        InputError
            Where something that no record tells of is in the way of what it makes.
        """
        if self.read(step) is None:
            for path in step.outputs:
                if path.exists():
                    raise InputError(f"{path} is there, and {self._path(step)} does not say what made it; move it away")
        if state == "stale":
            for path in (*step.outputs, *_leftovers(step), self._path(step)):
                remove(path)
        self._write(step, inputs={str(path): stamp(path) for path in step.inputs})

    def pause(self, step: Step, seconds: float) -> None:
        """Note for how long a step has run that did not finish."""
        self._write(step, seconds)

    def finish(self, step: Step, seconds: float) -> None:
        """Note that a step is done after so many more seconds; StepError where it did not make what it should."""
        lacking = [str(path) for path in step.outputs if not path.exists()]
        if lacking:
            raise StepError(f"it did not make {lacking[0]}")
        self._write(step, seconds, finished=True)

    def _path(self, step):
        return self.folder / f"{step.name}.json"

    def _write(self, step, seconds=0.0, inputs=None, finished=False):
        """Write a step's record, whole; `inputs` are stamps of when it began: what changes meanwhile makes it stale."""
        before = self.read(step) or {"seconds": 0.0, "inputs": {}}
        record = {
            "command": list(step.command),
            "inputs": before["inputs"] if inputs is None else inputs,
            "outputs": {str(path): stamp(path) if finished else None for path in step.outputs},
            "finished": finished,
            "seconds": round(before["seconds"] + seconds, 1),
        }
        write_text(self._path(step), json.dumps(record, indent=1) + "\n")


def refuse_stale(states: dict[str, str], out: Path, hint: str) -> None:
    """Raise InputError where one of {step name: state} is stale; hint: what the user can do."""
    stale = [name for name, state in states.items() if state == "stale"]
    if stale:
        raise InputError(
            f"{len(stale)} of {len(states)} steps in {out} were made with other settings or from other "
            f"files, the first is {stale[0]}; {hint}"
        )


def stamp(path: Union[str, Path]) -> dict:
    """Return what a file or folder is known by, as a dict for JSON."""
    path = Path(path)
    if path.is_dir():
        return {"files": _listing(path)}
    status = path.stat()
    return {
        "bytes": status.st_size,
        "changed": status.st_mtime_ns,
        "sha256": sha256(path) if status.st_size <= HASHED else None,
    }


def unchanged(path: Union[str, Path], before: dict) -> bool:
    """Return whether a file or folder is there and is what `stamp` said of it."""
    path = Path(path)
    if not path.exists() or path.is_dir() != ("files" in before):
        return False
    if path.is_dir():
        return _listing(path) == before["files"]
    status = path.stat()
    if status.st_size != before["bytes"]:
        return False
    return status.st_mtime_ns == before["changed"] or before["sha256"] is not None and sha256(path) == before["sha256"]


def _listing(folder):
    """Return the SHA-256 of the names and sizes of the files in a folder, without hidden ones, such as half files."""
    names = sorted(
        (str(path.relative_to(folder)), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def disk(step: Step) -> int:
    """Return how many bytes a step's outputs and leftovers take."""
    roots = {*step.outputs, *_leftovers(step)}
    files = {file for root in roots for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file()}
    return sum(file.stat().st_size for file in files)


def _leftovers(step):
    return [path for folder, pattern in step.leftovers for path in Path(folder).glob(pattern)]


def _leaves_something(step):
    return any(path.exists() for path in step.outputs) or bool(_leftovers(step))
