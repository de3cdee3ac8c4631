"""Every layer of the nets in PyTorch and ONNX Runtime against Caffe's, on the same weights and input."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from random_nets import KINDS, MODELS, assert_equal, in_caffe, parameters

from rcnn.googlenet import PREVIOUS, SIGNALS
from rcnn.nets import compare
from rcnn.nets.model import NetModel

EACH_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
BACKENDS = pytest.mark.parametrize("backend", ["torch", "onnx"])


def made(backend, kind, arrays, model, watch=True):
    """Return the Network of a backend; skips where that is not installed."""
    if backend == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")
        from rcnn.nets.torch_net import TorchNetwork

        return TorchNetwork(kind, arrays, model, threads=1, watch=watch)
    from rcnn.nets.onnx_net import OnnxNetwork, build

    return OnnxNetwork(build(kind, arrays, model), threads=1, watch=watch)


def names(model, kind):
    """Return the names of all that Caffe's net computes, which the others must have under the same names."""
    layers = [layer.name for layer in model.layers()]
    outputs = [*layers, *SIGNALS]
    if kind == "pair":
        outputs += [PREVIOUS + name for name in outputs]
    if kind != "frame":
        outputs += [name + part for name in model.states() for part in ("/spatial", "/temporal")]
    return outputs


@functools.cache
def from_caffe(model, kind):
    """Return [(frames, Caffe's outputs)] of a model's net of one kind, on random frames and on videos'."""
    arrays, model = parameters(model, kind)
    with tempfile.TemporaryDirectory() as folder:
        net = in_caffe(kind, model, arrays, Path(folder))
    return [
        (frames, compare.outputs(net, frames, compare.marks(kind)))
        for frames in (compare.random_frames(model), compare.real_frames(model))
    ]


@KINDS
@BACKENDS
@EACH_MODEL
def test_every_layer_is_caffes(model, backend, kind):
    arrays, plain = parameters(model, kind)
    net = made(backend, kind, arrays, plain)
    for frames, expected in from_caffe(model, kind):
        assert_equal(expected, compare.outputs(net, frames, compare.marks(kind)), names(plain, kind))


@BACKENDS
@KINDS
def test_every_layer_of_the_full_size_net_is_caffes(tmp_path, kind, backend):
    arrays, model = parameters(NetModel(), kind)
    caffe_net, net = in_caffe(kind, model, arrays, tmp_path), made(backend, kind, arrays, model)
    frames, first = compare.random_frames(model, 2, 1), compare.marks(kind, 2, 1)
    assert_equal(compare.outputs(caffe_net, frames, first), compare.outputs(net, frames, first), names(model, kind))


@KINDS
@EACH_MODEL
def test_onnx_as_it_is_saved(model, kind):
    """With only its own outputs ONNX Runtime computes layers together."""
    arrays, plain = parameters(model, kind)
    net, (frames, expected) = made("onnx", kind, arrays, plain, watch=False), from_caffe(model, kind)[0]
    wanted = [*SIGNALS, *(model.states() if kind == "recurrent" else ())]
    assert_equal(expected, compare.outputs(net, frames, compare.marks(kind)), wanted)


@BACKENDS
def test_batches_of_any_size_and_rows_that_are_put_back(backend):
    arrays, model = parameters(MODELS["64 average bias"], "recurrent")
    net, alone = (made(backend, "recurrent", arrays, model, watch=False) for _ in range(2))
    frames = compare.random_frames(model, 4, 3)
    net.forward(frames[0], first=np.ones(3))
    state = net.hold([1])
    net.forward(frames[1], first=np.zeros(3))
    net.restore([1], state)
    scores = net.forward(frames[2], first=np.zeros(3))
    for row, steps in enumerate(([0, 1, 2], [0, 2], [0, 1, 2])):
        for step in steps:
            expected = alone.forward(frames[step][row : row + 1], first=[step == 0])
        assert np.abs(scores[row] - expected[0]).max() < 1e-5
    assert scores.shape == (3, 3, 4) and np.ptp(scores[:, 2], axis=0).max() > 1e-3


@BACKENDS
def test_a_pair_is_two_frames_of_the_recurrent_net(backend):
    arrays, model = parameters(MODELS["33 average"], "pair")
    pair, recurrent = (made(backend, kind, arrays, model, watch=False) for kind in ("pair", "recurrent"))
    previous, frames = compare.random_frames(model, 2, 3)
    for rows in (3, 2):  # whatever the batch before was
        batch = frames[:rows], previous[:rows]
        for one, other in zip(pair.forward_pair(*batch), recurrent.forward_pair(*batch)):
            assert one.shape == (rows, 3, 4) and np.abs(one - other).max() < 1e-5


def test_differences_are_over_the_largest_value():
    steps = {"conv": [np.array([4.0, 0.0]), np.array([-8.0, 2.0])], "zero": [np.zeros(2)], "lacking": [np.ones(2)]}
    actual = {"conv": [np.array([4.0, 0.0]), np.array([-8.0, 3.0])], "zero": [np.zeros(2)], "more": [np.ones(2)]}
    assert compare.differences(steps, actual) == [("conv", 1 / 8, 8.0), ("zero", 0.0, 0.0)]
    for wrong in (np.nan, np.inf, 1.0):
        assert compare.differences({"zero": [np.zeros(2)]}, {"zero": [np.array([0, wrong])]})[0][1] == np.inf


@BACKENDS
def test_what_a_row_at_t_1_had_before_plays_no_part(backend):
    """Not even where it is not a number."""
    arrays, model = parameters(MODELS["71 sum bias"], "recurrent")
    net = made(backend, "recurrent", arrays, model, watch=False)
    frames = compare.random_frames(model, 2, 2)
    expected = net.forward(frames[1], first=[1, 1])
    net.forward(frames[0], first=[1, 1])
    for values in net._state.values():
        values[0] = np.nan
    scores = net.forward(frames[1], first=[1, 0])
    assert np.array_equal(scores[0], expected[0])
    assert np.isfinite(scores).all() and not np.allclose(scores[1], expected[1])


@KINDS
@BACKENDS
def test_caffes_stored_outputs(kind, backend):
    """Needs no Caffe."""
    arrays, model = compare.small_net(kind)
    outputs = compare.outputs(made(backend, kind, arrays, model), compare.random_frames(model), compare.marks(kind))
    assert_equal(compare.caffe_outputs()[kind], outputs, [layer.name for layer in model.layers()])
