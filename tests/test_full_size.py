"""The network of the paper, full width at 224 x 224, learns on real videos as the README's commands have it.

This is slow, and cannot be made fast: a pair costs 6.3 G multiply-adds forward and twice frame t's 4.7 backward, and
each of seven snapshots is 220 MB, read again at each resume.  The twelve updates of two take under a minute on a core.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rcnn.nets import caffemodel
from rcnn.scoring import score_files
from rcnn.training import log as training

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(REPOSITORY),
    "GLOG_logtostderr": "1",
    "GLOG_minloglevel": "0",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
}


def run(*command):
    """Run a command line; return what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tool(name, *options):
    return run(sys.executable, REPOSITORY / "tools" / f"{name}.py", *options)


def shown(output):
    """Return {iteration: loss} of what `caffe train` printed."""
    parser = training.LogParser()
    records = [record for line in output.splitlines() if (record := parser.feed(line))]
    assert not any(training.not_finite(record) for record in records)
    return {record["iteration"]: record["loss"] for record in records if record["phase"] == "train"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with four videos' pairs."""
    monkeypatch.chdir(tmp_path)
    tool(
        "make_motion_videos",
        "--out",
        "videos",
        "--appearances",
        "Crates",
        "--movements",
        "Up",
        "Down",
        "--groups",
        2,
        "--clips",
        1,
        "--seconds",
        1,
    )
    classes, lists = "videos/lists/classInd.txt", {kind: f"videos/lists/{kind}list01.txt" for kind in ("train", "test")}
    tool(
        "build_frames",
        "--videos",
        "videos",
        "--list",
        *lists.values(),
        "--classes",
        classes,
        "--fps",
        5,
        "--out",
        "frames.lmdb",
    )
    for kind, path in lists.items():
        tool("build_pairs", "--frames", "frames.lmdb", "--list", path, "--classes", classes, "--out", f"{kind}.lmdb")
    Path("snapshots").mkdir()
    yield tmp_path
    shutil.rmtree(tmp_path / "snapshots")  # 1.5 GB


def solvers(iterations):
    """Make the full-size set for two classes that snapshots every second update; stage 2 ends after `iterations`."""
    tool(
        "make_prototxt",
        "--out",
        "full",
        "--classes",
        2,
        "--batch",
        2,
        "--seed",
        1,
        "--train-pairs",
        "train.lmdb",
        "--test-pairs",
        "test.lmdb",
        "--frames",
        "frames.lmdb",
        "--train-list",
        "videos/lists/trainlist01.txt",
        "--test-list",
        "videos/lists/testlist01.txt",
        "--snapshots",
        "snapshots",
        "--stage1-iterations",
        2,
        "--iterations",
        iterations,
        "--display",
        1,
        "--snapshot",
        2,
        "--test-interval",
        1000,
    )


def test_it_trains_snapshots_and_resumes(folder):
    solvers(iterations=4)
    tool("train", "--solver", "full/solver_rcnn_r_stage1.prototxt")

    typed = run(
        "caffe",
        "train",
        "-solver",
        "full/solver_rcnn_r.prototxt",
        "-weights",
        "snapshots/rcnn_r_stage1_iter_2.caffemodel",
    )
    assert list(shown(typed)) == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in folder.glob("snapshots/rcnn_r_iter_*")) == [
        f"rcnn_r_iter_{number}.{kind}" for number in (2, 4) for kind in ("caffemodel", "solverstate")
    ]

    solvers(iterations=6)
    resumed = tool("train", "--solver", "full/solver_rcnn_r.prototxt")
    assert "going on from snapshots/rcnn_r_iter_4.solverstate" in resumed
    records = [json.loads(line) for line in Path("snapshots/rcnn_r.jsonl").read_text().splitlines()]
    assert [record["iteration"] for record in records] == [4, 5, 6]
    assert all(math.isfinite(record["loss"]) for record in records)

    solvers(iterations=8)
    again = run(
        "caffe", "train", "-solver", "full/solver_rcnn_r.prototxt", "-snapshot", "snapshots/rcnn_r_iter_6.solverstate"
    )
    assert list(shown(again)) == [6, 7, 8]

    final = caffemodel.read("snapshots/rcnn_r_iter_8.caffemodel").arrays  # raises where a number is not finite
    before = caffemodel.read("snapshots/rcnn_r_iter_6.caffemodel").arrays
    shapes = {
        "conv1/7x7_s2": (64, 3, 7, 7),
        "conv1/7x7_s2/temporal": (64, 64, 3, 3),
        "loss3/fc": (1024, 1024),
        "inception_5b/5x5/temporal": (128, 128, 5, 5),
        "loss3/fc/temporal": (1024, 1024),
    }
    for name, shape in shapes.items():
        assert final[name][0].shape == shape and (before[name][0] != final[name][0]).any()

    solvers(iterations=2)  # RCNN-s goes on from RCNN-r's weights, its frames in order
    sequential = run(
        "caffe", "train", "-solver", "full/solver_rcnn_s.prototxt", "-weights", "snapshots/rcnn_r_iter_8.caffemodel"
    )
    assert list(shown(sequential)) == [0, 1, 2]

    for name, weights in (("deploy_rcnn_r", "rcnn_r_iter_8"), ("deploy_rcnn_s", "rcnn_s_iter_2")):
        tool(
            "evaluate",
            "--net",
            f"full/{name}.prototxt",
            "--weights",
            f"snapshots/{weights}.caffemodel",
            "--frames",
            "frames.lmdb",
            "--list",
            "videos/lists/testlist01.txt",
            "--classes",
            "videos/lists/classInd.txt",
            "--crops",
            1,
            "--out",
            f"{name}.h5",
        )
        with score_files.Scores(f"{name}.h5") as file:
            assert len(file) == 2 and file.videos("high").shape == (2, 2)
