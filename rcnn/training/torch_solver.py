"""Training in PyTorch as Caffe trains: its solver's arithmetic (Sec. 2.3, 3.1), on the same LMDBs of pairs.

An update sees `iter_size` batches of `batch` pairs, the next ones of the LMDB in the order of its keys, as Caffe's Data
layer takes them.  With several processes (torch.distributed) each reads and computes its share of every batch, and
gradients are added up, so that an update is the same whatever their number.
"""

import json
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Optional, Union

import numpy as np
import torch
from torch import distributed
from torch.nn import functional

from rcnn import googlenet
from rcnn.data import crops, records
from rcnn.files import InputError
from rcnn.googlenet import Classifier
from rcnn.nets.model import NetModel
from rcnn.nets.torch_net import GoogLeNetRCNN
from rcnn.recipe import Recipe, spatial_rates

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, str]


def rates(
    model: NetModel, stage: int = 2, spatial_rate: float = 1.0, fresh: Optional[Collection[str]] = None
) -> dict[str, tuple[float, float]]:
    """Return {parameter name: (lr_mult, decay_mult)} as in Caffe's nets; b learns twice as fast as W.

    Arguments as of `recipe.spatial_rates`.  InputError where nothing would learn.
    """
    spatial, multipliers = spatial_rates(model.layers(), stage, model.temporal, spatial_rate, fresh), {}
    if not (model.temporal or any(spatial.values())):
        raise InputError(
            "stage 1: the weights have every layer of this net, so nothing would learn; begin with stage 2"
        )
    for name, shapes in model.parameters().items():
        rate = spatial.get(name, 1.0)
        multipliers[name + ".weight"] = rate, 1.0 if rate else 0.0
        if len(shapes) > 1:
            multipliers[name + ".bias"] = 2 * rate, 0.0
    return multipliers


class Solver:
    """Caffe's SGD: h = momentum * h + rate * lr_mult * (gradient + weight_decay * decay_mult * w), w = w - h.

    Parameters
    ----------
    net
        What it trains.
    recipe
        Its learning and solver settings count.
    stage
        1: what is pretrained stays as it is; 2: all learn.
    fresh
        What is not pretrained, as of `rates`.

    Attributes
    ----------
    momentum
        {parameter name: h}.
    iteration
        Updates done.
    """

    def __init__(self, net: GoogLeNetRCNN, recipe: Recipe, stage: int = 2, fresh: Optional[Collection[str]] = None):
        self.recipe, self.stage, self.fresh, self.iteration = recipe, stage, fresh, 0
        self._multipliers = rates(net.model, stage, recipe.learning.spatial_rate, fresh)
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(self._multipliers[name][0] > 0)
        self._learning = {name: value for name, value in net.named_parameters() if value.requires_grad}
        self.momentum = {name: torch.zeros_like(value) for name, value in self._learning.items()}

    def rate(self) -> float:
        """Return the learning rate of the next update."""
        settings = self.recipe.solver
        return settings.rate * settings.final_rate ** (self.iteration / settings.iterations)

    @torch.no_grad()
    def update(self) -> None:
        """Apply the gradients that the passes of one update have left, added up, and clear them."""
        gradients = {
            name: value.grad if value.grad is not None else torch.zeros_like(value)
            for name, value in self._learning.items()
        }
        if distributed.is_initialized():
            gradients = _added_up(gradients)
        settings = self.recipe.solver
        clip, share = settings.clip_gradients, 1 / settings.iter_size
        if clip is not None:  # Caffe clips before it divides by iter_size
            norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm().item()
            share *= min(1.0, clip / norm) if norm else 1.0
        rate = self.rate()
        for name, parameter in self._learning.items():
            lr_mult, decay_mult = self._multipliers[name]
            change = gradients[name] * share + settings.weight_decay * decay_mult * parameter
            self.momentum[name].mul_(settings.momentum).add_(change, alpha=rate * lr_mult)
            parameter -= self.momentum[name]
            parameter.grad = None
        self.iteration += 1


def _added_up(gradients):
    """Return {name: sum over all processes} of {name: tensor}, sent as one: there are 190, most of them small."""
    flat = torch.cat([gradient.flatten() for gradient in gradients.values()])
    distributed.all_reduce(flat)
    parts = flat.split([gradient.numel() for gradient in gradients.values()])
    return {name: part.view_as(gradients[name]) for name, part in zip(gradients, parts)}


class Pairs:
    """The batches of a pairs LMDB, cropped and mirrored as layers/pair_augment.py does; a context manager.

    Crops are drawn for all rows in every process, by which they all know the same random numbers.

    Parameters
    ----------
    path
        A pairs LMDB.
    recipe
        Its model, data and seed count.
    rank, world
        This process's number and how many there are; each reads rows rank, rank + world, ... of a batch.

    Raises
    ------
    InputError
        Where the pairs are not the model's, or a process would have no row.
    """

    def __init__(self, path: Union[str, Path], recipe: Recipe, rank: int = 0, world: int = 1):
        model, self._data, self._size = recipe.model, recipe.data, recipe.model.size
        self._mean = recipe.mean(crops.MEANS)
        self.records = records.open_records(path, "pairs")
        self._keys = self.records.key_list()
        self._rows = range(rank, self._data.batch, world)
        height, width, channels = records.decode_pair(self.records.get(self._keys[0]))[0].shape
        crops.positions(height, width, self._size)
        classes = len(self.records.manifest["recipe"].get("classes", []))
        if channels != model.channels:
            raise InputError(f"pairs: {path} has frames of {channels} channels, the net takes {model.channels}")
        if classes > model.classes:
            raise InputError(f"pairs: {path} has {classes} classes, the net {model.classes}")
        if not self._rows:
            raise InputError(f"batch: {self._data.batch} is smaller than the number of processes, {world}")
        self._generator = np.random.default_rng(recipe.solver.seed)
        self._draw = partial(crops.draw, self._generator, height, width, self._size)
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)
        self.records.close()

    def batches(self, start: int, state: Optional[str] = None) -> Iterator[Batch]:
        """Yield (previous, frames, labels, state) for ever.

        previous and frames are float32 rows x channels x size x size, labels int64 rows, the state is that of the
        random numbers after the batch.

        Parameters
        ----------
        start
            Number of the first batch, counted from 0.
        state
            That a batch came with, to go on after it.
        """
        if state:
            self._generator.bit_generator.state = json.loads(state)
        ready = self._pool.submit(self._batch, start)
        while True:
            start += 1
            batch, ready = ready.result(), self._pool.submit(self._batch, start)
            yield batch

    def _batch(self, number):
        data = self._data
        places = [[self._draw() for _ in range(2 - data.together)] for _ in range(data.batch)]
        previous, frames, labels = [], [], []
        for row in self._rows:
            key = self._keys[(number * data.batch + row) % len(self._keys)]
            before, now, label = records.decode_pair(self.records.get(key))
            for images, image, (top, left, mirror) in (
                (frames, now, places[row][0]),
                (previous, before, places[row][-1]),
            ):
                images.append(crops.cut(image, top, left, self._size, mirror))
            labels.append(label)
        inputs = (
            torch.from_numpy(crops.network_input(np.stack(images), self._mean, data.scale))
            for images in (previous, frames)
        )
        return (*inputs, torch.tensor(labels), json.dumps(self._generator.bit_generator.state))


def losses(
    net: GoogLeNetRCNN, recipe: Recipe, previous: torch.Tensor, frames: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return (the loss to differentiate, {"<signal>/loss": mean over the rows}) of this process's rows of a batch.

    The first is weighted (Sec. 3.2) and divided by the whole batch, so that gradients of several processes add up.
    """
    towers = [("", net(frames))] if not net.model.temporal else _pair(net, recipe.learning, previous, frames)
    outputs, total = {}, 0
    for prefix, (scores, _) in towers:
        for layer in net.layers:
            if isinstance(layer, Classifier):
                loss = functional.cross_entropy(scores[layer.signal], labels)
                outputs[f"{prefix}{layer.signal}/loss"] = loss.detach()
                total = total + googlenet.LOSS_WEIGHT[layer.signal] * loss
    return total * (len(labels) / recipe.data.batch), outputs


def _pair(net, learning, previous, frames):
    with torch.set_grad_enabled(learning.previous_loss or not learning.cut_gradient):
        before = net(previous)
    state = {name: value.detach() if learning.cut_gradient else value for name, value in before[1].items()}
    now = net(frames, state)
    return [(googlenet.PREVIOUS, before), ("", now)] if learning.previous_loss else [("", now)]


def step(net: GoogLeNetRCNN, solver: Solver, batches: Iterator[Batch]) -> tuple[float, dict[str, float], str]:
    """Make one update; return (loss, {"<signal>/loss": value}, state of the crops' random numbers).

    The loss is Caffe's: the weighted sum, the mean over the update's batches; the outputs are those of the last batch.
    Dropout's random numbers depend on seed, iteration and process alone.

    Parameters
    ----------
    net, solver
        The net and its solver.
    batches
        As `Pairs.batches` returns them.
    """
    recipe, device, total = solver.recipe, next(net.parameters()).device, 0.0
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    torch.manual_seed(hash((recipe.solver.seed, solver.iteration, rank)) % 2**63)
    net.train(recipe.learning.dropout)  # nothing but dropout knows the difference
    for _ in range(recipe.solver.iter_size):
        previous, frames, labels, state = next(batches)
        previous, frames, labels = (values.to(device) for values in (previous, frames, labels))
        loss, outputs = losses(net, recipe, previous, frames, labels)
        loss.backward()
        shares = torch.stack([loss.detach(), *(value * len(labels) / recipe.data.batch for value in outputs.values())])
        if distributed.is_initialized():
            distributed.all_reduce(shares)
        total += shares[0].item() / recipe.solver.iter_size
    solver.update()
    return total, {name: value.item() for name, value in zip(outputs, shares[1:])}, state
