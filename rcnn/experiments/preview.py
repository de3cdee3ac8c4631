"""What a plan will do, before it does: each step's state, expected time and disk."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from rcnn.experiments.runner import clock
from rcnn.experiments.steps import Records, Step, wall


def show(steps: Sequence[Step], out: Path, jobs: int) -> None:
    """Print every step of a plan, and what is left to do."""
    states = Records(out).states(steps)
    print(f"{'state':8} {'time':>11} {'disk':>10}  step")
    for step in steps:
        print(f"{states[step.name]:8} {clock(step.seconds):>11} {size(step.bytes):>10}  {step.name}: {step.command[0]}")
    print(summary(steps, states, out, jobs))
    stale = sum(state == "stale" for name, state in states.items() if name != "report")  # it is made anew unasked
    if stale:
        print(f"{stale} of them are stale and need --force, which removes what they made before")
    if "open" in states.values():
        print("open: done as it stands; made again only if what it needs turns out to be another")


def summary(steps: Sequence[Step], states: dict[str, str], out: Path, jobs: int) -> str:
    """Return a line on what is left to do; states: of `steps`, by name."""
    left, needed, free = to_do(steps, states, out)
    if not left:
        return f"all {len(steps)} steps are done"
    return (
        f"{len(left)} of {len(steps)} steps to do: about {clock(wall(left, jobs))} with --jobs {jobs}; "
        f"{size(needed)} of disk, {size(free)} are free"
    )


def to_do(steps: Sequence[Step], states: dict[str, str], out: Path) -> tuple[list[Step], float, int]:
    """Return the steps that are not done, the bytes that they need, and the bytes that are free in `out`."""
    left = [step for step in steps if states[step.name] != "done"]
    folder = next(folder for folder in (out, *out.resolve().parents) if folder.is_dir())
    return left, sum(step.bytes for step in left), shutil.disk_usage(folder).free


def size(number: float) -> str:
    """Return bytes in a readable unit: "12.3 GB"."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"
