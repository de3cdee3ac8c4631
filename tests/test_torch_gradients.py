"""Gradients of the PyTorch module against Caffe's, on the same weights, pairs and labels."""

import numpy as np
import pytest
from nets import build, fed, recipe
from random_nets import MODELS, parameters

from rcnn import googlenet
from rcnn.nets import compare
from rcnn.nets import prototxt as net

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")
torch.set_num_threads(1)


def without_dropout(message):
    """Set the ratio of a training net's dropout to 0: which values it drops is each framework's own chance."""
    for layer in message.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 0
    return message


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "uncut"])
@pytest.mark.parametrize(
    "model",
    [model for model in MODELS.values() if model.channels == 3],
    ids=[name for name, model in MODELS.items() if model.channels == 3],
)
def test_gradients_are_caffes(tmp_path, model, cut):
    from rcnn.nets import torch_net as port

    arrays, _ = parameters(model, "pair")
    message = net.rcnn_r(recipe(model, cut_gradient=cut), "none.lmdb", net.TRAIN)
    made = build(without_dropout(fed(message, model, 2, force_backward=False)), tmp_path)
    for name, values in arrays.items():
        for blob, value in zip(made.params[name], values):
            blob.data[...] = value
    (previous, frames), labels = compare.real_frames(model, 2), np.array([2, 0])
    for name, values in (("previous/frame", previous), ("frame", frames), ("label", labels)):
        made.blobs[name].data[...] = values
    made.clear_param_diffs()
    made.forward()
    made.backward()

    module = port.build(arrays, model)
    _, state = module(torch.from_numpy(previous))
    if cut:
        state = {name: value.detach() for name, value in state.items()}
    scores, _ = module(torch.from_numpy(frames), state)
    losses = {
        signal: torch.nn.functional.cross_entropy(values, torch.from_numpy(labels)) for signal, values in scores.items()
    }
    sum(googlenet.LOSS_WEIGHT[signal] * loss for signal, loss in losses.items()).backward()

    for signal, loss in losses.items():
        assert loss.item() == pytest.approx(float(made.blobs[signal + "/loss"].data), rel=1e-5)
    found, moved = dict(module.named_parameters()), 0
    for layer in arrays:  # the scale is the layer's: a bias sums over all places what may cancel
        expected = [blob.diff for blob in made.params[layer]]
        scale = max(np.abs(values).max() for values in expected)
        for part, values in zip(("weight", "bias"), expected):
            assert np.abs(found[f"{layer}.{part}"].grad.numpy() - values).max() <= 1e-4 * scale, (layer, part)
        moved += scale > 1e-6
    assert moved > 0.9 * len(arrays)
