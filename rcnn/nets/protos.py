"""Caffe's prototxts read without Caffe's aborts: where `caffe` would end in a stack trace, these raise InputError.

Caffe checks its input with glog's CHECK, which ends the process; so a program that wants to say in one line what is
wrong looks before it lets Caffe look.
"""
import json
from pathlib import Path
from typing import TypeVar, Union

import lmdb
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from google.protobuf.message import Message

from rcnn.data import crops

from rcnn.data import sequences
from rcnn.files import InputError, existing
from rcnn.data.records import MANIFEST, read_manifest

AnyMessage = TypeVar("AnyMessage", bound=Message)
BOUND = {caffe_pb2.TRAIN: "training", caffe_pb2.TEST: "test"}


def read_text(path: Union[str, Path], message: AnyMessage, what: str) -> AnyMessage:
    """Fill a protobuf message from a prototxt file and return it.

    what: how messages call the file ("solver").  Raises InputError with the line of the file where it does not parse.
    """
    text = existing(path, what).read_text(encoding="utf-8", errors="replace")
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise InputError(f"{what}: {path} does not parse: {' '.join(str(error).split())}") from None


def read_net(path: Union[str, Path]) -> caffe_pb2.NetParameter:
    """Return the NetParameter of a prototxt file."""
    net = read_text(path, caffe_pb2.NetParameter(), "net")
    if not net.layer:
        raise InputError(f"net: {path} has no layer")
    return net


def read_solver(path: Union[str, Path]) -> caffe_pb2.SolverParameter:
    """Return the SolverParameter of a prototxt file, its snapshot_prefix completed as Caffe does it.

    Without one, it is the file's path without suffix; a folder is completed with the file's name.
    """
    solver = read_text(path, caffe_pb2.SolverParameter(), "solver")
    path = Path(path)
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = str(path.with_suffix(""))
    elif Path(solver.snapshot_prefix).is_dir():
        solver.snapshot_prefix = str(Path(solver.snapshot_prefix) / path.stem)
    return solver


def nets_of(solver):
    """Return the nets that a solver builds: a list of (what, NetParameter, phase), as Caffe's Solver chooses them."""
    train = [("net", solver.net), ("train_net", solver.train_net)]
    nets = [(field, read_net(path), caffe_pb2.TRAIN) for field, path in train if path]
    nets += [(field, getattr(solver, field), caffe_pb2.TRAIN)
             for field in ("net_param", "train_net_param") if solver.HasField(field)]
    if len(nets) != 1:
        raise InputError(f"solver: it names {len(nets)} training nets; give it one net or train_net")
    tests = [("test_net", read_net(path), caffe_pb2.TEST) for path in solver.test_net]
    tests += [("test_net_param", net, caffe_pb2.TEST) for net in solver.test_net_param]
    if len(solver.test_iter) > len(tests):  # the others test the training net's file
        tests.append((nets[0][0], nets[0][1], caffe_pb2.TEST))
    return nets + tests


def used_in(layer, phase):
    """Return whether a layer is part of its net in a phase, by its include and exclude rules' phases."""
    def meets(rule):
        return not rule.HasField("phase") or rule.phase == phase
    if layer.include:
        return any(meets(rule) for rule in layer.include)
    return not any(rule.HasField("phase") and meets(rule) for rule in layer.exclude)


def check_data(net, phase):
    """Raise InputError if what a net's data layers read in a phase is missing, broken, empty or of another net.

    That is the LMDBs of Data layers, and the LMDB and list of each SequentialFrames layer.  The last can be told where
    tools/build_pairs.py or build_frames.py made the LMDB: its manifest.json is held against the net's classifiers, its
    way of cutting pairs and the size of its crops.
    """
    layers = [layer for layer in net.layer if used_in(layer, phase)]
    for layer in layers:
        if layer.type == "Python" and layer.python_param.layer == "SequentialFrames":
            _check_sequences(f"layer {layer.name} of the {BOUND[phase]} net", layer, layers)
        if layer.type != "Data" or layer.data_param.backend != caffe_pb2.DataParameter.LMDB:
            continue
        where = f"layer {layer.name} of the {BOUND[phase]} net reads {layer.data_param.source}"
        if not (Path(layer.data_param.source) / "data.mdb").is_file():
            raise InputError(f"{where}, but there is no LMDB; build it, or run from the folder that the path "
                             "starts from")
        try:
            with lmdb.open(layer.data_param.source, readonly=True, lock=False) as database:
                entries = database.stat()["entries"]
        except lmdb.Error as error:
            raise InputError(f"{where}, which is not an LMDB: {error}") from None
        if not entries:
            raise InputError(f"{where}, which is empty")
        if (Path(layer.data_param.source) / MANIFEST).is_file():
            manifest = read_manifest(layer.data_param.source)
            _check_classes(where, layer, layers, len(manifest["recipe"].get("classes", [])))
            _check_pairs(where, layer, layers, manifest)


def _check_sequences(where, data, layers):
    """Raise InputError if a SequentialFrames layer cannot give the videos of its list, or not to this net."""
    options = _options(data)
    source, path = options.get("source"), options.get("list")
    if not (isinstance(source, str) and isinstance(path, str)):
        return  # the layer says it
    try:
        frames = sequences.open_frames(source)
        sequences.listed_videos(frames, path)
        recipe = frames.manifest["recipe"]
        crops.positions(recipe["size"], recipe["size"], _crop_size(data))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    _check_classes(f"{where} reads {source}", data, layers, len(recipe["classes"]))


def _check_classes(where, data, layers, classes):
    """Raise InputError if a loss on the labels of a layer that reads data has a classifier of fewer classes.

    data: the layer, whose second top is the labels.  Caffe's SoftmaxWithLoss would read past the end of its
    probabilities.
    """
    outputs = {top: layer for layer in layers if layer.type == "InnerProduct" for top in layer.top}
    for loss in layers:
        if loss.type != "SoftmaxWithLoss" or not set(loss.bottom) & set(data.top[1:2]):
            continue
        for classifier in (outputs[bottom] for bottom in loss.bottom if bottom in outputs):
            if classes > classifier.inner_product_param.num_output:
                raise InputError(f"{where} of {classes} classes, but {classifier.name} has "
                                 f"{classifier.inner_product_param.num_output}; make the net with --classes {classes}")


def _check_pairs(where, data, layers, manifest):
    """Raise InputError if pairs are stored in another way than the layers of a net take them, or too small."""
    recipe, kind = manifest["recipe"], manifest["kind"]
    augment = [layer for layer in layers if layer.type == "Python" and layer.python_param.layer == "PairAugment"
               and set(layer.bottom) & set(data.top[:1])]
    encoding = recipe.get("encoding")
    if augment and encoding != "jpeg":
        found = f"pairs encoded as {encoding}" if kind == "pairs" else kind
        raise InputError(f"{where}, which holds {found}, but layer {augment[0].name} takes pairs encoded as jpeg; make "
                         "one like the other with --encoding")
    if encoding == "jpeg" and not augment:
        raise InputError(f"{where}, which holds pairs encoded as jpeg, but no PairAugment layer takes them; make one "
                         "like the other with --encoding")
    if encoding == "raw" and len(data.transform_param.mean_value) not in (0, 1, 6):
        raise InputError(f"{where}, which holds raw pairs of 6 channels, but its transform_param has "
                         f"{len(data.transform_param.mean_value)} mean values; make the net with --encoding raw")
    stored = recipe.get("frames", recipe).get("size")
    for size in [_crop_size(layer) for layer in augment] or [data.transform_param.crop_size] if stored else []:
        try:
            crops.positions(stored, stored, size)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def _crop_size(layer):
    """Return the side of a Python layer's crops, 0 where param_str has none, of which the layer complains."""
    size = _options(layer).get("size")
    return size if type(size) is int else 0


def _options(layer):
    """Return the param_str of a Python layer as a dict, empty where it is none, of which the layer complains."""
    try:
        options = json.loads(layer.python_param.param_str)
    except ValueError:
        return {}
    return options if isinstance(options, dict) else {}
