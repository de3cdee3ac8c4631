"""Caffemodels without Caffe: the parameters of one as arrays, and arrays as a caffemodel.

Of caffe.proto only what carries parameters is described here, in a pool of its own, so that it needs no Caffe and
meets no `caffe.NetParameter` that pycaffe has registered.
"""
from typing import NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from rcnn import googlenet
from rcnn.files import InputError, existing, replacing
from rcnn.googlenet import PREVIOUS

# Field: name, number, type, and "*" where it is repeated, "packed" where its numbers stand in one piece.  Packed
# numbers look on disk as bytes do; described as bytes, millions of them are read at once and keep their bits.
MESSAGES = {
    "BlobShape": [("dim", 1, "INT64", "packed")],
    "BlobProto": [("num", 1, "INT32", ""), ("channels", 2, "INT32", ""), ("height", 3, "INT32", ""),
                  ("width", 4, "INT32", ""), ("data", 5, "BYTES", "*"), ("shape", 7, "BlobShape", ""),
                  ("double_data", 8, "BYTES", "*")],
    "EltwiseParameter": [("operation", 1, "INT32", ""), ("coeff", 2, "FLOAT", "*")],
    "LayerParameter": [("name", 1, "STRING", ""), ("type", 2, "STRING", ""), ("bottom", 3, "STRING", "*"),
                       ("top", 4, "STRING", "*"), ("blobs", 7, "BlobProto", "*"),
                       ("eltwise_param", 110, "EltwiseParameter", "")],
    "V1LayerParameter": [("name", 4, "STRING", ""), ("type", 5, "INT32", ""), ("blobs", 6, "BlobProto", "*")],
    "NetParameter": [("name", 1, "STRING", ""), ("layers", 2, "V1LayerParameter", "*"),
                     ("layer", 100, "LayerParameter", "*")],
}
V1_TYPES = {4: "Convolution", 14: "InnerProduct"}  # the numbers of V1LayerParameter.LayerType
WEIGHT_DIMENSIONS = {"Convolution": 4, "InnerProduct": 2}
PARTS = ("weight", "bias")  # how W and b are called elsewhere
SUM = 1  # EltwiseParameter.EltwiseOp
COMBINATIONS = {(): "sum", (1.0, 1.0): "sum", (0.5, 0.5): "average"}


def _messages():
    """Return {name: class} of MESSAGES."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="rcnn/caffemodel.proto", package="caffe", syntax="proto2")
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind, many in fields:
            field = described.field.add(name=name, number=number,
                                        label=field_type.LABEL_REPEATED if many else field_type.LABEL_OPTIONAL)
            if kind in MESSAGES:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                field.type = getattr(field_type, f"TYPE_{kind}")
            field.options.packed = many == "packed"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in MESSAGES}


NetParameter = _messages()["NetParameter"]


class Parameters(NamedTuple):
    """What a caffemodel holds.

    arrays: {layer name: [W] or [W, b]}, float32 in Caffe's shapes; what the towers of a pair net share is there once,
    without "previous/".  combine: how the parts of Eq. 3 are combined, "average", "sum" or None where it does not say.
    """
    arrays: dict
    combine: str


def read(path):
    """Return the Parameters of a caffemodel, of Caffe's present format or the old one with the field `layers`.

    Raises InputError where it is missing, cut short, of another format, without parameters, or has numbers that are
    not finite or do not fit their shape; and where the two towers of a pair net differ.
    """
    data, net = existing(path, "weights").read_bytes(), NetParameter()
    try:
        net.ParseFromString(data)
    except DecodeError:
        raise InputError(f"weights: {path} is cut short or no caffemodel ({len(data)} bytes)") from None
    arrays = {}
    for layer in net.layer if len(net.layer) else net.layers:
        kind = V1_TYPES.get(layer.type, layer.type)
        values = [_array(path, layer.name, kind, part, blob) for part, blob in enumerate(layer.blobs)]
        name = layer.name[len(PREVIOUS):] if layer.name.startswith(PREVIOUS) else layer.name
        if not values:
            continue
        if name in arrays and not _same(values, arrays[name]):
            raise InputError(f"weights: {path} has layer {name} twice with different values; the towers of an RCNN "
                             "share theirs")
        arrays[name] = values
    if not arrays:
        raise InputError(f"weights: {path} holds no parameters; is it a caffemodel?")
    return Parameters(arrays, _combination(path, net))


def write(path, arrays, model):
    """Write a caffemodel that `caffe train -weights`, pycaffe and `read` take; the same input gives the same bytes.

    arrays: {layer name: [W] or [W, b]}, float32 in Caffe's shapes, of the layers of `model` (`port.model.PortModel`).
    Layers without parameters are left out, but for the sums of the parts of Eq. 3, which tell how they are combined.
    """
    net = NetParameter(name="GoogLeNet-RCNN" if model.temporal else "GoogLeNet")
    kinds = {layer.name: "Convolution" if isinstance(layer, googlenet.Convolution) else "InnerProduct"
             for layer in model.layers()}
    for name, values in arrays.items():
        temporal = name.endswith("/temporal")
        owner = name[:-len("/temporal")] if temporal else name
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


def _array(path, layer, kind, part, blob):
    """Return a blob as float32 in Caffe's present shape; the old format has four dimensions, counted from the last."""
    data, doubles = b"".join(blob.data), b"".join(blob.double_data)
    old = any(blob.HasField(field) for field in ("num", "channels", "height", "width"))
    shape = [blob.num, blob.channels, blob.height, blob.width] if old else list(blob.shape.dim)
    kept = WEIGHT_DIMENSIONS.get(kind, 4) if part == 0 else 1
    if old and all(side == 1 for side in shape[:4 - kept]):
        shape = shape[4 - kept:]
    kind, text = ("<f4", data) if data else ("<f8", doubles)
    if any(side < 0 for side in shape) or int(np.prod(shape, dtype=object)) * np.dtype(kind).itemsize != len(text):
        raise InputError(f"weights: {path} is damaged in layer {layer}: {len(text)} bytes do not make the shape "
                         f"{' x '.join(map(str, shape))}")
    values = np.frombuffer(text, kind).reshape(shape)
    if not np.isfinite(values).all():
        raise InputError(f"weights: {path} has numbers in layer {layer} that are not finite; its training diverged")
    return values.astype(np.float32)


def _same(one, other):
    return len(one) == len(other) and all(
        mine.shape == theirs.shape and mine.tobytes() == theirs.tobytes() for mine, theirs in zip(one, other))


def _combination(path, net):
    found = {tuple(layer.eltwise_param.coeff) for layer in net.layer
             if layer.type == "Eltwise" and any(bottom.endswith("/temporal") for bottom in layer.bottom)}
    if len(found) > 1 or not found <= set(COMBINATIONS):
        raise InputError(f"weights: {path} adds spatial and temporal parts with coefficients {sorted(found)}; they are "
                         "none (sum) or 0.5 and 0.5 (average), the same in every layer")
    return COMBINATIONS[found.pop()] if found else None
