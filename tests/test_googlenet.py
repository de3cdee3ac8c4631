"""The architecture as data; test_structure.py compares what Caffe makes of it with BVLC GoogLeNet."""

import subprocess
import sys

import pytest

from rcnn.googlenet import (
    RECURRENT,
    Classifier,
    Concatenation,
    Convolution,
    FullyConnected,
    Model,
    Pooling,
    googlenet,
    shapes,
    without_classifiers,
)


def named(layers):
    return {layer.name: layer for layer in layers}


def bottoms(layer):
    return layer.bottoms if isinstance(layer, Concatenation) else (layer.bottom,)


def test_bottoms_come_before_tops_and_names_once():
    known = {"frame"}
    for layer in googlenet():
        assert set(bottoms(layer)) <= known and layer.name not in known
        known.add(layer.name)


def test_full_size_shapes():
    """The output sizes of the table that the GoogLeNet paper gives for 224 x 224."""
    found = shapes(googlenet(), 3, 224)
    expected = {
        "conv1/7x7_s2": (64, 112),
        "pool1/3x3_s2": (64, 56),
        "conv2/3x3": (192, 56),
        "pool2/3x3_s2": (192, 28),
        "inception_3a/output": (256, 28),
        "inception_3b/output": (480, 28),
        "pool3/3x3_s2": (480, 14),
        "inception_4a/output": (512, 14),
        "inception_4e/output": (832, 14),
        "pool4/3x3_s2": (832, 7),
        "inception_5b/output": (1024, 7),
        "pool5/7x7_s1": (1024, 1),
        "loss1/ave_pool": (512, 4),
        "loss2/ave_pool": (528, 4),
        "loss3/fc": (1024, 1),
    }
    assert {name: (*found[name][:1], *set(found[name][1:])) for name in expected} == expected
    assert not any(isinstance(layer, Classifier) and layer.name in found for layer in googlenet())


def test_every_layer_below_a_classifier_that_has_weights_has_a_temporal_part():
    for layer in googlenet():
        if isinstance(layer, Convolution):
            temporal = layer.temporal()
            assert temporal.kernel == (3 if layer.name == "conv1/7x7_s2" else layer.kernel)
            assert (temporal.channels, temporal.bottom, temporal.stride) == (layer.channels, layer.name, 1)
            assert 2 * temporal.pad == temporal.kernel - 1  # the map keeps its size
        if isinstance(layer, FullyConnected):
            assert (layer.temporal().channels, layer.temporal().bottom) == (layer.channels, layer.name)
    assert sum(isinstance(layer, RECURRENT) for layer in googlenet()) == 57 + 5


def test_only_the_high_rnn_is_not_of_bvlc_googlenet():
    recurrent = [layer for layer in googlenet() if isinstance(layer, RECURRENT)]
    assert [layer.name for layer in recurrent if not layer.pretrained] == ["loss3/fc"]


def test_high_rnn():
    assert named(googlenet())["loss3/classifier_video"].bottom == "loss3/fc"
    without = named(googlenet(high_rnn=False))
    assert "loss3/fc" not in without and without["loss3/classifier_video"].bottom == "pool5/drop_7x7_s1"


def test_conv1_temporal_kernel():
    layers = named(googlenet(conv1_temporal_kernel=7))
    assert layers["conv1/7x7_s2"].temporal_kernel == 7 and layers["conv1/7x7_s2"].temporal().pad == 3
    assert layers["conv2/3x3"] == named(googlenet())["conv2/3x3"]


@pytest.mark.parametrize("width", [2.0, 0.5, 0.25, 0.01])
def test_width(width):
    full = named(googlenet())
    for layer in googlenet(width):
        if isinstance(layer, RECURRENT):
            assert layer.channels == max(1, round(full[layer.name].channels * width))


@pytest.mark.parametrize("size", [33, 48, 64, 97, 112, 224, 256])
def test_average_pools_fit_their_map(size):
    layers, full = googlenet(size=size), named(googlenet())
    known = shapes(layers, 3, size)
    for layer in layers:
        if isinstance(layer, Pooling) and layer.method == "AVE":
            side = known[layer.bottom][1]
            assert layer.kernel == (side if layer.name == "pool5/7x7_s1" else min(5, side))
            assert layer.stride == full[layer.name].stride
    assert all(min(shape) >= 1 for shape in known.values())
    assert known["pool5/7x7_s1"][1:] == (1, 1)


def test_without_classifiers():
    kept = without_classifiers(googlenet())
    dropped = set(named(googlenet())) - set(named(kept))
    assert dropped == {
        "loss1/drop_fc",
        "loss1/classifier_video",
        "loss2/drop_fc",
        "loss2/classifier_video",
        "loss3/classifier_video",
    }
    assert kept == [layer for layer in googlenet() if layer.name not in dropped]


@pytest.mark.parametrize(
    "values",
    [
        dict(width=0),
        dict(width=-1),
        dict(width=float("nan")),
        dict(size=16),
        dict(size=32),
        dict(conv1_temporal_kernel=4),
        dict(conv1_temporal_kernel=0),
        dict(conv1_temporal_kernel=-3),
    ],
    ids=str,
)
def test_values_that_make_no_network(values):
    with pytest.raises(ValueError) as error:
        googlenet(**values)
    assert str(*values.values()) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="^no network of width"):
        Model(**values).layers()


def test_a_model_that_combines_otherwise():
    with pytest.raises(ValueError, match="^combine is average or sum, not product$"):
        Model(combine="product")


def test_nothing_of_ours_and_no_framework():
    code = (
        "import sys, rcnn.googlenet; sys.exit(any(name in sys.modules for name in ('caffe', 'torch', 'cv2')) or "
        "any(name.startswith('rcnn.') and name != 'rcnn.googlenet' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
