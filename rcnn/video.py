"""Frames of a video file at a frame rate, chosen by their time stamps."""
import os

# FFmpeg reads this once, at the first video; it would report every flaw of every file on standard error, without the
# file's name.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2  # noqa: E402

from rcnn.files import InputError, existing  # noqa: E402

cv2.setLogLevel(2)  # errors; else a file that is no video is also reported without its name

RATE_RULE = ("the frame on screen at each instant k / fps, k = 0, 1, 2, ..., by presentation time stamps counted from "
             "the first frame's, up to the last frame's; none twice; fps null: every frame")
RESIZE_RULE = "cv2.INTER_LINEAR, or cv2.INTER_AREA where both sides shrink to half or less; aspect ratio not kept"
DECODER = f"OpenCV {cv2.__version__}, FFMPEG"

# Time stamps are decimal or rational, instants binary: a stamp this close to an instant is on it.
TOLERANCE = 1e-6


class VideoError(InputError):
    """A video file that gives no frames; the message is the reason, without the file's name."""


def sample(path, fps=None, warnings=None):
    """Yield (time, image) of the frames of a video file at a frame rate, in order.

    path: a video file that OpenCV's FFMPEG can decode.
    fps: frames a second, above 0; None for every frame.  The frame on screen at each instant k / fps (k = 0, 1, 2,
        ...) is given, by presentation time stamps counted from the first frame's; never twice, so that an `fps` above
        the video's own gives frames no closer than the video has them.  How long the last frame stays is not written
        in every container, so the instants end at its time stamp.
    warnings: a list; where the file breaks off, its frames until there are given and text that says so is appended.
    time: seconds, the frame's own time stamp (float, 0 for the first, rising); image: uint8 height x width x 3, BGR.

    A frame without a usable time stamp (FFmpeg gives none to the last frame of an AVI with packed B frames, as
    UCF-101's are) follows the one before it by one frame of the file's nominal rate.

    Raises InputError where there is no such file, VideoError where it is empty, not a video, or without a frame.
    """
    path = existing(path, "video")
    if path.stat().st_size == 0:
        raise VideoError("the file is empty")
    # One thread: the work is spread over videos, and a damaged file then decodes alike each time.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise VideoError("the file is damaged or not a video: OpenCV cannot open it")
    frames = _decoded(capture, [] if warnings is None else warnings)
    yield from frames if fps is None else _at_rate(frames, fps)


def _decoded(capture, warnings):
    """Yield (time, image) of every frame, times mended so that they rise."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    gap = 1 / rate if rate > 0 else 0.04
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT) * gap
    first = time = None
    while capture.grab():
        stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        decoded, image = capture.retrieve()
        if not decoded:
            break
        if first is None:
            first, time = stamp, 0.0
        else:
            time = stamp - first if stamp - first > time else time + gap
        yield time, image
    capture.release()
    if time is None:
        raise VideoError("it has no frame that can be decoded")
    # An AVI's header also counts the placeholders of packed B frames, so up to two frames too few are no break.
    if rate > 0 and promised - (time + gap) > 2.5 / rate:
        warnings.append(f"broken off: its frames end at {time + gap:.2f} s of {promised:.2f} s")


def resize(image, size):
    """Return `image` (uint8, height x width x 3) as `size` x `size`, its aspect ratio not kept.

    Bilinear, as Caffe's own convert_imageset resizes; but where both sides shrink to half or less, where bilinear
    interpolation would skip pixels and alias, the average over areas.
    """
    height, width = image.shape[:2]
    shrinks = 2 * size <= min(height, width)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _at_rate(frames, fps):
    """Yield those of `frames`, (time, image) in order, that are on screen at an instant k / fps."""
    held, instant = None, 0
    for frame in frames:
        if held is not None and frame[0] > instant / fps + TOLERANCE:
            yield held
            instant = _after(frame[0], fps)
        held = frame
    if held is not None and held[0] >= instant / fps - TOLERANCE:
        yield held


def _after(time, fps):
    """Return the first k with k / fps not before `time`."""
    k = int(time * fps)
    while k / fps < time - TOLERANCE:
        k += 1
    return k
