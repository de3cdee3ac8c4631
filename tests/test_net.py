"""Every switch of the generated nets: each reaches Caffe, and does there what it says."""

import subprocess
import sys

import caffe
import numpy as np
import pytest
from nets import SLIM, Tiny, build, by_name, fed, images, recipe, write_pairs

from rcnn.files import InputError
from rcnn.nets import prototxt as net
from rcnn.recipe import Fillers

MODEL = net.Model(**SLIM)
NONE = "none.lmdb"
SIDE = 40
JPEG_ERROR = 8  # grey levels at most, where colours share JPEG's values; the mean is below 1


def layers_of(message, *types):
    return [layer for layer in message.layer if layer.type in types]


# Model


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_conv1_temporal_kernel_without_high_rnn(tmp_path, kernel):
    made = build(net.deploy_rcnn_r(net.Model(**SLIM, conv1_temporal_kernel=kernel, high_rnn=False)), tmp_path)
    assert made.params["conv1/7x7_s2/temporal"][0].data.shape == (8, 8, kernel, kernel)
    assert made.blobs["conv1/7x7_s2/temporal"].data.shape == made.blobs["conv1/7x7_s2/spatial"].data.shape
    assert made.params["conv2/3x3/temporal"][0].data.shape[2:] == (3, 3)
    assert not [name for name in made.params if "loss3/fc" in name]


GAINS = {"xavier": 1, "msra": 2, "constant": 0}


@pytest.mark.parametrize("filler, temporal_filler", [("xavier", "msra"), ("msra", "xavier"), ("xavier", "constant")])
def test_fillers_and_bias(tmp_path, filler, temporal_filler):
    """Spread sqrt(gain / inputs); the classifiers are xavier and 0 whatever the others are, a temporal bias 0."""
    fillers = Fillers(filler=filler, temporal_filler=temporal_filler, bias=0.625)
    made = by_name(build(net.deploy_rcnn_r(net.Model(**SLIM, temporal_bias=True), 1, fillers), tmp_path))
    assert sum(name.endswith("/temporal_bias") for name in made) == 62
    for name, value in made.items():
        if name.endswith("bias"):
            assert (value == (0 if "classifier" in name or "temporal" in name else 0.625)).all(), name
        elif value.size > 3000 or temporal_filler == "constant":
            kind = "xavier" if "classifier" in name else temporal_filler if name.endswith("/temporal") else filler
            loose = 0.1 if value.size > 3000 else 1
            assert value.std() == pytest.approx(np.sqrt(GAINS[kind] / value[0].size), rel=loose), name


# Learning, in the net of GoogLeNet (test_mathematics.py and test_learning.py have its numbers)


def needing_backward(tmp_path, stage=2, **learning):
    """Return {layer: whether Caffe runs its backward pass} of a slim pair net, as Caffe says when it builds it."""
    path = tmp_path / "net.prototxt"
    path.write_text(str(fed(net.rcnn_r(recipe(MODEL, **learning), NONE, net.TRAIN, stage), MODEL, 2)))
    code = f"import caffe; caffe.init_log(0, True); caffe.Net({str(path)!r}, caffe.TRAIN)"
    said = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=True).stderr
    lines = [line.split("] ", 1)[1] for line in said.splitlines() if line.endswith("backward computation.")]
    return {line.split(" ")[0]: "does not need" not in line for line in lines}


@pytest.mark.parametrize("stage", [1, 2])
def test_the_tower_of_the_frame_before_runs_no_backward(tmp_path, stage):
    needs = needing_backward(tmp_path, stage=stage)
    previous = {name: need for name, need in needs.items() if name.startswith("previous/")}
    assert len(previous) > 200 and not any(previous.values())
    now = [need for name, need in needs.items() if name.endswith(("/temporal", "/sum"))]
    assert len(now) == 124 and all(now)


@pytest.mark.parametrize("learning", [dict(cut_gradient=False), dict(previous_loss=True)], ids=str)
def test_the_tower_of_the_frame_before_runs_backward_if_asked(tmp_path, learning):
    needs = needing_backward(tmp_path, **learning)
    assert all(need for name, need in needs.items() if name.startswith(("previous/inception", "previous/conv")))


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("temporal_bias", [False, True])
def test_frozen_layers_neither_learn_nor_decay(stage, temporal_bias):
    """Both multipliers are 0 in stage 1, in both towers, where GoogLeNet has the layer."""
    model = net.Model(**SLIM, temporal_bias=temporal_bias)
    pretrained = {layer.name for layer in model.layers() if getattr(layer, "pretrained", False)}
    for layer in layers_of(net.rcnn_r(recipe(model), NONE, net.TRAIN, stage), "Convolution", "InnerProduct"):
        frozen = stage == 1 and layer.name.replace(net.PREVIOUS, "") in pretrained
        expected = [(0, 0), (0, 0)] if frozen else [(1, 1), (2, 0)]
        rates = [(param.lr_mult, param.decay_mult) for param in layer.param]
        assert rates == expected[: 1 if layer.name.endswith("/temporal") and not temporal_bias else 2], layer.name


@pytest.mark.parametrize("phase", [net.TRAIN, net.TEST])
@pytest.mark.parametrize("previous_loss", [False, True])
def test_losses(previous_loss, phase):
    message = net.rcnn_r(recipe(MODEL, previous_loss=previous_loss), NONE, phase)
    assert {
        layer.name: (list(layer.bottom), round(layer.loss_weight[0], 6))
        for layer in layers_of(message, "SoftmaxWithLoss")
    } == {
        f"{prefix}{signal}/loss": ([f"{prefix}loss{number}/classifier_video", "label"], weight)
        for number, signal, weight in ((1, "low", 0.3), (2, "medium", 0.3), (3, "high", 1))
        for prefix in ("", "previous/")[: 1 + previous_loss]
    }
    assert len(layers_of(message, "Accuracy")) == (0 if phase == net.TRAIN else 6 if previous_loss else 3)
    assert ("previous/loss1/drop_fc" in [layer.name for layer in message.layer]) == previous_loss


# Data


@pytest.fixture
def pairs(tmp_path):
    """Six pairs of different smooth frames, as {encoding: LMDB}, and the frames of t - 1, of t, and the labels."""
    generator = np.random.default_rng(4)
    previous, frames, labels = images(generator, 6, SIDE), images(generator, 6, SIDE), np.array([3, 1, 0, 2, 4, 1])
    paths = {kind: write_pairs(tmp_path / kind, previous, frames, labels, kind) for kind in ("raw", "jpeg")}
    return paths, previous, frames, labels


def blobs(folder, message, phase, batches=1):
    """Run the data layers of a generated net; return {blob: its values in all batches}."""
    del message.layer[[layer.type in ("Data", "Python", "Slice", "Silence") for layer in message.layer].index(False) :]
    made = build(message, folder, phase)
    names, runs = [name for name in made.blobs if name != "pair"], []
    for _ in range(batches):
        made.forward()
        runs.append({name: made.blobs[name].data.copy() for name in names})
    return {name: np.concatenate([run[name] for run in runs]) for name in names}


def centre(frames, size, mean, scale):
    start = (SIDE - size) // 2
    cropped = frames[:, start : start + size, start : start + size].astype(np.float64)
    return ((cropped - mean) * scale).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
@pytest.mark.parametrize("mean", [None, (100, 120, 90)])
def test_data_at_test_is_the_centre_of_the_pairs_in_order(tmp_path, pairs, encoding, mean):
    paths, previous, frames, labels = pairs
    settings = recipe(Tiny(size=33), batch=3, encoding=encoding, mean=mean, scale=0.5)
    read = blobs(tmp_path, net.rcnn_r(settings, paths[encoding], net.TEST), caffe.TEST, batches=2)
    for name, expected in (("previous/frame", previous), ("frame", frames)):
        error = np.abs(read[name] - centre(expected, 33, mean or (104, 117, 123), 0.5))
        assert error.max() <= (0 if encoding == "raw" else JPEG_ERROR * 0.5) and error.mean() < 0.5
    assert read["label"].tolist() == labels.tolist()
    alone = blobs(tmp_path, net.cnn(settings, paths[encoding], net.TEST), caffe.TEST)
    assert (alone["frame"] == read["frame"][:3]).all() and alone["label"].tolist() == labels[:3].tolist()


def nearest_crop(image, frame):
    """Return (top, left, mirror) of the frame's crop nearest to an image, whose mean error is below a grey level."""
    size, errors = len(image), []
    for mirror in (False, True):
        for top in range(SIDE - size + 1):
            for left in range(SIDE - size + 1):
                view = frame[top : top + size, left : left + size][:, :: -1 if mirror else 1]
                errors.append((np.abs(view - image).mean(), (top, left, mirror)))
    error, place = min(errors)
    assert error < 1
    return place


@pytest.mark.parametrize("encoding, together", [("raw", True), ("jpeg", True), ("jpeg", False)])
def test_crops_of_training(tmp_path, pairs, encoding, together):
    paths, previous, frames, labels = pairs
    settings = recipe(Tiny(size=33), batch=6, encoding=encoding, seed=1, together=together)
    read = blobs(tmp_path, net.rcnn_r(settings, paths[encoding], net.TRAIN), caffe.TRAIN, batches=4)
    before, now = (
        [
            nearest_crop(values.transpose(1, 2, 0) + (104, 117, 123), frame)
            for values, frame in zip(read[name], np.concatenate([stored] * 4))
        ]
        for name, stored in (("previous/frame", previous), ("frame", frames))
    )
    assert len(set(now)) > 12 and {mirror for _, _, mirror in now} == {False, True}
    assert (before == now) == together
    assert read["label"].tolist() == labels.tolist() * 4


def test_seed_of_the_crops(tmp_path, pairs):
    path = pairs[0]["jpeg"]
    one, same, other, fresh, fresher = (
        blobs(tmp_path, net.rcnn_r(recipe(Tiny(size=33), batch=6, seed=seed), path, net.TRAIN), caffe.TRAIN)["frame"]
        for seed in (1, 1, 2, None, None)
    )
    assert (one == same).all() and (one != other).any() and (fresh != fresher).any()


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_flow_through_caffes_data_layer(tmp_path, encoding):
    """Pairs of flow are mirrored with x negated, both frames alike, in either encoding; JPEG is near to it."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    previous, frames = (
        np.stack([128 + 2 * columns + part, 128 + rows - part], axis=-1).astype(np.uint8)[np.newaxis]
        for part in (0, 20)
    )
    path = write_pairs(tmp_path / "pairs", previous, frames, [3], encoding)
    settings = recipe(Tiny(size=33, channels=2), batch=8, encoding=encoding, seed=1)
    read = blobs(tmp_path, net.rcnn_r(settings, path, net.TRAIN), caffe.TRAIN)
    mirrors = set()
    for before, now in zip(read["previous/frame"], read["frame"]):
        mirror = before[0].mean() < 0
        mirrors.add(mirror)
        x, y = now - before
        assert np.abs(x - (-20 if mirror else 20)).max() <= 4 and np.abs(y + 20).max() <= 4
        slope = np.diff(now, axis=2).mean(axis=(1, 2)), np.diff(now, axis=1).mean(axis=(1, 2))
        # x is 2 columns: it rises to the right, and as often in a mirror, where its sign and the side both change.
        assert np.abs(slope[0] - (2, 0)).max() < 0.2 and np.abs(slope[1] - (0, 1)).max() < 0.2
    assert mirrors == {True, False} and read["label"].tolist() == [3] * 8
    alone = blobs(tmp_path, net.cnn(settings, path, net.TRAIN), caffe.TRAIN)
    assert np.abs(alone["frame"] - read["frame"]).max() == 0


FOUR = dict(channels=4, mean=(1, 2, 3, 4))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: net.rcnn_r(recipe(), NONE, net.TRAIN, 3), "stage: there are stages 1 and 2, not 3"),
        (lambda: net.rcnn_s(recipe(), NONE, "none.txt", net.TRAIN, 0), "stage: there are stages 1 and 2, not 0"),
        (lambda: net.rcnn_s(recipe(**FOUR), NONE, "none.txt", net.TRAIN), "channels: frames in order"),
        (lambda: net.cnn(recipe(**FOUR), NONE, net.TRAIN), "channels: jpeg pairs have 3"),
        (lambda: net.cnn(recipe(channels=4, encoding="raw"), NONE, net.TRAIN), "mean: frames of 4 channels have none"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(InputError, match=message):
        make()
