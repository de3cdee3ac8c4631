"""Train RCNN-r in PyTorch: the pairs, the recipe and the solver's arithmetic of Caffe (Sec. 3.1), on many machines too.

    python tools/train_torch.py --pairs data/ucf101/pairs_train01.lmdb --weights start.caffemodel --stage 1 \\
        --iterations 10000 --out snapshots/torch_stage1
    python tools/train_torch.py --pairs data/ucf101/pairs_train01.lmdb --weights snapshots/torch_stage1_iter_10000.pt \\
        --out snapshots/torch
    torchrun --nproc-per-node 8 tools/train_torch.py --pairs ...           # the same training on eight GPUs
    python tools/export.py --weights snapshots/torch_iter_30000.pt --out rcnn.caffemodel

--weights has every parameter of the net, as tools/init_weights.py, `caffe train` or this program write it; a CNN's
(without temporal parts) trains the single-frame net.  Each batch of --batch pairs is divided among the processes of
torchrun, which add up their gradients: the training is the same with any number of them, but for what dropout draws.

OUT_iter_N.pt is a state dict, OUT_iter_N.solver.pt the momentum; OUT.jsonl has a line of JSON for each displayed loss
(rcnn/training/log.py describes it).  Run again, it goes on from the newest snapshot as if it had never stopped.  Several
machines need one OUT, in a folder that they share.
"""
import os
import re
import time
from argparse import ArgumentTypeError
from dataclasses import asdict, replace
from pathlib import Path

from rcnn.data import crops

from rcnn.training import log as training
from rcnn.command import finite, parser, positive, positive_real, progress, tell
from rcnn.files import InputError, check_writable, replacing
from rcnn.nets import weight_files as files

RECIPE = ("iterations", "batch", "iter_size", "rate", "final_rate", "clip_gradients", "stage", "spatial_rate", "scale",
          "seed", "previous_loss", "cut_gradient", "together", "dropout")


def main():
    args = arguments()
    files.need("torch")
    import torch
    from torch import distributed

    from rcnn.training.torch_solver import Recipe
    check_writable(f"{args.out}.jsonl")
    recipe = Recipe(mean=tuple(args.mean or ()), **{name: getattr(args, name) for name in RECIPE})
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device("cpu")
    if args.device == "cuda" or args.device == "auto" and torch.cuda.is_available():
        if not local < torch.cuda.device_count():
            raise InputError(f"--device cuda: PyTorch sees {torch.cuda.device_count()} GPUs, and process {local} of "
                             "this machine needs one of its own")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if world > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        train(args, recipe, device, world)
    finally:
        if world > 1:
            distributed.destroy_process_group()


def arguments():
    options = parser(__doc__)
    options.add_argument("--pairs", required=True, help="pairs LMDB of tools/build_pairs.py")
    options.add_argument("--weights", required=True, help="where to start: .caffemodel, .pt or .safetensors")
    options.add_argument("--out", required=True, help="start of the names of what is written, such as snapshots/torch")
    options.add_argument("--stage", type=int, choices=(1, 2), default=2, help="1: GoogLeNet's W and b stay as they are")
    options.add_argument("--batch", type=positive, default=64, help="pairs a forward pass, of all processes together")
    options.add_argument("--iter-size", type=positive, default=1, help="forward passes an update")
    options.add_argument("--iterations", type=positive, default=30000, help="updates")
    options.add_argument("--rate", type=positive_real, default=0.01, help="learning rate at the start")
    options.add_argument("--final-rate", type=positive_real, default=0.01, help="share of --rate left at the end")
    options.add_argument("--clip-gradients", type=positive_real, help="largest norm of the gradients")
    options.add_argument("--spatial-rate", type=positive_real, default=1.0, help="lr_mult of W in stage 2")
    options.add_argument("--previous-loss", type=flag, default=False, metavar="yes|no", help="a loss on frame t-1 too")
    options.add_argument("--cut-gradient", type=flag, default=True, metavar="yes|no", help="no gradient into frame t-1")
    options.add_argument("--together", type=flag, default=True, metavar="yes|no", help="one crop for both frames")
    options.add_argument("--dropout", type=flag, default=True, metavar="yes|no", help="no: for comparisons")
    options.add_argument("--mean", type=finite, nargs="+",
                         help="what is taken off each channel, blue first; 104 117 123 (flow: 128 128) if not given")
    options.add_argument("--scale", type=positive_real, default=1.0, help="multiplies the input after that")
    options.add_argument("--size", type=positive, help="side of the net's input, pixels, if the weights do not tell")
    options.add_argument("--combine", choices=("average", "sum"), help="as of --weights, if they do not tell")
    options.add_argument("--seed", type=int, default=1, help="of crops and dropout")
    options.add_argument("--display", type=positive, default=40, help="updates between lines of the log")
    options.add_argument("--snapshot", type=positive, default=1000, help="updates between snapshots")
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there")
    return options.parse_args()


def flag(text):
    """An argparse type: yes or no."""
    if text not in ("yes", "no"):
        raise ArgumentTypeError(f"{text} is neither yes nor no")
    return text == "yes"


def train(args, recipe, device, world):
    """Train from the newest snapshot, or from --weights, to the last update."""
    from torch import distributed

    from rcnn.nets import torch_net as port
    from rcnn.training.torch_solver import Pairs, Solver, step
    rank = distributed.get_rank() if world > 1 else 0
    start = newest(args.out)
    source = f"{args.out}_iter_{start}.pt" if start else args.weights
    arrays, model = files.read(source, args.combine, args.size)
    recipe = replace(recipe, mean=recipe.mean or crops.MEANS.get(model.channels, ()))
    net = port.build(arrays, model).to(device)
    solver = Solver(net, recipe)
    state = restore(solver, f"{args.out}_iter_{start}.solver.pt", device) if start else None
    if rank == 0:
        tell(f"{'going on' if start else 'starting'} from {source}, {world} process(es), {device.type}")
        done = training.rewind(Path(f"{args.out}.jsonl"), start) if start else []
        began, kept = time.monotonic() - (done[-1]["seconds"] if done else 0.0), []
    if start >= recipe.iterations:
        tell(f"finished already: {source} is at iteration {start} of {recipe.iterations}")
        return
    with Pairs(args.pairs, model, recipe, rank, world) as pairs:
        batches = pairs.batches(start * recipe.iter_size, state)
        bar = progress(recipe.iterations, "it", start, Path(args.out).name) if rank == 0 else None
        while solver.iteration < recipe.iterations:
            rate = solver.rate()
            loss, outputs, state = step(net, solver, batches)
            if not loss < float("inf"):
                raise InputError(f"the loss of iteration {solver.iteration - 1} is not finite: training diverged; "
                                 "lower --rate, or check the data and --scale")
            if rank == 0:
                kept = (kept + [loss])[-40:]
                log(args, solver.iteration - 1, kept, outputs, rate, time.monotonic() - began)
                bar.update()
                if solver.iteration % args.snapshot == 0 or solver.iteration == recipe.iterations:
                    save(args.out, net, solver, state)
        if bar is not None:
            bar.close()


def log(args, iteration, kept, outputs, rate, seconds):
    """Append a line to the log; iterations are counted from 0, as Caffe shows them."""
    if iteration % args.display and iteration + 1 != args.iterations:
        return
    record = {"phase": "train", "iteration": iteration, "loss": sum(kept) / len(kept), "average_loss": 40,
              "raw": kept[-1], "outputs": outputs, "learning_rate": rate, "seconds": round(seconds, 3)}
    if iteration == 0:
        Path(f"{args.out}.jsonl").unlink(missing_ok=True)
    with open(f"{args.out}.jsonl", "a", encoding="utf-8") as file:
        file.write(training.line(record))


def newest(prefix):
    """Return the iteration of the newest snapshot of which both files are there, 0 if there is none."""
    prefix = Path(prefix)
    name = re.compile(re.escape(prefix.name) + r"_iter_(\d+)\.solver\.pt")
    found = [int(match[1]) for path in prefix.parent.glob("*.solver.pt") if (match := name.fullmatch(path.name))]
    return max((number for number in found if Path(f"{prefix}_iter_{number}.pt").is_file()), default=0)


def save(prefix, net, solver, state):
    """Write a snapshot, the weights first: each file is whole or not there."""
    import torch
    with replacing(f"{prefix}_iter_{solver.iteration}.pt") as part:
        torch.save({name: value.cpu() if name != "_extra_state" else value for name, value in net.state_dict().items()},
                   part)
    with replacing(f"{prefix}_iter_{solver.iteration}.solver.pt") as part:
        torch.save({"momentum": {name: value.cpu() for name, value in solver.momentum.items()},
                    "iteration": solver.iteration, "state": state, "recipe": repr(asdict(solver.recipe))}, part)


def restore(solver, path, device):
    """Give a solver its momentum and iteration; return the state of the crops' random numbers."""
    import torch
    saved = torch.load(path, map_location=device, weights_only=True)
    if saved["recipe"] != repr(asdict(solver.recipe)):
        raise InputError(f"{path} is of a training with other options; give those, or another --out")
    solver.momentum = saved["momentum"]
    solver.iteration = saved["iteration"]
    return saved["state"]
