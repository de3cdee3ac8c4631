"""Fig. 3's claim as a number: how much of a layer's energy lies where something moves.

The energy of a part of a layer is the sum of its squares over all maps.  Where something moves is where the two frames
differ most: MOVING of the layer's places.  Of random maps that region would have that share of the energy.
"""
import cv2
import numpy as np

from rcnn.data import crops
from rcnn.nets.feature_maps import parts

MOVING = 0.1
PARTS = ("spatial", "temporal", "sum")


def moving_region(previous, frame, height, width):
    """Return where two images differ most: bool height x width, MOVING of its places true.

    previous, frame: uint8 H x W x 3.  A place's difference is the mean over its pixels of the largest absolute one of
    the three channels.
    """
    difference = np.abs(previous.astype(np.float32) - frame).max(axis=2)
    places = cv2.resize(difference, (width, height), interpolation=cv2.INTER_AREA)
    number = max(1, round(MOVING * height * width))
    region = np.zeros(height * width, bool)
    region[np.argsort(-places, axis=None, kind="stable")[:number]] = True
    return region.reshape(height, width)


def share(values, region):
    """Return the share (0 to 1) of the energy of maps x height x width values that lies in a region (height x width).

    None where there is no energy at all.
    """
    energy = np.square(np.asarray(values, np.float64)).sum(axis=0)
    return float(energy[region].sum() / energy.sum()) if energy.any() else None


def shares(net, combined, layer, previous, frame, mean=crops.MEAN, scale=1.0):
    """Return ({part: share in the moving region}, the same of the second frame seen twice) of a pair, by PARTS.

    net, combined: of `feature_maps.load`.  layer: a convolution with a temporal part.  previous, frame: uint8 images of
    the net's input size.  Seen twice, the second frame has no motion; the region stays that of the pair.
    """
    inputs = [crops.network_input(image[None], mean, scale) for image in (previous, frame)]
    made = [parts(net, combined, layer, before, inputs[1]) for before in inputs]
    region = moving_region(previous, frame, *made[0][0].shape[1:])
    return tuple({name: share(values, region) for name, values in zip(PARTS, (spatial, temporal, spatial + temporal))}
                 for spatial, temporal in made)
