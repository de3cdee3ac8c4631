"""tools/init_weights.py: what it writes, as the `caffe` program loads it, and what it refuses."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from nets import recipe
from runs import ROOT, run
from test_nets_weights import CLASSES, RCNN, old_googlenet, values, written

from rcnn.data import builds, records
from rcnn.nets import prototxt as net

PAIRS = 8


@pytest.fixture
def folder(tmp_path):
    """A folder with a deploy net, a GoogLeNet and where to write."""
    written(tmp_path / "deploy.prototxt", net.deploy_rcnn_r(RCNN))
    (tmp_path / "googlenet.caffemodel").write_bytes(old_googlenet().SerializeToString())
    return tmp_path


def arguments(folder, **changes):
    settings = {
        "net": folder / "deploy.prototxt",
        "weights": folder / "googlenet.caffemodel",
        "out": folder / "start.caffemodel",
        **changes,
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def saved(path):
    """Return `values` of a caffemodel."""
    return values(caffe_pb2.NetParameter.FromString(path.read_bytes()))


def caffe_train(folder, stage, iterations):
    """Start a training from start.caffemodel with the `caffe` program; return its snapshot after `iterations`."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (PAIRS, 2, 56, 56, 3), np.uint8)
    with builds.Build(folder / "pairs.lmdb", "pairs", {"encoding": "jpeg"}, print) as pairs:
        pairs.put(
            [
                (records.pair_key(place, "v", 1), records.encode_pair(*pair, place % CLASSES))
                for place, pair in enumerate(images)
            ]
        )
        pairs.finish(counts={"pairs": PAIRS})
    settings = recipe(RCNN, batch=2, seed=1)
    written(folder / "train.prototxt", net.rcnn_r(settings, folder / "pairs.lmdb", net.TRAIN, stage))
    solver = net.solver(settings, folder / "train.prototxt", folder / "made", max(iterations, 1))
    solver.snapshot = 0
    solver.ClearField("test_iter")
    solver.ClearField("test_interval")
    solver.max_iter = iterations
    written(folder / "solver.prototxt", solver)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["caffe", "train", "-solver", "solver.prototxt", "-weights", "start.caffemodel"],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return saved(folder / f"made_iter_{iterations}.caffemodel")


def test_caffe_starts_from_it_with_both_towers_right(folder):
    status, out, error = run("init_weights", *arguments(folder))
    assert status == 0, error
    given, start = values(old_googlenet()), saved(folder / "start.caffemodel")
    found = caffe_train(folder, 2, 0)
    assert {name.replace("previous/", "") for name, _ in start} == {name.replace("previous/", "") for name, _ in found}
    for (name, part), array in found.items():
        np.testing.assert_array_equal(array, start[name, part], err_msg=name)
    for (name, part), array in given.items():
        if not name.endswith("/classifier"):
            for prefix in ("", "previous/"):
                np.testing.assert_array_equal(found[prefix + name, part], np.float32(array), err_msg=prefix + name)


def test_the_first_stage_then_leaves_what_was_copied(folder):
    run("init_weights", *arguments(folder))
    given, start = values(old_googlenet()), saved(folder / "start.caffemodel")
    found = caffe_train(folder, 1, 1)
    for (name, part), array in found.items():
        copied = (name.replace("previous/", ""), part) in given
        assert np.array_equal(array, start[name, part]) == copied, name


def test_it_lists_what_it_does(folder):
    status, out, _ = run("init_weights", *arguments(folder))
    lines = out.splitlines()
    assert status == 0 and lines[-1] == f"wrote {folder / 'start.caffemodel'}"
    assert lines[0].split() == "copied conv1/7x7_s2 W 3 x 3 x 7 x 7".split()
    assert any(line.split() == "fresh conv1/7x7_s2/temporal W 3 x 3 x 3 x 3 xavier".split() for line in lines)
    assert any(line.split() == "fresh loss3/fc b 51 constant 0.2".split() for line in lines)
    assert any(line.split() == "unused loss3/classifier b 1000".split() for line in lines)


def test_sum_is_read_from_the_net(folder):
    written(folder / "deploy.prototxt", net.deploy_rcnn_r(replace(RCNN, combine="sum")))
    for more in ({}, {"combine": "sum"}):
        status, out, error = run("init_weights", *arguments(folder, **more))
        assert status == 0, error
        assert "halved  conv1/7x7_s2" in out
        start = saved(folder / "start.caffemodel")
        given = values(old_googlenet())["conv2/3x3", 1]
        np.testing.assert_array_equal(start["conv2/3x3", 1], np.float32(given) / 2)
    status, out, _ = run("init_weights", *arguments(folder), "--unhalved")
    assert status == 0 and "halved  conv1" not in out


def test_one_seed_gives_one_file(folder):
    made = []
    for _ in range(2):
        assert run("init_weights", *arguments(folder, seed=3))[0] == 0
        made.append((folder / "start.caffemodel").read_bytes())
    assert made[0] == made[1]


def refused(folder, *words, **changes):
    """Run the tool and expect one line with every one of `words`, and an untouched --out."""
    (folder / "start.caffemodel").write_text("before")
    names = sorted(path.name for path in folder.iterdir())
    status, out, error = run("init_weights", *arguments(folder, **changes))
    assert status == 2 and out == ""
    assert error.startswith("init_weights.py: ") and error.count("\n") == 1, error
    assert all(word in error for word in words), error
    assert (folder / "start.caffemodel").read_text() == "before"
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_wider_googlenet_is_refused(folder):
    (folder / "googlenet.caffemodel").write_bytes(old_googlenet(net.Model(width=0.1, size=48)).SerializeToString())
    refused(folder, "layer conv1/7x7_s2", "6 x 3 x 7 x 7", "3 x 3 x 7 x 7", "same width")


def test_a_net_that_combines_otherwise_is_refused(folder):
    refused(folder, "--combine sum", "has average", combine="sum")
    written(folder / "cnn.prototxt", net.deploy_cnn(RCNN))
    refused(folder, "--combine sum", "no temporal parts", combine="sum", net=folder / "cnn.prototxt")


def test_missing_and_broken_files_are_refused(folder):
    refused(folder, "no such file", net=folder / "none.prototxt")
    whole = (folder / "googlenet.caffemodel").read_bytes()
    (folder / "half.caffemodel").write_bytes(whole[: len(whole) // 2])
    refused(folder, "cut short", weights=folder / "half.caffemodel")


def test_an_out_that_is_a_folder_is_refused(folder):
    refused(folder, "cannot write", out=folder)
