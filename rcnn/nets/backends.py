"""What runs a net: Caffe, or without Caffe ONNX Runtime or PyTorch; and the options of programs that open one.

backend  net and weights
caffe    the prototxt of a deploy net, and a caffemodel
onnx     an .onnx of tools/export.py alone; or the parameters that torch takes
torch    .pt or .safetensors alone; or a caffemodel alone, where its shapes tell the size of the net's input
auto     caffe where a prototxt is given, since it alone runs one; else the fastest that is installed and suits
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from rcnn.command import finite, input_path, positive_real
from rcnn.data import crops
from rcnn.files import InputError, PathLike, existing
from rcnn.nets import weight_files as files
from rcnn.nets.model import without_temporal
from rcnn.nets.network import Network, checked_mode

BACKENDS = ("auto", "onnx", "torch", "caffe")
MODULES = {"onnx": ("onnx", "onnxruntime"), "torch": ("torch",)}  # the fastest first: benchmarks/backends.py


def add_options(parser: argparse.ArgumentParser, modes: Sequence[str] = ()) -> None:
    """Add --net, --weights, --backend, --gpu, --scale, --mean, and --mode where there are modes to choose from."""
    parser.add_argument(
        "--net", type=input_path, help="the deploy net's prototxt, for Caffe; without it the weights tell the net"
    )
    parser.add_argument(
        "--weights",
        type=input_path,
        required=True,
        help="caffemodel; without --net also .onnx, .pt or .safetensors",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="what runs the net; auto is caffe with --net, else the fastest that is installed and takes the weights",
    )
    if modes:
        parser.add_argument(
            "--mode",
            choices=modes,
            help="what a frame is scored with: pair, the one before it; "
            "recurrent, the state that all before it left"
            + "; frame, nothing" * ("frame" in modes)
            + "; the net's own if not given, or else recurrent",
        )
    parser.add_argument("--gpu", type=int, help="GPU to compute on, counted from 0; the CPU if not given")
    parser.add_argument(
        "--scale",
        type=positive_real,
        default=1.0,
        help="what the input is multiplied by after the mean is taken off, as in training",
    )
    parser.add_argument(
        "--mean",
        type=finite,
        nargs="+",
        metavar="VALUE",
        help="what is taken off each channel, blue first, as in training (default: "
        f"{' '.join(f'{value:g}' for value in crops.MEAN)}; "
        f"{' '.join(f'{value:g}' for value in crops.FLOW_MEAN)} for flow)",
    )


def open_network(
    backend: str,
    net: Optional[PathLike],
    weights: PathLike,
    gpu: Optional[int] = None,
    mode: Optional[str] = None,
    pairs: bool = False,
    watch: bool = False,
) -> tuple[Network, str]:
    """Return (network, mode): what runs a net, and how it scores frames.

    Parameters
    ----------
    backend
        Of BACKENDS.
    net
        Path of a prototxt, or None.
    weights
        Path of what holds the parameters.
    gpu
        Its number from 0; None for the CPU.
    mode
        Of `network.KINDS`, or None for that of the net, and where the weights alone do not tell: "recurrent", or
        "frame" for a CNN's.
    pairs
        Refuse a net of single frames.
    watch
        Have the network's `outputs` return those of every layer.

    Raises
    ------
    InputError
        Where they do not go together, what is needed is not installed, or a file is not such a net.
    """
    network = _opened(backend, net, weights, gpu, mode, pairs, watch)
    if pairs and network.kind == "frame":
        raise InputError(
            f"net: {net or weights} sees single frames; "
            + (
                f"export it with --mode {mode or 'recurrent'}"
                if net is None
                else "give deploy_rcnn_r.prototxt or deploy_rcnn_s.prototxt"
            )
        )
    return network, checked_mode(mode, network.kind)


def check_choices(net: Any, name: PathLike, signal: str, path: PathLike, classes: Sequence[str]) -> None:
    """Raise InputError unless a net has an output for a signal, and as many classes as the list at `path`.

    net: a Network, or a Classifier; name: its file's.
    """
    if signal not in net.signals:
        raise InputError(f"--signal: {name} has no output {signal}, only {', '.join(net.signals)}")
    if net.classes != len(classes):
        raise InputError(
            f"--classes: {path} has {len(classes)} classes, {name} has {net.classes}; --only-classes takes some"
        )


def mean_of(mean: Optional[Sequence[float]], network: Network, name: PathLike) -> list[float]:
    """Return what is taken off each channel of a network's input: `mean`, or the usual one where it is None.

    Raises InputError, which names the net's file, where it has another number of values than the input has channels.
    """
    mean = list(mean or crops.MEANS[network.channels])
    if len(mean) != network.channels:
        raise InputError(f"--mean: {len(mean)} values for the {network.channels} channels of {name}")
    return mean


def _opened(backend, net, weights, gpu, mode, pairs, watch):
    if net is not None:
        existing(net, "net")
    suffix = Path(existing(weights, "weights")).suffix
    backend = _chosen(net, weights, gpu) if backend == "auto" else backend
    if backend == "caffe":
        if net is None or suffix in (".onnx", ".pt", ".safetensors"):
            raise InputError(
                f"weights: Caffe takes a caffemodel and a prototxt, --net; it cannot run {weights} "
                + ("without" if net is None else "with one")
            )
        files.need("caffe")
        from rcnn.nets.caffe_net import CaffeNetwork

        return CaffeNetwork(net, weights, gpu)
    if net is not None:
        raise InputError(
            f"--net: only Caffe runs a prototxt; leave it out for --backend {backend}, which knows the "
            "net from its weights"
        )
    files.need(*MODULES[backend])
    if backend == "onnx" and gpu is not None:
        raise InputError(f"--gpu {gpu}: ONNX Runtime runs on the CPU here; give --backend torch or caffe")
    if suffix == ".onnx":
        if backend != "onnx":
            raise InputError(
                f"weights: {weights} is for --backend onnx; PyTorch takes .pt, .safetensors or .caffemodel"
            )
        from rcnn.nets.onnx_net import OnnxNetwork

        return OnnxNetwork(weights, watch=watch)
    arrays, model = files.read(weights)
    kind = mode or ("recurrent" if pairs or model.temporal else "frame")
    if kind == "frame":
        arrays, model = without_temporal(arrays, model)
    if backend == "torch":
        from rcnn.nets.torch_net import TorchNetwork

        return TorchNetwork(kind, arrays, model, gpu, watch=watch)
    from rcnn.nets.onnx_net import OnnxNetwork, build

    return OnnxNetwork(build(kind, arrays, model), watch=watch)


def _chosen(net, weights, gpu):
    if net is not None:
        return "caffe"
    if Path(weights).suffix == ".onnx":
        return "onnx"
    suitable = [name for name in MODULES if gpu is None or name == "torch"]
    present = [name for name in suitable if all(files.installed(module) for module in MODULES[name])]
    if not present:
        raise InputError(f"without --net, {weights} needs {' or '.join(suitable)}: pip install '.[{suitable[0]}]'")
    return present[0]
