"""The kinds of nets that score frames, and what every way of running an exported one has in common.

That is `rcnn.nets.inference.Network` without Caffe.
"""
import numpy as np

from rcnn.files import InputError
from rcnn.googlenet import PREVIOUS, SIGNALS

KINDS = ("frame", "pair", "recurrent")
MODES = {"frame": ("frame",), "pair": ("pair",), "recurrent": ("recurrent", "pair")}


def checked_mode(mode, kind):
    """Return how a net of a kind of KINDS is to score frames, of MODES[kind]; mode: None for the kind's own.

    Raises InputError for a mode that such a net does not know.
    """
    if (mode or kind) not in MODES[kind]:
        raise InputError(f"--mode {mode}: the net is of kind {kind}, for {' and '.join(MODES[kind])}")
    return mode or kind


def check_kind(kind, model):
    """Raise InputError unless a PortModel makes a net of a kind."""
    if kind not in KINDS:
        raise InputError(f"a net is of kind {', '.join(KINDS)}, not {kind}")
    if kind != "frame" and not model.temporal:
        raise InputError(f"a net of kind {kind} has temporal parts; these weights are a CNN's, which have none")


class Network:
    """A net of kind "frame", "pair" or "recurrent", as those of `rcnn.nets.prototxt.deploy_cnn`, `_rcnn_r` and `_rcnn_s`.

    model: PortModel.  size: height and width of its input in pixels; channels: of its input, 3 for images or 2 for
    flow.  signals: its outputs.  classes: how many.

    A subclass has `_run(inputs)`: from {name: float32 array} to {name: float32 array}.  Names are those of Caffe's
    nets, "frame", "previous/frame", "first", "low", "previous/low", ...; a recurrent net takes v^{t-1} of each layer
    as "previous/<layer>" and gives v^t as "<layer>".
    """

    def __init__(self, kind, model):
        check_kind(kind, model)
        self.kind, self.model, self.size, self.classes = kind, model, model.size, model.classes
        self.channels = model.channels
        self.signals = list(SIGNALS)
        self._state = {}

    def forward(self, frames, previous=None, first=None):
        """Return the probabilities of a batch, float32 N x signals x classes.

        frames: float32 N x channels x size x size, as `crops.network_input` makes them.  previous: the frames before
        them, for a net of kind "pair".  first: N, whether a row's frame is the first of its video, for kind
        "recurrent"; N may change only where all are.
        """
        return self._stacked(self.outputs(frames, previous, first), "")

    def forward_pair(self, frames, previous):
        """Return (now, before), float32 N x signals x classes each, as `rcnn.nets.inference.Network.forward_pair`."""
        if self.kind == "pair":
            outputs = self.outputs(frames, previous, None)
            return self._stacked(outputs, ""), self._stacked(outputs, PREVIOUS)
        before = self.forward(previous, first=np.ones(len(previous)))
        return self.forward(frames, first=np.zeros(len(frames))), before

    def hold(self, rows):
        """Return what a recurrent net knows of the rows (a list of their numbers), for `restore` after a pass."""
        return {name: values[rows].copy() for name, values in self._state.items()}

    def restore(self, rows, held):
        """Put back what `hold` returned."""
        for name, values in held.items():
            self._state[name][rows] = values

    def outputs(self, frames, previous=None, first=None):
        """Return {name: float32 array} of a pass; arguments as of `forward`.

        The names are the outputs', and those of a recurrent net's states; of every layer if the net is made with
        `watch`.
        """
        inputs = {"frame": np.ascontiguousarray(frames, np.float32)}
        if self.kind == "pair":
            inputs[PREVIOUS + "frame"] = np.ascontiguousarray(previous, np.float32)
        if self.kind == "recurrent":
            inputs["first"] = np.asarray(first, np.float32)
            if not self._state or np.all(inputs["first"]):
                self._state = {name: np.zeros((len(frames), *shape), np.float32)
                               for name, shape in self.model.states().items()}
            inputs.update((PREVIOUS + name, values) for name, values in self._state.items())
        outputs = self._run(inputs)
        if self.kind == "recurrent":
            self._state = {name: outputs[name] for name in self._state}
        return outputs

    def _stacked(self, outputs, prefix):
        return np.stack([outputs[prefix + signal] for signal in self.signals], axis=1)
