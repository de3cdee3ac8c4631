"""RCNN-s trained by the `caffe` program as the README types it: killed, gone on with, and what it starts from then."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import frames
import numpy as np
import pytest
import runs

from rcnn.nets import caffemodel
from rcnn.training import log as training

CLASSES = ["Left", "Right"]
VIDEOS = {f"v_{CLASSES[label]}_g{group:02d}_c01": (label, 3 + group) for label in (0, 1) for group in range(1, 5)}
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(runs.ROOT),
    "GLOG_logtostderr": "1",
    "GLOG_minloglevel": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a frames LMDB, its list, and a small set of nets and solvers."""
    monkeypatch.chdir(tmp_path)
    frames.write(Path("frames.lmdb"), VIDEOS, CLASSES, side=40)
    make(iterations=60)
    return tmp_path


def make(iterations):
    """Make the set, of 33 x 33 input, which snapshots every tenth update."""
    options = {
        "classes": 2,
        "width": 1 / 16,
        "size": 33,
        "batch": 3,
        "seed": 1,
        "scale": 1 / 64,
        "frames": "frames.lmdb",
        "train-list": "frames.txt",
        "test-list": "frames.txt",
        "stage1-iterations": 20,
        "iterations": iterations,
        "display": 1,
        "snapshot": 10,
        "test-interval": 15,
        "test-iterations": 2,
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    subprocess.run(
        [sys.executable, runs.ROOT / "tools" / "make_prototxt.py", "--out", "set", *words],
        check=True,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
    )


def caffe(*arguments):
    with open("caffe.log", "w") as file:
        return subprocess.Popen(["caffe", "train", *arguments], env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT)


def losses(process):
    """Wait for caffe to end well; return {iteration: loss}."""
    status, output = process.wait(timeout=120), Path("caffe.log").read_text()
    assert status == 0, output
    parser = training.LogParser()
    records = [record for line in output.splitlines() if (record := parser.feed(line))]
    assert any(record["phase"] == "test" for record in records)
    return {record["iteration"]: record["loss"] for record in records if record["phase"] == "train"}


def test_both_stages_as_typed_killed_and_gone_on_with():
    stage1 = losses(caffe("-solver", "set/solver_rcnn_s_stage1.prototxt"))
    assert list(stage1) == list(range(21))
    weights = ["-weights", "set/snapshots/rcnn_s_stage1_iter_20.caffemodel"]
    killed = caffe("-solver", "set/solver_rcnn_s.prototxt", *weights)
    snapshot = Path("set/snapshots/rcnn_s_iter_10.solverstate")
    deadline = time.monotonic() + 60
    while not Path("set/snapshots/rcnn_s_iter_20.caffemodel").exists():  # then the one before is whole
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    resumed = losses(caffe("-solver", "set/solver_rcnn_s.prototxt", "-snapshot", str(snapshot)))
    assert list(resumed) == list(range(10, 61)) and np.isfinite(list(resumed.values())).all()
    caffemodel.read("set/snapshots/rcnn_s_iter_60.caffemodel")  # raises where a number is not finite


def test_train_py_goes_on_from_its_snapshot():
    command = [sys.executable, runs.ROOT / "tools" / "train.py", "--solver", "set/solver_rcnn_s.prototxt"]
    make(iterations=20)
    subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True)
    make(iterations=40)
    done = subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True, text=True)
    assert "going on from set/snapshots/rcnn_s_iter_20.solverstate" in done.stdout
    log = [json.loads(line) for line in Path("set/snapshots/rcnn_s.jsonl").read_text().splitlines()]
    assert [record["iteration"] for record in log if record["phase"] == "train"] == list(range(41))
    assert [record["iteration"] for record in log if record["phase"] == "test"] == [15, 30]
