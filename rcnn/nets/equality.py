"""Proof that a net gives the same from two files, whatever runs each: every layer's outputs, before a file is saved."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rcnn.command import tell
from rcnn.files import InputError, PathLike
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


def check_parameters(path: PathLike, arrays: Arrays, model: NetModel) -> None:
    """Raise InputError unless a file that was written holds these parameters, bit for bit."""
    again, other = files.read(path, model.combine, model.size)
    for name, values in arrays.items():
        if not caffemodel.same(values, again.get(name, [])):
            raise InputError(f"layer {name} is not what it was when read back; nothing is saved")
    if other.layers() != model.layers():
        raise InputError("the file read back is of another net; nothing is saved")


def check_outputs(
    kinds: Sequence[str],
    weights: PathLike,
    written: PathLike,
    out: PathLike,
    model: NetModel,
    tolerance: float,
) -> None:
    """Print the differences, layer by layer, of nets from two files; InputError beyond the tolerance.

    Where what runs one of them is not installed, the other runs a small net, which is compared with Caffe's stored
    outputs of it.

    Parameters
    ----------
    kinds
        Of the nets, of `network.KINDS`.
    weights, written
        The files.
    out
        How the second is called in messages.
    tolerance
        Of a difference over the layer's largest value.
    """
    suffixes = Path(weights).suffix, Path(written).suffix
    missing = [RUNS[suffix][0] for suffix in suffixes if not all(files.installed(module) for module in RUNS[suffix][1])]
    names = " and ".join(RUNS[suffix][0] for suffix in suffixes)
    second = "frames of videos" if model.channels == 3 else "more random frames"
    inputs = {"random frames": compare.random_frames(model), second: compare.real_frames(model)}
    for kind in kinds:
        if missing:
            tell(f"{' and '.join(missing)} is not installed, so the nets of the two files are not run side by side.")
            for suffix in dict.fromkeys(suffixes):
                if suffix != ".caffemodel" and RUNS[suffix][0] not in missing:
                    tell(
                        f"{RUNS[suffix][0]} is held against Caffe's stored outputs of a small net instead; the "
                        f"parameters of {out} were read back and are those of {weights}, bit for bit."
                    )
                    _check_small_net(kind, suffix, tolerance)
            continue
        first, networks = compare.marks(kind), [network_of(kind, path, model) for path in (weights, written)]
        compared = [(networks[1], names)]
        if suffixes[1] == ".onnx":  # without outputs in its middle, ONNX Runtime computes several layers in one
            compared.append((network_of(kind, written, model, watch=False), "its own outputs alone"))
        for what, images in inputs.items():
            expected = compare.outputs(networks[0], images, first)
            for network, who in compared:
                _report(expected, compare.outputs(network, images, first), tolerance, f"{kind} net, {who}, {what}")


def network_of(kind: str, path: PathLike, model: NetModel, watch: bool = True) -> Network:
    """Return what runs a file's net of one kind; watch: every layer's output readable."""
    suffix = Path(path).suffix
    if suffix == ".caffemodel":
        from rcnn.nets.caffe_net import of_model

        return of_model(kind, model, path)
    if suffix == ".onnx":
        from rcnn.nets.onnx_net import OnnxNetwork

        return OnnxNetwork(path, watch=watch)
    from rcnn.nets.torch_net import TorchNetwork

    return TorchNetwork(kind, files.read(path, model.combine, model.size)[0], model, watch=watch)


def _check_small_net(kind, suffix, tolerance):
    """Compare what runs files of a suffix, for a small net, with Caffe's stored outputs."""
    arrays, model = compare.small_net(kind)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        files.save(path, arrays, model, kind)
        actual = compare.outputs(network_of(kind, path, model), compare.random_frames(model), compare.marks(kind))
    what = f"{kind} net, Caffe's stored outputs and {RUNS[suffix][0]}, random frames"
    _report(compare.caffe_outputs()[kind], actual, tolerance, what)


def _report(expected, actual, tolerance, what):
    """Print the differences of outputs; InputError where one is beyond the tolerance, or nothing was compared."""
    rows = compare.differences(expected, actual)
    if not rows:
        raise InputError(f"{what}: no layer in common")
    width = max(len(name) for name, *_ in rows)
    print(f"{what}: largest difference of each layer, over its largest value")
    for name, apart, scale in rows:
        print(f"  {name:{width}}  {apart:.1e} of {scale:.3g}")
    name, apart, _ = max(rows, key=lambda row: row[1])
    if not apart <= tolerance:
        raise InputError(
            f"{what}: layer {name} differs by {apart:.1e} of its scale, beyond the tolerance of {tolerance:g}; "
            "nothing is saved"
        )
