"""Caffe's prototxts read without Caffe's aborts: where `caffe` would end in a stack trace, these raise InputError.

Caffe checks its input with glog's CHECK, which ends the process; so a program that wants to say in one line what is
wrong looks before it lets Caffe look.
"""

from pathlib import Path
from typing import TypeVar

from caffe.proto import caffe_pb2
from google.protobuf import text_format
from google.protobuf.message import Message

from rcnn.files import InputError, PathLike, existing

AnyMessage = TypeVar("AnyMessage", bound=Message)


def read_text(path: PathLike, message: AnyMessage, what: str) -> AnyMessage:
    """Fill a protobuf message from a prototxt file and return it.

    what: how messages call the file ("solver").  Raises InputError with the line of the file where it does not parse.
    """
    text = existing(path, what).read_text(encoding="utf-8", errors="replace")
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise InputError(f"{what}: {path} does not parse: {' '.join(str(error).split())}") from None


def read_net(path: PathLike) -> caffe_pb2.NetParameter:
    """Return the NetParameter of a prototxt file."""
    net = read_text(path, caffe_pb2.NetParameter(), "net")
    check_format(net, f"net: {path}")
    if not net.layer:
        raise InputError(f"net: {path} has no layer")
    return net


def check_format(net: caffe_pb2.NetParameter, where: str) -> None:
    """Raise InputError for a NetParameter of Caffe's formats until 2014, which `caffe` upgrades as it reads them."""
    if net.layers:
        raise InputError(
            f"{where} is in Caffe's old format, with `layers` for `layer`; write it anew with Caffe's program "
            "upgrade_net_proto_text OLD NEW"
        )


def read_solver(path: PathLike) -> caffe_pb2.SolverParameter:
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
