"""What runs a net for frames that come one by one: Caffe, or without Caffe ONNX Runtime or PyTorch.

    backend  net and weights
    caffe    deploy_rcnn_r.prototxt or deploy_rcnn_s.prototxt, and a caffemodel
    onnx     a pair or recurrent .onnx of tools/export.py alone; or the parameters that torch takes
    torch    .pt or .safetensors alone; or a caffemodel alone, where its shapes tell the size of the net's input
    auto     caffe where a prototxt is given, since it alone runs one; else the fastest that is installed and suits
"""
from pathlib import Path

from rcnn.files import InputError, existing
from rcnn.nets import weight_files as files
from rcnn.nets.network import checked_mode

BACKENDS = ("auto", "onnx", "torch", "caffe")
MODULES = {"onnx": ("onnx", "onnxruntime"), "torch": ("torch",)}  # the fastest first: benchmarks/backends.py


def open_network(backend, net, weights, gpu=None, mode=None):
    """Return (network, mode): an `rcnn.nets.inference.Network`, or one of another backend, and how it scores frames.

    backend: of BACKENDS.  net: path of a prototxt, or None.  weights: path.  gpu: its number from 0; None for the CPU.
    mode: "pair", "recurrent", or None for that of the net; "recurrent" where the weights alone do not tell.
    Raises InputError where they do not go together, what is needed is not installed, or a file is not such a net.
    """
    network = _opened(backend, net, weights, gpu, mode)
    if network.kind == "frame":
        raise InputError(f"net: {net or weights} sees single frames; " + (
            f"export it with --mode {mode or 'recurrent'}" if net is None
            else "give deploy_rcnn_r.prototxt or deploy_rcnn_s.prototxt"))
    return network, checked_mode(mode, network.kind)


def _opened(backend, net, weights, gpu, mode):
    if net is not None:
        existing(net, "net")
    suffix = Path(existing(weights, "weights")).suffix
    backend = _chosen(net, weights, gpu) if backend == "auto" else backend
    if backend == "caffe":
        if net is None or suffix in (".onnx", ".pt", ".safetensors"):
            raise InputError(f"weights: Caffe takes a caffemodel and a prototxt, --net; it cannot run {weights} "
                             + ("without" if net is None else "with one"))
        files.need("caffe")
        from rcnn.nets.inference import Network
        return Network(net, weights, gpu)
    if net is not None:
        raise InputError(f"--net: only Caffe runs a prototxt; leave it out for --backend {backend}, which knows the "
                         "net from its weights")
    files.need(*MODULES[backend])
    if backend == "onnx" and gpu is not None:
        raise InputError(f"--gpu {gpu}: ONNX Runtime runs on the CPU here; give --backend torch or caffe")
    if suffix == ".onnx":
        if backend != "onnx":
            raise InputError(f"weights: {weights} is for --backend onnx; PyTorch takes .pt, .safetensors or "
                             ".caffemodel")
        from rcnn.nets import onnx_net as onnx
        return onnx.Network(weights)
    arrays, model = files.read(weights)
    kind = mode or "recurrent"
    if backend == "torch":
        from rcnn.nets import torch_net as torch
        return torch.Network(kind, arrays, model, gpu)
    from rcnn.nets import onnx_net as onnx
    return onnx.Network(onnx.build(kind, arrays, model))


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
