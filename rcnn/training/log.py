"""What `caffe train` prints, as records: one line of JSON for each displayed iteration and each test.

A training record:

    {"phase": "train", "iteration": 40, "loss": 4.61, "average_loss": 40, "raw": 4.58,
     "outputs": {"loss3/loss": 3.5, ...}, "learning_rate": 0.01, "seconds": 16.2}

loss is Caffe's own, the mean over the last `average_loss` iterations (fewer at the start of a run); outputs are the
values of the net's outputs in this iteration alone, and raw is the sum of the losses among them, weighted (null where
there is none).  With `iter_size` above 1, outputs and raw are those of the iteration's last batch.  seconds count from
the start of training, over all its runs.  The last record of a training has the loss alone: Caffe shows no more.

A test record:

    {"phase": "test", "iteration": 1000, "net": 0, "outputs": {"accuracy": 0.71, ...}, "seconds": 410.0}
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from rcnn.files import InputError, PathLike, write_text

NUMBER = r"([-+]?(?:nan|inf|[0-9.]+(?:e[-+]?[0-9]+)?))"
# glog's prefix: level, month and day (with the year since 0.5), time, thread, file:line
GLOG = re.compile(r"^([IWEF])\d{4,8} \d\d:\d\d:\d\d\.\d+ +\d+ ([^ :]+:\d+)\] (.*)$")
SHOWN = re.compile(rf"^Iteration (\d+)(?: \(.*\))?, loss = {NUMBER}$", re.IGNORECASE)
RATE = re.compile(rf"^Iteration (\d+), lr = {NUMBER}$", re.IGNORECASE)
TESTING = re.compile(r"^Iteration (\d+), Testing net \(#(\d+)\)$")
RESUMED = re.compile(r"\] Resuming from \S.*_iter_(\d+)\.solverstate$", re.MULTILINE)
OUTPUT = re.compile(
    rf"^ *(Train|Test) net output #\d+: (.+?) = {NUMBER}(?: \(\* {NUMBER} = {NUMBER} loss\))?$", re.IGNORECASE
)


Record = dict[str, Any]


class LogParser:
    """Turns the lines that `caffe train` prints into records, as they come.  Lines of other kinds are passed over.

    average_loss: the solver's, in iterations; it is noted in every training record.
    """

    def __init__(self, average_loss: int = 1):
        self.average_loss = average_loss
        self.record: Optional[Record] = None

    def feed(self, line: str) -> Optional[Record]:
        """Take one line; return the record that it completes, without "seconds", or None."""
        prefix = GLOG.match(line.rstrip("\r\n"))
        text = prefix[3] if prefix else ""
        if match := SHOWN.match(text):
            record = {"phase": "train", "iteration": int(match[1]), "loss": float(match[2])}
            rest: Record = {"average_loss": self.average_loss, "raw": None, "outputs": {}, "learning_rate": None}
            return self.finish({**record, **rest})
        if match := TESTING.match(text):
            return self.finish({"phase": "test", "iteration": int(match[1]), "net": int(match[2]), "outputs": {}})
        if text.startswith(("Snapshotting", "Optimization")):
            return self.finish()
        if text == "Test interrupted.":
            self.record = None
        if self.record is None:
            return None
        if (match := RATE.match(text)) and self.record["iteration"] == int(match[1]):
            self.record["learning_rate"] = float(match[2])
            return self.finish()
        if (match := OUTPUT.match(text)) and self.record["phase"] == match[1].lower():
            name, value, outputs = match[2], float(match[3]), self.record["outputs"]
            if name in outputs:  # an output of several values is printed as several lines of one name
                before = outputs[name]
                outputs[name] = (before if isinstance(before, list) else [before]) + [value]
            else:
                outputs[name] = value
            if match[5] and match[1].lower() == "train":
                self.record["raw"] = (self.record["raw"] or 0.0) + float(match[5])
        return None

    def finish(self, following: Optional[Record] = None) -> Optional[Record]:
        """Return the record that is still open, or None; `following` is open from now on."""
        done, self.record = self.record, following
        return done


def not_finite(record: Record) -> list[str]:
    """Return the names of the values of a record that are NaN or infinite.

    Caffe trains on through them, and its Accuracy layer calls NaN scores right every time.
    """
    values = {"loss": record.get("loss", 0.0), **record["outputs"]}
    return [name for name, value in values.items() if not np.all(np.isfinite(value))]


def complaint(lines: Sequence[str]) -> str:
    """Return in one line why `caffe` failed: the message of its last glog line of level F (else E), else its last line.

    lines: what caffe printed, last lines last.
    """
    for level in "FE":
        for line in reversed(lines):
            match = GLOG.match(line)
            if match and match[1] == level:
                return match[3].strip()
    messages = [
        line.strip()
        for line in lines
        if line.strip() and not GLOG.match(line) and not line.startswith(("***", "    @"))
    ]
    return messages[-1] if messages else "it printed no error"


def read_log(path: PathLike) -> list[Record]:
    """Return the records of a JSON-lines file; a file that is not there has none.

    A last line that an interruption cut short is left out.

    Raises
    ------
    InputError
        For any other line that is not a record.
    """
    path = Path(path)
    if not path.exists():
        return []
    records = []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            record["phase"], record["iteration"], record["seconds"], record["outputs"]
        except (ValueError, TypeError, KeyError):
            if number == len(lines):
                break
            raise InputError(
                f"training log: {path}, line {number} is not a record; it is damaged, or tools/train.py "
                "did not write it"
            ) from None
        records.append(record)
    return records


def resumed(path: PathLike) -> list[int]:
    """Return the iterations of the snapshots at which trainings went on, in time's order, by all that caffe printed."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return [int(number) for number in RESUMED.findall(text)]


def rewind(path: PathLike, iteration: int) -> list[Record]:
    """Drop from a JSON-lines log what a run resumed at `iteration` does again; return the records that stay.

    Caffe snapshots after the update that ends an iteration, so a snapshot at N is before record N.
    """
    try:
        earlier = [record for record in read_log(path) if record["iteration"] < iteration]
    except InputError as error:
        raise InputError(f"{error}; give another --log or --fresh") from None
    write_text(path, "".join(line(record) for record in earlier))
    return earlier


def line(record: Record) -> str:
    """Return a record as its line of the log; ValueError if a number of it is not finite, which JSON cannot hold."""
    return json.dumps(record, allow_nan=False) + "\n"


def running_mean(iterations: np.ndarray, values: np.ndarray, window: int) -> np.ndarray:
    """Return for each i the mean of the values whose iteration lies in (iterations[i] - window, iterations[i]].

    iterations: ascending whole numbers.  values: as many numbers.  Returns float64.
    """
    numbers = np.asarray(iterations, np.int64)
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    ends = np.arange(1, len(numbers) + 1)
    starts = np.searchsorted(numbers, numbers - window, side="right")
    return (sums[ends] - sums[starts]) / (ends - starts)


def loss_curve(records: Sequence[Record], window: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the loss of training records over the iterations, for a plot such as Fig. 2 (window 40).

    Returns
    -------
    iterations : int64
    raw : float64, the loss of each shown iteration alone
    averaged : float64, its mean over `window` iterations: Caffe's own, of every iteration, where the solver's
        average_loss is `window`; else over the shown ones
    """
    shown = [record for record in records if record["phase"] == "train" and record["raw"] is not None]
    iterations = np.array([record["iteration"] for record in shown], np.int64)
    raw = np.array([record["raw"] for record in shown], np.float64)
    if shown and all(record["average_loss"] == window for record in shown):
        return iterations, raw, np.array([record["loss"] for record in shown], np.float64)
    return iterations, raw, running_mean(iterations, raw, window)
