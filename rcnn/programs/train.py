"""Train a net: run `caffe train` with a progress bar, a log of records, and resume.

    python tools/train.py --solver prototxt/solver_rcnn_r.prototxt --weights start.caffemodel --plot loss.png
    python tools/train.py --solver prototxt/raw/solver_rcnn_r.prototxt --weights start.caffemodel --gpu 0,1

Paths in the solver and the nets are relative to the folder this is run from, as in Caffe.  Beside the solver's
snapshots (snapshot_prefix P) it keeps P.caffe.log, all that caffe printed, and P.jsonl, a line of JSON for each
displayed iteration and each test (rcnn/training/log.py describes it).

On several GPUs each computes the net's whole batch, so that an iteration sees as many times more pairs; Caffe must have
been built with NCCL, and the nets must have no Python layer (tools/make_prototxt.py --encoding raw).

--resume-from goes on from a snapshot of tools/train_torch.py, NAME_iter_N.solver.pt and the .pt beside it, if there is
none of this training itself.

Run again, it goes on from the newest whole snapshot (--weights then only served the first start), and says so if the
training is finished.  A snapshot holds the weights, the momentum and the iteration, and not all else: Caffe's Data
layers begin again at the first record of their LMDB, and crops and dropout begin their random numbers afresh, so a
training that was interrupted sees other batches than one that was not.

Ctrl-C, SIGTERM and a closed terminal make caffe end its iteration, snapshot and stop; a second
Ctrl-C ends it at once, without a snapshot.  A loss that is not finite ends the training.
"""

from pathlib import Path

from rcnn.command import any_path, input_path, output_file, output_picture, parser, progress
from rcnn.experiments import plots
from rcnn.files import check_apart
from rcnn.nets import device
from rcnn.training.log import loss_curve, read_log


def main() -> int:
    """Train by the command line; return the exit status."""
    options = parser(__doc__)
    options.add_argument("--solver", type=input_path, required=True, help="the solver's prototxt")
    options.add_argument("--weights", type=any_path, help="caffemodel to start from, or several, separated by commas")
    options.add_argument("--log", type=output_file, help="log of records (default: the snapshot prefix with .jsonl)")
    options.add_argument(
        "--plot", type=output_picture, help="PNG to draw the loss curve to when training ends or is already finished"
    )
    begin = options.add_mutually_exclusive_group()
    begin.add_argument("--fresh", action="store_true", help="start over; removes this solver's snapshots and logs")
    begin.add_argument("--resume-from", type=input_path, help="snapshot of train_torch.py to go on from: *.solver.pt")
    options.add_argument(
        "--gpu",
        type=device.numbers,
        help="number of the GPU, or several, separated by commas (default: what the solver says)",
    )
    args = options.parse_args()
    from rcnn.training.caffe_driver import Training  # not above, as it takes Caffe along

    training = Training(args.solver, args.weights, args.log, args.gpu)
    outputs = {"--log": training.log, **({"--plot": args.plot} if args.plot else {})}
    check_apart(outputs, [("the solver", file) for file in training.inputs()])
    if args.resume_from:
        training.resume_from(args.resume_from)
    status = training.run(progress, args.fresh)
    if args.plot:
        plots.loss_curves(args.plot, {Path(args.solver).stem: loss_curve(read_log(training.log))})
        print(f"loss curve: {args.plot}")
    return status
