"""Training by Caffe: `caffe train` started, followed into a log of records, stopped, and gone on with."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Callable, Optional

from rcnn import environment
from rcnn.files import InputError, TrainingError, WriteError, check_writable
from rcnn.nets.protos import read_solver
from rcnn.training import caffe_inputs, exchange, log, snapshots

WAIT_FOR_LOCK = 2.0  # seconds; a killed training's caffe is gone by then
STOPPED = 130  # exit status


class Training:
    """The training of a solver, whose snapshots and logs lie by its snapshot_prefix.

    Parameters
    ----------
    path : of the solver's prototxt
    weights : caffemodels to start from, separated by commas (default: the solver's)
    log_path : of the log of records (default: the snapshot prefix with .jsonl)
    gpus : their numbers, from 0 (default: what the solver says)

    Raises
    ------
    InputError
        If the solver does not parse, or could not be followed.
    """

    def __init__(
        self,
        path: str,
        weights: Optional[str] = None,
        log_path: Optional[str] = None,
        gpus: Optional[Sequence[int]] = None,
    ):
        self.path, self.gpus, self.solver = path, gpus, read_solver(path)
        caffe_inputs.check_solver(path, self.solver)
        self.prefix = Path(self.solver.snapshot_prefix)
        self.log = Path(log_path or f"{self.prefix}.jsonl")
        words = (weights or ",".join(self.solver.weights)).split(",")
        self.weights = [word.strip() for word in words if word.strip()]

    def inputs(self) -> list[str]:
        """Return the paths of what the training reads: nets, weights, and as far as the nets are there, their data."""
        nets = [path for path in (self.solver.net, self.solver.train_net, *self.solver.test_net) if path]
        data = caffe_inputs.sources(self.solver) if all(Path(path).is_file() for path in nets) else []
        return [self.path, *nets, *self.weights, *data]

    def resume_from(self, path: str) -> None:
        """Go on from a snapshot of PyTorch (`exchange.to_caffe`), unless this training has come further by itself."""
        net = caffe_inputs.read_nets(self.solver)[0].net
        with _locked(Path(f"{self.prefix}.caffe.log")):
            if not snapshots.newest(self.prefix)[1]:
                print(f"{path}, as {exchange.to_caffe(path, self.solver, net, self.prefix)}")

    def run(self, progress: Callable, fresh: bool = False) -> int:
        """Train to the end, or to where the user stops it, from the newest whole snapshot on.

        Parameters
        ----------
        progress : as `command.progress`
        fresh : start over; removes the solver's snapshots and logs once the new training can start

        Returns
        -------
        int
            The exit status: 0, or STOPPED.

        Raises
        ------
        InputError
            If what the training reads is not right, or another one that writes the same snapshots is running.
        WriteError
            If a log or a snapshot cannot be written.
        TrainingError
            If caffe fails or the training diverges.
        """
        with _locked(Path(f"{self.prefix}.caffe.log")) as caffe_log:
            check_writable(self.log)
            start, state = (0, None) if fresh else snapshots.newest(self.prefix)
            if not (fresh or state):
                snapshots.check_nothing_is_lost(self.prefix)
            if state and start >= self.solver.max_iter:
                print(
                    f"finished already: {state} is at iteration {start} of {self.solver.max_iter}; --fresh starts over"
                )
                return 0
            self._check(state)
            command = self._command(state)
            if fresh:
                print(f"--fresh: removed {snapshots.discard(self.prefix)} snapshot files of {self.prefix}")
                caffe_log.truncate(0)
                self.log.unlink(missing_ok=True)
            if state:
                snapshots.settle(state)
            snapshots.set_aside(self.prefix, start)
            print(f"going on from {state}" if state else f"starting from {', '.join(self.weights) or 'fresh weights'}")
            status = self._follow(command, start, caffe_log, progress)
            self._report(start)
            return status

    def _check(self, state: Optional[Path]) -> None:
        """Raise InputError if what the training reads is not right; state: the snapshot that it goes on from."""
        nets = caffe_inputs.read_nets(self.solver)
        for net in nets:
            caffe_inputs.check_data(net)
        caffe_inputs.check_processor(self.gpus, self.solver, nets)
        if not state:
            caffe_inputs.check_weights(self.weights, nets[0], self.prefix)

    def _command(self, state: Optional[Path]) -> list[str]:
        """Return the words that run `caffe train`, which is to die with this program, even if that is killed."""
        for program, remedy in (("caffe", "run make caffe"), ("setpriv", "install util-linux")):
            if not shutil.which(program, path=_search_path()):
                raise InputError(f"no {program} program, neither beside this python nor on PATH; {remedy}")
        # Caffe's "stop" ends the iteration and snapshots first; its "snapshot" would go on training
        command = "setpriv --pdeathsig KILL caffe train -sigint_effect stop -solver".split() + [str(self.path)]
        if state:
            command += ["-snapshot", str(state)]
        elif self.weights:
            command += ["-weights", ",".join(self.weights)]
        if self.gpus is not None:
            command += ["-gpu", ",".join(map(str, self.gpus))]
        return command

    def _follow(self, command: Sequence[str], start: int, caffe_log: IO[str], progress: Callable) -> int:
        """Run caffe to its end, writing what it prints and the records of it; return the exit status."""
        name, earlier = self.prefix.name, log.rewind(self.log, start)
        before = time.monotonic() - (earlier[-1]["seconds"] if earlier else 0.0)
        parser = log.LogParser(self.solver.average_loss)
        tail: deque[str] = deque(maxlen=300)
        with (
            _running(command, caffe_log) as (caffe, stops),
            open(self.log, "a", buffering=1, encoding="utf-8") as file,
            progress(self.solver.max_iter, "it", start, name) as bar,
        ):
            for line in caffe.stdout or ():
                caffe_log.write(line)
                tail.append(line)
                _take(parser.feed(line), file, bar, name, time.monotonic() - before)
            _take(parser.finish(), file, bar, name, time.monotonic() - before)
            status = caffe.wait()
            if not (status or stops):
                bar.update(self.solver.max_iter - bar.n)
        if stops:
            print("stopped; run the same command to go on")
            return STOPPED
        if status:
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            raise TrainingError(f"caffe ended {how}: {log.complaint(list(tail))} (all it said: {caffe_log.name})")
        return 0

    def _report(self, start: int) -> None:
        """Say where the results are; TrainingError if the newest weights went bad after the last loss was shown."""
        for iteration, path in snapshots.of(self.prefix, "caffemodel").items():
            if start < iteration <= self.solver.max_iter:
                try:
                    snapshots.trained_layers(path)
                except InputError as error:
                    raise TrainingError(str(error)) from None
                print(f"weights of iteration {iteration}: {path}; log: {self.log}")
                break


def _take(record: Optional[dict[str, Any]], file: IO[str], bar: Any, name: str, seconds: float) -> None:
    """Log a record and show it; TrainingError for one that is not finite."""
    if record is None:
        return
    if names := log.not_finite(record):
        raise TrainingError(
            f"{record['phase']} values at iteration {record['iteration']} are not finite "
            f"({', '.join(names)}): training diverged; lower base_lr, or check the data and the input "
            "scale"
        )
    file.write(log.line({**record, "seconds": round(seconds, 3)}))
    if record["phase"] == "train":
        rate = record["learning_rate"]
        shown = f"loss {record['loss']:.4g}" + (f", rate {rate:.3g}" if rate is not None else "")
        bar.set_postfix_str(shown, refresh=False)
    else:
        values = ", ".join(
            f"{name} {value:.4g}" for name, value in record["outputs"].items() if not isinstance(value, list)
        )
        bar.write(f"{name}, iteration {record['iteration']}, test net {record['net']}: {values}", file=sys.stderr)
    bar.update(record["iteration"] - bar.n)


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """Yield a file open for appending lines that one training at a time can have; caffe holds it too while it lives."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a", buffering=1, encoding="utf-8")
    except OSError as error:
        raise WriteError(f"snapshot_prefix: cannot write {path}: {error.strerror}; mend the solver's") from None
    with file:
        deadline = time.monotonic() + WAIT_FOR_LOCK
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InputError(f"a training that writes {path} is running; wait for it, or stop it") from None
                time.sleep(0.1)
        yield file


@contextmanager
def _running(command: Sequence[str], caffe_log: IO[str]) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """Yield caffe's process and the signals by which the user asked to stop it, none at first.

    caffe has a session of its own, so that Ctrl-C reaches this program alone, which tells caffe; a second one kills it.
    """
    # Its log is read, as glog writes it by itself; GLOG_log_prefix=0, say, would leave nothing to tell its lines by
    variables = dict(environment.without("GLOG_"), GLOG_logtostderr="1", PATH=_search_path())
    stops: list[int] = []
    caffe: Optional[subprocess.Popen] = None

    def stop(number: int, _: Any) -> None:
        if caffe is not None:
            caffe.send_signal(signal.SIGKILL if stops else signal.SIGINT)
        stops.append(number)

    handlers = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        caffe = subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            start_new_session=True,
            pass_fds=[caffe_log.fileno()],
        )
        yield caffe, stops
    finally:
        if caffe is not None:
            caffe.kill()
            caffe.wait()
            if caffe.stdout:
                caffe.stdout.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _search_path() -> str:
    """Return PATH with this python's folder first: caffe's embedded Python takes the first environment on it."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
