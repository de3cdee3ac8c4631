"""Frames at a frame rate: of a video file, chosen by their time stamps, of a folder of images, or of a camera."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Optional, TypeVar

# FFmpeg reads this once, at the first video; it would report every flaw of every file on standard error, without the
# file's name.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from rcnn.data.video_headers import size_change  # noqa: E402
from rcnn.files import InputError, PathLike, existing  # noqa: E402

cv2.setLogLevel(2)  # errors; else a file that is no video is also reported without its name

RATE_RULE = (
    "the frame on screen at each instant k / fps, k = 0, 1, 2, ..., by presentation time stamps counted from "
    "the first frame's, up to the last frame's; none twice; fps null: every frame"
)
RESIZE_RULE = "cv2.INTER_LINEAR, or cv2.INTER_AREA where both sides shrink to half or less; aspect ratio not kept"
DECODER = f"OpenCV {cv2.__version__}, FFMPEG"

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

# Time stamps are decimal or rational, instants binary: a stamp this close to an instant is on it.
TOLERANCE = 1e-6

Frame = tuple[float, np.ndarray]  # time in seconds; uint8 height x width x 3, BGR
Content = TypeVar("Content")


class VideoError(InputError):
    """A video file that gives no frames; the message is the reason, without the file's name."""


def sample(path: PathLike, fps: Optional[float] = None, warnings: Optional[list[str]] = None) -> Iterator[Frame]:
    """Yield the frames of a video file at a frame rate, in order.

    A frame without a usable time stamp (FFmpeg gives none to the last frame of an AVI with packed B frames, as
    UCF-101's are) follows the one before it by one frame of the file's nominal rate.

    Parameters
    ----------
    path : a video file that OpenCV's FFMPEG can decode
    fps : frames a second, above 0; None for every frame.  The frame on screen at each instant k / fps (k = 0, 1, 2,
        ...) is given, by presentation time stamps counted from the first frame's; never twice, so that an `fps` above
        the video's own gives frames no closer than the video has them.  How long the last frame stays is not written
        in every container, so the instants end at its time stamp.
    warnings : where the file breaks off, or its frames change their size, those until there are given and text that
        says so is appended

    Yields
    ------
    time : seconds, the frame's own time stamp (0 for the first, rising)
    image : uint8 height x width x 3, BGR

    Raises
    ------
    InputError
        If there is no such file.
    VideoError
        If it is empty, not a video, or without a frame.
    """
    path = Path(existing(path, "video"))
    if path.stat().st_size == 0:
        raise VideoError("the file is empty")
    # One thread: the work is spread over videos, and a damaged file then decodes alike each time.
    # FFmpeg takes what stands before a colon of a relative path for a protocol.
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise VideoError("the file is damaged or not a video: OpenCV cannot open it")
    frames = _decoded(capture, size_change(path), [] if warnings is None else warnings)
    yield from frames if fps is None else at_rate(frames, fps)


def _decoded(capture: cv2.VideoCapture, end: Optional[float], warnings: list[str]) -> Iterator[Frame]:
    """Yield (time, image) of every frame, times mended so that they rise, up to the time stamp `end` if it is one."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    gap = 1 / rate if rate > 0 else 0.04
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT) * gap
    first, time = 0.0, None
    while capture.grab():
        stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if end is not None and stamp > end - TOLERANCE:
            break
        decoded, image = capture.retrieve()
        if not decoded:
            break
        if time is None:
            first, time = stamp, 0.0
        else:
            time = stamp - first if stamp - first > time else time + gap
        yield time, image
    capture.release()
    if time is None:
        raise VideoError("it has no frame that can be decoded")
    if end is not None:
        warnings.append(f"broken off: the size of its frames changes at {time + gap:.2f} s, which OpenCV cannot follow")
        return
    # An AVI's header also counts the placeholders of packed B frames, so up to two frames too few are no break.
    if rate > 0 and promised - (time + gap) > 2.5 / rate:
        warnings.append(f"broken off: its frames end at {time + gap:.2f} s of {promised:.2f} s")


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Return `image` (uint8, height x width x 3) as `size` x `size`, its aspect ratio not kept.

    Bilinear, as Caffe's own convert_imageset resizes; but where both sides shrink to half or less, where bilinear
    interpolation would skip pixels and alias, the average over areas.
    """
    height, width = image.shape[:2]
    shrinks = 2 * size <= min(height, width)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def at_rate(frames: Iterable[tuple[float, Content]], fps: float) -> Iterator[tuple[float, Content]]:
    """Yield those of `frames`, (time, anything) in order, that are on screen at an instant k / fps (see `sample`)."""
    shown, instant = None, 0
    for frame in frames:
        if shown is not None and frame[0] > instant / fps + TOLERANCE:
            yield shown
            instant = _after(frame[0], fps)
        shown = frame
    if shown is not None and shown[0] >= instant / fps - TOLERANCE:
        yield shown


def _after(time: float, fps: float) -> int:
    """Return the first k with k / fps not before `time`."""
    k = int(time * fps)
    while k / fps < time - TOLERANCE:
        k += 1
    return k


class Source(NamedTuple):
    """Frames to come.

    frames: an iterator of (time, image), as `sample` gives them.  total: how many are expected, None where nothing says
    so; a container may be wrong about it.  live: they come by the clock, until someone stops.
    """

    frames: Iterator[Frame]
    total: Optional[int]
    live: bool


def open_source(source: str, fps: float, warnings: Optional[list[str]] = None) -> Source:
    """Return the Source of a video file, a folder of images or a camera.

    Parameters
    ----------
    source : a path, or the number of a camera (from 0) where no file has that name
    fps : frames a second
    warnings : as of `sample`

    Raises
    ------
    InputError
        If there is no such file, folder or camera.  `frames` raises what `sample` and `camera` do, and InputError
        where an image cannot be read.
    """
    if not source:
        raise InputError("the source is empty; give a video file, a folder of images, or the number of a camera")
    if re.fullmatch("[0-9]+", source) and not Path(source).exists():
        return Source(camera(int(source), fps), None, True)
    if Path(source).is_dir():
        files = images(source)  # they may differ in size; image k, from 0, is at k / fps seconds
        return Source(((number / fps, read_image(file)) for number, file in enumerate(files)), len(files), False)
    return Source(sample(existing(source, "video"), fps, warnings), _expected(source, fps), False)


def images(path: str) -> list[Path]:
    """Return the images of a folder (files with a suffix of IMAGES, none hidden) in natural order.

    Numbers in names count as numbers, so that frame10 follows frame9.  Raises InputError where there is none.
    """
    files = [
        file
        for file in existing(path, "frames", "folder").iterdir()
        if file.suffix.lower() in IMAGES and not file.name.startswith(".")
    ]
    if not files:
        raise InputError(f"frames: no image in {path}; frames are files that end in {', '.join(IMAGES)}")
    return sorted(
        files,
        key=lambda file: (
            [int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", file.name))],
            file.name,
        ),
    )


def camera(index: int, fps: float) -> Iterator[Frame]:
    """Return an iterator of (time, image) of a camera, as `sample` gives them, that ends when the camera does.

    At each instant k / fps by the clock from the first frame on comes the next frame that the camera takes; instants
    that go by while a frame is in use have none.  index: the camera's number, from 0.

    Raises
    ------
    InputError
        If there is no such camera.
    VideoError
        By the iterator, if it gives no frame.
    """
    capture = None
    with silent(), suppress(cv2.error):  # of a number that C cannot hold
        capture = cv2.VideoCapture(index)
    if capture is None or not capture.isOpened():
        raise InputError(
            f"camera {index}: it is not there, or in use, or this user may not read it; "
            "a video or a folder is given by its path"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return _live(capture, fps)


def _live(capture: cv2.VideoCapture, fps: float) -> Iterator[Frame]:
    """Yield (time, image) of an open camera."""
    began, instant = None, 0
    while capture.grab():
        now = monotonic()
        if began is not None and now - began < instant / fps:
            continue
        decoded, image = capture.retrieve()
        if not decoded:
            break
        began = now if began is None else began
        yield now - began, image
        instant = max(instant + 1, _after(monotonic() - began, fps))
    capture.release()
    if began is None:
        raise VideoError("the camera gives no frame")


@contextmanager
def silent() -> Iterator[None]:
    """Keep OpenCV, and the libraries under it, from writing to standard error: they name neither file nor remedy."""
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def read_image(path: PathLike, what: str = "frames") -> np.ndarray:
    """Return an image file as uint8 height x width x 3, BGR; InputError where it is not one, or not whole."""
    try:
        data = existing(path, what).read_bytes()
    except OSError as error:
        raise InputError(f"{what}: cannot read {path}: {error.strerror}") from None
    image = None
    with silent(), suppress(cv2.error):  # of a file that is empty, or has more pixels than OpenCV reads
        # imdecode refuses a file cut short; imread would fill up what is missing
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{what}: {path} is damaged or not an image; remove it, or make it again")
    return image


def _expected(path: str, fps: float) -> Optional[int]:
    """Return how many frames `sample` gives by what the container says, None where it says nothing usable."""
    capture = cv2.VideoCapture(str(Path(path).resolve()), cv2.CAP_FFMPEG)
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    if not (rate > 0 and count > 0):
        return None
    return int(min(count, (count - 1) / rate * fps + 1))
