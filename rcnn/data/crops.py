"""The crops, the mirror and the mean: one home for training's and testing's (Sec. 3.2)."""

from collections.abc import Sequence

import numpy as np

from rcnn.data import flow
from rcnn.files import InputError

MEAN = (104.0, 117.0, 123.0)  # BGR, of the ImageNet GoogLeNet
FLOW_MEAN = (float(flow.ZERO),) * flow.CHANNELS  # no motion
MEANS = {len(MEAN): MEAN, flow.CHANNELS: FLOW_MEAN}  # by the channels of a frame
PROTOCOLS = (1, 5, 10)


def positions(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Return the five test crops of a height x width image as (top, left) in pixels.

    The centre comes first, then the corners: top left, top right, bottom left, bottom right.  The first one or five
    are so the smaller protocols of Sec. 3.2.

    Raises
    ------
    InputError
        If the image is smaller than the crop.
    """
    if min(height, width) < size:
        raise InputError(
            f"a {size} x {size} crop does not fit an image of {width} x {height}; "
            "build the frames larger or the net smaller"
        )
    bottom, right = height - size, width - size
    return [(bottom // 2, right // 2), (0, 0), (0, right), (bottom, 0), (bottom, right)]


def cut(image: np.ndarray, top: int, left: int, size: int, mirror: bool = False) -> np.ndarray:
    """Return size x size x C of a H x W x C image at (top, left), mirrored if `mirror`.

    In a mirror left and right change places, and flow, which has two channels, also goes the other way
    (`flow.mirror`).
    """
    crop = image[top : top + size, left : left + size]
    if not mirror:
        return crop
    return flow.mirror(crop) if image.shape[2:] == (flow.CHANNELS,) else crop[:, ::-1]


def oversample(image: np.ndarray, size: int, crops: int) -> np.ndarray:
    """Return `crops` x size x size x C crops of a H x W x C image, in its dtype.

    crops: 1 (centre), 5 (centre and corners) or 10 (those five, then the same five mirrored).

    Raises
    ------
    InputError
        If `crops` is another number, or the image is smaller than the crop.
    """
    if crops not in PROTOCOLS:
        raise InputError(f"{crops} crops: there are protocols of 1, 5 and 10")
    height, width = image.shape[:2]
    places = positions(height, width, size)[:crops]
    views = [cut(image, top, left, size) for top, left in places]
    if crops == 10:
        views += [cut(image, top, left, size, mirror=True) for top, left in places]
    return np.stack(views)


def draw(generator: np.random.Generator, height: int, width: int, size: int) -> tuple[int, int, bool]:
    """Draw a training crop: (top, left, mirror), each place and both orientations equally likely.

    Raises
    ------
    InputError
        If the image is smaller than the crop.
    """
    positions(height, width, size)
    return (
        int(generator.integers(height - size + 1)),
        int(generator.integers(width - size + 1)),
        bool(generator.integers(2)),
    )


def network_input(crops: np.ndarray, mean: Sequence[float] = MEAN, scale: float = 1.0) -> np.ndarray:
    """Return N x H x W x C crops as the float32 N x C x H x W that a net takes: (crop - mean) * scale."""
    values = np.asarray(crops, np.float32) - np.asarray(mean, np.float32)
    return np.ascontiguousarray((values * np.float32(scale)).transpose(0, 3, 1, 2))
