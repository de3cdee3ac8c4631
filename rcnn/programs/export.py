"""Take a net out of Caffe, or back: caffemodel, PyTorch (.pt, .safetensors) and ONNX, with the same numbers.

    python tools/export.py --weights snapshots/rcnn_r_iter_30000.caffemodel --out rcnn.onnx --mode pair
    python tools/export.py --weights snapshots/rcnn_r_iter_30000.caffemodel --out rcnn.pt
    python tools/export.py --weights bvlc_googlenet.caffemodel --out googlenet.onnx
    python tools/export.py --weights rcnn.pt --out rcnn.caffemodel

The suffixes say what is read and written.  A .pt is a state dict of rcnn.nets.torch_net.GoogLeNetRCNN; a .caffemodel
holds parameters alone, bit for bit those read, once each.  An .onnx is a net of one --mode: "pair" takes two frames, as
RCNN-r was trained, "recurrent" takes and gives the state as inputs and outputs, as RCNN-s was, and "frame" is the plain
CNN; classify_video.py runs the first two, evaluate.py all.

Before the file is saved, the net is run from it and from WEIGHTS, on random frames and on frames of videos, and each
layer's largest difference is printed, over the largest value of that layer; beyond --tolerance nothing is saved.  A
caffemodel is run by Caffe.  Where Caffe (or what else is needed) is not installed, what can run is held against outputs
of a small net that Caffe once gave and that come with the package, and the program says so.

Width, classes, channels and switches are read from WEIGHTS; --size is needed where the shapes do not tell it, --combine
where a file does not say it.  A net without side heads, as deploy nets are, has the signal high alone.
"""

from argparse import Namespace

from rcnn.command import input_path, output_file, parser, positive, positive_real, tell
from rcnn.files import InputError, replacing
from rcnn.nets import caffemodel, compare, equality
from rcnn.nets import weight_files as files
from rcnn.nets.model import NetModel, without_temporal
from rcnn.nets.network import KINDS


def main() -> None:
    args = arguments()
    source, target = files.suffix_of(args.weights, "--weights"), files.suffix_of(args.out, "--out")
    arrays, model = files.read(args.weights, args.combine, args.size)
    own = files.kind_of(args.weights)
    mode = args.mode or own or ("recurrent" if model.temporal else "frame")
    if own not in (None, mode):
        raise InputError(f"--mode {mode}: {args.weights} is a {own} net; leave the option out")
    if mode != "frame" and not model.temporal:
        raise InputError(f"--mode {mode}: {args.weights} is of a CNN without temporal parts; it makes --mode frame")
    if target == ".onnx" and mode == "frame" and model.temporal:
        arrays, model = without_temporal(arrays, model)
    print(f"{args.weights}: {described(model)}", flush=True)
    if not model.side_heads:
        tell(f"{args.weights} has no side heads (loss1, loss2): the net has only the signal high")
    fresh = files.marked_fresh(args.weights)
    if fresh and target != ".caffemodel":
        tell(f"{args.out} does not say which layers are fresh, as {args.weights} does; begin stage 1 with that one")
    with replacing(args.out) as part:
        files.save(part, arrays, model, mode)
        if fresh is not None and target == ".caffemodel":
            caffemodel.mark_fresh(part, fresh & arrays.keys())
        equality.check_parameters(part, arrays, model)
        kinds = [mode] if args.mode or ".onnx" in (source, target) else KINDS if model.temporal else ["frame"]
        equality.check_outputs(kinds, args.weights, part, args.out, model, args.tolerance)
    print(f"wrote {args.out}")


def arguments() -> Namespace:
    options = parser(__doc__)
    options.add_argument(
        "--weights", type=input_path, required=True, help="what to read: .caffemodel, .pt, .safetensors or .onnx"
    )
    options.add_argument(
        "--out", type=output_file, required=True, help="what to write: .caffemodel, .pt, .safetensors or .onnx"
    )
    options.add_argument(
        "--mode",
        choices=KINDS,
        help="the net of an .onnx, and that which is compared; if not given, "
        "recurrent (frame for a CNN's weights), and all are compared where the file serves all",
    )
    options.add_argument("--size", type=positive, help="side of the net's input, pixels; 224 if that fits")
    options.add_argument("--combine", choices=("average", "sum"), help="how the net combines the parts of Eq. 3")
    options.add_argument(
        "--tolerance",
        type=positive_real,
        default=compare.TOLERANCE,
        help="the largest difference, over a layer's largest value, with which the file is saved",
    )
    return options.parse_args()


def described(model: NetModel) -> str:
    return f"{model.classes} classes, width {model.width:g}, {model.size} x {model.size} x {model.channels} input, " + (
        f"temporal parts ({model.combine})" if model.temporal else "no temporal parts"
    )
