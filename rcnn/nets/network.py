"""The one interface of a net that scores frames, whatever runs it: single frames, pairs, or frames in order.

    rcnn/nets/caffe_net.py    Caffe
    rcnn/nets/onnx_net.py     ONNX Runtime
    rcnn/nets/torch_net.py    PyTorch

`rcnn.nets.backends.open_network` opens any of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from rcnn.files import InputError
from rcnn.googlenet import PREVIOUS
from rcnn.nets.model import NetModel

KINDS = ("frame", "pair", "recurrent")
MODES = {"frame": ("frame",), "pair": ("pair",), "recurrent": ("recurrent", "pair")}
Arrays = dict[str, np.ndarray]


def checked_mode(mode: Optional[str], kind: str) -> str:
    """Return how a net of a kind of KINDS is to score frames, of MODES[kind]; mode: None for the kind's own.

    Raises InputError for a mode that such a net does not know.
    """
    if (mode or kind) not in MODES[kind]:
        raise InputError(f"--mode {mode}: the net is of kind {kind}, for {' and '.join(MODES[kind])}")
    return mode or kind


def check_kind(kind: str, model: NetModel) -> None:
    """Raise InputError unless a NetModel makes a net of a kind."""
    if kind not in KINDS:
        raise InputError(f"a net is of kind {', '.join(KINDS)}, not {kind}")
    if kind != "frame" and not model.temporal:
        raise InputError(f"a net of kind {kind} has temporal parts; these weights are a CNN's, which have none")


class Network(ABC):
    """A net with its weights.

    Names of inputs and outputs are those of Caffe's nets: "frame", "previous/frame", "first", "low", "previous/low",
    ...; a layer of Eq. 3 has its output v^t under its name, and its two parts under "<layer>/spatial" and
    "<layer>/temporal".

    Attributes
    ----------
    backend
        "caffe", "onnx" or "torch".
    kind
        "frame": it takes single frames (deploy_cnn); "pair": frames and those before them (deploy_rcnn_r); "recurrent":
        the next frame of each row's video (deploy_rcnn_s).
    size
        Height and width of its input in pixels.
    channels
        Of its input, 3 for images or 2 for flow.
    signals
        Those of "low", "medium" and "high" that it puts out.
    classes
        How many.
    """

    backend: str
    kind: str
    size: int
    channels: int
    signals: Sequence[str]
    classes: int

    @property
    @abstractmethod
    def combine(self) -> Optional[str]:
        """How the parts of Eq. 3 are combined: "average", "sum", or None in a net without temporal parts."""

    @abstractmethod
    def outputs(
        self, frames: np.ndarray, previous: Optional[np.ndarray] = None, first: Optional[np.ndarray] = None
    ) -> Arrays:
        """Return {name: float32 array} of a pass; they may be views that the next pass overwrites.

        Those of every layer, if the net is opened with `watch`; else at least the signals'.

        Parameters
        ----------
        frames
            float32 N x channels x size x size, as `crops.network_input` makes them.
        previous
            The frames before them, for a net of kind "pair".
        first
            N, whether a row's frame is the first of its video, for kind "recurrent"; N may change only where all are.
        """

    @abstractmethod
    def hold(self, rows: Sequence[int]) -> Any:
        """Return what a recurrent net knows of the past of the rows (their numbers), for `restore` after a pass."""

    @abstractmethod
    def restore(self, rows: Sequence[int], state: Any) -> None:
        """Put back what `hold` returned, so that the next pass finds it as v^{t-1}."""

    def forward(
        self, frames: np.ndarray, previous: Optional[np.ndarray] = None, first: Optional[np.ndarray] = None
    ) -> np.ndarray:
        """Return the probabilities of a batch, float32 N x signals x classes; parameters as of `outputs`."""
        return self._probabilities(self.outputs(frames, previous, first), "")

    def forward_pair(self, frames: np.ndarray, previous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities (now, before) of a batch of pairs, float32 N x signals x classes each.

        now: of each frame with the frame before it; before: of each frame before as the first of its video (Eq. 3 at
        t = 1).
        """
        outputs = self.pair_outputs(frames, previous)
        return self._probabilities(outputs, ""), self._probabilities(outputs, PREVIOUS)

    def pair_outputs(self, frames: np.ndarray, previous: np.ndarray) -> Arrays:
        """Return the `outputs` of a batch of pairs; those of frame t-1 are "previous/low", "previous/medium", ...

        A net of kind "recurrent" starts from `previous`, so that its state is that of a pair too.
        """
        if self.kind == "pair":
            return self.outputs(frames, previous)
        before = self.outputs(previous, first=np.ones(len(previous)))
        before = {PREVIOUS + signal: before[signal].copy() for signal in self.signals}
        return {**self.outputs(frames, first=np.zeros(len(frames))), **before}

    def _probabilities(self, outputs: Arrays, prefix: str) -> np.ndarray:
        return np.stack([outputs[prefix + signal] for signal in self.signals], axis=1)


class ModelNetwork(Network):
    """A net of a NetModel whose backend keeps nothing from pass to pass: v^{t-1} goes in, v^t comes out.

    A subclass has `_run(inputs)`: from {name: float32 array} to {name: float32 array}; a recurrent net takes v^{t-1} of
    each layer as "previous/<layer>" and gives v^t as "<layer>".
    """

    def __init__(self, kind: str, model: NetModel) -> None:
        check_kind(kind, model)
        self.kind, self.model, self.size, self.classes = kind, model, model.size, model.classes
        self.channels = model.channels
        self.signals = model.signals()
        self._state: Arrays = {}

    @property
    def combine(self) -> Optional[str]:
        """How the parts of Eq. 3 are combined, as of `Network.combine`."""
        return self.model.combine if self.model.temporal else None

    @abstractmethod
    def _run(self, inputs: Arrays) -> Arrays:
        pass

    def outputs(
        self, frames: np.ndarray, previous: Optional[np.ndarray] = None, first: Optional[np.ndarray] = None
    ) -> Arrays:
        """Return {name: float32 array} of a pass, as of `Network.outputs`."""
        inputs = {"frame": np.ascontiguousarray(frames, np.float32)}
        if self.kind == "pair":
            inputs[PREVIOUS + "frame"] = np.ascontiguousarray(previous, np.float32)
        if self.kind == "recurrent":
            inputs["first"] = np.asarray(first, np.float32)
            if not self._state or np.all(inputs["first"]):
                self._state = {
                    name: np.zeros((len(frames), *shape), np.float32) for name, shape in self.model.states().items()
                }
            inputs.update((PREVIOUS + name, values) for name, values in self._state.items())
        outputs = self._run(inputs)
        if self.kind == "recurrent":
            self._state = {name: outputs[name] for name in self._state}
        return outputs

    def hold(self, rows: Sequence[int]) -> Arrays:
        """Return v^t of the rows, as of `Network.hold`."""
        return {name: values[rows].copy() for name, values in self._state.items()}

    def restore(self, rows: Sequence[int], state: Arrays) -> None:
        """Put back what `hold` returned."""
        for name, values in state.items():
            self._state[name][rows] = values
