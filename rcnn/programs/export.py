"""Take a net out of Caffe, or back: caffemodel, PyTorch (.pt, .safetensors) and ONNX, with the same numbers.

    python tools/export.py --weights snapshots/rcnn_r_iter_30000.caffemodel --out rcnn.onnx --mode pair
    python tools/export.py --weights snapshots/rcnn_r_iter_30000.caffemodel --out rcnn.pt
    python tools/export.py --weights bvlc_googlenet.caffemodel --out googlenet.onnx
    python tools/export.py --weights rcnn.pt --out rcnn.caffemodel

The suffixes say what is read and written.  A .pt is a state dict of rcnn.nets.torch_net.GoogLeNetRCNN; a .caffemodel holds
parameters alone, bit for bit those read, once each.  An .onnx is a net of one --mode: "pair" takes two frames, as
RCNN-r was trained, "recurrent" takes and gives the state as inputs and outputs, as RCNN-s was, and "frame" is the plain
CNN; classify_video.py runs the first two.

Before the file is saved, the net is run from it and from WEIGHTS, on random frames and on frames of videos, and each
layer's largest difference is printed, over the largest value of that layer; beyond --tolerance nothing is saved.  A
caffemodel is run by Caffe.  Where Caffe (or what else is needed) is not installed, what can run is held against outputs
of a small net that Caffe once gave and that come with the package, and the program says so.

Width, classes, channels and switches are read from WEIGHTS; --size is needed where the shapes do not tell it, --combine
where a file does not say it.
"""
import os
import tempfile
from pathlib import Path

from rcnn.command import parser, positive, positive_real, tell
from rcnn.files import InputError, check_writable, replacing
from rcnn.nets import compare
from rcnn.nets import weight_files as files
from rcnn.nets.model import without_temporal
from rcnn.nets.network import KINDS

RUNS = {".caffemodel": ("Caffe", ("caffe",)), ".pt": ("PyTorch", ("torch",)), ".safetensors": ("PyTorch", ("torch",)),
        ".onnx": ("ONNX Runtime", ("onnx", "onnxruntime"))}


def main():
    args = arguments()
    source, target = files.suffix_of(args.weights, "--weights"), files.suffix_of(args.out, "--out")
    if Path(args.weights).resolve() == Path(args.out).resolve():
        raise InputError(f"--out: {args.out} is the file of --weights")
    check_writable(args.out)
    arrays, model = files.read(args.weights, args.combine, args.size)
    own = files.kind_of(args.weights)
    mode = args.mode or own or ("recurrent" if model.temporal else "frame")
    if own not in (None, mode):
        raise InputError(f"--mode {mode}: {args.weights} is a {own} net; leave the option out")
    if mode != "frame" and not model.temporal:
        raise InputError(f"--mode {mode}: {args.weights} is of a CNN without temporal parts; it makes --mode frame")
    if target == ".onnx" and mode == "frame" and model.temporal:
        arrays, model = without_temporal(arrays, model)
    print(f"{args.weights}: {told(model)}", flush=True)
    with replacing(args.out) as part:
        files.save(part, arrays, model, mode)
        check_parameters(part, arrays, model)
        frames = inputs(model)
        for kind in [mode] if args.mode or ".onnx" in (source, target) else KINDS if model.temporal else ["frame"]:
            check_outputs(kind, args, part, (source, target), model, frames)
    print(f"wrote {args.out}")


def arguments():
    options = parser(__doc__)
    options.add_argument("--weights", required=True, help="what to read: .caffemodel, .pt, .safetensors or .onnx")
    options.add_argument("--out", required=True, help="what to write: .caffemodel, .pt, .safetensors or .onnx")
    options.add_argument("--mode", choices=KINDS, help="the net of an .onnx, and that which is compared; if not given, "
                         "recurrent (frame for a CNN's weights), and all are compared where the file serves all")
    options.add_argument("--size", type=positive, help="side of the net's input, pixels; 224 if that fits")
    options.add_argument("--combine", choices=("average", "sum"), help="how the net combines the parts of Eq. 3")
    options.add_argument("--tolerance", type=positive_real, default=compare.TOLERANCE,
                         help="the largest difference, over a layer's largest value, with which the file is saved")
    return options.parse_args()


def told(model):
    return (f"{model.classes} classes, width {model.width:g}, {model.size} x {model.size} x {model.channels} input, "
            + (f"temporal parts ({model.combine})" if model.temporal else "no temporal parts"))


def inputs(model):
    """Return [(what they are, frames)] to compare on."""
    real = "frames of videos" if model.channels == 3 else "more random frames"
    return [("random frames", compare.random_frames(model)), (real, compare.real_frames(model))]


def check_parameters(path, arrays, model):
    """Raise InputError unless a file that was written holds these parameters, bit for bit."""
    found, other = files.read(path, model.combine, model.size)
    for name, values in arrays.items():
        if [value.tobytes() for value in values] != [value.tobytes() for value in found.get(name, [])]:
            raise InputError(f"layer {name} is not what it was when read back; nothing is saved")
    if other.layers() != model.layers():
        raise InputError("the file read back is of another net; nothing is saved")


def check_outputs(kind, args, part, suffixes, model, frames):
    """Print the differences, layer by layer, of one kind of net from both files; InputError beyond the tolerance."""
    missing = [RUNS[suffix][0] for suffix in suffixes
               if not all(files.installed(module) for module in RUNS[suffix][1])]
    if missing:
        check_stored(kind, args, [suffix for suffix in suffixes if RUNS[suffix][0] not in missing], missing)
        return
    names = " and ".join(RUNS[suffix][0] for suffix in suffixes)
    networks = [network(kind, suffix, path, model) for suffix, path in zip(suffixes, (args.weights, part))]
    final = network(kind, ".onnx", part, model, watch=False) if suffixes[1] == ".onnx" else None
    for what, images in frames:
        first = compare.marks(kind)
        found = [compare.outputs(each, images, first) for each in networks]
        report(compare.differences(*found), args.tolerance, f"{kind} net, {names}, {what}")
        if final:  # without outputs in its middle, ONNX Runtime computes several layers in one
            report(compare.differences(found[0], compare.outputs(final, images, first)), args.tolerance,
                   f"{kind} net, its own outputs alone, {what}")


def check_stored(kind, args, suffixes, missing):
    """Hold what can run, for a small net, against Caffe's stored outputs."""
    tell(f"{' and '.join(missing)} is not installed, so the nets of the two files are not run side by side.")
    arrays, model = compare.stored_net(kind)
    for suffix in dict.fromkeys(suffixes):
        if suffix == ".caffemodel":
            continue
        tell(f"{RUNS[suffix][0]} is held against Caffe's stored outputs of a small net instead; the parameters of "
             f"{args.out} were read back and are those of {args.weights}, bit for bit.")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"net{suffix}"
            files.save(path, arrays, model, kind)
            each = network(kind, suffix, path, model)
            found = compare.outputs(each, compare.random_frames(model), compare.marks(kind))
        report(compare.differences(compare.stored()[kind], found), args.tolerance,
               f"{kind} net, Caffe's stored outputs and {RUNS[suffix][0]}, random frames")


def network(kind, suffix, path, model, watch=True):
    """Return what runs a file's net of one kind; watch: every layer's output readable."""
    if suffix == ".caffemodel":
        os.environ.setdefault("GLOG_minloglevel", "2")  # else Caffe prints the whole net; it reads this when imported
        from rcnn.nets.caffe_network import CaffeNetwork
        return CaffeNetwork(kind, model, path, compare.ROWS)
    if suffix == ".onnx":
        from rcnn.nets import onnx_net as onnx
        return onnx.Network(path, watch=watch)
    from rcnn.nets import torch_net as torch
    arrays, _ = files.read(path, model.combine, model.size)
    return torch.Network(kind, arrays, model, watch=watch)


def report(rows, tolerance, what):
    width = max((len(name) for name, *_ in rows), default=0)
    print(f"{what}: largest difference of each layer, over its largest value")
    for name, apart, scale in rows:
        print(f"  {name:{width}}  {apart:.1e} of {scale:.3g}")
    compare.check(rows, tolerance, what)
