"""Caffe's binary files without Caffe: caffemodels as arrays and arrays as caffemodels, and solverstates."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Optional, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from rcnn import googlenet
from rcnn.data.caffe_formats_pb2 import BlobProto, NetParameter, SolverState
from rcnn.files import InputError, PathLike, existing, replacing
from rcnn.googlenet import PREVIOUS, SIDE_HEADS
from rcnn.nets.model import TEMPORAL, Arrays, Combination, NetModel, Shape

V1_TYPES = {4: "Convolution", 14: "InnerProduct"}  # the numbers of V1LayerParameter.LayerType
WEIGHT_DIMENSIONS = {"Convolution": 4, "InnerProduct": 2}
PARTS = ("weight", "bias")  # how W and b are called elsewhere
SUM = 1  # EltwiseParameter.EltwiseOp
FRESH = "fresh"  # a layer without parameters; its bottoms are the layers at their fillers' values
COMBINATIONS: dict[tuple[float, ...], Combination] = {(): "sum", (1.0, 1.0): "sum", (0.5, 0.5): "average"}
AnyMessage = TypeVar("AnyMessage", bound=Message)


class Parameters(NamedTuple):
    """What a caffemodel holds.

    Attributes
    ----------
    arrays
        {layer name: [W] or [W, b]}, float32 in Caffe's shapes; what the towers of a pair net share is there once,
        without "previous/".
    coefficients
        With which the file's layers add the parts of Eq. 3, a tuple for each way.
    path
        Of the file.
    fresh
        Names of the layers that it says are as their fillers made them; None where it says nothing.
    """

    arrays: Arrays
    coefficients: set[tuple[float, ...]]
    path: PathLike
    fresh: Optional[frozenset[str]] = None

    @property
    def combine(self) -> Optional[Combination]:
        """How the parts of Eq. 3 are combined, as `combination` returns it."""
        return combination(self.coefficients, f"weights: {self.path}")


def read(path: PathLike) -> Parameters:
    """Return the Parameters of a caffemodel, of Caffe's present format or the old one with the field `layers`.

    Raises
    ------
    InputError
        Where the file is missing, cut short, of another format, without parameters, or has numbers that are not finite
        or do not fit their shape; and where the two towers of a pair net differ.
    """
    net = _parsed(path, NetParameter(), "weights")
    arrays: Arrays = {}
    for layer in net.layer if len(net.layer) else net.layers:
        kind = V1_TYPES.get(layer.type, layer.type)
        values = [_array(path, layer.name, kind, part, blob) for part, blob in enumerate(layer.blobs)]
        name = plain_name(layer.name)
        if not values:
            continue
        if name in arrays and not same(values, arrays[name]):
            raise InputError(
                f"weights: {path} has layer {name} twice with different values; the towers of an RCNN share theirs"
            )
        arrays[name] = values
    if not arrays:
        raise InputError(f"weights: {path} holds no parameters; is it a caffemodel?")
    marks = [frozenset(layer.bottom) for layer in net.layer if (layer.name, layer.type) == (FRESH, "Silence")]
    return Parameters(arrays, sum_coefficients(net.layer), path, marks[-1] if marks else None)


def mark_fresh(path: PathLike, layers: Collection[str]) -> None:
    """Have a caffemodel that was just written say which of its layers are as their fillers made them.

    The file is the one place of this fact: it goes where the values go, and whatever trains them can ask it.
    """
    with open(path, "ab") as file:  # messages one after the other are one message, their lists joined
        mark = NetParameter()
        mark.layer.add(name=FRESH, type="Silence", bottom=sorted(layers))
        file.write(mark.SerializeToString(deterministic=True))


def fresh_layers(source: Parameters, shapes: Mapping[str, Sequence[Shape]], left: Collection[str] = ()) -> list[str]:
    """Return the layers of a net that have no values in a caffemodel, so that they start as their fillers make them.

    Those are the ones that it lacks, or says are fresh, and inner products of another shape, which goes with the number
    of classes and the size of the input.

    Parameters
    ----------
    shapes
        {layer: [shape of W, shape of b]} of the net, as `NetModel.parameters` returns it.
    left
        Names of layers that are to start so whatever the caffemodel has.

    Raises
    ------
    InputError
        Where it is of another net or another width: a convolution between the input and the high signal is not there,
        or one has another shape.
    """
    arrays, where = source.arrays, f"weights: {source.path}"
    if not arrays.keys() & shapes.keys():
        raise InputError(
            f"{where} shares no layer's name with the net: it has {some(arrays)}; the net has {some(shapes)}"
        )
    fresh = [name for name in shapes if name in left or name not in arrays or name in (source.fresh or ())]
    lacking = [
        name
        for name, (weight, *_) in shapes.items()
        if name not in arrays and len(weight) == WEIGHT_DIMENSIONS["Convolution"]
        if not (name in left or name.endswith(TEMPORAL) or name.startswith(SIDE_HEADS))
    ]
    if lacking:
        raise InputError(
            f"{where} lacks {len(lacking)} of the net's convolutions, the first is {lacking[0]}; is it another net's? "
            f"(init_weights.py --fresh {lacking[0]} would start that one at its filler)"
        )
    unfit = []
    for name in (name for name in shapes if name not in fresh):
        if len(shapes[name]) != len(arrays[name]):
            raise InputError(
                f"layer {name}: the weights have {len(arrays[name])} blobs, the net has {len(shapes[name])}; give "
                f"weights of the same model, or leave the layer at its filler with --fresh {name}"
            )
        if all(fits(shape, value) for shape, value in zip(shapes[name], arrays[name])):
            continue
        if len(shapes[name][0]) == WEIGHT_DIMENSIONS["Convolution"]:
            raise InputError(
                f"layer {name}: W is {shape_text(arrays[name][0].shape)} in the weights and "
                f"{shape_text(shapes[name][0])} in the net; give a net of the same width and channels, or leave the "
                f"layer at its filler with --fresh {name}"
            )
        unfit.append(name)
    return [name for name in shapes if name in fresh or name in unfit]


def sum_coefficients(layers: Iterable[Message]) -> set[tuple[float, ...]]:
    """Return the coefficients of the layers (LayerParameters of a net or a caffemodel) that add the parts of Eq. 3."""
    return {
        tuple(layer.eltwise_param.coeff)
        for layer in layers
        if layer.type == "Eltwise" and any(bottom.endswith("/temporal") for bottom in layer.bottom)
    }


def combination(coefficients: set[tuple[float, ...]], where: str) -> Optional[Combination]:
    """Return how the parts of Eq. 3 are combined: "average", "sum", or None where there are no temporal ones.

    Parameters
    ----------
    coefficients
        As `sum_coefficients` returns them.
    where
        How the message calls what they are of, such as "weights: FILE".

    Raises
    ------
    InputError
        Where they are neither, or differ from layer to layer.
    """
    if len(coefficients) > 1 or not coefficients <= set(COMBINATIONS):
        raise InputError(
            f"{where} adds spatial and temporal parts with coefficients {sorted(coefficients)}; they are "
            "none (sum) or 0.5 and 0.5 (average), the same in every layer"
        )
    return COMBINATIONS[next(iter(coefficients))] if coefficients else None


def write(path: PathLike, arrays: Arrays, model: NetModel) -> None:
    """Write a caffemodel that `caffe train -weights`, pycaffe and `read` take; the same input gives the same bytes.

    Layers without parameters are left out, but for the sums of the parts of Eq. 3, which tell how they are combined.

    Parameters
    ----------
    arrays
        {layer name: [W] or [W, b]}, float32 in Caffe's shapes, of the layers of `model`.
    """
    net = NetParameter(name="GoogLeNet-RCNN" if model.temporal else "GoogLeNet")
    kinds = {
        layer.name: "Convolution" if isinstance(layer, googlenet.Convolution) else "InnerProduct"
        for layer in model.layers()
    }
    for name, values in arrays.items():
        temporal = name.endswith("/temporal")
        owner = name[: -len("/temporal")] if temporal else name
        layer = net.layer.add(name=name, type=kinds[owner])
        for value in values:
            blob = layer.blobs.add(data=[np.ascontiguousarray(value, "<f4").tobytes()])
            blob.shape.dim.extend(value.shape)
        if temporal:
            added = net.layer.add(name=owner + "/sum", type="Eltwise", bottom=[owner + "/spatial", name], top=[owner])
            added.eltwise_param.operation = SUM
            added.eltwise_param.coeff.extend([0.5, 0.5] if model.combine == "average" else [])
    with replacing(path) as part:
        part.write_bytes(net.SerializeToString(deterministic=True))


def read_state(path: PathLike) -> SolverState:
    """Return the SolverState of a solverstate file; InputError where it is missing or cut short."""
    state = _parsed(path, SolverState(), "solver state")
    if not (state.HasField("iter") and state.HasField("learned_net") and state.HasField("current_step")):
        raise InputError(f"solver state: {path} is cut short")  # Caffe writes current_step last
    return state


def state(iteration: int, weights: str, history: Sequence[np.ndarray]) -> SolverState:
    """Return the SolverState after so many updates; history: one array a parameter, in the order of the net's."""
    blobs = [BlobProto(data=[np.ascontiguousarray(value, "<f4").tobytes()]) for value in history]
    for blob, value in zip(blobs, history):
        blob.shape.dim.extend(value.shape)
    return SolverState(iter=iteration, learned_net=weights, history=blobs, current_step=0)


def history(path: PathLike, state: SolverState) -> list[np.ndarray]:
    """Return the arrays of a SolverState's history, as `state` takes them; path: of its file, for messages."""
    return [_array(path, f"number {number} of the history", "", 0, blob) for number, blob in enumerate(state.history)]


def fits(shape: Sequence[int], values: np.ndarray) -> bool:
    """Return whether parameters as read have a shape of at most four dimensions, of which leading ones do not count.

    That is the rule of Caffe's Blob::ShapeEquals for its old format, whose blobs have four dimensions.
    """
    return tuple(shape) == values.shape or len(shape) <= 4 >= values.ndim and _four(shape) == _four(values.shape)


def same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    """Return whether the parameters of two layers are equal in number, shapes and every bit."""
    return len(one) == len(other) and all(
        mine.shape == theirs.shape and mine.tobytes() == theirs.tobytes() for mine, theirs in zip(one, other)
    )


def plain_name(layer: str) -> str:
    """Return a layer's name without "previous/": under it a caffemodel has what both towers share."""
    return layer[len(PREVIOUS) :] if layer.startswith(PREVIOUS) else layer


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as messages have it: "64 x 3 x 7 x 7"."""
    return " x ".join(map(str, shape))


def some(names: Iterable[str]) -> str:
    """Return the first three of some names as messages have them."""
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _parsed(path: PathLike, message: AnyMessage, what: str) -> AnyMessage:
    data = existing(path, what).read_bytes()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise InputError(f"{what}: {path} is cut short or not Caffe's binary format ({len(data)} bytes)") from None
    return message


def _four(shape: Sequence[int]) -> tuple[int, ...]:
    return (1,) * (4 - len(shape)) + tuple(shape)


def _array(path: PathLike, layer: str, kind: str, part: int, blob: BlobProto) -> np.ndarray:
    """Return a blob as float32 in Caffe's present shape; the old format has four dimensions, counted from the last."""
    data, doubles = b"".join(blob.data), b"".join(blob.double_data)
    old = any(blob.HasField(field) for field in ("num", "channels", "height", "width"))
    shape = [blob.num, blob.channels, blob.height, blob.width] if old else list(blob.shape.dim)
    kept = WEIGHT_DIMENSIONS.get(kind, 4) if part == 0 else 1
    if old and all(side == 1 for side in shape[: 4 - kept]):
        shape = shape[4 - kept :]
    number, text = ("<f4", data) if data else ("<f8", doubles)
    if any(side < 0 for side in shape) or int(np.prod(shape, dtype=object)) * np.dtype(number).itemsize != len(text):
        raise InputError(
            f"weights: {path} is damaged in layer {layer}: {len(text)} bytes do not make the shape {shape_text(shape)}"
        )
    values = np.frombuffer(text, number).reshape(shape)
    if not np.isfinite(values).all():
        raise InputError(f"weights: {path} has numbers in layer {layer} that are not finite; its training diverged")
    return values.astype(np.float32)
