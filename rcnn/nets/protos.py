"""Caffe's own files read without Caffe's aborts: where `caffe` would end in a stack trace, these raise InputError.

Caffe checks its input with glog's CHECK, which ends the process; so a program that wants to say in one line what is
wrong looks before it lets Caffe look.
"""
from pathlib import Path

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from rcnn.files import InputError, existing


def read_text(path, message, what):
    """Fill a protobuf message from a prototxt file and return it.

    what: how messages call the file ("solver").  Raises InputError with the line of the file where it does not parse.
    """
    text = existing(path, what).read_text(encoding="utf-8", errors="replace")
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise InputError(f"{what}: {path} does not parse: {' '.join(str(error).split())}") from None


def read_net(path):
    """Return the NetParameter of a prototxt file."""
    net = read_text(path, caffe_pb2.NetParameter(), "net")
    if not net.layer:
        raise InputError(f"net: {path} has no layer")
    return net


def read_solver(path):
    """Return the SolverParameter of a prototxt file, its snapshot_prefix completed as Caffe does it.

    Without one, it is the file's path without suffix; a folder is completed with the file's name.
    """
    solver = read_text(path, caffe_pb2.SolverParameter(), "solver")
    path = Path(path)
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = str(path.with_suffix(""))
    elif Path(solver.snapshot_prefix).is_dir():
        solver.snapshot_prefix = str(Path(solver.snapshot_prefix) / path.stem)
    return solver


def read_weights(path):
    """Return the NetParameter of a caffemodel, with parameters in at least one layer, all finite.

    Raises InputError where it is missing, cut short, of another format or not finite.
    """
    weights = _read_binary(path, caffe_pb2.NetParameter(), "weights")
    blobs = [(layer.name, blob) for layer in weight_layers(weights) for blob in layer.blobs]
    if not blobs:
        raise InputError(f"weights: {path} holds no parameters; is it a caffemodel?")
    for name, blob in blobs:
        if not np.isfinite(blob_values(blob)).all():
            raise InputError(f"weights: {path} has numbers in layer {name} that are not finite; its training diverged")
    return weights


def weight_layers(weights):
    """Return the layers of a caffemodel's NetParameter; old files have them in another field."""
    return weights.layer if len(weights.layer) else weights.layers


def blob_values(blob):
    """Return the numbers of a BlobProto, flat."""
    return np.array(blob.data if len(blob.data) else blob.double_data)


def read_state(path):
    """Return the SolverState of a solverstate file; InputError where it is missing or cut short."""
    state = _read_binary(path, caffe_pb2.SolverState(), "solver state")
    if not (state.HasField("iter") and state.HasField("learned_net") and state.HasField("current_step")):
        raise InputError(f"solver state: {path} is cut short")  # Caffe writes current_step last
    return state


def _read_binary(path, message, what):
    data = existing(path, what).read_bytes()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise InputError(f"{what}: {path} is cut short or not Caffe's binary format ({len(data)} bytes)") from None
    return message
