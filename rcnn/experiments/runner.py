"""Run the steps of a plan, several side by side: the one orchestrator of all programs here.

OUT/logs/<step>.log has what a step's program printed; rcnn/experiments/steps.py knows which steps are done.

The order is the standard library's (graphlib, concurrent.futures).  doit 0.36 was tried instead; of it only the order
would have been left.  It stamps inputs after a program has ended, so that one which changes meanwhile goes unnoticed;
it does not look at what outputs hold, takes no folder for an input, forgets a step that failed, and reads whole every
file that it stamps (9 s for 2 GB).  Interrupted, it ended at once and left its programs running or saving.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Optional, Union

from rcnn.command import input_path, output_folder, positive, progress, tell
from rcnn.data.workers import cores
from rcnn.experiments.steps import Records, Step, StepError, chains, needs
from rcnn.files import InputError, ProgramError, locked

PROGRAMS = (sys.executable, "-m", "rcnn")  # what runs a program of this package, by the name that follows


class Runner:
    """Runs steps, each when what it needs is there; a failure stops what needs it, and nothing else.

    Parameters
    ----------
    out
        Folder of all that is made, with logs/ and steps/.
    jobs
        How many programs run side by side.
    force
        Whether stale steps are made again; without it they fail.
    programs
        The words of a command that runs the program whose name follows them.

    Attributes
    ----------
    failed
        {step name: why} of the steps that failed.
    skipped
        Names of the steps that need one that failed.
    """

    def __init__(self, out: Union[str, Path], jobs: int = 1, force: bool = False, programs: Sequence[str] = PROGRAMS):
        self.records, self.logs = Records(out), Path(out) / "logs"
        self.jobs, self.force, self.programs = jobs, force, programs
        self.failed: dict[str, str] = {}
        self.skipped: list[str] = []
        self._running: dict[str, subprocess.Popen] = {}
        self._stopping = False
        self._lock = threading.RLock()  # so that a program that begins while a signal comes gets it, once

    def run(self, steps: Sequence[Step]) -> None:
        """Run what is not done of `steps`, first that on which the longest chain of others waits.

        Raises
        ------
        KeyboardInterrupt
            If a signal came.  Ctrl-C, SIGTERM or a closed terminal reaches the running programs as Ctrl-C, and they
            save their work.
        """
        by_name, lengths = {step.name: step for step in steps}, chains(steps)
        graph = TopologicalSorter(needs(steps))
        graph.prepare()
        ready: list[str] = []
        running: dict[Future, str] = {}
        done: set[str] = set()
        with ThreadPoolExecutor(self.jobs) as pool, self._signals(), progress(len(steps), "step") as bar:
            while True:
                ready = sorted([*ready, *graph.get_ready()], key=lengths.__getitem__, reverse=True)
                while ready and len(running) < self.jobs and not self._stopping:
                    name = ready.pop(0)
                    running[pool.submit(self._do, by_name[name])] = name
                if not running:
                    break
                bar.set_postfix_str(", ".join(running.values()), refresh=sys.stderr.isatty())
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    if future.result():
                        graph.done(name)
                        done.add(name)
                        bar.update()
        if self._stopping:
            raise KeyboardInterrupt
        self.skipped += [name for name in by_name if name not in done and name not in self.failed]

    def demand(self, steps: Sequence[Step]) -> None:
        """Raise StepError for the first of `steps` that failed."""
        for step in steps:
            if step.name in self.failed:
                raise StepError(f"{step.name}: {self.failed[step.name]}")

    def _do(self, step):
        """Do a step, in a thread of its own; return whether it is done."""
        try:
            state = self.records.state(step)
            if state == "done":
                return True
            if state == "stale" and not self.force:
                raise InputError("it was made with other settings or from other files; --force makes it again")
            self.records.begin(step, state)
            began = time.monotonic()
            status = self._program(step)
            seconds = time.monotonic() - began
            if status == 0:
                self.records.finish(step, seconds)
                tell(f"{step.name}: done in {clock(seconds)}")
                return True
            self.records.pause(step, seconds)
            if not self._stopping:
                raise StepError(f"{step.command[0]} ended {ending(status)}: {last_line(self._log(step))}")
        except (ProgramError, OSError) as error:
            log, why = self._log(step), " ".join(str(error).split())
            self.failed[step.name] = f"{why} (log: {log})" if log.is_file() else why
            tell(f"{step.name} failed: {self.failed[step.name]}")
        return False

    def _program(self, step):
        """Run a step's program and return its status, None where all is to end before it begins."""
        name = Path(step.command[0]).stem.replace("_", "-")
        words = [*_ending_with_this_one(), *self.programs, name, *step.command[1:], *step.settings]
        self.logs.mkdir(parents=True, exist_ok=True)
        threads = str(max(1, cores() // self.jobs))
        with open(self._log(step), "a", encoding="utf-8") as log:
            with self._lock:
                if self._stopping:
                    return None
                log.write(f"\n$ {shlex.join(step.typed)}\n")
                log.flush()
                # Two threads gain nothing on small products, and side by side they wait for each other.  PyTorch's take
                # larger parts, but more of them than cores would wait for each other too.
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": threads, **os.environ},
                )
                self._running[step.name] = process
            status = process.wait()
        with self._lock:
            del self._running[step.name]
        return status

    def _log(self, step):
        return self.logs / f"{step.name}.log"

    @contextmanager
    def _signals(self):
        """Until the block ends, pass signals that ask for an end on to the running programs, as Ctrl-C."""

        def stop(number, frame):
            if handlers[number] == signal.SIG_IGN:
                return
            with self._lock:
                self._stopping = True
                for process in self._running.values():
                    process.send_signal(signal.SIGINT)
                if self._running:
                    tell(f"stopping; {len(self._running)} running steps save their work")

        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        for number, handler in handlers.items():
            # An ignored Ctrl-C too: programs would inherit that, and it is to reach them.
            if handler != signal.SIG_IGN or number == signal.SIGINT:
                signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _ending_with_this_one():
    """Return the words of a command before which a program ends with this one, even a killed one; none elsewhere."""
    words = ["setpriv", "--pdeathsig", "KILL"]  # util-linux
    works = shutil.which("setpriv") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    return words if works else []


def commit() -> Optional[str]:
    """Return the commit of this code, with a + if tracked files differ from it, None where git has none."""

    def git(*words):
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def machine() -> str:
    """Return how many cores of which processor this machine has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [
        value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == "model name"
    ]
    return f"{cores()} cores of {names[0] if names else 'an unknown processor'}"


def nearest(path: Union[str, Path]) -> Path:
    """Return a path as seen from here if it is in this folder, else absolute, so that one folder has one name."""
    path = Path(path).resolve()
    return Path(os.path.relpath(path)) if Path.cwd() in path.parents else path


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Until the block ends, have the folder of what is made for this program alone; it is made if need be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}; give another --out") from None
    with locked(out):
        yield


def add_options(parser: argparse.ArgumentParser, subject: str) -> None:
    """Add the options of a program that runs the steps of a description; subject: what it does with that."""
    parser.add_argument("description", type=input_path, help=f"JSON file that says what to {subject}")
    parser.add_argument("--out", type=output_folder, required=True, help="folder for all that is made")
    parser.add_argument("--jobs", type=positive, default=1, help="steps that run side by side")
    parser.add_argument("--dry-run", action="store_true", help="say what there is to do, and change nothing")
    parser.add_argument("--force", action="store_true", help="make stale steps again; what they made before is removed")
    parser.add_argument("--gpu", type=int, help="number of the GPU to train and test on (default: the CPU)")


def ending(status: int) -> str:
    """Return how a program ended: "by signal 9", "with status 2"."""
    return f"by signal {-status}" if status < 0 else f"with status {status}"


def last_line(path: Path) -> str:
    """Return the last line of text in a log, without what progress bars wrote over."""
    with open(path, "rb") as file:
        file.seek(max(0, Path(path).stat().st_size - 4096))
        text = file.read().decode("utf-8", "replace")
    lines = [line.rsplit("\r", 1)[-1].strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")


def clock(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds: "1:02:03 h" or "2:03 min"."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d} h" if hours else f"{rest // 60}:{rest % 60:02d} min"
