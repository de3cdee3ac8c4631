"""The network of the paper, full width at 224 x 224, learns on real videos as the README's commands have it.

This is slow, and cannot be made fast: a pair costs 6.3 G multiply-adds forward and twice frame t's 4.7 backward, and
each of seven snapshots is 220 MB, read again at each resume.  The twelve updates of two take under a minute on a core.
"""

import json
import math
import shutil
from pathlib import Path

import pytest
from nets import caffe_program, losses, tool

from rcnn.nets import caffemodel
from rcnn.scoring import score_files

CLASSES = "--classes videos/lists/classInd.txt"


def trained(words):
    """Run `caffe train`; return the iterations whose losses it printed."""
    done = caffe_program("train", *words.split())
    assert done.returncode == 0, done.stderr
    return list(losses(done.stderr)[0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with four videos' pairs."""
    monkeypatch.chdir(tmp_path)
    tool("make_motion_videos", "--out videos --appearances Crates --movements Up Down --groups 2 --clips 1 --seconds 1")
    lists = "videos/lists/trainlist01.txt videos/lists/testlist01.txt"
    tool("build_frames", f"--videos videos --list {lists} {CLASSES} --fps 5 --out frames.lmdb")
    for kind in ("train", "test"):
        tool("build_pairs", f"--frames frames.lmdb --list videos/lists/{kind}list01.txt {CLASSES} --out {kind}.lmdb")
    yield tmp_path
    shutil.rmtree(tmp_path / "snapshots")  # 1.5 GB


def solvers(iterations):
    """Make the full-size set for two classes that snapshots every second update; stage 2 ends after `iterations`."""
    tool(
        "make_prototxt",
        "--out full --classes 2 --batch 2 --seed 1 --train-pairs train.lmdb --test-pairs test.lmdb "
        "--frames frames.lmdb --train-list videos/lists/trainlist01.txt --test-list videos/lists/testlist01.txt "
        f"--snapshots snapshots --stage1-iterations 2 --iterations {iterations} --display 1 --snapshot 2 "
        "--test-interval 1000",
    )


def test_it_trains_snapshots_and_resumes(folder):
    solvers(iterations=4)
    assert trained("-solver full/solver_rcnn_r_stage1.prototxt") == [0, 1, 2]
    typed = trained("-solver full/solver_rcnn_r.prototxt -weights snapshots/rcnn_r_stage1_iter_2.caffemodel")
    assert typed == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in folder.glob("snapshots/rcnn_r_iter_*")) == [
        f"rcnn_r_iter_{number}.{kind}" for number in (2, 4) for kind in ("caffemodel", "solverstate")
    ]

    solvers(iterations=6)
    resumed = tool("train", "--solver full/solver_rcnn_r.prototxt")
    assert "going on from snapshots/rcnn_r_iter_4.solverstate" in resumed
    records = [json.loads(line) for line in Path("snapshots/rcnn_r.jsonl").read_text().splitlines()]
    assert [record["iteration"] for record in records] == [4, 5, 6]
    assert all(math.isfinite(record["loss"]) for record in records)

    solvers(iterations=8)
    again = trained("-solver full/solver_rcnn_r.prototxt -snapshot snapshots/rcnn_r_iter_6.solverstate")
    assert again == [6, 7, 8]

    final = caffemodel.read("snapshots/rcnn_r_iter_8.caffemodel").arrays  # raises where a number is not finite
    before = caffemodel.read("snapshots/rcnn_r_iter_6.caffemodel").arrays
    for name, shape in {
        "conv1/7x7_s2": (64, 3, 7, 7),
        "conv1/7x7_s2/temporal": (64, 64, 3, 3),
        "loss3/fc": (1024, 1024),
        "inception_5b/5x5/temporal": (128, 128, 5, 5),
        "loss3/fc/temporal": (1024, 1024),
    }.items():
        assert final[name][0].shape == shape and (before[name][0] != final[name][0]).any()

    solvers(iterations=2)  # RCNN-s goes on from RCNN-r's weights, its frames in order
    sequential = trained("-solver full/solver_rcnn_s.prototxt -weights snapshots/rcnn_r_iter_8.caffemodel")
    assert sequential == [0, 1, 2]

    for name, weights in (("rcnn_r", "rcnn_r_iter_8"), ("rcnn_s", "rcnn_s_iter_2")):
        net = f"--net full/deploy_{name}.prototxt --weights snapshots/{weights}.caffemodel"
        frames = f"--frames frames.lmdb --list videos/lists/testlist01.txt {CLASSES}"
        tool("evaluate", f"{net} {frames} --crops 1 --out {name}.h5")
        with score_files.Scores(f"{name}.h5") as file:
            assert len(file) == 2 and file.videos("high").shape == (2, 2)
