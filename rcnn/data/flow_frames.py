"""The optical flow of a video at a frame rate, as the 8-bit frames of a frames LMDB (Sec. 3.4)."""

from collections.abc import Iterable, Iterator
from typing import Any, Optional

import cv2
import numpy as np
from av import VideoFrame

from rcnn.data import decoding, flow, video
from rcnn.files import InputError, PathLike

BETWEEN = ("neighbours", "samples")
RULE = (
    "from each frame to the next one, the last from the one before it; at the video's own size, then resized as "
    "images are, x and y with the width and the height; round(128 + 127 value / bound), values clipped to +- bound"
)


def recipe(method: str, between: str = "neighbours", bound: float = flow.BOUND) -> dict[str, Any]:
    """Return what decides the flow of a video, fit for JSON.

    Parameters
    ----------
    method : one of flow.METHODS
    between : "neighbours", from a frame to the next of the video, or "samples", to the next at the frame rate
    bound : largest motion that 8 bits hold, pixels of the resized frame

    Raises
    ------
    InputError
        As `flow.describe` does.
    """
    return {**flow.describe(method), "between": between, "bound": bound, "rule": RULE}


def sample(
    path: PathLike, fps: float, size: int, settings: dict[str, Any], warnings: Optional[list[str]]
) -> Iterator[tuple[float, np.ndarray, float]]:
    """Yield the flow of a video file at a frame rate, at the times of `video.sample`; none of a single frame.

    Parameters
    ----------
    path, fps, warnings : as of `video.sample`
    size : height and width of what is stored
    settings : of `recipe`, on this machine or another

    Yields
    ------
    time : seconds
    stored : uint8 size x size x 2 (flow.quantise), in pixels of the resized frame
    clipped : the share of its pixels that go beyond the bound

    Raises
    ------
    InputError
        As `video.sample` does, and where this machine's method is another than that of `settings`.
    VideoError
        As `video.sample` does, and where frames are too small.
    """
    here = flow.describe(settings["method"])
    if any(settings[name] != value for name, value in here.items()):
        raise InputError(
            f"flow by {settings['method']} is of {settings['by']} where the build was started, and of "
            f"{here['by']} on a machine that works for it; use machines with the same OpenCV"
        )
    cv2.setNumThreads(1)  # the work is spread over videos
    reader = video.open_video(path, warnings)
    pictures = reader.frames()
    if settings["between"] == "neighbours":
        pairs = video.at_rate(_steps(pictures), fps, reader.gap)
    else:
        pairs = _steps(video.at_rate(pictures, fps, reader.gap))
    for time, pair in pairs:
        image, following = map(reader.image, pair)
        if image.shape != following.shape:
            following = cv2.resize(following, image.shape[1::-1])
        motion = resize(flow.compute(settings["method"], image, following), size)
        yield time, flow.quantise(motion, settings["bound"]), flow.clipped(motion, settings["bound"])


def resize(motion: np.ndarray, size: int) -> np.ndarray:
    """Return a flow (float32 height x width x 2, pixels) as size x size x 2, in pixels of the resized frame."""
    height, width = motion.shape[:2]
    return video.resize(motion, size) * np.asarray([size / width, size / height], np.float32)


def _steps(frames: Iterable[tuple[float, VideoFrame]]) -> Iterator[tuple[float, tuple[VideoFrame, VideoFrame]]]:
    """Yield (time, (picture, next picture)) of `frames`, (time, picture); for the last, that before it and itself."""
    before = last = None
    for frame in frames:
        if min(frame[1].width, frame[1].height) < flow.LEAST_SIDE:
            raise decoding.VideoError(
                f"its frames are smaller than {flow.LEAST_SIDE} x {flow.LEAST_SIDE}, too small for flow"
            )
        if last is not None:
            yield last[0], (last[1], frame[1])
        before, last = last, frame
    if before is not None and last is not None:
        yield last[0], (before[1], last[1])
