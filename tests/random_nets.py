"""Nets with random parameters: small models that differ in every switch, and the same parameters in Caffe."""

from types import SimpleNamespace

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from nets import build, by_name, randomize

from rcnn.nets import caffemodel, compare
from rcnn.nets import weight_files as files
from rcnn.nets.caffe_net import DEPLOY_NETS, of_model
from rcnn.nets.model import NetModel, without_temporal

TORCH = pytest.mark.skipif(not files.installed("torch"), reason="PyTorch is not installed: pip install '.[torch]'")
SMALL = dict(classes=4, width=0.1)
MODELS = {
    "33 average": NetModel(**SMALL, size=33),
    "47 sum 7x7": NetModel(**SMALL, size=47, combine="sum", conv1_temporal_kernel=7, high_rnn=False),
    "64 average bias": NetModel(**SMALL, size=64, temporal_bias=True),
    "71 sum bias": NetModel(**SMALL, size=71, combine="sum", temporal_bias=True),
    "98 flow 1x1": NetModel(**SMALL, size=98, channels=2, conv1_temporal_kernel=1),
}
KINDS = pytest.mark.parametrize("kind", ["frame", "pair", "recurrent"])


def parameters(model, kind):
    """Return (arrays, model) of a model's net of one kind, drawn from a seed."""
    arrays = compare.random_arrays(model)
    return without_temporal(arrays, model) if kind == "frame" else (arrays, model)


def in_caffe(kind, model, arrays, folder):
    """Return the CaffeNetwork with these parameters."""
    caffemodel.write(folder / "net.caffemodel", arrays, model)
    return of_model(kind, model, folder / "net.caffemodel")


def old_format(arrays):
    """Return a caffemodel as of 2014: field `layers`, blobs of four dimensions, one kind with doubles."""
    old = caffe_pb2.NetParameter(name="GoogleNet")
    old.layers.add(name="data", type=caffe_pb2.V1LayerParameter.DATA)
    for index, (name, values) in enumerate(arrays.items()):
        layer = old.layers.add(name=name, type=4 if values[0].ndim == 4 else 14)
        for value in values:
            shape = (1,) * (4 - value.ndim) + value.shape
            blob = layer.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3])
            (blob.double_data if index == 3 else blob.data).extend(value.ravel().tolist())
    return old


def write_tiny(folder, model, scale=0.3, prefix=""):
    """Write the deploy nets of a `nets.Tiny`, all with the same random weights; return their paths by name.

    frame, pair, recurrent: prototxts; rcnn, cnn: caffemodels; parameters: the values, float64, as of `nets.by_name`.
    """
    paths = SimpleNamespace()
    for kind in ("frame", "pair", "recurrent"):
        made = build(DEPLOY_NETS[kind](model), folder, caffe.TEST)
        setattr(paths, kind, (folder / "net.prototxt").rename(folder / f"{prefix}{kind}.prototxt"))
    randomize(made, np.random.default_rng(1), scale)
    paths.rcnn, paths.cnn = folder / f"{prefix}rcnn.caffemodel", folder / f"{prefix}cnn.caffemodel"
    made.save(str(paths.rcnn))
    caffe.Net(str(paths.frame), caffe.TEST, weights=str(paths.rcnn)).save(str(paths.cnn))
    paths.parameters = {name: values.astype(np.float64) for name, values in by_name(made).items()}
    return paths


def write_exports(folder, model):
    """Write the deploy nets of a NetModel, and its random parameters in files of every kind that can be made here."""
    arrays = compare.random_arrays(model)
    cnn = without_temporal(arrays, model)
    for kind, make in DEPLOY_NETS.items():
        (folder / f"{kind}.prototxt").write_text(str(make(model)))
        files.save(folder / f"{kind}.onnx", *(cnn if kind == "frame" else (arrays, model)), kind)
    files.save(folder / "cnn.caffemodel", *cnn, "frame")
    for name in ("rcnn.caffemodel", *(("rcnn.pt", "rcnn.safetensors") if files.installed("torch") else ())):
        files.save(folder / name, arrays, model, "recurrent")
    return folder


def assert_equal(expected, found, names, tolerance=compare.TOLERANCE):
    """Assert that {name: [array of each step]} are equal within the tolerance of each one's scale.

    names: that must be compared at the least.
    """
    rows = compare.differences(expected, found)
    assert set(names) <= {name for name, *_ in rows}
    worst = max(rows, key=lambda row: row[1])
    assert worst[1] < tolerance, worst
    assert np.mean([scale > 1e-3 for *_, scale in rows]) > 0.9  # layers that are 0 everywhere would say nothing
