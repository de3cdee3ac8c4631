"""What a solver reads, its nets, their data and starting weights, checked before Caffe would abort on it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import lmdb
from caffe.proto import caffe_pb2

from rcnn.data import crops, sequences
from rcnn.data.records import MANIFEST, read_manifest
from rcnn.files import InputError
from rcnn.nets import caffemodel, device, net_shapes
from rcnn.nets.protos import check_format, read_net
from rcnn.training import snapshots

RANDOM = ("xavier", "msra", "gaussian", "uniform")  # fillers of which the values mean nothing by themselves
PHASES = {caffe_pb2.TRAIN: "training", caffe_pb2.TEST: "test"}


class PhaseNet(NamedTuple):
    """A net that a solver builds.

    field: the solver's field that names it.  net: NetParameter with the layers of its phase alone.  phase: "training"
    or "test".
    """

    field: str
    net: Any
    phase: str


def check_solver(path: str, solver: Any) -> None:
    """Raise InputError for a SolverParameter that Caffe would run but `caffe_driver` could not follow."""
    if solver.max_iter < 1:
        raise InputError(f"solver: {path} has max_iter {solver.max_iter}; set how many iterations to train")
    if solver.display < 1:
        raise InputError(f"solver: {path} has display 0, so that no loss would be seen; set display")
    if solver.snapshot_format != solver.BINARYPROTO:
        raise InputError(f"solver: {path} asks for HDF5 snapshots; only BINARYPROTO ones can be resumed here")


def read_nets(solver: Any) -> list[PhaseNet]:
    """Return the nets that Caffe's Solver builds of a SolverParameter: the training net, then each test net.

    One file with phases (`net`, and `include { phase: TEST }` in its layers) gives one for each phase.
    """
    shared = [("net", read_net(solver.net))] if solver.net else []
    shared += [("net_param", solver.net_param)] if solver.HasField("net_param") else []
    train = shared + ([("train_net", read_net(solver.train_net))] if solver.train_net else [])
    train += [("train_net_param", solver.train_net_param)] if solver.HasField("train_net_param") else []
    if len(train) != 1:
        raise InputError(f"solver: it names {len(train)} training nets; give it one net or train_net")
    tests = [("test_net_param", net) for net in solver.test_net_param]
    tests += [("test_net", read_net(path)) for path in solver.test_net]
    tests += shared * (len(solver.test_iter) - len(tests))
    for field, net in train + tests:
        check_format(net, f"solver: its {field}")
    states = [*solver.test_state, *[caffe_pb2.NetState()] * len(tests)]
    return [
        of_phase(*train[0], caffe_pb2.TRAIN, solver.train_state),
        *(of_phase(*test, caffe_pb2.TEST, state) for test, state in zip(tests, states)),
    ]


def of_phase(field: str, net: Any, phase: int, state: Optional[Any] = None) -> PhaseNet:
    """Return the PhaseNet of a NetParameter in caffe_pb2.TRAIN or TEST; state: the solver's NetState, if it has one."""
    merged = caffe_pb2.NetState(phase=phase)
    for other in (net.state, *([state] if state else [])):
        merged.MergeFrom(other)
    part = caffe_pb2.NetParameter(name=net.name, layer=[layer for layer in net.layer if _included(layer, merged)])
    return PhaseNet(field, part, PHASES[phase])


def _included(layer: Any, state: Any) -> bool:
    """Return whether a layer is part of its net in a NetState, as Caffe's FilterNet says."""
    if layer.include:
        return any(_meets(rule, state) for rule in layer.include)
    return not any(_meets(rule, state) for rule in layer.exclude)


def _meets(rule: Any, state: Any) -> bool:
    return not (
        rule.HasField("phase")
        and rule.phase != state.phase
        or rule.HasField("min_level")
        and state.level < rule.min_level
        or rule.HasField("max_level")
        and state.level > rule.max_level
        or set(rule.stage) - set(state.stage)
        or set(rule.not_stage) & set(state.stage)
    )


def check_processor(gpus: Optional[Sequence[int]], solver: Any, nets: Sequence[PhaseNet]) -> None:
    """Raise InputError if Caffe cannot train on some GPUs (None: the solver's)."""
    option = "--gpu"
    if not gpus and solver.HasField("solver_mode") and solver.solver_mode == solver.GPU:
        gpus, option = (solver.device_id,), "the solver has solver_mode GPU and device_id"
    if gpus:
        device.check_training(tuple(gpus), [(field, net) for field, net, _ in nets], option)


def check_weights(paths: Sequence[str], net: PhaseNet, prefix: Path) -> None:
    """Raise InputError for weights that a new training of `net` and the snapshot prefix cannot start from.

    A caffemodel must be whole, have a layer of a name of the net's, each in the net's shape, and not be in the way of
    the training's own.  Together they must have values for every layer that the net holds still.
    """
    names = {layer.name for layer in net.net.layer}
    shapes = net_shapes.weight_shapes(net.net.layer, images(net.net.layer))
    own = {path.resolve() for path in snapshots.of(prefix, "caffemodel").values()}
    trained: set[str] = set()
    for path in paths:
        if Path(path).resolve() in own:
            raise InputError(f"weights: {path} has a name that this training writes; move it to another folder")
        source = caffemodel.read(path)
        if not names & source.arrays.keys():
            raise InputError(f"weights: no layer of {path} is in the net, so nothing of it would be used; wrong file?")
        for name, (values, *_) in source.arrays.items():
            if name in shapes and not caffemodel.fits(shapes[name], values):
                raise InputError(
                    f"weights: {path} has {caffemodel.shape_text(values.shape)} for W of layer {name}, the net "
                    f"{caffemodel.shape_text(shapes[name])}; are width, input size and classes the same? Else "
                    "tools/init_weights.py makes starting weights of it"
                )
        trained = (trained | source.arrays.keys()) - (source.fresh or set())
    held = {caffemodel.plain_name(layer.name): None for layer in net.net.layer if _held(layer)}
    if lost := [name for name in held if name not in trained]:
        what = f"{len(lost)} layers that the net holds still (lr_mult 0), the first is {lost[0]}"
        if not paths:
            raise InputError(f"weights: none are given, and so none for {what}; give starting weights with --weights")
        raise InputError(
            f"weights: {', '.join(paths)} has no trained values for {what}; make the net with tools/make_prototxt.py "
            "--weights FILE, which lets learn what FILE lacks"
        )


def _held(layer: Any) -> bool:
    """Return whether a layer keeps random values if it does not get others."""
    options = {"Convolution": layer.convolution_param, "InnerProduct": layer.inner_product_param}.get(layer.type)
    return bool(options and options.weight_filler.type in RANDOM and layer.param and not layer.param[0].lr_mult)


def images(layers: Sequence[Any]) -> dict[str, net_shapes.Map]:
    """Return {blob: (channels, height, width)} of the images that data layers give, as far as they say it."""
    images = {}
    for layer in layers:
        if layer.type == "Data" and layer.transform_param.crop_size and layer.transform_param.mean_value:
            channels, size = len(layer.transform_param.mean_value), layer.transform_param.crop_size
            images[layer.top[0]] = channels, size, size
        options = _options(layer) if layer.type == "Python" else {}
        if isinstance(options.get("mean"), list) and _crop_size(layer):
            tops = [top for top in layer.top if top.endswith("frame")]
            images.update(dict.fromkeys(tops, (len(options["mean"]), _crop_size(layer), _crop_size(layer))))
    return images


def check_data(net: PhaseNet) -> None:
    """Raise InputError if what a net's data layers read is missing, broken, empty or of another net.

    That is the LMDBs of Data layers, and the LMDB and list of each SequentialFrames layer.  Where
    tools/build_pairs.py or build_frames.py made the LMDB, its manifest is compared with the net's classifiers, its way
    of cutting pairs and the size of its crops.
    """
    layers = net.net.layer
    for layer in layers:
        where = f"layer {layer.name} of the {net.phase} net"
        if layer.type == "Python" and layer.python_param.layer == "SequentialFrames":
            _check_sequences(where, layer, layers)
        if layer.type == "Data" and layer.data_param.backend == caffe_pb2.DataParameter.LMDB:
            _check_lmdb(f"{where} reads {layer.data_param.source}", layer, layers)


def sources(solver: Any) -> list[str]:
    """Return the paths of the LMDBs and lists that the data layers of a solver's nets read."""
    layers = [layer for net in read_nets(solver) for layer in net.net.layer]
    values = [_options(layer).get(name) for layer in layers if layer.type == "Python" for name in ("source", "list")]
    values += [layer.data_param.source for layer in layers if layer.type == "Data"]
    return [value for value in values if value and isinstance(value, str)]


def _check_lmdb(where: str, data: Any, layers: Sequence[Any]) -> None:
    """Raise InputError if the LMDB of a Data layer cannot be read, or is of another net."""
    folder = Path(data.data_param.source)
    if not (folder / "data.mdb").is_file():
        raise InputError(f"{where}, but there is no LMDB; build it, or run from the folder that the path starts from")
    try:
        with lmdb.open(str(folder), readonly=True, lock=False) as database:
            entries = database.stat()["entries"]
    except lmdb.Error as error:
        raise InputError(f"{where}, which is not an LMDB: {error}") from None
    if not entries:
        raise InputError(f"{where}, which is empty")
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        _check_classes(where, data, layers, len(manifest["recipe"].get("classes", [])))
        _check_pairs(where, data, layers, manifest)


def _check_sequences(where: str, data: Any, layers: Sequence[Any]) -> None:
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


def _check_classes(where: str, data: Any, layers: Sequence[Any], classes: int) -> None:
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
                raise InputError(
                    f"{where} of {classes} classes, but {classifier.name} has "
                    f"{classifier.inner_product_param.num_output}; make the net with --classes {classes}"
                )


def _check_pairs(where: str, data: Any, layers: Sequence[Any], manifest: dict[str, Any]) -> None:
    """Raise InputError if pairs are stored in another way than the layers of a net take them, or too small."""
    recipe, kind = manifest["recipe"], manifest["kind"]
    augment = [
        layer
        for layer in layers
        if layer.type == "Python"
        and layer.python_param.layer == "PairAugment"
        and set(layer.bottom) & set(data.top[:1])
    ]
    encoding = recipe.get("encoding")
    if augment and encoding != "jpeg":
        content = f"pairs encoded as {encoding}" if kind == "pairs" else kind
        raise InputError(
            f"{where}, which holds {content}, but layer {augment[0].name} takes pairs encoded as jpeg; "
            "make one like the other with --encoding"
        )
    if encoding == "jpeg" and not augment:
        raise InputError(
            f"{where}, which holds pairs encoded as jpeg, but no PairAugment layer takes them; make one "
            "like the other with --encoding"
        )
    if encoding == "raw" and len(data.transform_param.mean_value) not in (0, 1, 6):
        raise InputError(
            f"{where}, which holds raw pairs of 6 channels, but its transform_param has "
            f"{len(data.transform_param.mean_value)} mean values; make the net with --encoding raw"
        )
    stored = recipe.get("frames", recipe).get("size")
    for size in [_crop_size(layer) for layer in augment] or [data.transform_param.crop_size] if stored else []:
        try:
            crops.positions(stored, stored, size)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def _crop_size(layer: Any) -> int:
    """Return the side of a Python layer's crops, 0 where param_str has none, of which the layer complains."""
    size = _options(layer).get("size")
    return size if type(size) is int else 0


def _options(layer: Any) -> dict[str, Any]:
    """Return the param_str of a Python layer as a dict, empty where it is none, of which the layer complains."""
    try:
        options = json.loads(layer.python_param.param_str)
    except ValueError:
        return {}
    return options if isinstance(options, dict) else {}
