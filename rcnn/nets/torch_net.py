"""GoogLeNet-RCNN in PyTorch: one module that is the plain CNN, the pair net and the recurrent net.

    net = GoogLeNetRCNN(model)                     # model: rcnn.nets.model.NetModel
    scores, v = net(frame)                         # the CNN, which is Eq. 3 at t = 1
    scores, v = net(frame, v)                      # t > 1; twice makes a pair, again and again the recurrent net
    scores, v = net(frame, v, first)               # some rows begin a video

Parameters have Caffe's layer names and shapes: "conv1/7x7_s2.weight" and ".bias" are W and b of Caffe's layer
conv1/7x7_s2, "conv1/7x7_s2/temporal.weight" is its What.  What stands before the point is Caffe's name, so a state dict
says all that a caffemodel does, and `state_dict` also holds the model's description ("_extra_state").
"""

import json
from dataclasses import asdict
from typing import Any, Optional

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rcnn import googlenet
from rcnn.files import InputError
from rcnn.googlenet import PREVIOUS, Classifier, Concatenation, Convolution, Dropout, Normalization, Pooling
from rcnn.nets.caffemodel import PARTS
from rcnn.nets.model import TEMPORAL, Arrays, NetModel, restored
from rcnn.nets.network import ModelNetwork

EXTRA = "_extra_state"
Tensors = dict[str, torch.Tensor]


class GoogLeNetRCNN(nn.Module):
    """The network of a `rcnn.nets.model.NetModel`; every size rounds as in Caffe.  Parameters start as PyTorch's do."""

    def __init__(self, model: NetModel) -> None:
        super().__init__()
        self.model, self.layers, self._shapes = model, model.layers(), model.shapes()
        weights: dict[str, Any] = {layer.name: layer for layer in self.layers}
        weights.update((name + TEMPORAL, weights[name].temporal()) for name in model.states())
        for name, (weight, *bias) in model.parameters().items():
            layer = weights[name]
            if isinstance(layer, Convolution):
                made = nn.Conv2d(weight[1], weight[0], layer.kernel, layer.stride, layer.pad, bias=bool(bias))
            else:
                made = nn.Linear(weight[1], weight[0], bias=bool(bias))
            self.add_module(name, made)
        self.to(memory_format=torch.channels_last)

    def forward(
        self, frame: torch.Tensor, state: Optional[Tensors] = None, first: Optional[torch.Tensor] = None
    ) -> tuple[Tensors, Tensors]:
        """Return (scores, v) of a batch of frames.

        Parameters
        ----------
        frame
            float32 N x channels x size x size, the mean taken off, BGR.
        state
            {layer name: v^{t-1}}, as the pass before returned it; None where every row is at t = 1.
        first
            N, true in rows at t = 1, whose state is not used.

        Returns
        -------
        scores
            {signal: N x classes}, before the softmax.
        v
            {layer name: v^t} of each layer of Eq. 3; detached by the caller, it lets no gradient go into the past
            (Eq. 6).
        """
        outputs = self.outputs(frame, state, first)
        scores = {layer.signal: outputs[layer.name] for layer in self.layers if isinstance(layer, Classifier)}
        return scores, {
            layer.name: outputs[layer.name] for layer in self.layers if isinstance(layer, googlenet.RECURRENT)
        }

    def outputs(
        self, frame: torch.Tensor, state: Optional[Tensors] = None, first: Optional[torch.Tensor] = None
    ) -> Tensors:
        """Return {name: output} of every layer, by the names of Caffe's blobs; arguments as of `forward`.

        A layer of Eq. 3 has its output under its name, and where there is a state, its parts under "<layer>/spatial"
        and "<layer>/temporal".  A signal's name has its probabilities.
        """
        outputs = {"frame": frame}
        for layer in self.layers:
            if isinstance(layer, Concatenation):
                outputs[layer.name] = torch.cat([outputs[bottom] for bottom in layer.bottoms], 1)
            elif isinstance(layer, googlenet.RECURRENT):
                self._recurrent(layer, outputs, state, first)
            else:
                outputs[layer.name] = self._plain(layer, outputs[layer.bottom])
            if isinstance(layer, Classifier):
                outputs[layer.signal] = functional.softmax(outputs[layer.name], 1)
        return outputs

    def _plain(self, layer, below):
        if isinstance(layer, Pooling):  # both round up, and divide the sum at a border by the places inside
            pool = functional.max_pool2d if layer.method == "MAX" else functional.avg_pool2d
            return pool(below, layer.kernel, layer.stride, layer.pad, ceil_mode=True)
        if isinstance(layer, Normalization):
            return _normalized(below, layer)
        if isinstance(layer, Dropout):
            return functional.dropout(below, layer.ratio, self.training)
        return getattr(self, layer.name)(below.flatten(1))

    def _recurrent(self, layer, outputs, state, first):
        below = outputs[layer.bottom]
        if not isinstance(layer, Convolution):
            below = below.flatten(1)
        value = getattr(self, layer.name)(below)
        if state is not None:
            outputs[layer.name + "/spatial"] = value
            temporal = getattr(self, layer.name + TEMPORAL)(state[layer.name])
            marked = None if first is None else first.bool().reshape(-1, *(1,) * (value.ndim - 1))
            if marked is not None:
                temporal = temporal.masked_fill(marked, 0)
            outputs[layer.name + TEMPORAL] = temporal
            combined = value + temporal
            if self.model.combine == "average":  # t = 1 is the CNN, unscaled
                combined = combined / 2 if marked is None else torch.where(marked, value, combined / 2)
            value = combined
        outputs[layer.name] = functional.relu(value)

    def get_extra_state(self) -> str:
        """Return the model's description, which goes into the state dict."""
        return json.dumps(asdict(self.model))

    def set_extra_state(self, description: str) -> None:
        """Raise InputError where a state dict is another model's."""
        other = restored(description, "the state dict")
        if other != self.model:
            raise InputError(f"the state dict is of {other}, the net of {self.model}")


def _normalized(below, layer):
    """Return the local response normalization of a batch.

    The sum over neighbouring channels is a 1 x 1 convolution with a band of ones, much faster than PyTorch's own pool
    over channels; what has 16 bits is divided in 32.
    """
    reach, channels = layer.local_size // 2, below.shape[1]
    band = torch.ones(channels, channels, device=below.device).triu(-reach).tril(reach)[:, :, None, None]
    squares = functional.conv2d(below.square(), band.to(below.dtype).to(memory_format=torch.channels_last))
    root = (1 + squares.float() * (layer.alpha / layer.local_size)).rsqrt()
    return (below * (root * root.sqrt())).to(below.dtype)  # beta is 3/4


def build(arrays: Arrays, model: NetModel) -> GoogLeNetRCNN:
    """Return the GoogLeNetRCNN, in evaluation mode, of parameters {layer name: [W] or [W, b]} that fit `model`."""
    net = GoogLeNetRCNN(model)
    net.load_state_dict(
        {
            f"{name}.{part}": torch.from_numpy(np.array(value))
            for name, values in arrays.items()
            for part, value in zip(PARTS, values)
        }
        | {EXTRA: net.get_extra_state()}
    )
    return net.eval()


class TorchNetwork(ModelNetwork):
    """A Network run by PyTorch.

    Parameters
    ----------
    kind
        Of `network.KINDS`.
    arrays, model
        As of `build`.
    gpu
        Its number from 0; None computes on the CPU.
    threads
        None: PyTorch's own number.
    watch
        Have `outputs` return those of every layer.
    """

    backend = "torch"

    def __init__(
        self,
        kind: str,
        arrays: Arrays,
        model: NetModel,
        gpu: Optional[int] = None,
        threads: Optional[int] = None,
        watch: bool = False,
    ) -> None:
        super().__init__(kind, model)
        if gpu is not None and not 0 <= gpu < torch.cuda.device_count():
            raise InputError(f"--gpu {gpu}: PyTorch sees {torch.cuda.device_count()} GPUs")
        if threads:
            torch.set_num_threads(threads)
        self._device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
        self._net, self._watch = build(arrays, model).to(self._device), watch

    @torch.inference_mode()
    def _run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: torch.from_numpy(values).to(self._device) for name, values in inputs.items()}
        with torch.backends.cudnn.flags(allow_tf32=False):  # else GPUs round what they multiply to 10 bits
            frame, before = tensors["frame"], {}
            if self.kind == "recurrent":
                state = {name: tensors[PREVIOUS + name] for name in self._state}
                now = self._net.outputs(frame, state, tensors["first"])
            elif self.kind == "pair":
                before = self._net.outputs(tensors[PREVIOUS + "frame"])
                now = self._net.outputs(frame, before)
            else:
                now = self._net.outputs(frame)
        now.update((PREVIOUS + name, value) for name, value in before.items())
        wanted = [*self.signals, *(PREVIOUS + signal for signal in self.signals), *self._state]
        return {name: value.cpu().numpy() for name, value in now.items() if self._watch or name in wanted}
