r"""Make the starting weights of a training: a GoogLeNet's parameters, by layer name, in an RCNN (Sec. 3.1).

    python tools/init_weights.py --net prototxt/deploy_rcnn_r.prototxt --weights bvlc_googlenet.caffemodel \
        --out start.caffemodel
    caffe train -solver prototxt/solver_rcnn_r_stage1.prototxt -weights start.caffemodel

--net is the deploy net of the model to train: it has every parameter and filler of its training nets, and needs no
LMDB to be built.  --weights is BVLC's GoogLeNet, whole or of its deploy net alone, one that was tuned from it for other
classes, a finished CNN of our own or an RCNN's snapshot; a .pt, .safetensors or .onnx of ours will do too.  What it
lacks (temporal parts, classifiers for video, side heads) starts as the net's fillers make it from --seed, and so do
classifiers of another number of classes and loss1/fc and loss2/fc of another input size; without --weights all does.
OUT says which layers these are: train_torch.py lets them learn in stage 1, and train.py refuses a stage 1 that would
not (make its nets by make_prototxt.py --weights).  A net that adds its two parts (--combine sum) starts from half of
the W and b of every layer that has a temporal part; one that averages them starts from W and b as they are.
--unhalved takes them as they are for a sum too, which fits temporal parts that
start at zero.

--difference 1 starts conv1's temporal weights at minus frame t-1, so that the net sees what is new since then, and what
stands still is gone; a start of this project, for --combine sum with other temporal parts at zero.

Every parameter is listed: copied, halved, fresh (with its filler), or unused, which only the weights have.  A
convolution of another shape, or none, is an error: it is another net's.  OUT is complete or not there.
"""

from rcnn.command import PathType, input_path, parser, seed, share
from rcnn.files import InputError, replacing


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--net", type=input_path, required=True, help="deploy net (prototxt) of the model to train")
    options.add_argument(
        "--weights", type=input_path, help=".caffemodel, .pt, .safetensors or .onnx to copy from, if any"
    )
    options.add_argument("--out", type=PathType("file", ".caffemodel"), required=True, help="caffemodel to write")
    options.add_argument(
        "--combine",
        choices=("average", "sum"),
        default=None,
        help="how the net combines the parts of Eq. 3; it says so itself, another one is an error",
    )
    options.add_argument(
        "--difference", type=share, default=0.0, help="start conv1's temporal weights at minus this share of frame t-1"
    )
    options.add_argument("--unhalved", action="store_true", help="do not halve W and b for a net that adds its parts")
    options.add_argument(
        "--fresh",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="layers to leave at their fillers though the weights have them",
    )
    options.add_argument("--seed", type=seed, default=1, help="of the fillers, 0 to 4294967295")
    args = options.parse_args()
    from rcnn.nets import caffemodel, weight_files, weights

    net, message = weights.build(args.net, args.seed)
    combine = weights.combine_of(message)
    if args.combine not in (None, combine):
        raise InputError(
            f"--combine {args.combine}: {args.net} has {combine or 'no temporal parts'}; leave the option "
            f"out, or make the net with --combine {args.combine}"
        )
    if args.weights:
        rows = weights.copy(net, message, weight_files.source(args.weights), args.fresh, args.unhalved)
    else:
        rows = weights.filled(net, message)
    if args.difference:
        rows = weights.take_off_previous(net, rows, args.difference)
    with replacing(args.out) as part:
        net.save(str(part))
        caffemodel.mark_fresh(part, weights.fresh_of(rows))
    print(weights.table(rows))
    if unfit := weights.unfit_of(rows):
        print(f"fresh, though the weights have them: {', '.join(unfit)}")
    print(f"wrote {args.out}")
