"""Scores of a video as its frames come, printed at once, drawn beside them and kept for a plot in little memory."""

import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from rcnn.command import progress, tell, tqdm
from rcnn.data.decoding import VideoError
from rcnn.data.video import TOLERANCE, Source
from rcnn.files import InputError
from rcnn.scoring.display import Canvas, History, best, writing_video


class Summary(NamedTuple):
    """What is known once the frames are over.

    Attributes
    ----------
    frames
        How many there were.
    time
        Of the last one, seconds.
    scores
        Of all of them, float64, one a class.
    history
        Of 2 x classes a frame: its own scores and those so far.
    """

    frames: int
    time: float
    scores: np.ndarray
    history: History


def classify(
    source: Source,
    name: str,
    classifier: Any,
    row: int,
    classes: Sequence[str],
    fps: float,
    seconds: Optional[float] = None,
    annotated: Optional[str] = None,
) -> Summary:
    """Print the scores of each frame of a source; return the Summary.

    Parameters
    ----------
    source
        Of `video.open_source`; a live one also ends at Ctrl-C.
    name
        How messages call it.
    classifier
        A `rcnn.stream.Classifier`.
    row
        Of the signal among its signals.
    fps
        Frames a second.
    seconds
        End there; None: where the source ends.
    annotated
        Video file to write, of the frames beside their scores.

    Raises
    ------
    InputError
        Where a frame cannot be read or its scores are not finite; then no video is written.
    """
    history, count = History(), 0
    try:
        frames = chain([next(source.frames)], source.frames)  # the first before a bar is shown, as it may be none
        with (
            _annotating(annotated, fps, classes) as write,
            _until_interrupted(source.live) as interrupted,
            progress(_expected(source.total, seconds, fps), "frame") as bar,
        ):
            for time, image in frames:
                if count and (interrupted() or seconds and time >= seconds - TOLERANCE):
                    break
                try:
                    own, so_far = (scores[row] for scores in classifier.push(image))
                except InputError as error:
                    raise InputError(f"{name}, {time:.2f} s: {error}") from None
                count, last = count + 1, time
                _print(f"{time:8.2f} s  {listed(own, classes)}")
                history.add(time, np.stack([own, so_far]))
                write(image, time, best(own, classes)[0], best(so_far, classes))
                bar.update()
    except VideoError as error:
        raise InputError(f"{name}: {error}") from None
    return Summary(count, last, so_far, history)


def listed(scores: np.ndarray, classes: Sequence[str]) -> str:
    """Return the text of the five best classes."""
    return "  ".join(f"{name} {score:.3f}" for name, score in best(scores, classes))


def missed(summary: Summary, fps: float) -> list[str]:
    """Return a list with a warning if there were fewer frames than instants, `fps` of them a second."""
    instants = int(summary.time * fps + TOLERANCE) + 1
    if summary.frames >= instants:
        return []
    return [
        f"{instants - summary.frames} of {instants} instants had no frame of their own: the source, or this "
        f"machine, gives fewer than {fps:g} frames a second; the net takes them for evenly spaced"
    ]


@contextmanager
def _annotating(path: Optional[str], fps: float, classes: Sequence[str]) -> Iterator[Callable[..., None]]:
    """Yield a function that adds a frame with its scores to the annotated video, if there is to be one."""
    if path is None:
        yield lambda *_: None
        return
    if odd := [name for name in classes if not name.isascii()]:
        tell(f"{path}: frames show ASCII alone: {len(odd)} class names, the first {odd[0]}, have ? for the rest")
    with writing_video(path, fps) as add:
        canvas = None

        def write(image, *scores):
            nonlocal canvas
            canvas = canvas or Canvas(*image.shape[:2])
            add(canvas.draw(image, *scores))

        yield write


@contextmanager
def _until_interrupted(live: bool) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed in a live source; pressed again, it interrupts as ever."""
    pressed = []

    def note(*_):
        pressed.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note) if live else None
    try:
        yield lambda: bool(pressed)
    finally:
        if live:
            signal.signal(signal.SIGINT, before)


def _expected(total: Optional[int], seconds: Optional[float], fps: float) -> Optional[int]:
    """Return how many frames there will be, None where nothing says so."""
    numbers = [total] if total else []
    if seconds:
        numbers.append(math.ceil(seconds * fps - TOLERANCE))
    return min(numbers, default=None)


def _print(line: str) -> None:
    """Print a line at once, above a progress bar if a person sees one."""
    if sys.stderr.isatty():
        tqdm.write(line)
        sys.stdout.flush()
    else:
        print(line, flush=True)
