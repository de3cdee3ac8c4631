"""RCNN-s trained by the `caffe` program as the README types it: killed, gone on with, and what it starts from then."""

import json
import signal
import subprocess
import time
from pathlib import Path

import frames
import pytest
from nets import ENVIRONMENT, losses, tool

from rcnn.nets import caffemodel

CLASSES = ["Left", "Right"]
VIDEOS = {f"v_{CLASSES[label]}_g{group:02d}_c01": (label, 3 + group) for label in (0, 1) for group in range(1, 5)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a frames LMDB, its list, and a small set of nets and solvers."""
    monkeypatch.chdir(tmp_path)
    frames.write(Path("frames.lmdb"), VIDEOS, CLASSES, side=40)
    make(iterations=60)


def make(iterations):
    """Make the set, of 33 x 33 input, which snapshots every tenth update."""
    tool(
        "make_prototxt",
        "--out set --classes 2 --width 0.0625 --size 33 --batch 3 --seed 1 --scale 0.015625 --frames frames.lmdb "
        f"--train-list frames.txt --test-list frames.txt --stage1-iterations 20 --iterations {iterations} --display 1 "
        "--snapshot 10 --test-interval 15 --test-iterations 2",
    )


def caffe(words):
    with open("caffe.log", "w") as file:
        return subprocess.Popen(["caffe", "train", *words.split()], env=ENVIRONMENT, stdout=file, stderr=file)


def trained(process):
    """Wait for caffe to end well, and look whether it tested; return the iterations whose losses it printed."""
    status, output = process.wait(timeout=120), Path("caffe.log").read_text()
    assert status == 0, output
    train, tests = losses(output)
    assert tests
    return list(train)


def test_both_stages_as_typed_killed_and_gone_on_with():
    assert trained(caffe("-solver set/solver_rcnn_s_stage1.prototxt")) == list(range(21))
    solver = "-solver set/solver_rcnn_s.prototxt"
    killed = caffe(f"{solver} -weights set/snapshots/rcnn_s_stage1_iter_20.caffemodel")
    deadline = time.monotonic() + 60
    while not Path("set/snapshots/rcnn_s_iter_20.caffemodel").exists():  # then the one before is whole
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert trained(caffe(f"{solver} -snapshot set/snapshots/rcnn_s_iter_10.solverstate")) == list(range(10, 61))
    caffemodel.read("set/snapshots/rcnn_s_iter_60.caffemodel")  # raises where a number is not finite


def test_train_py_goes_on_from_its_snapshot():
    make(iterations=20)
    tool("train", "--solver set/solver_rcnn_s.prototxt")
    make(iterations=40)
    resumed = tool("train", "--solver set/solver_rcnn_s.prototxt")
    assert "going on from set/snapshots/rcnn_s_iter_20.solverstate" in resumed
    log = [json.loads(line) for line in Path("set/snapshots/rcnn_s.jsonl").read_text().splitlines()]
    assert [record["iteration"] for record in log if record["phase"] == "train"] == list(range(41))
    assert [record["iteration"] for record in log if record["phase"] == "test"] == [15, 30]
