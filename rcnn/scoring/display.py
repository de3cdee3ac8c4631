"""What a viewer is shown of scores that come in frame by frame: annotated frames, their video, a bounded history."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Union

import cv2
import numpy as np

from rcnn.data.video import open_video, silent
from rcnn.files import InputError, PathLike, WriteError, check_writable, replacing

BEST = 5
CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "XVID"}  # MPEG-4 Part 2, which every build of FFmpeg can write

HEIGHTS, WIDEST = (240, 720), 1280  # of a frame as it is shown, pixels
PANEL = 220  # width of the panel beside a frame of 240 pixels; all sizes below are for that height
FONT, TEXT = cv2.FONT_HERSHEY_SIMPLEX, 0.42
BACKGROUND, GREY, WHITE, BLUE = (32, 32, 32), (170, 170, 170), (255, 255, 255), (233, 180, 86)  # BGR


def best(
    scores: Union[np.ndarray, Sequence[float]], classes: Sequence[str], number: int = BEST
) -> list[tuple[str, float]]:
    """Return [(class name, score), ...] of the `number` highest of a score a class, highest first, fewer if there are.

    Of equal scores the class of the lower number comes first.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")[:number]
    return [(classes[index], float(scores[index])) for index in order]


class Canvas:
    """Draws frames beside a panel of scores, all of one size, fit for a video (both sides are even).

    Parameters
    ----------
    height, width
        Of the first frame in pixels; it is shown 240 to 720 pixels high, at most 1280 wide.

    Attributes
    ----------
    shape
        Height and width of what `draw` returns.
    """

    def __init__(self, height: int, width: int) -> None:
        factor = min(max(1.0, HEIGHTS[0] / height), HEIGHTS[1] / height, WIDEST / width)
        self._view = _even(height * factor), _even(width * factor)
        self._unit = max(self._view[0], HEIGHTS[0]) / 240
        self.shape = max(self._view[0], HEIGHTS[0]), self._view[1] + _even(PANEL * self._unit)

    def draw(
        self, image: np.ndarray, time: float, top: tuple[str, float], so_far: Sequence[tuple[str, float]]
    ) -> np.ndarray:
        """Return the frame with its panel, uint8 height x width x 3.

        Parameters
        ----------
        image
            uint8 H x W x 3 BGR of any size; it is shown whole.
        time
            Seconds.
        top
            (name, score) of the frame's own best class.
        so_far
            (name, score) of the best of all frames so far, at most five; scores are 0 to 1.
        """
        canvas = np.full((*self.shape, 3), BACKGROUND, np.uint8)
        self._place(image, canvas)
        self._text(canvas, 20, f"{time:.1f} s, this frame:", GREY)
        self._row(canvas, 40, *top)
        self._text(canvas, 68, "so far:", GREY)
        for number, (name, score) in enumerate(so_far):
            baseline = 86 + 31 * number
            self._row(canvas, baseline, name, score)
            self._bar(canvas, baseline + 6, 1.0, (64, 64, 64))
            self._bar(canvas, baseline + 6, score, BLUE)
        return canvas

    def _place(self, image, canvas):
        height, width = image.shape[:2]
        factor = min(self._view[0] / height, self._view[1] / width)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        shown = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        top, left = (self.shape[0] - size[1]) // 2, (self._view[1] - size[0]) // 2
        canvas[top : top + size[1], left : left + size[0]] = shown

    def _row(self, canvas, baseline, name, score):
        number = f"{score:.2f}"
        taken = self._text(canvas, baseline, number, WHITE, right=True)
        self._text(canvas, baseline, name, WHITE, room=self._inner()[1] - self._inner()[0] - taken - self._pixels(8))

    def _text(self, canvas, baseline, text, colour, room=None, right=False):
        """Write a line; return its width.  What does not fit `room` is left out, as is what is not ASCII."""
        scale, thickness = TEXT * self._unit, max(1, int(0.8 * self._unit))
        text = text.encode("ascii", "replace").decode()

        def length(line):
            return cv2.getTextSize(line, FONT, scale, thickness)[0][0]

        whole = text
        while room is not None and text and length(text) > room:
            whole = whole[:-1]
            text = whole + "..." if whole else ""
        left, end = self._inner()
        place = end - length(text) if right else left
        cv2.putText(canvas, text, (place, self._pixels(baseline)), FONT, scale, colour, thickness, cv2.LINE_AA)
        return length(text)

    def _bar(self, canvas, top, share, colour):
        left, end = self._inner()
        end = left + round((end - left) * float(np.clip(share, 0, 1)))
        canvas[self._pixels(top) : self._pixels(top + 6), left:end] = colour

    def _inner(self):
        return self._view[1] + self._pixels(10), self.shape[1] - self._pixels(10)

    def _pixels(self, length):
        return round(length * self._unit)


def check_video(path: PathLike) -> None:
    """Raise InputError unless `path` names a video that `writing_video` can write; leaves nothing behind."""
    if Path(path).suffix.lower() not in CODECS:
        raise InputError(f"cannot write {path} as a video; its name must end in {', '.join(CODECS)}")
    check_writable(path)


@contextmanager
def writing_video(path: PathLike, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that writes one frame (uint8 H x W x 3 BGR, all of one size, H and W even) to a video file.

    The file (MPEG-4, `fps` frames a second) takes its place at `path` when the block ends, and goes if it fails.
    Raises InputError where it cannot be written, and WriteError where it is not whole, as on a full disk.
    """
    check_video(path)
    writer, count = cv2.VideoWriter(), 0
    with replacing(path) as part:

        def write(image):
            nonlocal count
            if not count:
                codec = cv2.VideoWriter_fourcc(*CODECS[Path(path).suffix.lower()])
                with silent():
                    writer.open(str(part), cv2.CAP_FFMPEG, codec, fps, image.shape[1::-1])
                if not writer.isOpened():
                    raise InputError(
                        f"cannot write {path}: OpenCV cannot make an MPEG-4 video of {image.shape[1]} x "
                        f"{image.shape[0]} pixels at {fps:g} frames a second"
                    )
            writer.write(image)
            count += 1

        try:
            yield write
        finally:
            writer.release()
        if not _whole(part, count):
            raise WriteError(f"cannot write {path}: the video is not whole; is the disk full?")


def _whole(path: PathLike, count: int) -> bool:
    """Return whether all frames can be read; the writer does not say what became of one."""
    warnings: list[str] = []
    try:
        frames = sum(1 for _ in open_video(path, warnings).frames())
    except InputError:
        return False
    return frames == count and not warnings


class History:
    """What was added, one row of numbers a time, thinned so that it never holds more than `limit` points.

    A point is the mean of `stride` neighbours.  At `limit` points, neighbours are averaged in twos and the stride is
    doubled.

    Parameters
    ----------
    limit
        An even number of points.
    """

    def __init__(self, limit: int = 2000) -> None:
        self.stride, self._limit, self._length, self._values = 1, limit, 0, np.zeros((limit, 0))

    def add(self, time: float, values: np.ndarray) -> None:
        """Add the values (an array, of one shape each time) of a time (seconds)."""
        row = np.concatenate([[time], np.ravel(values)])
        if not self._values.size:
            self._shape = np.shape(values)
            self._values = np.zeros((self._limit, len(row)))
            self._sum, self._summed = np.zeros(len(row)), 0
        self._sum += row
        self._summed += 1
        if self._summed == self.stride:
            self._values[self._length] = self._sum / self.stride
            self._length += 1
            self._sum[:], self._summed = 0, 0
        if self._length == self._limit:
            self._length //= 2
            self._values[: self._length] = (self._values[0::2] + self._values[1::2]) / 2
            self.stride *= 2

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (times, values) of the points, float64 N and N x shape; the last may be of fewer than `stride`."""
        if not self._values.size:
            raise InputError("there are no scores to draw")
        rows = self._values[: self._length]
        if self._summed:
            rows = np.vstack([rows, self._sum / self._summed])
        return rows[:, 0].copy(), rows[:, 1:].reshape(-1, *self._shape)


def _even(length):
    return max(2, 2 * round(length / 2))
