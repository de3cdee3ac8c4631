r"""Train RCNN-r or the CNN in PyTorch: the pairs, the recipe and the solver of Caffe (Sec. 3.1), on many machines too.

    python tools/train_torch.py --pairs data/ucf101/pairs_train01.lmdb --weights start.caffemodel --stage 1 \
        --iterations 10000 --out snapshots/torch_stage1
    python tools/train_torch.py --pairs data/ucf101/pairs_train01.lmdb --weights snapshots/torch_stage1_iter_10000.pt \
        --out snapshots/torch
    torchrun --nproc-per-node 8 tools/train_torch.py --pairs ...           # the same training on eight GPUs
    python tools/export.py --weights snapshots/torch_iter_30000.pt --out rcnn.caffemodel

--weights has every parameter of the net, as tools/init_weights.py, `caffe train` or this program write it; a CNN's
(without temporal parts) trains the single-frame net.  Each batch of --batch pairs is divided among the processes of
torchrun, which add up their gradients: the training is the same with any number of them, but for what dropout draws.

OUT_iter_N.pt is a state dict, OUT_iter_N.solver.pt the momentum; OUT.jsonl has a line of JSON for each displayed loss
(rcnn/training/log.py describes it).  Run again, it goes on from the newest snapshot as if it had never stopped.
Several machines need one OUT, in a folder that they share.
"""

import argparse

from rcnn import recipe
from rcnn.command import any_path, input_path, parser, positive
from rcnn.files import check_apart, check_writable
from rcnn.nets import weight_files
from rcnn.recipe import CAFFE_ONLY, Recipe, Solver


def main() -> None:
    args = arguments()
    weight_files.need("torch")
    from rcnn.training import torch_driver

    check_writable(f"{args.out}.jsonl")
    torch_driver.train(
        args.out,
        args.pairs,
        args.weights,
        recipe.typed(args),
        args.stage,
        args.device,
        args.weights_combine,
        args.weights_size,
    )


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--pairs", type=input_path, required=True, help="pairs LMDB of tools/build_pairs.py")
    options.add_argument(
        "--weights", type=input_path, required=True, help="where to start: .caffemodel, .pt or .safetensors"
    )
    options.add_argument(
        "--out", type=any_path, required=True, help="start of the names of what is written, such as snapshots/torch"
    )
    options.add_argument("--stage", type=int, choices=(1, 2), default=2, help="1: what is pretrained stays as it is")
    options.add_argument(
        "--size",
        type=positive,
        metavar="SIZE",
        dest="weights_size",
        help="side of the net's input, pixels, if the weights do not tell",
    )
    options.add_argument(
        "--combine", choices=("average", "sum"), dest="weights_combine", help="as of --weights, if they do not tell"
    )
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there")
    recipe.add_options(options, Recipe(solver=Solver(seed=1)), ("model", "fillers", *CAFFE_ONLY))
    args = options.parse_args()
    check_apart({"--out": f"{args.out}.jsonl"}, [("--pairs", args.pairs), ("--weights", args.weights)])
    return args
