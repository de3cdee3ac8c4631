"""v^{t-1} of every RCNN and RNN layer, kept from one forward pass to the next (Sec. 2.2).

RecallState stands at the start of a net and gives v^{t-1}; KeepState stands at its end and shows RecallState where v^t
is.  A number that runs from the one to the other ties them together, so that nets of one process never share a state.

layer {
  name: "state/recall" type: "Python" bottom: "first" top: "previous/conv1" top: "previous/fc" top: "state"
  python_param { module: "layers.temporal_state" layer: "RecallState"
    param_str: '{"shapes": [[64, 112, 112], [1024]]}' }
}
layer {
  name: "state/keep" type: "Python" bottom: "conv1" bottom: "fc" bottom: "state"
  python_param { module: "layers.temporal_state" layer: "KeepState" }
}
"""

import itertools
import weakref
from collections.abc import Sequence
from typing import Annotated, Any

import caffe
import numpy as np
from pydantic import ConfigDict, Field, PositiveInt

from layers.options import Blobs, Options, printing_errors, read_options
from rcnn.files import InputError

_numbers = itertools.count(1)
_states: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


class RecallOptions(Options):
    """The param_str of RecallState."""

    model_config = ConfigDict(extra="ignore")
    shapes: list[Annotated[list[PositiveInt], Field(min_length=1)]] = Field(
        min_length=1, description="the shape of each state without the batch, as in [[64, 112, 112], [1024]]"
    )


class _State:
    """Where v^t of a net is after a forward pass: its blobs, which hold it until the next one writes to them.

    shapes: of each without the batch.  blobs: caffe Blobs, none before KeepState is set up.
    """

    def __init__(self, shapes: list[tuple[int, ...]]):
        self.shapes = shapes
        self.blobs: list[Any] = []


class RecallState(caffe.Layer):
    """Give v^{t-1} of each layer, row by row: what the pass before left, and zero where a video begins.

    bottom[0]: N; not 0 where the row's frame is the first of its video.
    top: N x shape for each shape of param_str, which is JSON, {"shapes": [[channels, height, width], [channels], ...]};
    the last top is for KeepState.

    Without a bias in the temporal part, a zero state is the case t = 1 of Eq. 3.  Before the first pass the state is
    zero.  No gradient goes into the past (Eq. 6).  The batch may change only when every row begins a video.
    """

    @printing_errors()
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        shapes = [tuple(shape) for shape in read_options("RecallState", self.param_str, RecallOptions).shapes]
        if len(bottom) != 1 or len(top) != len(shapes) + 1:
            raise InputError(
                f"RecallState takes one bottom, and a top for each of its {len(shapes)} shapes and "
                f"one for KeepState; it has {len(bottom)} and {len(top)}"
            )
        self.state = _State(shapes)
        number = next(_numbers)
        _states[number] = self.state
        top[len(shapes)].reshape(1)
        top[len(shapes)].data[0] = number

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        for index, shape in enumerate(self.state.shapes):
            top[index].reshape(bottom[0].shape[0], *shape)

    @printing_errors()
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        first = bottom[0].data.reshape(len(bottom[0].data), -1).any(axis=1)
        for index, blob in enumerate(self.state.blobs):
            values = top[index].data
            if first.all():
                values[...] = 0
                continue
            if blob.shape[0] != len(first):
                raise InputError(
                    f"RecallState: the batch changes from {blob.shape[0]} to {len(first)} rows within "
                    "videos; mark every row as a first frame, or keep the batch"
                )
            np.copyto(values, blob.data)
            values[first] = 0

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        pass


class KeepState(caffe.Layer):
    """Let the RecallState of its net have v^t in the next forward pass.

    bottom: N x shape for each shape of RecallState, in its order, then RecallState's last top.
    """

    @printing_errors()
    def setup(self, bottom: Blobs, top: Blobs) -> None:
        number = int(bottom[len(bottom) - 1].data.flat[0])
        if number not in _states or len(_states[number].shapes) != len(bottom) - 1:
            raise InputError(
                "KeepState takes a bottom for each shape of its net's RecallState, and RecallState's "
                "last top after them"
            )
        self.state = _states[number]
        self.state.blobs = [bottom[index] for index in range(len(self.state.shapes))]

    @printing_errors()
    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        for index, shape in enumerate(self.state.shapes):
            actual = tuple(bottom[index].shape)[1:]
            if actual != shape:
                raise InputError(f"KeepState: bottom {index} is {actual} in each row, but RecallState gives {shape}")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        pass

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        pass
