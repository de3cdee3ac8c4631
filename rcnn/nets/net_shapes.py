"""Shapes of a training net's weights, told from its prototxt alone, before Caffe would abort on other ones."""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Optional

from rcnn import googlenet
from rcnn.googlenet import Convolution, Pooling
from rcnn.nets.model import Shape

SAME = ("ReLU", "LRN", "Dropout", "Eltwise", "Scale", "Power", "Softmax")  # the first top is as the first bottom
POOLS = ("MAX", "AVE")  # PoolingParameter.PoolMethod, by number
Map = tuple[int, int, int]


def weight_shapes(layers: Iterable[Any], inputs: Mapping[str, Map]) -> dict[str, Shape]:
    """Return {layer name: shape of W} of the convolutions and inner products whose shapes can be told.

    Parameters
    ----------
    layers
        LayerParameters of one phase, in order.  What is of a kind or has an option that `rcnn.nets.prototxt` does not
        use is passed over, with all that hangs on it.
    inputs
        {blob: (channels, height, width)} of what the data layers give.
    """
    maps: dict[str, Optional[Map]] = dict(inputs)
    weights: dict[str, Shape] = {}
    for layer in layers:
        below = [maps.get(bottom) for bottom in layer.bottom[: 1 if layer.type in SAME else None]]
        bottoms = [shape for shape in below if shape is not None]
        made = _made(layer, bottoms) if bottoms and len(bottoms) == len(below) else None
        maps.update((top, made) for top in layer.top if made or top not in inputs)
        if made and layer.type == "Convolution":
            weights[layer.name] = made[0], bottoms[0][0], *list(layer.convolution_param.kernel_size) * 2
        if made and layer.type == "InnerProduct":
            weights[layer.name] = made[0], prod(bottoms[0])
    return weights


def _made(layer: Any, bottoms: list[Map]) -> Optional[Map]:
    """Return the shape of a layer's tops, None where it cannot be told."""
    channels, side, width = bottoms[0]
    if layer.type in SAME:
        return bottoms[0]
    if layer.type == "Concat" and layer.concat_param.axis == 1:
        return sum(shape[0] for shape in bottoms), side, width
    if layer.type == "Slice" and len(layer.slice_param.slice_point) == 1 and len(layer.top) == 2:
        point = layer.slice_param.slice_point[0]
        return (point, side, width) if 2 * point == channels else None
    if layer.type == "InnerProduct" and layer.inner_product_param.axis == 1 and not layer.inner_product_param.transpose:
        return layer.inner_product_param.num_output, 1, 1
    if side != width:
        return None
    if layer.type == "Convolution":
        given = layer.convolution_param
        kernel, stride, pad = list(given.kernel_size), list(given.stride) or [1], list(given.pad) or [0]
        if len(kernel) == len(stride) == len(pad) == given.group == 1 and set(given.dilation) <= {1}:
            made = Convolution(layer.name, "frame", given.num_output, kernel[0], stride[0], pad[0])
            return googlenet.shapes([made], channels, side)[layer.name]
    if layer.type == "Pooling":
        given = layer.pooling_param
        if given.kernel_size and not given.global_pooling and given.pool < len(POOLS):
            pool = Pooling(layer.name, "frame", POOLS[given.pool], given.kernel_size, given.stride, given.pad)
            return googlenet.shapes([pool], channels, side)[layer.name]
    return None
