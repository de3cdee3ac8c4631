"""The files that hold a net's parameters, whatever wrote them: .caffemodel, .pt, .safetensors, .onnx."""

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import numpy as np

from rcnn.files import InputError, PathLike, existing
from rcnn.nets import caffemodel
from rcnn.nets.model import TEMPORAL, Arrays, NetModel, check, infer, restored

SUFFIXES = (".caffemodel", ".pt", ".safetensors", ".onnx")
BRINGS = {
    "caffe": "tools/install_caffe.sh",
    "torch": "pip install '.[torch]'",
    "safetensors": "pip install '.[torch]'",
    "onnx": "pip install '.[onnx]'",
    "onnxruntime": "pip install '.[onnx]'",
}


def need(*modules: str) -> None:
    """Raise InputError unless the modules (names of BRINGS) are installed."""
    for module in modules:
        if not installed(module):
            raise InputError(f"{module} is not installed; {BRINGS[module]} brings it")


def installed(module: str) -> bool:
    """Return whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def suffix_of(path: PathLike, option: str) -> str:
    """Return the suffix of a path, one of SUFFIXES; InputError, which names the `option` it is of, for another."""
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise InputError(f"{option}: {path} is none of {', '.join('*' + suffix for suffix in SUFFIXES)}")
    return suffix


def read(path: PathLike, combine: Optional[str] = None, size: Optional[int] = None) -> tuple[Arrays, NetModel]:
    """Return (arrays, model) of a file with the parameters of a net, which fit each other.

    Parameters
    ----------
    combine, size
        What a file does not say of its model (`model.infer`).

    Returns
    -------
    arrays
        {layer name: [W] or [W, b]}, float32 in Caffe's shapes.
    model
        A NetModel.

    Raises
    ------
    InputError
        Where the file is missing, damaged, of another kind or another net, or says otherwise than `combine` and `size`.
    """
    suffix, where = suffix_of(existing(path, "weights"), "weights"), f"weights: {path}"
    if suffix == ".caffemodel":
        source = caffemodel.read(path)
        arrays, model = source.arrays, infer(source.arrays, source.combine or combine, size, where)
    else:
        named, description = {".onnx": _read_onnx, ".safetensors": _read_safetensors, ".pt": _read_torch}[suffix](path)
        arrays = gathered(named, where)
        model = restored(description, path) if description else infer(arrays, combine, size, where)
    for option, value, own in (("combine", combine, model.combine), ("size", size, model.size)):
        if value not in (None, own):
            raise InputError(f"--{option} {value}: {path} is of a net of {option} {own}; leave the option out")
    check(arrays, model, where)
    return {name: arrays[name] for name in model.parameters()}, model


def source(path: PathLike) -> caffemodel.Parameters:
    """Return what a file of SUFFIXES holds for another net to start from.

    A caffemodel may be of any net; the other files are of this project's.
    """
    if suffix_of(existing(path, "weights"), "weights") == ".caffemodel":
        return caffemodel.read(path)
    arrays, model = read(path)
    ways = {way for way, combine in caffemodel.COMBINATIONS.items() if combine == model.combine}
    return caffemodel.Parameters(arrays, {max(ways)} if model.temporal else set(), path)


def marked_fresh(path: PathLike) -> Optional[frozenset[str]]:
    """Return the names of the layers that a file says are as their fillers made them, None where it says nothing.

    Only a caffemodel can say it, as tools/init_weights.py writes them.  Of an RCNN made from a finished CNN, in which
    the temporal parts alone are, it is taken to say nothing: what GoogLeNet lacks then learns in stage 1, as in Caffe's
    nets.
    """
    fresh = caffemodel.read(path).fresh if suffix_of(path, "weights") == ".caffemodel" else None
    return None if fresh and all(name.endswith(TEMPORAL) for name in fresh) else fresh


def kind_of(path: PathLike) -> Optional[str]:
    """Return the kind of the net in an .onnx file (of `network.KINDS`), None for parameters, which serve all kinds."""
    if suffix_of(path, "weights") != ".onnx":
        return None
    return _described(path)[1]


def save(path: PathLike, arrays: Arrays, model: NetModel, kind: str) -> None:
    """Write parameters that fit their model to a file of one of SUFFIXES; kind: of the net in an .onnx file."""
    suffix = suffix_of(path, "--out")
    if suffix == ".caffemodel":
        caffemodel.write(path, arrays, model)
        return
    if suffix == ".onnx":
        need("onnx")
        import onnx

        from rcnn.nets.onnx_net import build

        onnx.save(build(kind, arrays, model), path)
        return
    named = {
        f"{name}.{part}": value for name, values in arrays.items() for part, value in zip(caffemodel.PARTS, values)
    }
    if suffix == ".safetensors":
        need("safetensors")
        from safetensors.numpy import save_file

        save_file(named, path, {"model": json.dumps(asdict(model))})
        return
    need("torch")
    import torch

    from rcnn.nets.torch_net import build as build_torch

    torch.save(build_torch(arrays, model).state_dict(), path)


def gathered(named: dict[str, np.ndarray], where: str) -> Arrays:
    """Return {layer name: [W] or [W, b]} of {"<layer>.weight" or "<layer>.bias": array}."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, value in named.items():
        name, _, part = key.rpartition(".")
        if part not in caffemodel.PARTS:
            raise InputError(f"{where} has {key}, which is no parameter of this project's nets")
        parts.setdefault(name, {})[part] = value
    return {name: [values[part] for part in caffemodel.PARTS if part in values] for name, values in parts.items()}


def _described(path):
    """Return (ModelProto, kind, description of the model) of an .onnx file."""
    need("onnx")
    from rcnn.nets import onnx_net

    graph = onnx_net.read(path)
    return graph, *onnx_net.described({entry.key: entry.value for entry in graph.metadata_props}, f"weights: {path}")


# Each returns ({"<layer>.weight" or "<layer>.bias": float32 array}, description of the model or None).


def _read_onnx(path):
    graph, _, description = _described(path)
    from rcnn.nets.onnx_net import parameters

    return parameters(graph), description


def _read_safetensors(path):
    need("safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, (file.metadata() or {}).get("model")
    except SafetensorError as error:
        raise InputError(f"weights: {path} is cut short or no safetensors file: {error}") from None


def _read_torch(path):
    need("torch")
    import pickle

    import torch

    from rcnn.nets.torch_net import EXTRA

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError):
        raise InputError(f"weights: {path} is cut short or no state dict of PyTorch") from None
    description = state.pop(EXTRA, None) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"weights: {path} is no state dict of PyTorch")
    return {key: value.to(torch.float32).numpy() for key, value in state.items()}, description
