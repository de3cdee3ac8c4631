"""The crops, the mirror and the mean: one home for training's and testing's (Sec. 3.2)."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from rcnn.data import flow
from rcnn.files import InputError

MEAN = (104.0, 117.0, 123.0)  # BGR, of the ImageNet GoogLeNet
FLOW_MEAN = (float(flow.ZERO),) * flow.CHANNELS  # no motion
MEANS = {len(MEAN): MEAN, flow.CHANNELS: FLOW_MEAN}  # by the channels of a frame
PROTOCOLS = (1, 5, 10)
SCALES = (1.0, 0.875, 0.75, 0.65625)  # of the image's shorter side: 256, 224, 192 and 168 of 256 pixels


class Place(NamedTuple):
    """Where a training crop lies in its image, in pixels, and whether it is mirrored."""

    top: int
    left: int
    side: int
    mirror: bool = False


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


def centre(height: int, width: int, size: int) -> Place:
    """Return the place of the first of `positions`."""
    return Place(*positions(height, width, size)[0], size)


def cut(image: np.ndarray, place: Place, size: int) -> np.ndarray:
    """Return the crop of an image, mirrored where the place says so.

    In a mirror left and right change places, and flow, which has two channels, also goes the other way
    (`flow.mirror`).

    Parameters
    ----------
    image
        H x W or H x W x C.
    place
        Of `draw` or `centre`.
    size
        Side of what is returned: a view of the image where the place has that side, else float32, interpolated
        linearly (the values of flow stay as they are).
    """
    crop = image[place.top : place.top + place.side, place.left : place.left + place.side]
    if place.side != size:
        crop = cv2.resize(np.asarray(crop, np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    if not place.mirror:
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
    mirrors = (False, True) if crops == 10 else (False,)
    return np.stack([cut(image, Place(top, left, size, mirror), size) for mirror in mirrors for top, left in places])


def draw(generator: np.random.Generator, height: int, width: int, size: int, corners: bool = False) -> Place:
    """Draw a training crop, mirrored half the time.

    Parameters
    ----------
    generator
        Of its random numbers.
    height, width
        Of the image, pixels.
    size
        Side of the crop.
    corners
        Draw one of the centre and the corners, of a square whose side is one of SCALES of the image's shorter side,
        as "Towards Good Practices for Very Deep Two-Stream ConvNets" (Wang et al., 2015) has it; else each place of a
        square of `size` is equally likely (Sec. 3.2).

    Raises
    ------
    InputError
        If the image is smaller than the crop.
    """
    positions(height, width, size)
    if corners:
        side = round(min(height, width) * SCALES[generator.integers(len(SCALES))])
        top, left = positions(height, width, side)[generator.integers(5)]
    else:
        side = size
        top, left = int(generator.integers(height - size + 1)), int(generator.integers(width - size + 1))
    return Place(top, left, side, bool(generator.integers(2)))


def network_input(crops: np.ndarray, mean: Sequence[float] = MEAN, scale: float = 1.0) -> np.ndarray:
    """Return N x H x W x C crops as the float32 N x C x H x W that a net takes: (crop - mean) * scale."""
    values = np.asarray(crops, np.float32) - np.asarray(mean, np.float32)
    return np.ascontiguousarray((values * np.float32(scale)).transpose(0, 3, 1, 2))
