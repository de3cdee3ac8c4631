"""Deploy nets run by Caffe.

Caffe leaves a layer that the weights lack at its filler's random values, and aborts where a shape differs; here both
are InputErrors.
"""

import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Optional

import caffe
import numpy as np

from rcnn.data.crops import MEANS
from rcnn.files import InputError, PathLike
from rcnn.googlenet import PREVIOUS, SIGNALS
from rcnn.nets import caffemodel, device, prototxt
from rcnn.nets.model import NetModel
from rcnn.nets.network import Arrays, Network
from rcnn.nets.protos import read_net

INPUTS = {"frame": {"frame"}, "pair": {"frame", PREVIOUS + "frame"}, "recurrent": {"frame", "first"}}
DEPLOY_NETS = {"frame": prototxt.deploy_cnn, "pair": prototxt.deploy_rcnn_r, "recurrent": prototxt.deploy_rcnn_s}


class CaffeNetwork(Network):
    """A Network of a deploy net, which may be any with its inputs and outputs, and a caffemodel; every blob is watched.

    Parameters
    ----------
    net
        Path of the prototxt.
    weights
        Path of the caffemodel.
    gpu
        Its number from 0; None computes on the CPU.

    Raises
    ------
    InputError
        Where a file is missing or damaged, the net is no deploy net, or the weights are not its own.
    """

    backend = "caffe"

    def __init__(self, net: PathLike, weights: PathLike, gpu: Optional[int] = None) -> None:
        message, parameters = read_net(net), caffemodel.read(weights)
        self._path, self._coefficients = net, caffemodel.sum_coefficients(message.layer)
        self._source = parameters._replace(arrays={})
        device.use(gpu)
        self._net = caffe.Net(str(net), caffe.TEST)
        fill(self._net, parameters)
        inputs, blobs = set(self._net.inputs), self._net.blobs
        kinds = [kind for kind, names in INPUTS.items() if names == inputs]
        if not kinds:
            raise InputError(
                f"net: {net} has inputs {', '.join(sorted(inputs)) or 'none'}; a deploy net has "
                f"frame, {PREVIOUS}frame and frame, or frame and first"
            )
        self.kind = kinds[0]
        self.signals = [signal for signal in SIGNALS if signal in blobs]
        if self.kind == "pair" and not all(PREVIOUS + signal in blobs for signal in self.signals):
            raise InputError(f"net: {net} lacks {PREVIOUS} outputs, the scores of a video's first frame")
        if not self.signals:
            raise InputError(f"net: {net} has none of the outputs {', '.join(SIGNALS)}")
        _, self.channels, self.size, width = blobs["frame"].shape
        if width != self.size or self.channels not in MEANS:
            raise InputError(
                f"net: {net} takes {self.channels} x {self.size} x {width} frames, not 3 x size x "
                "size (images) or 2 x size x size (flow)"
            )
        self.classes = blobs[self.signals[0]].shape[1]

    @cached_property
    def combine(self) -> Optional[str]:
        """How the net combines the parts of Eq. 3; InputError where the weights were trained with another way."""
        combine, trained = caffemodel.combination(self._coefficients, f"net: {self._path}"), self._source.combine
        if trained not in (None, combine):
            raise InputError(
                f"weights: {self._source.path} are of an RCNN made with --combine {trained}, the net "
                f"has {combine}; give the net that they were trained with"
            )
        return combine

    def outputs(
        self, frames: np.ndarray, previous: Optional[np.ndarray] = None, first: Optional[np.ndarray] = None
    ) -> Arrays:
        """Return {name: values} of a pass, as of `Network.outputs`, in Caffe's own memory.

        Without the inputs, and what Caffe's nets have beside the layers of `rcnn.googlenet`: copies, marks, v^{t-1}.
        """
        inputs = {"frame": frames, PREVIOUS + "frame": previous, "first": first}
        for name in self._net.inputs:
            blob, values = self._net.blobs[name], np.asarray(inputs[name], np.float32)
            if blob.shape[0] != len(values):
                blob.reshape(*values.shape)
            blob.data[...] = values
        self._net.forward()
        recalled = PREVIOUS if self.kind == "recurrent" else "state"
        return {
            name: blob.data
            for name, blob in self._net.blobs.items()
            if name not in self._net.inputs
            and "_split_" not in name
            and not name.startswith(("state", "first/", recalled))
        }

    def hold(self, rows: Sequence[int]) -> list[np.ndarray]:
        """Return v^t of the rows, as of `Network.hold`."""
        return [blob.data[rows] for blob in self._states()]

    def restore(self, rows: Sequence[int], state: list[np.ndarray]) -> None:
        """Put back what `hold` returned."""
        for blob, values in zip(self._states(), state):
            blob.data[rows] = values

    def _states(self) -> list["caffe.Blob"]:
        return [self._net.blobs[name[len(PREVIOUS) :]] for name in self._net.blobs if name.startswith(PREVIOUS)]


def of_model(kind: str, model: NetModel, weights: PathLike, gpu: Optional[int] = None) -> CaffeNetwork:
    """Return the CaffeNetwork of the deploy net of a model, as `rcnn.nets.prototxt` makes it.

    kind: of `network.KINDS`.  weights: path of a caffemodel that has the net's layers.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(str(DEPLOY_NETS[kind](model)))
        return CaffeNetwork(path, weights, gpu)


def fill(net: "caffe.Net", parameters: caffemodel.Parameters) -> None:
    """Give every parameter of a net its value; InputError where there is none, or one of another shape.

    A layer that the caffemodel lacks may have its parameters through others that share them by name.
    """
    filled = set()
    for layer, blobs in net.params.items():
        values = parameters.arrays.get(caffemodel.plain_name(layer))
        if values is None:
            continue
        if len(blobs) != len(values):
            raise InputError(
                f"weights: {parameters.path} has {len(values)} parameters for layer {layer}, the net has {len(blobs)}"
            )
        for blob, value in zip(blobs, values):
            if not caffemodel.fits(blob.shape, value):
                raise InputError(
                    f"weights: {parameters.path} has shape {list(value.shape)} for layer {layer}, the net "
                    f"has {list(blob.shape)}; are width, input size and classes the same?"
                )
            blob.data[...] = value.reshape(blob.shape)
            filled.add(_address(blob))
    missing = [layer for layer, blobs in net.params.items() if not all(_address(blob) in filled for blob in blobs)]
    if missing:
        raise InputError(
            f"weights: {parameters.path} lacks {len(missing)} of the net's layers, the first is "
            f"{missing[0]}; are they another net's?"
        )


def _address(blob: "caffe.Blob") -> int:
    return blob.data.ctypes.data
