"""Proof that a net gives the same from two files, whatever runs each: every layer's outputs, before a file is saved."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Union

import numpy as np

from rcnn.files import InputError
from rcnn.nets import caffemodel, compare
from rcnn.nets import weight_files as files
from rcnn.nets.model import Arrays, NetModel
from rcnn.nets.network import Network

RUNS = {
    ".caffemodel": ("Caffe", ("caffe",)),
    ".pt": ("PyTorch", ("torch",)),
    ".safetensors": ("PyTorch", ("torch",)),
    ".onnx": ("ONNX Runtime", ("onnx", "onnxruntime")),
}  # suffix: what runs it, the modules which that needs
Say = Callable[[str], None]


def check_parameters(path: Union[str, Path], arrays: Arrays, model: NetModel) -> None:
    """Raise InputError unless a file that was written holds these parameters, bit for bit."""
    again, other = files.read(path, model.combine, model.size)
    for name, values in arrays.items():
        if not caffemodel.same(values, again.get(name, [])):
            raise InputError(f"layer {name} is not what it was when read back; nothing is saved")
    if other.layers() != model.layers():
        raise InputError("the file read back is of another net; nothing is saved")


def inputs(model: NetModel) -> list[tuple[str, np.ndarray]]:
    """Return [(what they are, frames)] to compare on, as `compare.random_frames` returns them."""
    real = "frames of videos" if model.channels == 3 else "more random frames"
    return [("random frames", compare.random_frames(model)), (real, compare.real_frames(model))]


def check_outputs(
    kind: str,
    weights: Union[str, Path],
    written: Union[str, Path],
    out: Union[str, Path],
    model: NetModel,
    frames: Sequence[tuple[str, np.ndarray]],
    tolerance: float,
    say: Say,
    warn: Say,
) -> None:
    """Say the differences, layer by layer, of one kind of net from two files; InputError beyond the tolerance.

    Where what runs one of them is not installed, the other runs a small net, which is held against Caffe's stored
    outputs of it.

    Parameters
    ----------
    kind
        Of `network.KINDS`.
    weights, written
        The files.
    out
        How the second is called in messages.
    frames
        Of `inputs`.
    tolerance
        Of a difference over the layer's largest value.
    say, warn
        Take lines of the report, and of what is not as usual.
    """
    suffixes = Path(weights).suffix, Path(written).suffix
    missing = [RUNS[suffix][0] for suffix in suffixes if not all(files.installed(module) for module in RUNS[suffix][1])]
    if missing:
        warn(f"{' and '.join(missing)} is not installed, so the nets of the two files are not run side by side.")
        for suffix in dict.fromkeys(suffixes):
            if suffix != ".caffemodel" and RUNS[suffix][0] not in missing:
                warn(
                    f"{RUNS[suffix][0]} is held against Caffe's stored outputs of a small net instead; the parameters "
                    f"of {out} were read back and are those of {weights}, bit for bit."
                )
                _check_small_net(kind, suffix, tolerance, say)
        return
    names = " and ".join(RUNS[suffix][0] for suffix in suffixes)
    networks = [network_of(kind, path, model) for path in (weights, written)]
    final = network_of(kind, written, model, watch=False) if suffixes[1] == ".onnx" else None
    for what, images in frames:
        first = compare.marks(kind)
        expected, actual = (compare.outputs(each, images, first) for each in networks)
        _report(compare.differences(expected, actual), tolerance, f"{kind} net, {names}, {what}", say)
        if final:  # without outputs in its middle, ONNX Runtime computes several layers in one
            _report(
                compare.differences(expected, compare.outputs(final, images, first)),
                tolerance,
                f"{kind} net, its own outputs alone, {what}",
                say,
            )


def network_of(kind: str, path: Union[str, Path], model: NetModel, watch: bool = True) -> Network:
    """Return what runs a file's net of one kind; watch: every layer's output readable."""
    suffix = Path(path).suffix
    if suffix == ".caffemodel":
        os.environ.setdefault("GLOG_minloglevel", "2")  # else Caffe prints the whole net; it reads this when imported
        from rcnn.nets.caffe_net import of_model

        return of_model(kind, model, path)
    if suffix == ".onnx":
        from rcnn.nets.onnx_net import OnnxNetwork

        return OnnxNetwork(path, watch=watch)
    from rcnn.nets.torch_net import TorchNetwork

    return TorchNetwork(kind, files.read(path, model.combine, model.size)[0], model, watch=watch)


def _check_small_net(kind, suffix, tolerance, say):
    """Hold what runs files of a suffix, for a small net, against Caffe's stored outputs."""
    arrays, model = compare.small_net(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        files.save(path, arrays, model, kind)
        actual = compare.outputs(network_of(kind, path, model), compare.random_frames(model), compare.marks(kind))
    _report(
        compare.differences(compare.caffe_outputs()[kind], actual),
        tolerance,
        f"{kind} net, Caffe's stored outputs and {RUNS[suffix][0]}, random frames",
        say,
    )


def _report(rows, tolerance, what, say):
    width = max((len(name) for name, *_ in rows), default=0)
    say(f"{what}: largest difference of each layer, over its largest value")
    for name, apart, scale in rows:
        say(f"  {name:{width}}  {apart:.1e} of {scale:.3g}")
    compare.check(rows, tolerance, what)
