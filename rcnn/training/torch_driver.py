"""A whole training in PyTorch: its processes, snapshots, log, and how it goes on where it stopped.

OUT_iter_N.pt is a state dict of rcnn.nets.torch_net, OUT_iter_N.solver.pt the momentum and what goes on with it,
OUT.jsonl the log (rcnn/training/log.py).
"""

import ast
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Callable, Optional, Union

import torch
from torch import distributed

from rcnn import recipe as recipes
from rcnn.command import progress, tell
from rcnn.data import crops
from rcnn.files import InputError, TrainingError, replacing
from rcnn.nets import torch_net, weight_files
from rcnn.nets.model import NetModel
from rcnn.nets.torch_net import EXTRA, GoogLeNetRCNN
from rcnn.recipe import CAFFE_ONLY, PART_OF, Recipe
from rcnn.training import exchange, log
from rcnn.training.torch_batches import Batches
from rcnn.training.torch_solver import Solver, step

AVERAGE_LOSS = 40  # iterations, as Caffe's solver has it (Fig. 2)
DECISIVE = [  # of the result
    name
    for name, part in PART_OF.items()
    if part in ("data", "learning", "solver") and name not in (*CAFFE_ONLY, "mean", "snapshot", "display")
]


@contextmanager
def processes(device: str) -> Iterator[tuple[torch.device, int, int]]:
    """Yield (device, rank, world) of this process, among those of torchrun if there are some.

    Parameters
    ----------
    device
        "cpu", "cuda", "auto", which is a GPU where there is one, or of one process, "cuda:1".
    """
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    chosen = torch.device("cpu")
    if device.startswith("cuda:"):
        local = int(device[len("cuda:") :])
        if world > 1:
            raise InputError("gpu: with several processes each takes the GPU of its number; leave --gpu out")
    if device.startswith("cuda") or device == "auto" and torch.cuda.is_available():
        if not 0 <= local < torch.cuda.device_count():
            raise InputError(
                f"device: PyTorch sees {torch.cuda.device_count()} GPUs, and process {local} of this "
                "machine needs one of its own"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    if world == 1:
        yield chosen, 0, 1
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield chosen, distributed.get_rank(), world
    finally:
        distributed.destroy_process_group()


def train(
    out: str,
    source: Callable[..., Batches],
    weights: Optional[Union[str, Path]],
    settings: Mapping[str, Any],
    stage: int = 2,
    device: str = "auto",
    combine: Optional[str] = None,
    size: Optional[int] = None,
    resume_from: Optional[Union[str, Path]] = None,
) -> None:
    """Train from the newest snapshot, or from `weights` or `resume_from`, one of which is given, to the last update.

    Parameters
    ----------
    out
        Start of the names of what is written.
    source
        Called with a recipe, rank and world, it opens what the net trains on: `Pairs` of an LMDB, or `Sequences`.
    weights
        Every parameter of the net; a CNN's, without temporal parts, trains the single-frame net, on pairs.
    settings
        Of a recipe, whose model the weights are of; the seed is 1 unless it is among them.
    stage
        1 or 2.
    device
        As of `processes`.
    combine, size
        Of the model, where the weights do not tell.
    resume_from
        A solverstate of Caffe, whose training goes on.

    Raises
    ------
    InputError
        For input that does not fit, and a snapshot of other settings.
    TrainingError
        Where the loss is not finite.
    """
    with processes(device) as (place, rank, world):
        start, begun = newest(out), None
        begin = Path(f"{out}_iter_{start}.pt")
        if not start and resume_from:
            begun = exchange.of_caffe(resume_from)
            begin = begun.weights
        elif not start and weights:
            begin = Path(weights)
            if begin.resolve() in {path.resolve() for path in _snapshots(out, "pt").values()}:
                raise InputError(f"weights: {weights} has a name that this training writes; move it to another folder")
        arrays, model = weight_files.read(begin, combine, size)
        recipe = recipes.parse({"seed": 1, **settings}, Recipe(model=model))
        torch.set_flush_denormal(True)  # on a CPU each number near 0 costs as much as a hundred others
        if model.classifier != NetModel.classifier:
            raise InputError(
                f"weights: {begin} has GoogLeNet's own classifiers, {model.classifier}, and none for videos; make "
                "starting weights of it with tools/init_weights.py"
            )
        net = torch_net.build(arrays, model).to(place)
        fresh: Optional[Collection[str]]
        if start:
            fresh = fresh_of(f"{out}_iter_{start}.solver.pt")
        elif begun:
            fresh = begun.fresh
        else:
            fresh = weight_files.marked_fresh(begin)
        solver = Solver(net, recipe, stage, fresh)
        state = restore(solver, f"{out}_iter_{start}.solver.pt", place) if start else None
        if begun:
            start = solver.iteration = begun.iteration
            solver.momentum = {name: torch.from_numpy(begun.momentum[name]).to(place) for name in solver.momentum}
        last = recipe.solver.iterations
        if rank == 0:
            tell(f"{'going on' if start else 'starting'} from {begin}, {world} process(es), {place.type}")
            records = _Records(out, start, recipe)
        if start >= last:
            tell(f"finished already: {begin} is at iteration {start} of {last}")
            return
        with (
            source(recipe, rank, world) as reader,
            progress(last, "it", start, Path(out).name) if rank == 0 else nullcontext() as bar,
        ):
            if reader.in_order and not model.temporal:
                raise InputError(
                    f"weights: {begin} is a single-frame net's, which learns from pairs; RCNN-s is recurrent"
                )
            batches = reader.batches(start * recipe.solver.iter_size, state)
            while solver.iteration < last:
                rate = solver.rate()
                loss, outputs, state = step(net, solver, batches)
                if not loss < float("inf"):
                    raise TrainingError(
                        f"the loss of iteration {solver.iteration - 1} is not finite: training "
                        "diverged; lower the rate, or check the data and the scale"
                    )
                if bar is not None:
                    records.add(solver.iteration - 1, loss, outputs, rate)
                    bar.update()
                    if solver.iteration % recipe.solver.snapshot == 0 or solver.iteration == last:
                        save(out, net, solver, state)


class _Records:
    """The log of a training, which begins anew at iteration 0; iterations are counted from 0, as Caffe shows them."""

    def __init__(self, out, start, recipe):
        self.path, self.settings = Path(f"{out}.jsonl"), recipe.solver
        kept = log.rewind(self.path, start) if start else []
        self.began, self.losses = time.monotonic() - (kept[-1]["seconds"] if kept else 0.0), []

    def add(self, iteration, loss, outputs, rate):
        """Append a line, if this iteration is displayed."""
        self.losses = (self.losses + [loss])[-AVERAGE_LOSS:]
        if iteration % self.settings.display and iteration + 1 != self.settings.iterations:
            return
        record = {
            "phase": "train",
            "iteration": iteration,
            "loss": sum(self.losses) / len(self.losses),
            "average_loss": AVERAGE_LOSS,
            "raw": loss,
            "outputs": outputs,
            "learning_rate": rate,
            "seconds": round(time.monotonic() - self.began, 3),
        }
        if iteration == 0:
            self.path.unlink(missing_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(log.line(record))


def newest(out: str) -> int:
    """Return the iteration of the newest snapshot of which both files are there, 0 if there is none."""
    weights = _snapshots(out, "pt")
    return max((number for number in _snapshots(out, "solver.pt") if number in weights), default=0)


def _snapshots(out: str, suffix: str) -> dict[int, Path]:
    """Return {iteration: path} of the snapshots' files of a suffix."""
    prefix = Path(out)
    name = re.compile(rf"{re.escape(prefix.name)}_iter_(\d+)\.{re.escape(suffix)}")
    return {int(match[1]): path for path in prefix.parent.glob("*.pt") if (match := name.fullmatch(path.name))}


def save(out: str, net: GoogLeNetRCNN, solver: Solver, state: str) -> None:
    """Write a snapshot, the weights first: each file is whole or not there."""
    weights = {name: value if name == EXTRA else value.cpu().contiguous() for name, value in net.state_dict().items()}
    training = {
        "momentum": {name: value.cpu() for name, value in solver.momentum.items()},
        "iteration": solver.iteration,
        "state": state,
        "values": {name: value.cpu() for name, value in (solver.state or {}).items()},
        "recipe": repr(_decisive(solver)),
        "fresh": None if solver.fresh is None else sorted(solver.fresh),
    }
    for kind, values in (("pt", weights), ("solver.pt", training)):
        with replacing(f"{out}_iter_{solver.iteration}.{kind}") as part:
            torch.save(values, part)


def fresh_of(path: Union[str, Path]) -> Optional[list[str]]:
    """Return the names of the layers that a snapshot's training found fresh, None where its weights did not say."""
    return torch.load(path, map_location="cpu", weights_only=True).get("fresh")


def restore(solver: Solver, path: Union[str, Path], device: torch.device) -> str:
    """Give a solver its momentum and iteration; return the state of the crops' random numbers.

    Raises
    ------
    InputError
        For a snapshot of a training with other settings.
    """
    saved = torch.load(path, map_location=device, weights_only=True)
    mine = _decisive(solver)
    other = [
        f"{name.replace('_', '-')} {value}, not {mine.get(name)}"
        for name, value in ast.literal_eval(saved["recipe"]).items()
        if mine.get(name) != value
    ]
    if other:
        raise InputError(
            f"out: {path} is of a training with other options ({'; '.join(other)}); give those, or another out"
        )
    solver.momentum = saved["momentum"]
    solver.iteration = saved["iteration"]
    solver.state = saved.get("values") or None
    return saved["state"]


def _decisive(solver: Solver) -> dict[str, Any]:
    """Return {setting: value} of all that decides a training's result, which a snapshot keeps as text."""
    recipe = solver.recipe
    return {
        "stage": solver.stage,
        "mean": tuple(recipe.mean(crops.MEANS)),
        **{name: recipe.setting(name) for name in DECISIVE},
    }
