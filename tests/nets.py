"""Generated nets in pycaffe: their data layers replaced, their parameters read and set by name; the `caffe` program."""

import os
import subprocess
import sys
from pathlib import Path

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from runs import ROOT, run

from rcnn.data import builds, records
from rcnn.googlenet import Classifier, Convolution, FullyConnected, Pooling
from rcnn.nets import prototxt as net
from rcnn.recipe import Recipe, parse
from rcnn.training import log

SLIM = dict(width=0.125, size=64, classes=5)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "GLOG_logtostderr": "1",
    "GLOG_minloglevel": "0",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
}


def tool(name, words):
    """Run tools/<name>.py on the words of a text, which must end well; return what it printed."""
    status, out, error = run(name, *words.split())
    assert status == 0, error
    return out


def losses(output):
    """Return ({iteration: loss}, [iteration of each test]) of what `caffe train` printed, all numbers finite."""
    parser = log.LogParser()
    records = [record for line in output.splitlines() if (record := parser.feed(line))]
    assert not any(log.not_finite(record) for record in records)
    train = {record["iteration"]: record["loss"] for record in records if record["phase"] == "train"}
    return train, [record["iteration"] for record in records if record["phase"] == "test"]


def caffe_program(*words):
    """Run the `caffe` program; return the run, whatever became of it."""
    command = ["caffe", *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True, timeout=300)


class Tiny(net.Model):
    """The network of reference.py, made by the code that makes GoogLeNet-RCNN."""

    def layers(self):
        return [
            Convolution("one/5x5", "frame", 4, 5, stride=2, pad=2, temporal_kernel=self.conv1_temporal_kernel),
            Pooling("one/pool", "one/5x5", "MAX", 3, 2),
            Classifier("one/classifier", "one/pool", "low"),
            Convolution("two/3x3", "one/pool", 5, 3, pad=1, temporal_kernel=3),
            FullyConnected("three/fc", "two/3x3", 6, pretrained=False),
            Classifier("three/classifier", "three/fc", "high"),
        ]


def recipe(model=net.Model(), **settings):
    """Return the Recipe of a Model and of settings by name."""
    return parse(settings, Recipe(model=model))


def fed(message, model, batch, **fields):
    """Return the net with Input layers for what its data layers give; fields: NetParameter's.

    These are "previous/frame", "frame", "label" and "first", as far as the net has them.
    """
    fed_net = caffe_pb2.NetParameter(name=message.name, **fields)
    tops = {top for layer in message.layer for top in layer.top} & {"previous/frame", "frame", "label", "first"}
    for top in sorted(tops):
        shape = [batch] if top in ("label", "first") else [batch, model.channels, model.size, model.size]
        layer = fed_net.layer.add(name=top, type="Input", top=[top])
        layer.input_param.shape.add(dim=shape)
    fed_net.layer.extend(
        layer
        for layer in message.layer
        if layer.type not in ("Data", "Slice", "Silence")
        and layer.python_param.module not in ("layers.pair_augment", "layers.sequential_frames")
    )
    return fed_net


def build(message, folder, phase=caffe.TRAIN, weights=None):
    """Write a NetParameter into the folder and return it as a caffe.Net; weights: a caffemodel's path."""
    path = folder / "net.prototxt"
    path.write_text(text_format.MessageToString(message))
    return caffe.Net(str(path), phase) if weights is None else caffe.Net(str(path), phase, weights=str(weights))


def by_name(caffe_net, diff=False):
    """Return {"<layer>/weight" | "/bias" | "/temporal" | "/temporal_bias": values}, float32 copies, of frame t's tower.

    Towers share what is shared, so the other tower's layers have nothing more.
    """
    named = {}
    for layer, blobs in caffe_net.params.items():
        if layer.startswith(net.PREVIOUS):
            continue
        endings = ("", "_bias") if layer.endswith("/temporal") else ("/weight", "/bias")
        for ending, blob in zip(endings, blobs):
            named[layer + ending] = (blob.diff if diff else blob.data).copy()
    return named


def blob_of(caffe_net, name):
    """Return the caffe Blob of a name of `by_name`."""
    if name.endswith("/temporal"):
        return caffe_net.params[name][0]
    if name.endswith("/temporal_bias"):
        return caffe_net.params[name[: -len("_bias")]][1]
    layer, part = name.rsplit("/", 1)
    return caffe_net.params[layer][part == "bias"]


def randomize(caffe_net, generator, scale=0.3):
    """Give every parameter values from a normal distribution of standard deviation `scale`."""
    for name in by_name(caffe_net):
        blob = blob_of(caffe_net, name)
        blob.data[...] = generator.normal(0, scale, blob.data.shape)


def images(generator, number, side=40, symmetric=False):
    """Return smooth uint8 number x side x side x 3 images; symmetric: each its own mirror image."""
    rows, columns = np.mgrid[:side, :side] / side
    if symmetric:
        columns = np.abs(columns - (side - 1) / side / 2)
    waves, shifts = generator.uniform(1.5, 4, (number, 2, 1, 1, 3)), generator.uniform(0, 6, (number, 1, 1, 3))
    phases = waves[:, 0] * rows[..., None] + waves[:, 1] * columns[..., None] + shifts
    return (127 + 100 * np.sin(phases)).astype(np.uint8)


def assign(caffe_net, arrays):
    """Give the layers of a caffe.Net the parameters of {layer: [W, b]}."""
    for name, values in arrays.items():
        for blob, value in zip(caffe_net.params[name], values):
            blob.data[...] = value


def write_pairs(path, previous, frames, labels, encoding="raw"):
    """Write a pairs LMDB of uint8 N x H x W x 3 frames; return its path as text."""
    pairs = enumerate(zip(previous, frames, map(int, labels)))
    classes = list(range(max(labels) + 1))
    with builds.Build(Path(path), "pairs", {"encoding": encoding, "classes": classes}, print) as build:
        build.put(
            (records.pair_key(number, "v_Test_g01_c01", 1), records.encode_pair(*pair, encoding, quality=100))
            for number, pair in pairs
        )
        build.finish(counts={"pairs": len(labels)})
    return os.fspath(path)


def solver(folder, message, iterations=10, test=None, **options):
    """Write the net and a solver of `rcnn.nets.prototxt` into the folder; return the pycaffe solver (CPU).

    options: settings of a recipe.
    """
    (folder / "train_val.prototxt").write_text(text_format.MessageToString(net.train_val(message, test or message)))
    parameter = net.solver(
        recipe(test_iterations=1, **options), folder / "train_val.prototxt", folder / "snapshot", iterations
    )
    (folder / "solver.prototxt").write_text(text_format.MessageToString(parameter))
    return caffe.SGDSolver(str(folder / "solver.prototxt"))


def largest_difference(one, other):
    """Return the largest difference of two arrays, over the largest magnitude of the second."""
    other = np.asarray(other, np.float64)
    return np.abs(np.asarray(one, np.float64) - other).max() / max(np.abs(other).max(), 1e-30)
