"""Starting weights: a GoogLeNet's parameters, by layer name, in an RCNN's net (Sec. 3.1).

A source is a caffemodel: BVLC's GoogLeNet in the old format (field `layers`, blobs of four dimensions), our own
CNN's, or an RCNN's snapshot, which holds the parameters that its towers share twice, under `L` and under
`previous/L`.
"""
from typing import NamedTuple

import caffe
import numpy as np

from rcnn.files import InputError
from rcnn.nets.prototxt import PREVIOUS
from rcnn.nets.protos import blob_values, read_net, weight_layers

PARTS = ("W", "b")
COPIED, HALVED, FRESH, UNUSED = "copied", "halved", "fresh", "unused"


class Blob(NamedTuple):
    """What became of one parameter.

    state: COPIED, HALVED (copied, times one half), FRESH (left as its filler made it) or UNUSED (in the source alone).
    layer: its name without "previous/".  part: 0 for W, 1 for b.  shape: tuple.  filler: Caffe's name of it where
    FRESH, else "".
    """
    state: str
    layer: str
    part: int
    shape: tuple
    filler: str = ""


def build(path, seed):
    """Return (caffe.Net, NetParameter) of a deploy net, parameters as its fillers make them.

    seed: of the fillers, 0 to 2**32 - 1; one seed gives the same values each time.  Raises InputError for a net that
    reads data: it would need its LMDB, while the deploy net has the same parameters and fillers and needs none.
    """
    message = read_net(path)
    for layer in message.layer:
        if not layer.bottom and layer.type != "Input":
            raise InputError(f"net: {path} reads data (layer {layer.name}); give the deploy net of the same model, "
                             "which has the same parameters and fillers")
    if not 0 <= seed < 2 ** 32:
        raise InputError(f"--seed {seed} is not in 0 to {2 ** 32 - 1}")
    caffe.set_mode_cpu()
    caffe.set_random_seed(seed)
    return caffe.Net(str(path), caffe.TEST), message


def combination(message):
    """Return how a NetParameter combines the parts of Eq. 3: "average", "sum", or None where it has no temporal ones.

    Works on nets and on caffemodels of Caffe's present format, which hold every layer's settings.  Raises InputError
    for coefficients that are neither.
    """
    found = set()
    for layer in message.layer:
        if layer.type == "Eltwise" and any(bottom.endswith("/temporal") for bottom in layer.bottom):
            found.add(tuple(layer.eltwise_param.coeff))
    known = {(): "sum", (1.0, 1.0): "sum", (0.5, 0.5): "average"}
    if len(found) > 1 or not found <= set(known):
        raise InputError(f"spatial and temporal parts are added with coefficients {sorted(found)}; they are none (sum) "
                         "or 0.5 and 0.5 (average), the same in every layer")
    return known[found.pop()] if found else None


def by_layer(weights):
    """Return {layer name without "previous/": [BlobProto, ...]} of a caffemodel's layers with parameters.

    Raises InputError where a layer has other values in the two towers; an RCNN's towers share theirs.
    """
    found = {}
    for layer in weight_layers(weights):
        if not layer.blobs:
            continue
        name = layer.name.removeprefix(PREVIOUS)
        if name in found and not _same(found[name], layer.blobs):
            raise InputError(f"weights: layer {name} is there twice with different values; the towers of an RCNN share "
                             "theirs")
        found[name] = layer.blobs
    return found


def copy(net, message, weights, fresh=(), unhalved=False):
    """Copy parameters by layer name from a caffemodel into a net; return [Blob, ...], the net's, then the unused ones.

    net, message: of `build`.  weights: the caffemodel's NetParameter.  fresh: names of layers that keep their
    fillers' values though the source has them.  A net that sums the parts of Eq. 3 gets half of W and b in every
    layer that has a temporal part (Sec. 3.1), unless the source is an RCNN itself or `unhalved`; one that averages
    them, or has no temporal parts, gets all as it is.

    Raises InputError where the source has no layer of the net, a parameter's shape or number differs, `fresh` names no
    layer of the net, or the source is an RCNN that combines otherwise.  The net may then be partly filled.
    """
    source = by_layer(weights)
    layers = {layer.name: layer for layer in message.layer}
    combine, of_rcnn = combination(message), combination(weights)
    if combine is not None and of_rcnn not in (None, combine):
        raise InputError(f"weights: they are of an RCNN made with --combine {of_rcnn}, the net has {combine}; "
                         "make both the same")
    for name in fresh:
        if name not in net.params:
            raise InputError(f"--fresh: the net has no layer {name} with parameters")
    report, used = {}, set()
    for name, blobs in net.params.items():
        plain = name.removeprefix(PREVIOUS)
        given = None if plain in fresh else source.get(plain)
        if given is None:
            rows = [Blob(FRESH, plain, part, tuple(blob.shape), _filler(layers[name], part))
                    for part, blob in enumerate(blobs)]
        else:
            used.add(plain)
            halve = combine == "sum" and of_rcnn is None and not unhalved and f"{plain}/temporal" in net.params
            _fill(plain, blobs, given, 0.5 if halve else 1.0)
            state = HALVED if halve else COPIED
            rows = [Blob(state, plain, part, tuple(blob.shape)) for part, blob in enumerate(blobs)]
        report[plain] = rows
    if not used:
        raise InputError(f"weights: they share no layer's name with the net: they have {_some(source)}; the net has "
                         f"{_some(report)}")
    rows = [row for name in report for row in report[name]]
    return rows + [Blob(UNUSED, name, part, tuple(dimensions(blob)))
                   for name, blobs in source.items() if name not in used for part, blob in enumerate(blobs)]


def fits(shape, blob):
    """Return whether a BlobProto has a shape (tuple), by the rule of Caffe's Blob::ShapeEquals.

    Old ones have four dimensions, counted from the last.
    """
    if _is_old(blob):
        return len(shape) <= 4 and (1,) * (4 - len(shape)) + shape == tuple(dimensions(blob))
    return shape == tuple(dimensions(blob))


def dimensions(blob):
    """Return the dimensions of a BlobProto as a list; the old format has four of them."""
    return [blob.num, blob.channels, blob.height, blob.width] if _is_old(blob) else list(blob.shape.dim)


def table(rows):
    """Return the text of `copy`'s report: a line for each parameter, aligned, and a line with the totals."""
    cells = [(row.state, row.layer, _part(row.part), _text(row.shape), row.filler) for row in rows]
    widths = [max(len(cell[column]) for cell in cells) for column in range(4)]
    lines = ["  ".join([*(text.ljust(width) for text, width in zip(cell, widths)), cell[4]]).rstrip() for cell in cells]
    totals = []
    for state in (COPIED, HALVED, FRESH, UNUSED):
        sizes = [int(np.prod(row.shape)) for row in rows if row.state == state]
        totals.append(f"{len(sizes)} blobs {state} ({sum(sizes):,} numbers)")
    return "\n".join([*lines, ", ".join(totals)])


def _fill(name, blobs, given, factor):
    if len(blobs) != len(given):
        raise InputError(f"layer {name}: the weights have {len(given)} blobs, the net has {len(blobs)}; give weights "
                         f"of the same model, or leave the layer at its filler with --fresh {name}")
    for part, (blob, other) in enumerate(zip(blobs, given)):
        values = blob_values(other)
        if not fits(tuple(blob.shape), other) or values.size != blob.count:
            raise InputError(f"layer {name}: {_part(part)} is {_text(dimensions(other))} in the weights and "
                             f"{_text(blob.shape)} in the net; give a net of the same width, input size and classes, "
                             f"or leave the layer at its filler with --fresh {name}")
        blob.data[...] = (values.astype(np.float32) * np.float32(factor)).reshape(blob.shape)


def _is_old(blob):
    return any(blob.HasField(field) for field in ("num", "channels", "height", "width"))


def _same(one, two):
    return [blob.SerializeToString() for blob in one] == [blob.SerializeToString() for blob in two]


def _filler(layer, part):
    settings = {"Convolution": layer.convolution_param, "InnerProduct": layer.inner_product_param}.get(layer.type)
    if settings is None or part >= len(PARTS):
        return ""
    filler = settings.weight_filler if part == 0 else settings.bias_filler
    return f"constant {filler.value:g}" if filler.type == "constant" else filler.type


def _part(part):
    return PARTS[part] if part < len(PARTS) else str(part)


def _text(shape):
    return " x ".join(map(str, shape))


def _some(names):
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
