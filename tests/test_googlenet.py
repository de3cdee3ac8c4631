"""The architecture as data; test_structure.py compares what Caffe makes of it with BVLC GoogLeNet."""

import pytest

from rcnn.googlenet import (
    RECURRENT,
    Classifier,
    Concatenation,
    Convolution,
    Model,
    Pooling,
    googlenet,
    shapes,
    without_classifiers,
)


def named(layers):
    return {layer.name: layer for layer in layers}


FULL = named(googlenet())


def test_bottoms_come_before_tops_and_names_once():
    names = {"frame"}
    for layer in googlenet():
        bottoms = layer.bottoms if isinstance(layer, Concatenation) else (layer.bottom,)
        assert set(bottoms) <= names and layer.name not in names
        names.add(layer.name)


def test_full_size_shapes():
    """The output sizes of the table that the GoogLeNet paper gives for 224 x 224."""
    sizes = shapes(googlenet(), 3, 224)
    for name, (channels, side) in {
        "conv1/7x7_s2": (64, 112),
        "pool1/3x3_s2": (64, 56),
        "conv2/3x3": (192, 56),
        "inception_3a/output": (256, 28),
        "inception_3b/output": (480, 28),
        "inception_4a/output": (512, 14),
        "inception_4e/output": (832, 14),
        "inception_5b/output": (1024, 7),
        "pool5/7x7_s1": (1024, 1),
        "loss1/ave_pool": (512, 4),
        "loss2/ave_pool": (528, 4),
        "loss3/fc": (1024, 1),
    }.items():
        assert sizes[name] == (channels, side, side)
    assert not any(isinstance(layer, Classifier) and layer.name in sizes for layer in googlenet())


def test_every_layer_below_a_classifier_that_has_weights_has_a_temporal_part():
    recurrent = [layer for layer in googlenet() if isinstance(layer, RECURRENT)]
    assert len(recurrent) == 57 + 5
    for layer in recurrent:
        temporal = layer.temporal()
        assert (temporal.channels, temporal.bottom) == (layer.channels, layer.name)
        if isinstance(layer, Convolution):
            assert temporal.kernel == (3 if layer.name == "conv1/7x7_s2" else layer.kernel)
            assert temporal.stride == 1 and 2 * temporal.pad == temporal.kernel - 1  # the map keeps its size
    assert [layer.name for layer in recurrent if not layer.pretrained] == ["loss3/fc"]  # the rest is BVLC GoogLeNet's


def test_high_rnn_and_conv1_temporal_kernel():
    assert FULL["loss3/classifier_video"].bottom == "loss3/fc"
    without = named(googlenet(high_rnn=False))
    assert "loss3/fc" not in without and without["loss3/classifier_video"].bottom == "pool5/drop_7x7_s1"
    other = named(googlenet(conv1_temporal_kernel=7))
    assert other["conv1/7x7_s2"].temporal_kernel == 7 and other["conv1/7x7_s2"].temporal().pad == 3
    assert {name for name in other if other[name] != FULL[name]} == {"conv1/7x7_s2"}


@pytest.mark.parametrize("width", [2.0, 0.25, 0.01])
def test_width(width):
    for layer in googlenet(width):
        if isinstance(layer, RECURRENT):
            assert layer.channels == max(1, round(FULL[layer.name].channels * width))


@pytest.mark.parametrize("size", [33, 48, 97, 224, 256])
def test_average_pools_fit_their_map(size):
    layers = googlenet(size=size)
    sizes = shapes(layers, 3, size)
    for layer in layers:
        if isinstance(layer, Pooling) and layer.method == "AVE":
            side = sizes[layer.bottom][1]
            assert layer.kernel == (side if layer.name == "pool5/7x7_s1" else min(5, side))
            assert layer.stride == FULL[layer.name].stride
    assert all(min(shape) >= 1 for shape in sizes.values())
    assert sizes["pool5/7x7_s1"][1:] == (1, 1)


def test_without_classifiers():
    kept = without_classifiers(googlenet())
    dropped = {f"loss{number}/classifier_video" for number in (1, 2, 3)} | {"loss1/drop_fc", "loss2/drop_fc"}
    assert kept == [layer for layer in googlenet() if layer.name not in dropped]


@pytest.mark.parametrize(
    "name, value",
    [
        ("width", 0),
        ("width", float("nan")),
        ("size", 32),
        ("conv1_temporal_kernel", 4),
        ("conv1_temporal_kernel", -3),
    ],
)
def test_values_that_make_no_network(name, value):
    with pytest.raises(ValueError, match=f"^no network of width.* {value} ") as error:
        Model(**{name: value}).layers()
    assert "\n" not in str(error.value)


def test_a_model_that_combines_otherwise():
    with pytest.raises(ValueError, match="^combine is average or sum, not product$"):
        Model(combine="product")
