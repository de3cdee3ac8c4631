"""tools/init_weights.py: what it writes, as the `caffe` program loads it, and what it refuses."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from calls import caller, refused, words
from nets import recipe, write_pairs
from random_nets import TORCH
from runs import ROOT, run
from test_nets_weights import CLASSES, RCNN, old_googlenet, values, written

from rcnn.files import InputError
from rcnn.nets import caffemodel, compare
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.model import NetModel
from rcnn.recipe import Fillers

OPTIONS = dict(net="deploy.prototxt", weights="googlenet.caffemodel", out="start.caffemodel")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a deploy net and a GoogLeNet."""
    monkeypatch.chdir(tmp_path)
    written(Path("deploy.prototxt"), net.deploy_rcnn_r(RCNN))
    Path("googlenet.caffemodel").write_bytes(old_googlenet().SerializeToString())


@pytest.fixture
def init_weights(monkeypatch):
    return caller(monkeypatch, "init_weights", **OPTIONS)


def saved(path):
    """Return `values` of a caffemodel."""
    return values(caffe_pb2.NetParameter.FromString(Path(path).read_bytes()))


def plain(name):
    return name.replace("previous/", "")


def caffe_train(stage, iterations):
    """Start a training from start.caffemodel with the `caffe` program; return its snapshot after `iterations`."""
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 56, 56, 3), np.uint8)
    write_pairs("pairs.lmdb", *images, np.arange(8) % CLASSES, "jpeg")
    settings = recipe(RCNN, batch=2, seed=1)
    written(Path("train.prototxt"), net.rcnn_r(settings, "pairs.lmdb", net.TRAIN, stage))
    solver = net.solver(settings, "train.prototxt", "made", max(iterations, 1))
    solver.snapshot, solver.max_iter = 0, iterations
    solver.ClearField("test_iter")
    solver.ClearField("test_interval")
    written(Path("solver.prototxt"), solver)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["caffe", "train", "-solver", "solver.prototxt", "-weights", "start.caffemodel"]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return saved(f"made_iter_{iterations}.caffemodel")


def test_caffe_starts_from_it_with_both_towers_right(init_weights):
    """And its first stage leaves what was copied."""
    init_weights()
    source, start = values(old_googlenet()), saved("start.caffemodel")
    loaded, trained = caffe_train(2, 0), caffe_train(1, 1)
    assert {plain(name) for name, _ in start} == {plain(name) for name, _ in loaded}
    for (name, part), array in loaded.items():
        np.testing.assert_array_equal(array, start[name, part], err_msg=name)
        copied = (plain(name), part) in source
        assert np.array_equal(trained[name, part], array) == copied, name
        if copied:
            np.testing.assert_array_equal(array, np.float32(source[plain(name), part]), err_msg=name)


def test_it_lists_what_it_does(init_weights, capsys):
    init_weights()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == ["wrote", "start.caffemodel"]
    assert lines[0] == "copied conv1/7x7_s2 W 3 x 3 x 7 x 7".split()
    for line in (
        "fresh conv1/7x7_s2/temporal W 3 x 3 x 3 x 3 xavier",
        "fresh loss3/fc b 51 constant 0.2",
        "unused loss3/classifier b 1000",
    ):
        assert line.split() in lines


def test_sum_is_read_from_the_net(init_weights, capsys):
    written(Path("deploy.prototxt"), net.deploy_rcnn_r(replace(RCNN, combine="sum")))
    bias = np.float32(values(old_googlenet())["conv2/3x3", 1])
    for options, factor in (({}, 2), ({"combine": "sum"}, 2), ({"unhalved": ""}, 1)):
        init_weights(**options)
        assert ("halved  conv1/7x7_s2" in capsys.readouterr().out) == (factor == 2)
        np.testing.assert_array_equal(saved("start.caffemodel")["conv2/3x3", 1], bias / factor)


def test_one_seed_gives_one_file(init_weights):
    made = []
    for seed in (3, 3, 4):
        init_weights(seed=seed)
        made.append(Path("start.caffemodel").read_bytes())
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("suffix", ["caffemodel", "onnx", pytest.param("pt", marks=TORCH)])
def test_a_finished_cnn_is_taken_whole(init_weights, suffix):
    """Its classifiers too; beside it a sum starts with temporal parts of 0, so that its net is the CNN."""
    model = NetModel(classes=CLASSES, width=RCNN.width, size=RCNN.size, temporal=False)
    arrays = compare.random_arrays(model)
    files.save(f"cnn.{suffix}", arrays, model, "frame")
    fillers = Fillers(temporal_filler="constant")
    written(Path("deploy.prototxt"), net.deploy_rcnn_r(replace(RCNN, combine="sum"), fillers=fillers))
    init_weights(weights=f"cnn.{suffix}", unhalved="")
    start = caffemodel.read("start.caffemodel")
    assert len(start.fresh) == 62 and all(name.endswith("/temporal") for name in start.fresh)
    assert files.marked_fresh("start.caffemodel") is None  # so that what GoogLeNet lacks learns in stage 1
    for name, blobs in start.arrays.items():
        assert caffemodel.same(blobs, arrays[name]) if name in arrays else not blobs[0].any(), name
    init_weights(weights=f"cnn.{suffix}")
    half = caffemodel.read("start.caffemodel").arrays
    np.testing.assert_array_equal(half["loss1/conv"][0], arrays["loss1/conv"][0] / 2)
    assert caffemodel.same(half["loss3/classifier_video"], arrays["loss3/classifier_video"])


def test_an_rcnn_of_another_file_is_not_halved_again(init_weights):
    model = NetModel(classes=CLASSES, width=RCNN.width, size=RCNN.size, combine="sum")
    arrays = compare.random_arrays(model)
    files.save("rcnn.onnx", arrays, model, "pair")
    with pytest.raises(InputError, match="made with --combine sum, the net has average"):
        init_weights(weights="rcnn.onnx")
    written(Path("deploy.prototxt"), net.deploy_rcnn_r(replace(RCNN, combine="sum")))
    init_weights(weights="rcnn.onnx")
    start = caffemodel.read("start.caffemodel")
    assert start.fresh == set() and all(caffemodel.same(start.arrays[name], arrays[name]) for name in arrays)


def test_it_says_what_does_not_fit_and_marks_what_is_fresh(init_weights, capsys):
    tuned = old_googlenet(classifier="classifier_video", classes=7)
    Path("tuned.caffemodel").write_bytes(tuned.SerializeToString())
    init_weights(weights="tuned.caffemodel")
    heads = {f"loss{number}/classifier_video" for number in (1, 2, 3)}
    said = capsys.readouterr().out.splitlines()[-2]
    assert said.startswith(
        "fresh, though the weights have them: loss1/classifier_video (7 x 51 in the weights, 5 x 51 in"
    )
    fresh = caffemodel.read("start.caffemodel").fresh
    assert {name for name in fresh if not name.endswith("/temporal")} == {"loss3/fc", *heads}


@pytest.mark.parametrize(
    "options, said",
    [
        ({"weights": "wide.caffemodel"}, "layer conv1/7x7_s2: W is 6 x 3 x 7 x 7 .* 3 x 3 x 7 x 7 .* same width"),
        ({"combine": "sum"}, "--combine sum: deploy.prototxt has average"),
        ({"combine": "sum", "net": "cnn.prototxt"}, "--combine sum: cnn.prototxt has no temporal parts"),
        ({"net": "none.prototxt"}, "no such file"),
        ({"out": "googlenet.caffemodel"}, "googlenet.caffemodel is what --weights reads; give another --out"),
    ],
)
def test_bad_input_is_one_line_and_leaves_out_as_it_was(init_weights, options, said):
    Path("wide.caffemodel").write_bytes(old_googlenet(width=0.1).SerializeToString())
    written(Path("cnn.prototxt"), net.deploy_cnn(RCNN))
    Path("start.caffemodel").write_text("before")
    refused(init_weights, said, **options)


def test_as_a_program():
    assert run("init_weights", *words(**OPTIONS))[0] == 0
    Path("half.caffemodel").write_bytes(Path("googlenet.caffemodel").read_bytes()[:20000])
    status, out, error = run("init_weights", *words(**{**OPTIONS, "weights": "half.caffemodel"}))
    assert status == 2 and out == "" and error.startswith("init_weights.py: weights: half.caffemodel is cut short")
    assert error.count("\n") == 1


def test_difference_starts_conv1_at_minus_the_frame_before(init_weights):
    """A frame shown twice leaves of conv1 what one frame leaves below zero, which the ReLU takes: nothing."""
    model = replace(RCNN, combine="sum")
    written(Path("deploy.prototxt"), net.deploy_rcnn_r(model, fillers=Fillers(temporal_filler="constant")))
    init_weights("--unhalved", difference="1")
    start, source = saved("start.caffemodel"), values(old_googlenet())
    temporal = start["conv1/7x7_s2/temporal", 0]
    channels = round((temporal.size / 9) ** 0.5)
    temporal = temporal.reshape(channels, channels, 3, 3)
    expected = np.zeros_like(temporal)
    for channel in range(len(temporal)):
        expected[channel, channel, 1, 1] = -1
    np.testing.assert_array_equal(temporal, expected)
    assert not any(array.any() for (name, _), array in start.items() if "/temporal" in name and "conv1/" not in name)
    np.testing.assert_array_equal(start["conv1/7x7_s2", 0], np.float32(source["conv1/7x7_s2", 0]))
    assert "conv1/7x7_s2/temporal" in caffemodel.read("start.caffemodel").fresh
    made = net.caffe.Net("deploy.prototxt", "start.caffemodel", net.TEST)
    frames = np.random.default_rng(0).integers(-100, 100, (2, *made.blobs["frame"].data.shape[1:]))
    for now in (0, 1):
        made.blobs["previous/frame"].data[...], made.blobs["frame"].data[...] = frames[0], frames[now]
        made.forward()
        assert made.blobs["conv1/7x7_s2"].data.any() == bool(now)


@pytest.mark.parametrize(
    "prototxt, weights, said",
    [
        (lambda: net.deploy_cnn(RCNN), None, "--difference: the net has no temporal parts; leave the option out"),
        (
            lambda: net.deploy_rcnn_r(RCNN),
            "start.caffemodel",
            "have conv1/7x7_s2/temporal already; leave the option out",
        ),
    ],
)
def test_no_difference_for_other_nets_and_weights(init_weights, prototxt, weights, said):
    if weights:
        init_weights()
        Path("trained.caffemodel").write_bytes(Path(weights).read_bytes())
        caffemodel.mark_fresh("trained.caffemodel", [])
    written(Path("deploy.prototxt"), prototxt())
    with pytest.raises(InputError, match=said):
        init_weights(difference="0.5", **({"weights": "trained.caffemodel"} if weights else {}))
