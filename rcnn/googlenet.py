"""The architecture, as data: GoogLeNet's layers in order, with what the RCNN adds to each.

Layer names, widths and constants are BVLC GoogLeNet's, so that its caffemodel loads by name.  No framework is used
here; `rcnn.nets.prototxt` turns this into Caffe's prototxt.  Sizes round as Caffe's do: convolutions down, pools up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Union

SIGNALS = ("low", "medium", "high")  # Sec. 3.2: the heads after 4a, after 4d, and at the top
LOSS_WEIGHT = {"low": 0.3, "medium": 0.3, "high": 1.0}
RNN_WIDTH = 1024
LEAST_SIZE = 33  # pixels; a smaller input leaves the last pool nothing
MOST = 2**31 - 1  # Caffe counts in 32 bits
SIDE_HEADS = ("loss1/", "loss2/")  # begin the names of what only low and medium need
PREVIOUS = "previous/"  # stands before the name of what belongs to frame t-1

# 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, projection of the pool
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


@dataclass(frozen=True)
class Convolution:
    """A convolution with ReLU; in the RCNN, Eq. 3-4 with a `temporal_kernel` square stride-1 kernel over v^{t-1}."""

    name: str
    bottom: str
    channels: int
    kernel: int
    stride: int = 1
    pad: int = 0
    temporal_kernel: int = 0

    pretrained = True  # BVLC GoogLeNet has it

    def temporal(self) -> "Convolution":
        """Return the convolution over v^{t-1}: channels to channels, its map the size of v^t."""
        return Convolution(self.name, self.name, self.channels, self.temporal_kernel, pad=self.temporal_kernel // 2)


@dataclass(frozen=True)
class FullyConnected:
    """An inner product with ReLU; in the RCNN, the RNN layer of Eq. 1-2."""

    name: str
    bottom: str
    channels: int
    pretrained: bool = True

    def temporal(self) -> "FullyConnected":
        """Return the inner product over v^{t-1}."""
        return FullyConnected(self.name, self.name, self.channels)


@dataclass(frozen=True)
class Pooling:
    """A pool over kernel x kernel squares; method is "MAX" or "AVE"."""

    name: str
    bottom: str
    method: str
    kernel: int
    stride: int = 1
    pad: int = 0


@dataclass(frozen=True)
class Normalization:
    """Local response normalization across 5 channels, alpha 1e-4, beta 0.75."""

    name: str
    bottom: str

    local_size = 5
    alpha = 1e-4
    beta = 0.75


@dataclass(frozen=True)
class Concatenation:
    """The bottoms' channels, one after the other."""

    name: str
    bottoms: tuple[str, ...]


@dataclass(frozen=True)
class Dropout:
    """Dropout of `ratio` of the values while training."""

    name: str
    bottom: str
    ratio: float


@dataclass(frozen=True)
class Classifier:
    """A plain inner product that gives the class scores of one signal; never recurrent."""

    name: str
    bottom: str
    signal: str

    pretrained = False


RECURRENT = (Convolution, FullyConnected)
Layer = Union[Convolution, FullyConnected, Pooling, Normalization, Concatenation, Dropout, Classifier]


def googlenet(
    width: float = 1.0, size: int = 224, high_rnn: bool = True, conv1_temporal_kernel: int = 3
) -> list[Layer]:
    """Return the network as a list of layers, bottoms before tops; the input's name is "frame".

    Parameters
    ----------
    width
        Multiplies every layer's channels.
    size
        Side of the square input in pixels.  Average pools that would be larger than their map shrink to it (at 224,
        none does).
    high_rnn
        Put an RNN layer of 1024 under the high classifier ("fully connected layers -> RNN layers", Sec. 3.1).
    conv1_temporal_kernel
        Odd; every other layer's temporal kernel is its spatial one.

    Raises
    ------
    ValueError
        For values that make no network.
    """
    if not width > 0 or size < LEAST_SIZE or conv1_temporal_kernel < 1 or conv1_temporal_kernel % 2 == 0:
        raise ValueError(
            f"no network of width {width} for {size} x {size} input with a {conv1_temporal_kernel} x "
            f"{conv1_temporal_kernel} temporal kernel: width must be above 0, size at least "
            f"{LEAST_SIZE}, the kernel odd and at least 1"
        )

    def channels(number):
        return max(1, round(number * width))

    layers = []

    def add(layer):
        layers.append(layer)
        return layer.name

    def convolution(name, bottom, number, kernel, stride=1, temporal_kernel=None):
        return add(Convolution(name, bottom, channels(number), kernel, stride, kernel // 2, temporal_kernel or kernel))

    def inception(name, bottom):
        ones, reduce3, threes, reduce5, fives, projection = INCEPTIONS[name]
        prefix = f"inception_{name}/"
        branches = (
            convolution(prefix + "1x1", bottom, ones, 1),
            convolution(prefix + "3x3", convolution(prefix + "3x3_reduce", bottom, reduce3, 1), threes, 3),
            convolution(prefix + "5x5", convolution(prefix + "5x5_reduce", bottom, reduce5, 1), fives, 5),
            convolution(prefix + "pool_proj", add(Pooling(prefix + "pool", bottom, "MAX", 3, 1, 1)), projection, 1),
        )
        return add(Concatenation(prefix + "output", branches))

    def map_side(name):
        return shapes(layers, 3, size)[name][1]

    def side_head(number, signal, bottom):
        prefix = f"loss{number}/"
        pool = add(Pooling(prefix + "ave_pool", bottom, "AVE", min(5, map_side(bottom)), 3))
        rnn = add(FullyConnected(prefix + "fc", convolution(prefix + "conv", pool, 128, 1), channels(RNN_WIDTH)))
        add(Classifier(prefix + "classifier_video", add(Dropout(prefix + "drop_fc", rnn, 0.7)), signal))

    top = convolution("conv1/7x7_s2", "frame", 64, 7, 2, conv1_temporal_kernel)
    top = add(Pooling("pool1/3x3_s2", top, "MAX", 3, 2))
    top = add(Normalization("pool1/norm1", top))
    top = convolution("conv2/3x3", convolution("conv2/3x3_reduce", top, 64, 1), 192, 3)
    top = add(Normalization("conv2/norm2", top))
    top = add(Pooling("pool2/3x3_s2", top, "MAX", 3, 2))
    top = inception("3b", inception("3a", top))
    top = inception("4a", add(Pooling("pool3/3x3_s2", top, "MAX", 3, 2)))
    side_head(1, "low", top)
    top = inception("4d", inception("4c", inception("4b", top)))
    side_head(2, "medium", top)
    top = add(Pooling("pool4/3x3_s2", inception("4e", top), "MAX", 3, 2))
    top = inception("5b", inception("5a", top))
    top = add(Pooling("pool5/7x7_s1", top, "AVE", map_side(top)))
    top = add(Dropout("pool5/drop_7x7_s1", top, 0.4))
    if high_rnn:
        top = add(FullyConnected("loss3/fc", top, channels(RNN_WIDTH), pretrained=False))
    add(Classifier("loss3/classifier_video", top, "high"))
    return layers


def _setting(default, description, **rules):
    """Return a field with its help and the rules that rcnn/recipe.py has pydantic hold its values to."""
    return field(default=default, metadata={"description": description, **rules})


@dataclass(frozen=True)
class Model:
    """What the network is; the defaults are the paper's, DESIGN decisions where it is silent.

    `combine` "average" halves the sum of the two parts of Eq. 3 for t > 1 and leaves t = 1 unscaled, so that the
    weights of the pretrained CNN fit as they are; "sum" adds them, for weights that were halved (Sec. 3.1).

    Raises
    ------
    ValueError
        For another `combine`; `layers` does for other values that make no network.
    """

    classes: int = _setting(101, "classes of videos", ge=1, le=MOST, strict=True)
    width: float = _setting(1.0, "multiplies the channels of every layer", gt=0, strict=True)
    size: int = _setting(224, "side of the network's input in pixels", ge=LEAST_SIZE, le=MOST, strict=True)
    channels: int = _setting(
        3, "of a frame: 3 images, 2 flow; others with raw pairs only, and no RCNN-s", ge=1, le=MOST, strict=True
    )
    high_rnn: bool = _setting(True, "an RNN layer of 1024 under the high classifier", strict=True)
    conv1_temporal_kernel: int = _setting(3, "side of conv1's temporal kernel, odd", ge=1, le=MOST, strict=True)
    combine: Literal["average", "sum"] = _setting("average", "how the two parts of Eq. 3 combine at t > 1")
    temporal_bias: bool = _setting(False, "a bias in the temporal parts; Eq. 3 has one bias only", strict=True)

    def __post_init__(self):
        if self.combine not in ("average", "sum"):
            raise ValueError(f"combine is average or sum, not {self.combine}")

    def layers(self) -> list[Layer]:
        """Return the layers of this model, as `googlenet` does."""
        return googlenet(self.width, self.size, self.high_rnn, self.conv1_temporal_kernel)


def without_classifiers(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers without the classifiers and without what only they need."""
    kept: list[Layer] = []
    needed: set[str] = set()
    for layer in reversed(layers):
        if isinstance(layer, RECURRENT) or layer.name in needed:
            kept.append(layer)
            needed.update(layer.bottoms if isinstance(layer, Concatenation) else (layer.bottom,))
    return kept[::-1]


def shapes(layers: Sequence[Layer], channels: int, size: int) -> dict[str, tuple[int, int, int]]:
    """Return {layer name: (channels, height, width)} of every output but the classifiers', for a square input.

    Parameters
    ----------
    layers
        As `googlenet` returns them.
    channels
        Of the input ("frame"): 3 for images, 2 for flow.
    size
        Side of the input in pixels.
    """
    sizes = {"frame": (channels, size, size)}
    for layer in layers:
        if isinstance(layer, Classifier):
            continue
        depth, side, _ = sizes[layer.bottoms[0] if isinstance(layer, Concatenation) else layer.bottom]
        if isinstance(layer, Concatenation):
            depth = sum(sizes[bottom][0] for bottom in layer.bottoms)
        elif isinstance(layer, Convolution):
            depth, side = layer.channels, (side + 2 * layer.pad - layer.kernel) // layer.stride + 1
        elif isinstance(layer, Pooling):
            side = _pooled(side, layer)
        elif isinstance(layer, FullyConnected):
            depth, side = layer.channels, 1
        sizes[layer.name] = depth, side, side
    return sizes


def _pooled(side, pool):
    number = -(-(side + 2 * pool.pad - pool.kernel) // pool.stride) + 1
    if pool.pad and (number - 1) * pool.stride >= side + pool.pad:
        number -= 1  # Caffe drops a window that would start in the padding
    return number
