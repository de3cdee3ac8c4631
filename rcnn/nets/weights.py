"""Starting weights: a GoogLeNet's parameters, by layer name, in an RCNN's net (Sec. 3.1).

A source is BVLC's GoogLeNet, whole or of its deploy net, in either format, another's that was tuned from it, our own
CNN, or an RCNN's snapshot.
"""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import caffe
import numpy as np
from caffe.proto import caffe_pb2

from rcnn.files import InputError, PathLike
from rcnn.nets.caffemodel import Parameters, combination, fresh_layers, plain_name, shape_text, sum_coefficients
from rcnn.nets.model import CONV1, TEMPORAL
from rcnn.nets.protos import read_net

PARTS = ("W", "b")
COPIED, HALVED, FRESH, UNUSED = "copied", "halved", "fresh", "unused"


class Blob(NamedTuple):
    """What became of one parameter.

    Attributes
    ----------
    state
        COPIED, HALVED (copied, times one half), FRESH (left as its filler made it) or UNUSED (in the source alone).
    layer
        Its name without "previous/".
    part
        0 for W, 1 for b.
    shape
        Its dimensions.
    filler
        Caffe's name of it where FRESH, else "".
    """

    state: str
    layer: str
    part: int
    shape: tuple[int, ...]
    filler: str = ""


def build(path: PathLike, seed: int) -> tuple["caffe.Net", caffe_pb2.NetParameter]:
    """Return (net, its prototxt) of a deploy net, parameters as its fillers make them.

    Parameters
    ----------
    seed
        Of the fillers, 0 to 2**32 - 1; one seed gives the same values each time.

    Raises
    ------
    InputError
        For a net that reads data: it would need its LMDB, while the deploy net has the same parameters and fillers and
        needs none.
    """
    message = read_net(path)
    for layer in message.layer:
        if not layer.bottom and layer.type != "Input":
            raise InputError(
                f"net: {path} reads data (layer {layer.name}); give the deploy net of the same model, "
                "which has the same parameters and fillers"
            )
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed} is not in 0 to {2**32 - 1}")
    caffe.set_mode_cpu()
    caffe.set_random_seed(seed)
    return caffe.Net(str(path), caffe.TEST), message


def combine_of(message: caffe_pb2.NetParameter) -> Optional[str]:
    """Return how a net combines the parts of Eq. 3, as `caffemodel.combination`."""
    return combination(sum_coefficients(message.layer), "net: it")


def filled(net: "caffe.Net", message: caffe_pb2.NetParameter) -> list[Blob]:
    """Return what `copy` does for a net whose parameters all stay as its fillers made them."""
    layers = {layer.name: layer for layer in message.layer}
    rows = {
        plain_name(name): [
            Blob(FRESH, plain_name(name), part, tuple(blob.shape), _filler(layers[name], part))
            for part, blob in enumerate(blobs)
        ]
        for name, blobs in net.params.items()
    }
    return [row for name in rows for row in rows[name]]


def copy(
    net: "caffe.Net",
    message: caffe_pb2.NetParameter,
    source: Parameters,
    fresh: Sequence[str] = (),
    unhalved: bool = False,
) -> list[Blob]:
    """Copy parameters by layer name into a net; return what became of each, the unused ones last.

    What `caffemodel.fresh_layers` finds no values for stays as its fillers made it.

    A net that sums the parts of Eq. 3 gets half of W and b in every layer that has a temporal part (Sec. 3.1), unless
    the source is an RCNN itself or `unhalved`; one that averages them, or has no temporal parts, gets all as it is.

    Parameters
    ----------
    net, message
        Of `build`.
    fresh
        Names of layers that keep their fillers' values though the source has them.

    Raises
    ------
    InputError
        Where the source is of another net (`caffemodel.fresh_layers`), `fresh` names no layer of the net, or the source
        is an RCNN that combines otherwise.
    """
    layers = {layer.name: layer for layer in message.layer}
    combine, of_rcnn = combine_of(message), source.combine
    if combine is not None and of_rcnn not in (None, combine):
        raise InputError(
            f"weights: they are of an RCNN made with --combine {of_rcnn}, the net has {combine}; make both the same"
        )
    for name in fresh:
        if name not in net.params:
            raise InputError(f"--fresh: the net has no layer {name} with parameters")
    shapes = {plain_name(name): [tuple(blob.shape) for blob in blobs] for name, blobs in net.params.items()}
    left = set(fresh_layers(source, shapes, fresh))
    report, used = {}, set()
    for name, blobs in net.params.items():
        plain = plain_name(name)
        if plain in left:
            rows = [
                Blob(FRESH, plain, part, tuple(blob.shape), _filler(layers[name], part))
                for part, blob in enumerate(blobs)
            ]
        else:
            used.add(plain)
            halve = combine == "sum" and of_rcnn is None and not unhalved and f"{plain}/temporal" in net.params
            for blob, value in zip(blobs, source.arrays[plain]):
                blob.data[...] = (value * np.float32(0.5 if halve else 1.0)).reshape(blob.shape)
            state = HALVED if halve else COPIED
            rows = [Blob(state, plain, part, tuple(blob.shape)) for part, blob in enumerate(blobs)]
        report[plain] = rows
    rows = [row for name in report for row in report[name]]
    return rows + [
        Blob(UNUSED, name, part, value.shape)
        for name, values in source.arrays.items()
        if name not in used
        for part, value in enumerate(values)
    ]


def take_off_previous(net: "caffe.Net", rows: Sequence[Blob], share: float) -> list[Blob]:
    """Start conv1's temporal weights at -share for the same place and channel of frame t-1, and 0 else.

    The first layer then sees what is new since frame t-1: at share 1 what stands still is gone from it.  A start of
    this project, not the paper's.

    Parameters
    ----------
    net
        Of `build`, filled.
    rows
        `copy`'s report.
    share
        Above 0, at most 1.

    Returns
    -------
    list
        The report with that filler.

    Raises
    ------
    InputError
        Where the net has no temporal part, or the source had trained ones.
    """
    name = CONV1 + TEMPORAL
    if name not in net.params:
        raise InputError("--difference: the net has no temporal parts; leave the option out")
    if name not in fresh_of(rows):
        raise InputError(f"--difference: the weights have {name} already; leave the option out")
    weights = net.params[name][0].data
    channels, middle = np.arange(len(weights)), weights.shape[-1] // 2
    weights[...] = 0
    weights[channels, channels, middle, middle] = -share
    filler = f"-{share:g} of frame t-1"
    return [row._replace(filler=filler) if (row.layer, row.part) == (name, 0) else row for row in rows]


def table(rows: Sequence[Blob]) -> str:
    """Return the text of `copy`'s report: a line for each parameter, aligned, and a line with the totals."""
    cells = [(row.state, row.layer, _part(row.part), shape_text(row.shape), row.filler) for row in rows]
    widths = [max(len(cell[column]) for cell in cells) for column in range(4)]
    lines = ["  ".join([*(text.ljust(width) for text, width in zip(cell, widths)), cell[4]]).rstrip() for cell in cells]
    totals = []
    for state in (COPIED, HALVED, FRESH, UNUSED):
        sizes = [int(np.prod(row.shape)) for row in rows if row.state == state]
        totals.append(f"{len(sizes)} blobs {state} ({sum(sizes):,} numbers)")
    return "\n".join([*lines, ", ".join(totals)])


def fresh_of(rows: Sequence[Blob]) -> list[str]:
    """Return the layers of `copy`'s report that are as their fillers made them."""
    return list(dict.fromkeys(row.layer for row in rows if row.state == FRESH))


def unfit_of(rows: Sequence[Blob]) -> list[str]:
    """Return a text for each layer of `copy`'s report that the source has too, in another shape or to be left."""
    theirs = {row.layer: row for row in rows if (row.state, row.part) == (UNUSED, 0)}
    return [
        f"{row.layer} ({shape_text(theirs[row.layer].shape)} in the weights, {shape_text(row.shape)} in the net)"
        for row in rows
        if (row.state, row.part) == (FRESH, 0) and row.layer in theirs
    ]


def _filler(layer, part):
    settings = {"Convolution": layer.convolution_param, "InnerProduct": layer.inner_product_param}.get(layer.type)
    if settings is None or part >= len(PARTS):
        return ""
    filler = settings.weight_filler if part == 0 else settings.bias_filler
    return f"constant {filler.value:g}" if filler.type == "constant" else filler.type


def _part(part):
    return PARTS[part] if part < len(PARTS) else str(part)
