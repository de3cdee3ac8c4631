"""The generated full-size nets beside BVLC GoogLeNet, their cost, and OpenCV's opinion of them.

bvlc_googlenet.json holds `description` of BVLC's models/bvlc_googlenet/train_val.prototxt, Input for its data layers.
"""

import json
from pathlib import Path

import caffe
import cv2
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from nets import SLIM, build, fed, recipe

from rcnn import googlenet
from rcnn.nets import prototxt as net
from rcnn.recipe import Fillers

BVLC = json.loads((Path(__file__).parent / "bvlc_googlenet.json").read_text())["layers"]
MODEL = net.Model()
CLASSIFIERS = ("loss1/classifier_video", "loss2/classifier_video", "loss3/classifier_video")
COMPARED = ("Convolution", "InnerProduct", "Pooling", "LRN", "Dropout", "Concat", "ReLU")


def description(message, shapes):
    """Return, for each layer that computes, what defines it, in order.

    after: the layers whose outputs it takes, by name, so that working in place makes no difference.
    """
    writer, described = {}, []
    for layer in message.layer:
        after = [writer.get(bottom, bottom) for bottom in layer.bottom]
        writer.update(dict.fromkeys(layer.top, "frame" if layer.type == "Input" else layer.name))
        if layer.type in COMPARED:
            described.append(
                dict(
                    name=layer.name,
                    type=layer.type,
                    after=after,
                    shapes=shapes.get(layer.name, []),
                    settings=settings(layer),
                )
            )
        elif layer.type == "SoftmaxWithLoss":
            described.append(dict(type=layer.type, after=after[:1], settings=[round(*layer.loss_weight or [1.0], 6)]))
    return described


def settings(layer):
    """Return what a layer's parameters say, Caffe's defaults filled in."""
    values = {}
    if layer.type == "Convolution":
        part = layer.convolution_param
        values = dict(kernel=part.kernel_size[0], stride=(*part.stride, 1)[0], pad=(*part.pad, 0)[0])
    if layer.type in ("Convolution", "InnerProduct"):
        part = layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
        values.update(
            weights=part.weight_filler.type,
            bias=[part.bias_filler.type, round(part.bias_filler.value, 6)],
            rates=[param.lr_mult for param in layer.param],
            decays=[param.decay_mult for param in layer.param],
        )
    if layer.type == "Pooling":
        part = layer.pooling_param
        method = part.PoolMethod.Name(part.pool)
        values = dict(method=method, kernel=part.kernel_size, stride=part.stride, pad=part.pad)
    if layer.type == "LRN":
        part = layer.lrn_param
        region = part.NormRegion.Name(part.norm_region)
        values = dict(size=part.local_size, alpha=round(part.alpha, 9), beta=part.beta, k=part.k, region=region)
    if layer.type == "Dropout":
        values = dict(ratio=round(layer.dropout_param.dropout_ratio, 6))
    return values


def shapes(made, prefix=""):
    """Return {layer: the shapes of its parameters} of one tower of a caffe.Net, the prefix taken off."""
    return {
        name[len(prefix) :]: [list(blob.shape) for blob in blobs]
        for name, blobs in made.params.items()
        if name.startswith(prefix)
    }


def tower(message, prefix=""):
    """Return one tower of a pair net as a net of its own, the temporal parts left out and the prefix taken off."""
    alone = caffe_pb2.NetParameter()
    for layer in message.layer:
        previous = layer.name.startswith(net.PREVIOUS)
        if previous != bool(prefix) and layer.type != "Input" or layer.name.endswith(("/temporal", "/sum")):
            continue
        kept = alone.layer.add()
        kept.CopyFrom(layer)
        kept.name = layer.name[len(prefix) :] if previous else layer.name
        for field in ("bottom", "top"):
            names = [name.replace(net.PREVIOUS, "").replace("/spatial", "") for name in getattr(layer, field)]
            kept.ClearField(field)
            getattr(kept, field).extend(names)
    return alone


def check(described):
    """Compare with BVLC GoogLeNet's description: all up to the classifiers, then the losses' places and weights."""

    def hidden(layers):
        return [layer for layer in layers if "name" in layer and "classifier" not in layer["name"]]

    ours = hidden(described)
    assert ours[-2:] == [
        dict(
            name="loss3/fc",
            type="InnerProduct",
            after=["pool5/drop_7x7_s1"],
            shapes=[[1024, 1024], [1024]],
            settings=dict(weights="xavier", bias=["constant", 0.2], rates=[1, 2], decays=[1, 0]),
        ),
        dict(name="loss3/relu_fc", type="ReLU", after=["loss3/fc"], shapes=[], settings={}),
    ]
    assert len(BVLC) == 158 and ours[:-2] == hidden(BVLC)
    classifiers = {layer["name"]: layer for layer in described if "classifier" in layer.get("name", "")}
    for expected in BVLC:
        if "classifier" in expected.get("name", ""):
            layer = classifiers.pop(expected["name"] + "_video")
            high = layer["name"].startswith("loss3")
            assert layer["after"] == (["loss3/relu_fc"] if high else expected["after"])
            assert layer["shapes"] == [[101, 1024], [101]] and layer["settings"] == expected["settings"]
    assert not classifiers
    losses = {layer["after"][0]: layer["settings"] for layer in described if layer["type"] == "SoftmaxWithLoss"}
    assert losses == {layer["after"][0] + "_video": layer["settings"] for layer in BVLC if "name" not in layer}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The full-size pair net with a loss on both frames, as (message, caffe.Net)."""
    message = fed(net.rcnn_r(recipe(previous_loss=True), "none.lmdb", net.TRAIN), MODEL, 1)
    return message, build(message, tmp_path_factory.mktemp("pair"))


def test_the_single_frame_net_is_bvlc_googlenet_up_to_the_classifiers(tmp_path):
    message = fed(net.cnn(recipe(), "none.lmdb", net.TRAIN), MODEL, 1)
    check(description(message, shapes(build(message, tmp_path))))


@pytest.mark.parametrize("prefix", ["", net.PREVIOUS])
def test_each_tower_of_the_pair_net_is_bvlc_googlenet_but_for_the_temporal_parts(pair, prefix):
    message, made = pair
    check(description(tower(message, prefix), shapes(made, prefix)))


def test_the_temporal_parts_of_the_pair_net(pair):
    """Every RCNN and RNN layer has one: channels to channels, its spatial kernel (conv1: 3x3), no bias, stride 1."""
    message, made = pair
    temporal = {layer.name: layer for layer in message.layer if layer.name.endswith("/temporal")}
    recurrent = [layer for layer in BVLC if layer.get("shapes") and "classifier" not in layer["name"]]
    assert len(recurrent) == 61
    for layer in recurrent:
        part, (weight, _) = temporal.pop(layer["name"] + "/temporal"), layer["shapes"]
        kernel = (3, 3) if layer["name"] == "conv1/7x7_s2" else tuple(weight[2:])
        assert [tuple(blob.shape) for blob in made.params[part.name]] == [(weight[0], weight[0], *kernel)]
        assert list(part.bottom) == [net.PREVIOUS + layer["name"]] and list(part.propagate_down) == [False]
        assert (part.convolution_param if kernel else part.inner_product_param).weight_filler.type == "xavier"
        assert made.blobs[part.top[0]].data.shape == made.blobs[part.bottom[0]].data.shape
        assert list(part.convolution_param.stride) in ([], [1])
    assert list(temporal) == ["loss3/fc/temporal"]


def test_the_shared_parameters_are_the_same_memory(pair):
    made = pair[1]
    shared = [name for name in made.params if name.startswith(net.PREVIOUS)]
    assert len(shared) == 65  # 57 convolutions below pool5, 2 + 2 + 1 in the heads, 3 classifiers
    for name in shared:
        for blob, other in zip(made.params[name], made.params[name[len(net.PREVIOUS) :]]):
            for one, two, value in ((blob, other, 0.625), (other, blob, 0.25)):
                one.data.flat[0] = value
                assert two.data.flat[0] == value


def multiply_adds(message, made, prefix):
    """Return the multiply-adds of a tower's convolutions outside the side heads: (spatial, temporal)."""
    sums = [0, 0]
    for layer in message.layer:
        if layer.type == "Convolution" and layer.name.startswith((prefix + "conv", prefix + "inception")):
            number, _, height, width = made.blobs[layer.top[0]].data.shape
            sums[layer.name.endswith("/temporal")] += number * height * width * made.params[layer.name][0].data.size
    return sums


def test_multiply_adds(tmp_path):
    message = net.deploy_rcnn_r(MODEL)
    made = build(message, tmp_path, caffe.TEST)
    spatial, temporal = multiply_adds(message, made, "")
    assert spatial == pytest.approx(1.582e9, rel=0.01)
    assert temporal == pytest.approx(3.11e9, rel=0.01)
    assert multiply_adds(message, made, net.PREVIOUS) == [spatial, 0]


@pytest.mark.parametrize("size", [33, 64, 97])
def test_shapes_are_caffes(tmp_path, size):
    model = net.Model(width=0.05, size=size, classes=3, channels=2)
    made = build(net.deploy_cnn(model, 2), tmp_path, caffe.TEST)
    for name, shape in googlenet.shapes(model.layers(), model.channels, size).items():
        actual = made.blobs[name].data.shape
        assert actual == (2, *shape[: len(actual) - 1]), name


@pytest.mark.parametrize(
    "pool", [dict(kernel=2, stride=2, pad=1), dict(kernel=3, stride=2, pad=1), dict(kernel=3, stride=2)], ids=str
)
def test_shapes_of_pools_are_caffes(tmp_path, pool):
    """At a map's end Caffe rounds up, but has no window that lies in the padding alone."""
    for size in range(5, 12):
        layers = [googlenet.Pooling("pool", "frame", "MAX", **pool)]
        model = type("Pools", (net.Model,), dict(layers=lambda self: layers))(size=size)
        made = build(net.deploy_cnn(model), tmp_path, caffe.TEST)
        assert made.blobs["pool"].data.shape[1:] == googlenet.shapes(layers, 3, size)["pool"], size


@pytest.mark.parametrize(
    "model",
    [net.Model(), net.Model(**SLIM), net.Model(width=0.25, size=97, classes=7, high_rnn=False)],
    ids=["full", "slim", "without_high_rnn"],
)
def test_opencv_gives_caffes_outputs(tmp_path, model):
    made = build(net.deploy_cnn(model, 2, Fillers(filler="msra")), tmp_path, caffe.TEST)
    frames = np.random.default_rng(3).normal(0, 60, (2, 3, model.size, model.size)).astype(np.float32)
    frames[1] *= 0.3
    made.blobs["frame"].data[...] = frames
    made.forward()
    for name in CLASSIFIERS:  # scores of spread 1, so that the probabilities are neither flat nor saturated
        made.params[name][0].data[...] /= made.blobs[name].data.std()
    outputs = made.forward()
    made.save(str(tmp_path / "net.caffemodel"))
    judge = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"))
    judge.setInput(frames, "frame")
    for signal, values in zip(googlenet.SIGNALS, judge.forward(list(googlenet.SIGNALS))):
        ours = outputs[signal].reshape(2, model.classes)
        assert np.abs(values.reshape(ours.shape) - ours).max() < 1e-4
        assert 1.5 / model.classes < ours.max() < 0.99 and np.abs(ours[0] - ours[1]).max() > 1e-3
