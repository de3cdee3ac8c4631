"""Training, test and deploy nets are one network: the same weights load by name and give the same scores."""

import caffe
import numpy as np
import pytest
from nets import SLIM, build, by_name, fed, images, recipe, solver, write_pairs
from reference import softmax

from rcnn.googlenet import SIGNALS
from rcnn.nets import prototxt as net

MODEL = net.Model(**SLIM)
BATCH = 3


@pytest.fixture
def frames():
    return np.random.default_rng(6).normal(0, 60, (2, BATCH, 3, MODEL.size, MODEL.size)).astype(np.float32)


def scores(made, prefix="", **inputs):
    """Run a deploy net or a training net on its inputs; return the probabilities, signals x N x classes."""
    for name, values in inputs.items():
        made.blobs[{"previous": "previous/frame"}.get(name, name)].data[...] = values
    made.forward()
    if prefix + "low" in made.blobs:
        return np.stack([made.blobs[prefix + signal].data.copy() for signal in SIGNALS])
    classifiers = [f"{prefix}loss{number}/classifier_video" for number in (1, 2, 3)]
    return np.stack([softmax(made.blobs[name].data.astype(np.float64)) for name in classifiers])


def saved(folder, made):
    path = folder / "saved.caffemodel"
    made.save(str(path))
    return path


def spread(made):
    """Scale the classifiers so that the scores just computed reach 3, neither flat nor saturated; return the net."""
    for number in (1, 2, 3):
        blob = made.params[f"loss{number}/classifier_video"][0]
        blob.data[...] *= 3 / np.abs(made.blobs[f"loss{number}/classifier_video"].data).max()
    return made


def check_same(one, other):
    assert np.ptp(other) > 0.05 and np.abs(other[:, 0] - other[:, 1]).max() > 1e-4
    assert np.abs(one - other).max() < 1e-5


@pytest.mark.parametrize("combine", ["average", "sum"])
@pytest.mark.parametrize("phase", [net.TRAIN, net.TEST])
def test_the_pair_net_scores_as_its_deploy_net(tmp_path, frames, combine, phase):
    """The net generated for training or test, with its dropout off, against the deploy net."""
    model = net.Model(**SLIM, combine=combine, temporal_bias=True)
    message = net.rcnn_r(recipe(model, encoding="raw", previous_loss=True), "none.lmdb", phase)
    trained = build(fed(message, model, BATCH), tmp_path, caffe.TEST)
    inputs = dict(previous=frames[0], frame=frames[1])
    scores(trained, **inputs)
    spread(trained)
    expected = {prefix: scores(trained, prefix, **inputs) for prefix in ("", "previous/")}
    deploy = build(net.deploy_rcnn_r(model, BATCH), tmp_path, caffe.TEST, saved(tmp_path, trained))
    for prefix, values in expected.items():
        check_same(scores(deploy, prefix, **inputs), values)
    still = scores(deploy, previous=frames[1], frame=frames[1])
    assert np.abs(expected[""] - still).max() > 1e-3  # it looks at frame t-1


@pytest.mark.parametrize("phase", [net.TRAIN, net.TEST])
def test_the_single_frame_net_scores_as_its_deploy_net(tmp_path, frames, phase):
    message = net.cnn(recipe(MODEL, encoding="raw"), "none.lmdb", phase)
    trained = build(fed(message, MODEL, BATCH), tmp_path, caffe.TEST)
    scores(trained, frame=frames[0])
    spread(trained)
    expected = scores(trained, frame=frames[0])
    deploy = build(net.deploy_cnn(MODEL, BATCH), tmp_path, caffe.TEST, saved(tmp_path, trained))
    check_same(scores(deploy, frame=frames[0]), expected)


def test_the_first_frame_of_a_video_is_scored_as_by_the_single_frame_net_that_it_starts_from(tmp_path, frames):
    """Phi-hat^1 = Phi: "previous/..." of the pair net is the CNN on frame t-1, whatever frame t is."""
    single = build(net.deploy_cnn(MODEL, BATCH), tmp_path, caffe.TEST)
    scores(single, frame=frames[0])
    spread(single)
    alone = scores(single, frame=frames[0])
    pair = build(net.deploy_rcnn_r(MODEL, BATCH), tmp_path, caffe.TEST, saved(tmp_path, single))
    check_same(scores(pair, "previous/", previous=frames[0], frame=frames[1]), alone)
    assert np.abs(scores(pair, previous=frames[0], frame=frames[1]) - scores(single, frame=frames[1])).max() > 1e-3


@pytest.mark.parametrize("previous_loss", [False, True])
def test_a_snapshot_loads_whole(tmp_path, previous_loss):
    """A snapshot gives every parameter of the deploy nets, and they have a place for each of its own."""
    generator = np.random.default_rng(0)
    pairs = write_pairs(tmp_path / "pairs.lmdb", *(images(generator, 4, 64) for _ in range(2)), [0, 1, 2, 3])
    settings = recipe(MODEL, batch=4, encoding="raw", scale=1 / 64, previous_loss=previous_loss)
    made = solver(tmp_path, net.rcnn_r(settings, pairs, net.TRAIN), weight_decay=0.1)
    made.step(2)
    made.snapshot()
    trained, snapshot = by_name(made.net), tmp_path / "snapshot_iter_2.caffemodel"
    loaded = {
        name: by_name(build(deploy, tmp_path, caffe.TEST, snapshot))
        for name, deploy in (("pair", net.deploy_rcnn_r(MODEL)), ("single", net.deploy_cnn(MODEL)))
    }
    assert set(loaded["pair"]) == set(trained)
    assert set(loaded["single"]) == {name for name in trained if not name.endswith("/temporal")}
    for values in loaded.values():
        for name, value in values.items():
            assert (value == trained[name]).all(), name
    fresh = by_name(build(net.deploy_rcnn_r(MODEL), tmp_path, caffe.TEST))
    for name, value in trained.items():  # weight decay moves each weight, even one of a layer that is dead by chance
        assert name.endswith("bias") or (fresh[name] != value).any(), name


@pytest.mark.parametrize("batch", [1, 4])
def test_batch(tmp_path, batch):
    assert build(net.deploy_cnn(MODEL, batch), tmp_path).blobs["frame"].data.shape == (batch, 3, 64, 64)
    pair = build(net.deploy_rcnn_r(MODEL, batch), tmp_path)
    assert list(pair.inputs) == ["previous/frame", "frame"] and pair.blobs["previous/high"].data.shape == (batch, 5)
