"""Frames at a frame rate: of a video file, chosen by their time stamps, of a folder of images, or of a camera."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Optional, TypeVar

import cv2
import numpy as np

from rcnn.data.decoding import Reader, VideoError
from rcnn.files import InputError, PathLike, existing

cv2.setLogLevel(2)  # errors; else a camera that is not there is also reported by OpenCV

RATE_RULE = (
    "the frame on screen at each instant k / fps, k = 0, 1, 2, ..., by presentation time stamps counted from "
    "the first frame's, up to the last frame's, that are no multiple of the nominal gap taken as 1/600 s early; none "
    "twice; fps null: every frame"
)
RESIZE_RULE = "cv2.INTER_LINEAR, or cv2.INTER_AREA where both sides shrink to half or less; aspect ratio not kept"

ADDRESS, PATIENCE = "[A-Za-z][A-Za-z0-9+.-]+:.+", 20  # of what FFmpeg reads from elsewhere; seconds to wait for it
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

# Time stamps are decimal or rational, instants binary: a stamp this close to an instant is on it.  Containers that
# count in another unit round them: to milliseconds (Matroska, WebM, FLV, WMV, and what is copied from them) or, the
# coarsest in use, to 600ths of a second (QuickTime).
TOLERANCE, ROUNDING = 1e-6, 1 / 600

Frame = tuple[float, np.ndarray]  # time in seconds; uint8 height x width x 3, BGR
Content = TypeVar("Content")


def sample(path: PathLike, fps: Optional[float] = None, warnings: Optional[list[str]] = None) -> Iterator[Frame]:
    """Yield the frames of a video file at a frame rate, in order.

    Parameters
    ----------
    path : a video file that FFmpeg can decode
    fps : frames a second, above 0; None for every frame.  The frame on screen at each instant k / fps (k = 0, 1, 2,
        ...) is given, by presentation time stamps counted from the first frame's; never twice, so that an `fps` above
        the video's own gives frames no closer than the video has them.  How long the last frame stays is not written
        in every container, so the instants end at its time stamp.
    warnings : text is appended where the video ends before its time, and where FFmpeg reports damage

    Yields
    ------
    time : seconds, the frame's own time stamp (0 for the first, rising)
    image : uint8 height x width x 3, BGR, the way up that it is shown; of its own size, which may change within a video

    Raises
    ------
    InputError
        If there is no such file.
    VideoError
        If it is empty, not a video, or without a frame.
    """
    return _sampled(open_video(path, warnings), fps)


def open_video(path: PathLike, warnings: Optional[list[str]] = None) -> Reader:
    """Return the Reader of a video file; parameters and errors are as of `sample`."""
    path = existing(path, "video")
    if path.stat().st_size == 0:
        raise VideoError("the file is empty")
    return Reader(_file_url(path), [] if warnings is None else warnings)


def _file_url(path: PathLike) -> str:
    """Return a path so that FFmpeg takes nothing of it for a protocol."""
    return f"file:{os.fspath(path)}"


def _sampled(reader: Reader, fps: Optional[float]) -> Iterator[Frame]:
    frames = reader.frames()
    for time, picture in frames if fps is None else at_rate(frames, fps, reader.gap):
        yield time, reader.image(picture)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Return `image` (uint8, height x width x 3) as `size` x `size`, its aspect ratio not kept.

    Bilinear, as Caffe's own convert_imageset resizes; but where both sides shrink to half or less, where bilinear
    interpolation would skip pixels and alias, the average over areas.
    """
    height, width = image.shape[:2]
    shrinks = 2 * size <= min(height, width)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def at_rate(frames: Iterable[tuple[float, Content]], fps: float, gap: float) -> Iterator[tuple[float, Content]]:
    """Yield those of `frames`, (time, anything) in order, that are on screen at an instant k / fps (see `sample`).

    gap: seconds between frames at the video's nominal rate.  A stamp that is no multiple of it may have been rounded.
    """
    shown, instant = None, 0
    for frame in frames:
        start = frame[0] - _doubt(frame[0], gap)
        if shown is not None and start > instant / fps:
            yield shown
            instant = _after(start, fps)
        shown = frame
    if shown is not None and shown[0] + _doubt(shown[0], gap) >= instant / fps:
        yield shown


def _doubt(time: float, gap: float) -> float:
    """Return by how many seconds a time stamp may be off."""
    return TOLERANCE if abs(time - round(time / gap) * gap) < TOLERANCE else ROUNDING


def _after(time: float, fps: float) -> int:
    """Return the first k with k / fps not before `time`."""
    k = int(time * fps)
    while k / fps < time:
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
    """Return the Source of a video, a folder of images or a camera.

    Parameters
    ----------
    source : a path, also of a pipe or of a camera's device (/dev/video0); an address that FFmpeg reads
        (http://, rtsp://, ...); or the number of a camera (from 0) where no file has that name
    fps : frames a second
    warnings : as of `sample`

    Raises
    ------
    InputError
        If there is no such file, folder, address or camera, or it is no video.  `frames` raises what `sample` and
        `camera` do, and InputError where an image cannot be read.
    """
    if not source:
        raise InputError("the source is empty; give a video file, a folder of images, or the number of a camera")
    path, address = Path(source), re.fullmatch(ADDRESS, source)
    device = re.fullmatch("/dev/video([0-9]+)", os.path.realpath(source))
    if device or re.fullmatch("[0-9]+", source) and not path.exists():
        return Source(camera(int(device[1] if device else source), fps), None, True)
    if path.is_dir():
        files = images(source)  # they may differ in size; image k, from 0, is at k / fps seconds
        return Source(((number / fps, read_image(file)) for number, file in enumerate(files)), len(files), False)
    warnings = [] if warnings is None else warnings
    try:
        if path.is_fifo():
            reader = Reader(_file_url(path), warnings)
        elif address and not path.exists():
            reader = Reader(source, warnings, PATIENCE)
        else:
            reader = open_video(path, warnings)
    except VideoError as error:
        raise InputError(f"{source}: {error}") from None
    return Source(_sampled(reader, fps), reader.expected(fps), reader.duration is None)


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
        instant = max(instant + 1, _after(monotonic() - began - TOLERANCE, fps))
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
