"""The optical flow of a video at a frame rate, as the 8-bit frames of a frames LMDB (Sec. 3.4)."""
import cv2
import numpy as np

from rcnn.data import flow

from rcnn.data import video
from rcnn.files import InputError

BETWEEN = ("neighbours", "samples")
RULE = ("from each frame to the next one, the last from the one before it; at the video's own size, then resized as "
        "images are, x and y with the width and the height; round(128 + 127 value / bound), values clipped to +- bound")


def recipe(method, between="neighbours", bound=flow.BOUND):
    """Return what decides the flow of a video, a dict of what JSON can hold.

    method: one of flow.METHODS.  between: "neighbours", from a frame to the next of the video, or "samples", to the
    next at the frame rate.  bound: pixels, in the resized frame.  Raises InputError as `flow.describe` does.
    """
    return {**flow.describe(method), "between": between, "bound": bound, "rule": RULE}


def sample(path, fps, size, settings, warnings):
    """Yield (time, stored, clipped) of the flow of a video file at a frame rate, at the times of `video.sample`.

    size: height and width of what is stored.  settings: of `recipe`, on this machine or another.  warnings: as of
    `video.sample`.
    time: seconds; stored: uint8 size x size x 2 (flow.quantise), in pixels of the resized frame; clipped: the share of
    its pixels that go beyond the bound.

    A video of a single frame has no flow and gives nothing.  Raises what `video.sample` does, VideoError where frames
    are too small, and InputError where this machine's method is another than that of `settings`.
    """
    here = flow.describe(settings["method"])
    if any(settings[name] != value for name, value in here.items()):
        raise InputError(f"flow by {settings['method']} is of {settings['by']} where the build was started, and of "
                         f"{here['by']} on a machine that works for it; use machines with the same OpenCV")
    cv2.setNumThreads(1)  # the work is spread over videos
    neighbours = settings["between"] == "neighbours"
    steps = _steps(video.sample(path, None if neighbours else fps, warnings))
    for time, images in video.at_rate(steps, fps) if neighbours else steps:
        found = resize(flow.compute(settings["method"], *images), size)
        yield time, flow.quantise(found, settings["bound"]), flow.clipped(found, settings["bound"])


def resize(found, size):
    """Return a flow (float32 height x width x 2, pixels) as size x size x 2, in pixels of the resized frame."""
    height, width = found.shape[:2]
    return video.resize(found, size) * np.float32([size / width, size / height])


def _steps(frames):
    """Yield (time, (image, next image)) of `frames`, (time, image); for the last, the one before it and itself."""
    before = held = None
    for frame in frames:
        if min(frame[1].shape[:2]) < flow.LEAST_SIDE:
            raise video.VideoError(f"its frames are smaller than {flow.LEAST_SIDE} x {flow.LEAST_SIDE}, too small for "
                                   "flow")
        if held is not None:
            yield held[0], (held[1], frame[1])
        before, held = held, frame
    if before is not None:
        yield held[0], (before[1], held[1])
