"""Which network a set of parameters belongs to, found from their names and shapes."""

import json
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, Optional

import numpy as np

from rcnn import googlenet
from rcnn.files import InputError, PathLike
from rcnn.googlenet import SIDE_HEADS, Classifier, Convolution, Model

TEMPORAL = "/temporal"
CLASSIFIERS = ("classifier_video", "classifier")  # ours, and BVLC GoogLeNet's; who tunes a net may name it otherwise
CONV1 = "conv1/7x7_s2"
LEARNING = ("filler", "temporal_filler", "bias")  # of older descriptions: how a training starts, not what the net is
Arrays = dict[str, list[np.ndarray]]
Shape = tuple[int, ...]
Combination = Literal["average", "sum"]
SIZES = range(33, 1025)  # sides of the input that are tried


@dataclass(frozen=True)
class NetModel(Model):
    """A Model of a file's parameters: it may lack temporal parts, as a CNN does, and side heads, as deploy nets do.

    Attributes
    ----------
    temporal
        Whether the net has temporal parts.
    classifier
        The last part of the classifiers' names.
    side_heads
        Whether the net has the layers of the signals low and medium.
    """

    temporal: bool = True
    classifier: str = CLASSIFIERS[0]
    side_heads: bool = True

    def layers(self) -> list:
        """Return the layers, as `googlenet` does."""
        try:
            layers = super().layers()
        except ValueError as error:
            raise InputError(str(error)) from None
        return [
            replace(layer, name=layer.name.replace(CLASSIFIERS[0], self.classifier))
            if isinstance(layer, Classifier)
            else layer
            for layer in layers
            if self.side_heads or not layer.name.startswith(SIDE_HEADS)
        ]

    def signals(self) -> list[str]:
        """Return the signals that the net has classifiers of."""
        return [layer.signal for layer in self.layers() if isinstance(layer, Classifier)]

    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Return {layer name: (channels, height, width)}, as `googlenet.shapes` does."""
        return googlenet.shapes(self.layers(), self.channels, self.size)

    def states(self) -> dict[str, Shape]:
        """Return {name of a layer with a temporal part: shape of its v^t without the batch}."""
        shapes = self.shapes()
        return {
            layer.name: shapes[layer.name][: 3 if isinstance(layer, Convolution) else 1]
            for layer in self.layers()
            if isinstance(layer, googlenet.RECURRENT)
        }

    def parameters(self) -> dict[str, list[Shape]]:
        """Return {layer name: [shape of W, shape of b]}, in the order of the layers; What is of "<layer>/temporal"."""
        shapes, parameters = self.shapes(), {}
        for layer in self.layers():
            if not isinstance(layer, (*googlenet.RECURRENT, Classifier)):
                continue
            below = shapes[layer.bottom]
            rows = self.classes if isinstance(layer, Classifier) else layer.channels
            weight: Shape = (rows, prod(below))
            across: Shape = (rows, rows)
            if isinstance(layer, Convolution):
                weight = rows, below[0], layer.kernel, layer.kernel
                across = rows, rows, layer.temporal_kernel, layer.temporal_kernel
            parameters[layer.name] = [weight, weight[:1]]
            if self.temporal and not isinstance(layer, Classifier):
                parameters[layer.name + TEMPORAL] = [across, across[:1]] if self.temporal_bias else [across]
        return parameters


def restored(description: str, where: PathLike) -> NetModel:
    """Return the NetModel of its fields as JSON, as stored in .pt, .safetensors and .onnx files.

    Raises InputError, which says `where` it is from, if it is none.
    """
    try:
        fields = json.loads(description)
        return NetModel(**{name: value for name, value in fields.items() if name not in LEARNING})
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{where} describes no model of this project") from None


def without_temporal(arrays: Arrays, model: NetModel) -> tuple[Arrays, NetModel]:
    """Return (arrays, model) of the plain CNN that is in a net of Eq. 3."""
    return (
        {name: values for name, values in arrays.items() if not name.endswith(TEMPORAL)},
        replace(model, temporal=False),
    )


def infer(
    arrays: Arrays, combine: Optional[str] = None, size: Optional[int] = None, where: str = "weights"
) -> NetModel:
    """Return the NetModel of parameters, with all of their names and shapes.

    Parameters
    ----------
    arrays
        {layer name: [W] or [W, b]}.
    combine
        "average" or "sum", needed where there are temporal parts.
    size
        Side of the input in pixels; None takes 224 where that fits, else the one size that does.
    where
        How messages call the parameters.

    Raises
    ------
    InputError
        Where they are of no such network, or not enough is known.
    """
    last = [name[len("loss3/") :] for name in arrays if name.startswith("loss3/") and not name.startswith("loss3/fc")]
    names = [name for name in CLASSIFIERS if name in last] or last
    if CONV1 not in arrays or not names:
        some = ", ".join(list(arrays)[:3]) + (", ..." if len(arrays) > 3 else "")
        raise InputError(f"{where}: no GoogLeNet: the layers are {some}, not {CONV1} to loss3/{CLASSIFIERS[0]}")
    across = arrays.get(CONV1 + TEMPORAL, [])
    if across and combine is None:
        raise InputError(
            f"{where}: how the net combines its parts is not written in it; export it with "
            "--combine average or sum (tools/export.py)"
        )
    model = NetModel(
        classes=arrays[f"loss3/{names[0]}"][0].shape[0],
        width=_width(arrays, where),
        channels=arrays[CONV1][0].shape[1],
        high_rnn="loss3/fc" in arrays,
        conv1_temporal_kernel=across[0].shape[-1] if across else 3,
        combine="sum" if combine == "sum" else "average",
        temporal_bias=len(across) == 2,
        temporal=bool(across),
        classifier=names[0],
        side_heads=any(name.startswith(SIDE_HEADS) for name in arrays),
    )
    return replace(model, size=_size(model, arrays, size, where))


def check(arrays: Arrays, model: NetModel, where: str = "weights") -> None:
    """Raise InputError unless the parameters are those of the model: the same layers, each with its shapes."""
    parameters = model.parameters()
    for these, others, text in ((parameters, arrays, "lacks"), (arrays, parameters, "has beside the net's")):
        extra = [name for name in these if name not in others]
        if extra:
            raise InputError(
                f"{where} {text} {len(extra)} layers, the first is {extra[0]}; is it another net's, or cut short?"
            )
    for name, shapes in parameters.items():
        actual = [tuple(value.shape) for value in arrays[name]]
        if actual != shapes:
            raise InputError(f"{where}: layer {name} has shapes {actual}, a net of {_settings(model)} has {shapes}")


def _settings(model):
    return f"width {model.width:g}, {model.classes} classes and {model.size} x {model.size} input"


def _width(arrays, where):
    """Return the shortest decimal number that, as the width, gives every layer its channels."""
    low, high = 0.0, float("inf")
    for layer in googlenet.googlenet():
        if isinstance(layer, googlenet.RECURRENT) and layer.name in arrays:
            channels = len(arrays[layer.name][0])
            low = max(low, (channels - 0.5) / layer.channels if channels > 1 else 0)
            high = min(high, (channels + 0.5) / layer.channels)
    for digits in range(1, 7):
        width = round((low + high) / 2, digits)
        if 0 < width and low <= width <= high:
            return width
    raise InputError(f"{where}: no GoogLeNet of any one width has layers of these channels")


def _size(model, arrays, size, where):
    """Return `size`, or the size that the inner products over maps allow."""

    def columns(side):
        parameters = replace(model, size=side).parameters()
        return [parameters[f"loss{number}/fc"][0] for number in (1, 2)]

    shapes = [tuple(arrays[f"loss{number}/fc"][0].shape) for number in (1, 2) if f"loss{number}/fc" in arrays]
    if size is not None or len(shapes) < 2 or columns(Model.size) == shapes:
        return size or Model.size
    fitting = [side for side in SIZES if columns(side) == shapes]
    if len(fitting) == 1:
        return fitting[0]
    raise InputError(
        f"{where}: the net's input is not {Model.size} x {Model.size}, and the shapes "
        + (
            f"leave it open between {fitting[0]} and {fitting[-1]}; export it with --size N (tools/export.py)"
            if fitting
            else f"fit no size from {SIZES[0]} to {SIZES[-1]}"
        )
    )
