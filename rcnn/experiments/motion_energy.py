"""The two parts of an RCNN layer (Eq. 3) on a pair of frames, and Fig. 3's claim as a number.

The number is how much of a layer's energy lies where something moves.  The energy of a part of a layer is the sum of
its squares over all maps.  Where something moves is where the two frames differ most: MOVING of the layer's places.  Of
random maps that region would have that share of the energy.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Optional

import cv2
import numpy as np

from rcnn.data import crops
from rcnn.data.records import Records, decode_pair, open_records, parse_pair_key
from rcnn.files import InputError, PathLike
from rcnn.nets.backends import mean_of, open_network
from rcnn.nets.network import Network

MOVING = 0.1
PARTS = ("spatial", "temporal", "sum")
Shares = dict[str, Optional[float]]


def open_watched(
    backend: str,
    net: Optional[PathLike],
    weights: PathLike,
    gpu: Optional[int] = None,
    mean: Optional[Sequence[float]] = None,
) -> tuple[Network, list[float]]:
    """Return (network, mean) of a net that sees pairs of images and whose layers can be looked into.

    Parameters
    ----------
    backend, net, weights, gpu
        As of `backends.open_network`.
    mean
        As of `backends.mean_of`.

    Raises
    ------
    InputError
        Where the files make no such net.
    """
    network, _ = open_network(backend, net, weights, gpu, "pair", pairs=True, watch=True)
    if network.channels != 3:
        raise InputError(f"net: {net or weights} takes frames of {network.channels} channels, not 3")
    return network, mean_of(mean, network, net or weights)


def check_images(records: Records) -> None:
    """Raise InputError unless an LMDB holds images."""
    if records.channels != 3:
        raise InputError(f"{records.path} holds optical flow; give an LMDB of images")


def stored_pair(path: PathLike, place: int) -> tuple[Sequence[np.ndarray], Sequence[str]]:
    """Return the images of a pair of a pairs LMDB (uint8 H x W x 3 BGR), and what they are called.

    place: among all pairs, counted from 0.  Raises InputError where there is none, or it is of flow.
    """
    with open_records(path, "pairs") as pairs:
        check_images(pairs)
        if not 0 <= place < len(pairs):
            raise InputError(f"--pair: {path} has the pairs 0 to {len(pairs) - 1}, not {place}")
        key, record = next(islice(pairs, place, None))
    _, video, index = parse_pair_key(key)
    return decode_pair(record)[:2], [f"{video}, {t}" for t in (index - 1, index)]


def neighbours(path: PathLike, video: str, index: int) -> tuple[Sequence[np.ndarray], Sequence[str]]:
    """Return a frame's predecessor and it (uint8 H x W x 3 BGR) out of a frames LMDB, and what they are called.

    index: of the frame in its video, at least 1.  Raises InputError where there is none, or it is of flow.
    """
    with open_records(path, "frames") as frames:
        check_images(frames)
        count = {entry["name"]: entry["frames"] for entry in frames.manifest["videos"]}.get(video)
        if count is None:
            raise InputError(
                f"--video: {path} has no video {video}; its names are as in the list, without folder and suffix"
            )
        if not 1 <= index < count:
            raise InputError(
                f"--frame: {video} has frames 0 to {count - 1} in {path}, not {index} with one before; the first is 1"
            )
        return [frames.frame(video, t)[0] for t in (index - 1, index)], [f"{video}, {t}" for t in (index - 1, index)]


def parts(network: Network, layer: str, previous: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the spatial and the temporal part of a layer (Eq. 3), float64 maps x height x width each.

    In a net that averages them both are halved, so that they add up to what the layer's ReLU sees.

    Parameters
    ----------
    network
        Of `open_watched`.
    layer
        A convolution with a temporal part.
    previous, frame
        float32 1 x 3 x size x size.

    Raises
    ------
    InputError
        Where the net has no such layer, or its values are not finite.
    """
    outputs = network.pair_outputs(frame, previous)
    recurrent = [
        name.rsplit("/", 1)[0] for name, values in outputs.items() if name.endswith("/temporal") and values.ndim == 4
    ]
    if layer not in recurrent:
        raise InputError(
            f"--layer: {layer} is no convolution with a temporal part; the net has {len(recurrent)}, such "
            f"as {', '.join(recurrent[:3])}"
        )
    share = 0.5 if network.combine == "average" else 1.0
    spatial, temporal = (share * outputs[f"{layer}/{part}"][0].astype(np.float64) for part in PARTS[:2])
    if not np.isfinite([spatial, temporal]).all():
        raise InputError(f"--layer: the values of {layer} are not finite; is --scale the training's?")
    return spatial, temporal


def moving_region(previous: np.ndarray, frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return where two images (uint8 H x W x 3) differ most: bool height x width, MOVING of its places true.

    A place's difference is the mean over its pixels of the largest absolute one of the three channels.
    """
    difference = np.abs(previous.astype(np.float32) - frame).max(axis=2)
    places = cv2.resize(difference, (width, height), interpolation=cv2.INTER_AREA)
    number = max(1, round(MOVING * height * width))
    region = np.zeros(height * width, bool)
    region[np.argsort(-places, axis=None, kind="stable")[:number]] = True
    return region.reshape(height, width)


def share(values: np.ndarray, region: np.ndarray) -> Optional[float]:
    """Return the share (0 to 1) of the energy of maps x height x width values that lies in a region (height x width).

    None where there is no energy at all.
    """
    energy = np.square(np.asarray(values, np.float64)).sum(axis=0)
    return float(energy[region].sum() / energy.sum()) if energy.any() else None


def shares(
    network: Network,
    layer: str,
    previous: np.ndarray,
    frame: np.ndarray,
    mean: Sequence[float] = crops.MEAN,
    scale: float = 1.0,
) -> tuple[Shares, Shares]:
    """Return ({part: share in the moving region}, the same of the second frame seen twice) of a pair, by PARTS.

    Seen twice, the second frame has no motion; the region stays that of the pair.

    Parameters
    ----------
    network, layer
        As of `parts`.
    previous, frame
        uint8 images of the net's input size.
    """
    inputs = [crops.network_input(image[None], mean, scale) for image in (previous, frame)]
    pairs = [parts(network, layer, before, inputs[1]) for before in inputs]
    region = moving_region(previous, frame, *pairs[0][0].shape[1:])
    moving, still = (
        {name: share(part, region) for name, part in zip(PARTS, (spatial, temporal, spatial + temporal))}
        for spatial, temporal in pairs
    )
    return moving, still
