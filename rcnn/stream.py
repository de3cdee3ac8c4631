"""Frames in one by one, scores out (Sec. 2.2, 2.4), for videos of any length.

classifier = Classifier("prototxt/deploy_rcnn_r.prototxt", "snapshots/rcnn_r_iter_30000.caffemodel")
for image in images:                     # uint8, height x width x 3, BGR, at the rate the net was trained at
frame, so_far = classifier.push(image)
print(so_far[classifier.signals.index("high")].argmax())
"""

from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

import numpy as np

from rcnn.data import crops, video
from rcnn.files import InputError, PathLike
from rcnn.nets.backends import mean_of, open_network
from rcnn.scoring.score_files import check_finite
from rcnn.scoring.scores import FLOOR


class Result(NamedTuple):
    """What one frame gives.

    Attributes
    ----------
    frame
        Its probabilities, float32 signals x classes.
    so_far
        The log-mean of those of all frames since the stream's first (Sec. 2.4, probabilities below `scores.FLOOR`
        raised to it), float64 signals x classes, each row scaled to a sum of 1.
    """

    frame: np.ndarray
    so_far: np.ndarray


class Classifier:
    """A net, its weights, and what it has to know of the past of one or more streams side by side.

    Parameters
    ----------
    net_path, weights_path, gpu, backend, mode
        As of `backends.open_network`.
    streams
        How many.
    mean, scale
        Of the input, as in training.
    frame_size
        Side in pixels that frames are resized to before the centre is cut out, as those of the training were; None:
        8/7 of the net's input (256 for 224).

    Attributes
    ----------
    signals
        Names of the rows of a Result.
    classes
        Their length.
    mode
        "pair", each frame is scored with the one before it, as RCNN-r is trained; "recurrent", with v^{t-1} of all
        frames before, as RCNN-s is.

    Raises
    ------
    InputError
        Where the files make no such net, or it takes optical flow.
    """

    def __init__(
        self,
        net_path: Optional[PathLike],
        weights_path: PathLike,
        streams: int = 1,
        mean: Optional[Sequence[float]] = crops.MEAN,
        scale: float = 1.0,
        frame_size: Optional[int] = None,
        gpu: Optional[int] = None,
        backend: str = "auto",
        mode: Optional[str] = None,
    ) -> None:
        self._network, self.mode = open_network(backend, net_path, weights_path, gpu, mode, pairs=True)
        if self._network.channels != 3:
            raise InputError(
                f"net: {net_path or weights_path} takes optical flow; frames come one by one into nets of images only"
            )
        self.signals, self.classes, self.streams = self._network.signals, self._network.classes, streams
        self.frame_size = frame_size or round(self._network.size * 8 / 7)
        crops.positions(self.frame_size, self.frame_size, self._network.size)
        self._mean, self._scale = mean_of(mean, self._network, net_path or weights_path), scale
        self._previous = np.zeros((streams, 3, self._network.size, self._network.size), np.float32)
        self._first = np.ones(streams, bool)
        self._logs = np.zeros((streams, len(self.signals), self.classes))
        self._counts = np.zeros(streams, int)

    def push(
        self, frames: Union[np.ndarray, Sequence[Optional[np.ndarray]]]
    ) -> Union[None, Result, list[Optional[Result]]]:
        """Return the Result of the next frame, uint8 height x width x 3, BGR.

        With more than one stream, takes a list with the next frame of each, or None where a stream has none now, and
        returns a list of Results, None in the same places.

        Raises
        ------
        InputError
            For another number of frames or an image of another kind, and where the scores are not finite.
        """
        several = [frames] if self.streams == 1 and not isinstance(frames, list) else frames
        if len(several) != self.streams:
            raise InputError(f"{len(several)} frames for {self.streams} streams; give each its next frame, or None")
        rows = [row for row, image in enumerate(several) if image is not None]
        inputs = np.zeros_like(self._previous)
        for row in rows:
            inputs[row] = self._input(several[row])
        scores = self._scores_of_pairs(inputs) if self.mode == "pair" else self._scores_in_order(inputs, rows)
        for row in rows:  # before any is taken, so that an error leaves all as they were
            check_finite(scores[row : row + 1], f"of stream {row}", self._counts[row], self._counts[row] + 1)
        self._previous[rows] = inputs[rows]
        results = [None if image is None else self._take(row, scores[row]) for row, image in enumerate(several)]
        return results if several is frames else results[0]

    def _scores_of_pairs(self, inputs):
        """Return streams x signals x classes; a video's first frame, without one before it, as Eq. 3 does at t = 1."""
        first = self._first.reshape(-1, 1, 1)
        now, before = self._network.forward_pair(inputs, np.where(first[..., np.newaxis], inputs, self._previous))
        return np.where(first, before, now)

    def _scores_in_order(self, inputs, rows):
        """Return streams x signals x classes, with v^{t-1}; streams that are not of `rows` keep theirs."""
        idle = [row for row in np.flatnonzero(~self._first) if row not in rows]
        state = self._network.hold(idle) if idle else None
        scores = self._network.forward(inputs, first=self._first)
        if idle:
            self._network.restore(idle, state)
        return scores

    def reset(self, stream: Optional[int] = None) -> None:
        """Make the next frame of a stream (its number from 0; None: of every stream) the first of a video."""
        if stream is not None and not 0 <= stream < self.streams:
            raise InputError(f"no stream {stream}; there are {self.streams}, counted from 0")
        rows = slice(None) if stream is None else stream
        self._first[rows], self._logs[rows], self._counts[rows] = True, 0, 0

    def _input(self, image):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f"a frame is uint8, height x width x 3, not {image.dtype}, {' x '.join(map(str, image.shape))}"
            )
        image = video.resize(image, self.frame_size)
        return crops.network_input(crops.oversample(image, self._network.size, 1), self._mean, self._scale)[0]

    def _take(self, row, scores):
        self._first[row] = False
        self._logs[row] += np.log(np.maximum(scores, FLOOR, dtype=np.float64))
        self._counts[row] += 1
        so_far = np.exp(self._logs[row] / self._counts[row])
        return Result(scores, so_far / so_far.sum(axis=-1, keepdims=True))
