r"""Train RCNN-r, RCNN-s or the CNN in PyTorch: the data, recipe and solver of Caffe (Sec. 3.1), on many machines too.

    python tools/train_torch.py --pairs data/ucf101/pairs_train01.lmdb --weights start.caffemodel --stage 1 \
        --iterations 10000 --out snapshots/torch_stage1
    python tools/train_torch.py --pairs data/ucf101/pairs_train01.lmdb --weights snapshots/torch_stage1_iter_10000.pt \
        --out snapshots/torch
    python tools/train_torch.py --frames data/ucf101/frames_5fps.lmdb --weights start.caffemodel \
        --list data/ucf101/ucfTrainTestlist/trainlist01.txt --out snapshots/torch_s      # RCNN-s, on frames in order
    torchrun --nproc-per-node 8 tools/train_torch.py --pairs ...           # the same training on eight GPUs
    python tools/export.py --weights snapshots/torch_iter_30000.pt --out rcnn.caffemodel

--weights has every parameter of the net, as tools/init_weights.py, `caffe train` or this program write it; a CNN's
(without temporal parts) trains the single-frame net.  --pairs are of random sampling (RCNN-r); --frames with --list
trains in order, --batch videos side by side (RCNN-s, truncated BPTT).  Each batch is divided among the processes of
torchrun, which add up their gradients: the training is the same with any number of them, but for what dropout draws.

--precision bfloat16 computes the layers in 16 bits and keeps weights, gradients' sums, losses and normalization in 32:
faster by half on a CPU with AVX-512 BF16 or AMX, slower on one without, and on GPUs since 2020.

OUT_iter_N.pt is a state dict, OUT_iter_N.solver.pt the momentum; OUT.jsonl has a line of JSON for each displayed loss
(rcnn/training/log.py describes it).

Run again, it goes on from the newest snapshot as if it had never stopped.  --resume-from, in place of --weights, goes
on from a snapshot of `caffe train`, NAME_iter_N.solverstate and the caffemodel beside it, if OUT has none of its own.
Several machines need one OUT, in a folder that they share.
"""

import argparse
from pathlib import Path

from rcnn import recipe
from rcnn.command import any_path, input_path, parser, positive
from rcnn.files import check_apart, check_writable
from rcnn.nets import weight_files
from rcnn.recipe import CAFFE_ONLY, Recipe, Solver


def main() -> None:
    args = arguments()
    weight_files.need("torch")
    from rcnn.training import torch_driver
    from rcnn.training.torch_batches import Pairs, Sequences

    def opened(*settings):
        return Pairs(args.pairs, *settings) if args.pairs else Sequences(args.frames, args.list, *settings)

    check_writable(f"{args.out}.jsonl")
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)  # as train.py does
    torch_driver.train(
        args.out,
        opened,
        args.weights,
        recipe.typed(args),
        args.stage,
        args.device if args.gpu is None else f"cuda:{args.gpu}",
        args.weights_combine,
        args.weights_size,
        args.resume_from,
    )


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    data = options.add_mutually_exclusive_group(required=True)
    data.add_argument("--pairs", type=input_path, help="pairs LMDB of tools/build_pairs.py, for RCNN-r and the CNN")
    data.add_argument("--frames", type=input_path, help="frames LMDB of tools/build_frames.py, for RCNN-s; with --list")
    options.add_argument("--list", type=input_path, help="the videos of --frames, as UCF-101's trainlist01.txt")
    begin = options.add_mutually_exclusive_group(required=True)
    begin.add_argument("--weights", type=input_path, help="where to start: .caffemodel, .pt or .safetensors")
    begin.add_argument("--resume-from", type=input_path, help="snapshot of caffe train to go on from: *.solverstate")
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
    where = options.add_mutually_exclusive_group()
    where.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there")
    where.add_argument("--gpu", type=int, help="number of the GPU to train on, from 0, of one process")
    recipe.add_options(options, Recipe(solver=Solver(seed=1)), ("model", "fillers", *CAFFE_ONLY))
    args = options.parse_args()
    if bool(args.frames) != bool(args.list):
        options.error("--frames and --list go together")
    read = ("pairs", "frames", "list", "weights", "resume_from")
    inputs = [(f"--{name.replace('_', '-')}", path) for name in read if (path := getattr(args, name))]
    check_apart({"--out": f"{args.out}.jsonl"}, inputs)
    return args
