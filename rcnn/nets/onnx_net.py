"""The nets as ONNX graphs, written from the architecture itself, and run by ONNX Runtime.

A graph is made node by node with onnx.helper, as `rcnn.nets.prototxt` makes Caffe's: so an export needs no PyTorch, its
tensors have Caffe's names, and its weights keep their bits.  Only operators of opset 13 are used; pools have explicit
paddings in place of Caffe's rounding up, so that no runtime can round otherwise.

    kind       inputs                                          outputs
    frame      frame                                           low, medium, high
    pair       previous/frame, frame                           the same, and previous/low, ... of frame t-1
    recurrent  frame, first, previous/<layer> for each layer   low, medium, high, <layer> for each layer

frame: float32 N x channels x size x size, BGR, the mean taken off; N is free.  first: float32 N, not 0 where the row's
frame is the first of its video, and what previous/<layer> has in that row means nothing.  <layer>: v^t, which the next
pass takes as previous/<layer>.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Optional, Union

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from rcnn import googlenet
from rcnn.files import InputError, PathLike, existing
from rcnn.googlenet import PREVIOUS, Classifier, Concatenation, Convolution, Dropout, Normalization, Pooling
from rcnn.nets.caffemodel import PARTS
from rcnn.nets.model import TEMPORAL, Arrays, NetModel, restored
from rcnn.nets.network import ModelNetwork, check_kind

OPSET, IR_VERSION = 13, 8
BATCH = "N"
Source = Union[PathLike, onnx.ModelProto]


def build(kind: str, arrays: Arrays, model: NetModel) -> onnx.ModelProto:
    """Return the ModelProto of a net of `network.KINDS`, checked by onnx's checker.

    Parameters
    ----------
    arrays
        {layer name: [W] or [W, b]} that fit `model`.

    Raises
    ------
    InputError
        For a pair or recurrent net of a model without temporal parts.
    """
    check_kind(kind, model)
    graph = _Graph(arrays, model)
    frame = [BATCH, model.channels, model.size, model.size]
    if kind == "pair":
        graph.input(PREVIOUS + "frame", frame)
    graph.input("frame", frame)
    if kind == "recurrent":
        graph.input("first", [BATCH])
        graph.marks()
        for name, shape in model.states().items():
            graph.input(PREVIOUS + name, [BATCH, *shape])
            graph.node("Where", [graph.mark(shape), "zero", PREVIOUS + name], PREVIOUS + name + "/kept")
    if kind == "pair":
        graph.tower(PREVIOUS)
    graph.tower("", temporal=kind != "frame", marked=kind == "recurrent")
    for prefix in (PREVIOUS, "") if kind == "pair" else ("",):
        for layer in model.layers():
            if isinstance(layer, Classifier):
                graph.output(prefix + layer.signal, [BATCH, model.classes])
    for name, shape in model.states().items() if kind == "recurrent" else ():
        graph.output(name, [BATCH, *shape])
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "GoogLeNet-RCNN" if model.temporal else "GoogLeNet",
            graph.inputs,
            graph.outputs,
            graph.initializers,
        ),
        producer_name="googlenet-rcnn",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(made, {"kind": kind, "model": json.dumps(asdict(model))})
    onnx.checker.check_model(made, full_check=True)
    return made


def described(notes: Mapping[str, str], where: str) -> tuple[str, str]:
    """Return (kind, description of the model) of a file's metadata; InputError, which says `where` it is, if none."""
    if not {"kind", "model"} <= notes.keys():
        raise InputError(f"{where} is not one of this project's nets; make it with tools/export.py")
    return notes["kind"], notes["model"]


def watched(made: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a ModelProto in which every tensor that a node makes is an output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(made)
    present = {output.name for output in copy.graph.output}
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for node in copy.graph.node
        if node.op_type not in ("Cast", "Reshape")
        for name in node.output
        if name not in present
    )
    return copy


def parameters(made: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return {"<layer>.weight" or "<layer>.bias": array} of a ModelProto of `build`."""
    tensors = [tensor for tensor in made.graph.initializer if tensor.name.rpartition(".")[2] in PARTS]
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}


class _Graph:
    """The parts of a GraphProto that is being made."""

    def __init__(self, arrays, model):
        self.model, self.shapes = model, model.shapes()
        self.nodes, self.inputs, self.outputs, self.initializers = [], [], [], []
        self._parts = {}
        for name, values in arrays.items():
            self._parts[name] = [f"{name}.{part}" for part, _ in zip(PARTS, values)]
            for part, value in zip(self._parts[name], values):
                self.constant(part, np.ascontiguousarray(value, np.float32))

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))

    def input(self, name, shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def output(self, name, shape):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def node(self, kind, bottoms, top, **attributes):
        self.nodes.append(helper.make_node(kind, list(bottoms), [top], name=top, **attributes))
        return top

    def marks(self):
        """Add what tells the rows at t = 1, in the dimensions of maps and of vectors."""
        self.constant("zero", np.float32(0))
        self.constant("half", np.float32(0.5))
        self.constant("one", np.float32(1))
        self.node("Cast", ["first"], "first/marked", to=TensorProto.BOOL)
        for dimensions in (2, 4):
            self.constant(f"first/shape{dimensions}", np.array([-1] + [1] * (dimensions - 1), np.int64))
            self.node("Reshape", ["first/marked", f"first/shape{dimensions}"], f"first/marked{dimensions}")
            if self.model.combine == "average":
                self.node("Where", [f"first/marked{dimensions}", "one", "half"], f"first/share{dimensions}")

    def mark(self, shape, what="marked"):
        """Return the name of the marks, or of the share of the sum, that goes with values of a shape without batch."""
        return f"first/{what}{1 + len(shape)}"

    def tower(self, prefix, temporal=False, marked=False):
        """Add the layers of one frame, with the temporal parts or as at t = 1; marked: some rows are at t = 1."""
        if temporal and not marked and self.model.combine == "average":
            self.constant("half", np.float32(0.5))
        for layer in self.model.layers():
            name = prefix + layer.name
            if isinstance(layer, Concatenation):
                self.node("Concat", [prefix + bottom for bottom in layer.bottoms], name, axis=1)
            elif isinstance(layer, googlenet.RECURRENT):
                self._recurrent(layer, prefix, temporal, marked)
            elif isinstance(layer, Pooling):
                self._pool(layer, prefix)
            elif isinstance(layer, Normalization):
                self.node(
                    "LRN",
                    [prefix + layer.bottom],
                    name,
                    size=layer.local_size,
                    alpha=layer.alpha,
                    beta=layer.beta,
                    bias=1.0,
                )
            elif isinstance(layer, Dropout):
                self.node("Identity", [prefix + layer.bottom], name)
            else:
                self._inner_product(layer.name, prefix + layer.bottom, name)
                self.node("Softmax", [name], prefix + layer.signal, axis=1)

    def _recurrent(self, layer, prefix, temporal, marked):
        """Add a layer of Eq. 3-4.  Halving, for the average, comes after the ReLU: runtimes fuse the rest into one."""
        name = prefix + layer.name
        value = self._weighted(layer, layer.name, prefix + layer.bottom, name + "/spatial")
        if not temporal:
            self.node("Relu", [value], name)
            return
        shape = self.model.states()[layer.name]
        before = PREVIOUS + layer.name + ("/kept" if marked else "")
        biased = marked and self.model.temporal_bias  # which a row at t = 1 has not
        across = self._weighted(layer.temporal(), layer.name + TEMPORAL, before, name + TEMPORAL + "/biased" * biased)
        if biased:
            across = self.node("Where", [self.mark(shape), "zero", across], name + TEMPORAL)
        value = self.node("Add", [value, across], name + "/sum")
        if self.model.combine == "sum":
            self.node("Relu", [value], name)
            return
        self.node("Relu", [value], name + "/relu")
        self.node("Mul", [name + "/relu", self.mark(shape, "share") if marked else "half"], name)

    def _weighted(self, layer, parameters, bottom, top):
        if not isinstance(layer, Convolution):
            return self._inner_product(parameters, bottom, top)
        return self.node(
            "Conv",
            [bottom, *self._parts[parameters]],
            top,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[layer.pad] * 4,
        )

    def _inner_product(self, parameters, bottom, top):
        flat = self.node("Flatten", [bottom], top + "/flat", axis=1)
        return self.node("Gemm", [flat, *self._parts[parameters]], top, transB=1)

    def _pool(self, layer, prefix):
        """Add a pool whose paddings at the ends are those that Caffe's rounding up amounts to."""
        ends = [
            max(0, (top - 1) * layer.stride + layer.kernel - below - layer.pad)
            for top, below in zip(self.shapes[layer.name][1:], self.shapes[layer.bottom][1:])
        ]
        kind, options = ("MaxPool", {}) if layer.method == "MAX" else ("AveragePool", dict(count_include_pad=0))
        self.node(
            kind,
            [prefix + layer.bottom],
            prefix + layer.name,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[layer.pad] * 2 + ends,
            **options,
        )


class OnnxNetwork(ModelNetwork):
    """A Network run by ONNX Runtime on the CPU.

    Parameters
    ----------
    source
        Path of an .onnx file of this project, or a ModelProto of `build`.
    threads
        None: as many as ONNX Runtime finds good.
    watch
        Have `outputs` return those of every layer.
    """

    backend = "onnx"

    def __init__(self, source: Source, threads: Optional[int] = None, watch: bool = False) -> None:
        import onnxruntime

        made = source if isinstance(source, onnx.ModelProto) else None
        name = "the net" if made else str(existing(source, "net"))
        if watch:
            made = watched(made or read(source))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        content = made.SerializeToString() if made else name
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no class of their own in common
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{name} does not load in ONNX Runtime: {reason}") from None
        kind, description = described(self._session.get_modelmeta().custom_metadata_map, name)
        super().__init__(kind, restored(description, name))
        self._names = [output.name for output in self._session.get_outputs()]

    def _run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(self._names, inputs)))


def read(path: PathLike) -> onnx.ModelProto:
    """Return the ModelProto of an .onnx file; InputError where it is cut short or none."""
    try:
        return onnx.load(str(existing(path, "weights")))
    except DecodeError:
        raise InputError(f"weights: {path} is cut short or no ONNX file") from None
