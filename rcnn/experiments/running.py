"""Run the steps of a plan, several side by side, each when what it needs is there; a failure stops what needs it."""
import ctypes
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from rcnn.command import progress, tell
from rcnn.files import InputError, ProgramError, locked
from rcnn.experiments.steps import Records

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Runner:
    """Runs steps; afterwards `failed` is {step name: why} and `skipped` the names of those that need a failed one.

    out: folder of what is made, with logs/ and steps/.  tools: folder of the programs.  jobs: how many run side by
    side.  force: make stale steps anew; without it they fail, as do those that need them.
    """

    def __init__(self, out, tools, jobs=1, force=False):
        self.records, self.logs = Records(out), Path(out) / "logs"
        self.tools, self.jobs, self.force = Path(tools), jobs, force
        self.failed, self.skipped = {}, []
        self._running, self._stopped = {}, []  # {future: (step, Popen, when it began)}; signals that came
        self._prctl = ctypes.CDLL(None).prctl

    def run(self, steps):
        """Run what is not done of `steps`, in an order that ends early; raise KeyboardInterrupt if a signal came.

        Ctrl-C, SIGTERM or a closed terminal goes on to the running programs as Ctrl-C, which save their work.
        """
        waiting = by_length(steps)
        made_by = {path: step.name for step in steps for path in step.outputs}
        needs = {step.name: {made_by[path] for path in step.inputs if path in made_by} for step in steps}
        left = set(needs)  # not yet done, failed or skipped
        with ThreadPoolExecutor(self.jobs) as executor, self._signals(), progress(len(steps), "step") as bar:
            while waiting or self._running:
                for step in list(waiting):
                    if self._stopped or len(self._running) == self.jobs:
                        break
                    if needs[step.name] & {*self.failed, *self.skipped}:
                        waiting.remove(step)
                        self.skipped.append(step.name)
                        left.discard(step.name)
                    elif not needs[step.name] & left:
                        waiting.remove(step)
                        if not self._start(step, executor):
                            left.discard(step.name)
                            bar.update(step.name not in self.failed)
                if self._running:
                    done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                    for future in done:
                        name = self._finish(*self._running.pop(future))
                        left.discard(name)
                        bar.update(name not in self.failed)
                elif self._stopped:
                    break
        if self._stopped:
            raise KeyboardInterrupt

    def _start(self, step, executor):
        """Start a step's program; return False where there is nothing to wait for, as it is done or cannot begin."""
        try:
            state = self.records.state(step)
            if state == "done":
                return False
            if state == "stale" and not self.force:
                raise InputError("it was made with other settings or from other files; --force makes it again")
            self.records.begin(step, state)
            process = self._program(step)
        except (InputError, OSError) as error:
            self._fail(step, " ".join(str(error).split()))
            return False
        self._running[executor.submit(process.wait)] = step, process, time.monotonic()
        if self._stopped:
            process.send_signal(signal.SIGINT)
        return True

    def _program(self, step):
        """Return the Popen of a step, all that it prints in its log."""
        program, *arguments = *step.command, *step.settings
        self.logs.mkdir(parents=True, exist_ok=True)
        with open(self._log(step), "a", encoding="utf-8") as log:
            log.write(f"\n$ python tools/{program} {' '.join(arguments)}\n")
            log.flush()
            # Two threads gain nothing on small products, and side by side they wait for each other.
            return subprocess.Popen(
                [sys.executable, str(self.tools / program), *arguments], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env={"OPENBLAS_NUM_THREADS": "1", **os.environ}, start_new_session=True,
                preexec_fn=self._in_child)

    def _in_child(self):
        # It ends with this program, even a killed one, and Ctrl-C reaches it where a shell had it ignored.
        self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _finish(self, step, process, began):
        """Record how a program ended and return its step's name."""
        seconds = time.monotonic() - began
        try:
            if process.returncode:
                self.records.pause(step, seconds)
                if not self._stopped:
                    raise InputError(f"{step.command[0]} ended {ending(process.returncode)}: "
                                     f"{last_line(self._log(step))}")
                self.failed[step.name] = "stopped"
            else:
                self.records.finish(step, seconds)
                tell(f"{step.name}: done in {clock(seconds)}")
        except ProgramError as error:
            self._fail(step, str(error))
        return step.name

    def _fail(self, step, why):
        log = self._log(step)
        self.failed[step.name] = f"{why} (log: {log})" if log.is_file() else why
        tell(f"{step.name} failed: {self.failed[step.name]}")

    def _log(self, step):
        return self.logs / f"{step.name}.log"

    @contextmanager
    def _signals(self):
        """Until the block ends, pass signals that ask for an end on to the running programs, as Ctrl-C."""
        def stop(number, frame):
            self._stopped.append(number)
            for _, process, _ in list(self._running.values()):
                if process.returncode is None:
                    process.send_signal(signal.SIGINT)
            if self._running:
                tell(f"stopping; {len(self._running)} running steps save their work")

        asked = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
                 if signal.getsignal(number) != signal.SIG_IGN]
        handlers = {number: signal.signal(number, stop) for number in asked}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def nearest(path):
    """Return a path as seen from here if it is in this folder, else absolute, so that one folder has one name."""
    path = Path(path).resolve()
    return Path(os.path.relpath(path)) if Path.cwd() in path.parents else path


@contextmanager
def held(out):
    """Hold the folder of what is made for this program alone; it is made if need be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}; give another --out") from None
    with locked(out):
        yield


def by_length(steps):
    """Return steps so that those come first on which the longest chain of others waits."""
    lengths = {}
    for step in reversed(steps):
        after = [lengths[other.name] for other in steps
                 if other.name in lengths and set(other.inputs) & set(step.outputs)]
        lengths[step.name] = step.seconds + max(after, default=0.0)
    return sorted(steps, key=lambda step: -lengths[step.name])


def ending(status):
    return f"by signal {-status}" if status < 0 else f"with status {status}"


def last_line(path):
    """Return the last line of text in a log, without what progress bars wrote over."""
    with open(path, "rb") as file:
        file.seek(max(0, Path(path).stat().st_size - 4096))
        text = file.read().decode("utf-8", "replace")
    lines = [line.rsplit("\r", 1)[-1].strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")


def clock(seconds):
    """Return seconds as hours, minutes and seconds: "1:02:03 h" or "2:03 min"."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d} h" if hours else f"{rest // 60}:{rest % 60:02d} min"
