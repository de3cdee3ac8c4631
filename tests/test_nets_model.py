"""rcnn/nets/model.py: the model from names and shapes of parameters."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from random_nets import MODELS

from rcnn.files import InputError
from rcnn.nets.model import NetModel, check, infer, restored, without_temporal


def empty(model):
    """Return parameters of a model's shapes without values of their own."""
    return {
        name: [np.broadcast_to(np.float32(0), shape) for shape in shapes] for name, shapes in model.parameters().items()
    }


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_all_but_size_and_combination_is_in_the_shapes(model):
    assert infer(empty(model), model.combine, model.size) == model
    arrays, plain = without_temporal(empty(model), model)
    assert infer(arrays, None, model.size) == replace(
        plain, combine="average", conv1_temporal_kernel=3, temporal_bias=False
    )


@pytest.mark.parametrize("width", [0.01, 0.08, 0.125, 1 / 3, 0.66, 1.0, 1.5])
def test_the_width(width):
    model = NetModel(width=width)
    inferred = infer(empty(model), "average")
    assert inferred.layers() == model.layers() and inferred.width == pytest.approx(width, abs=0.02)


def test_the_size():
    assert infer(empty(NetModel()), "average").size == 224
    assert infer(empty(NetModel(size=224)), "average", 200).size == 200
    with pytest.raises(InputError, match=r"open between 33 and \d+.* export it with --size N"):
        infer(empty(NetModel(size=64)), "average")
    with pytest.raises(InputError, match="layer loss1/fc has shapes"):
        check(empty(NetModel(size=64)), infer(empty(NetModel(size=64)), "average", 224))
    arrays = empty(NetModel())
    for number in (1, 2):
        arrays[f"loss{number}/fc"][0] = np.zeros((1024, 128 * 5 + number), np.float32)
    with pytest.raises(InputError, match="fit no size"):
        infer(arrays, "average")


ARRAYS = empty(NetModel())


def edited(**changes):
    """Return ARRAYS with some layers changed; None leaves one out."""
    return {name: values for name, values in {**ARRAYS, **changes}.items() if values is not None}


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: infer(ARRAYS), "export it with --combine average or sum"),
        (lambda: infer({"conv1": [], "fc8": []}), "no GoogLeNet: the layers are conv1, fc8"),
        (lambda: infer(edited(**{"conv2/3x3": [np.zeros((10, 64, 3, 3))]}), "sum"), "no GoogLeNet of any one width"),
        (
            lambda: check(edited(**{"inception_4c/5x5/temporal": None}), NetModel()),
            "lacks 1 layers, the first is inception_4c/5x5/temporal",
        ),
        (lambda: check(edited(fc9=[]), NetModel()), "has beside the net's 1 layers, the first is fc9"),
        (
            lambda: check(edited(**{"loss1/conv": ARRAYS["loss1/conv"][:1]}), NetModel()),
            r"layer loss1/conv has shapes \[\(128, 512, 1, 1\)\], a net of",
        ),
    ],
)
def test_what_is_no_such_net(call, said):
    with pytest.raises(InputError, match=said):
        call()


@pytest.mark.parametrize("classifier", ["classifier", "classifier_flickr"])
def test_a_deploy_net_has_the_signal_high_alone(classifier):
    """And whoever tuned it for other classes named its classifier as the guides say, otherwise."""
    model = NetModel(classes=20, temporal=False, high_rnn=False, side_heads=False, classifier=classifier)
    arrays = empty(model)
    assert len(arrays) == 58 and not any(name.startswith(("loss1", "loss2")) for name in arrays)
    assert infer(arrays) == model and infer(arrays, size=112) == replace(model, size=112)
    check(arrays, model)
    assert model.signals() == ["high"] and NetModel().signals() == ["low", "medium", "high"]
    assert restored(json.dumps(asdict(model)), "here") == model
    with pytest.raises(InputError, match="lacks 3 layers, the first is loss2/conv"):
        half = {**arrays, **{name: values for name, values in empty(NetModel()).items() if name.startswith("loss1/")}}
        half[f"loss1/{classifier}"] = half.pop("loss1/classifier_video")
        half = {name: values for name, values in half.items() if not name.endswith("/temporal")}
        check(half, infer(half))


def test_a_model_as_text():
    model = MODELS["47 sum 7x7"]
    assert restored(json.dumps(asdict(model)), "here") == model
    older = {"filler": "msra", "temporal_filler": "gaussian", "bias": 0.1}  # how a training started
    assert restored(json.dumps({**asdict(model), **older}), "here") == model
    for text in ("{", "[]", '{"colour": 3}', '{"combine": "product"}'):
        with pytest.raises(InputError):
            restored(text, "here")
