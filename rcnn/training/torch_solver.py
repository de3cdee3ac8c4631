"""Training in PyTorch as Caffe trains: its solver's arithmetic (Sec. 2.3, 3.1), on the same LMDBs of pairs.

An update sees `iter_size` batches of `batch` pairs, the next ones of the LMDB in the order of its keys, as Caffe's Data
layer takes them.  With several processes (torch.distributed) each reads and computes its share of every batch, and
gradients are added up, so that an update is the same whatever their number.
"""

from collections.abc import Collection, Iterator
from typing import Optional

import torch
from torch import distributed
from torch.nn import functional

from rcnn import googlenet
from rcnn.files import InputError
from rcnn.googlenet import Classifier
from rcnn.nets.model import NetModel
from rcnn.nets.torch_net import GoogLeNetRCNN, Tensors
from rcnn.recipe import Recipe, spatial_rates
from rcnn.training.torch_batches import Batch


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
    state
        {layer name: v^t} of the last batch of frames in order, from which the next one starts; None of pairs.
    """

    def __init__(self, net: GoogLeNetRCNN, recipe: Recipe, stage: int = 2, fresh: Optional[Collection[str]] = None):
        self.recipe, self.stage, self.fresh, self.iteration = recipe, stage, fresh, 0
        self._multipliers = rates(net.model, stage, recipe.learning.spatial_rate, fresh)
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(self._multipliers[name][0] > 0)
        self._learning = {name: value for name, value in net.named_parameters() if value.requires_grad}
        self.momentum = {name: torch.zeros_like(value) for name, value in self._learning.items()}
        self.state: Optional[Tensors] = None

    def rate(self) -> float:
        """Return the learning rate of the next update."""
        settings = self.recipe.solver
        return settings.rate * settings.final_rate ** (self.iteration / settings.iterations)

    @torch.no_grad()
    def update(self) -> None:
        """Apply the gradients that the passes of one update have left, added up, and clear them."""
        names, parameters = list(self._learning), list(self._learning.values())
        gradients = [torch.zeros_like(value) if value.grad is None else value.grad for value in parameters]
        if distributed.is_initialized():
            gradients = _added_up(gradients)
        settings = self.recipe.solver
        clip, share = settings.clip_gradients, 1 / settings.iter_size
        if clip is not None:  # Caffe clips before it divides by iter_size
            norm = torch.stack(torch._foreach_norm(gradients)).norm().item()
            share *= min(1.0, clip / norm) if norm else 1.0
        rates, decays = zip(*(self._multipliers[name] for name in names))
        momentum, rate = [self.momentum[name] for name in names], self.rate()
        changes = torch._foreach_mul(gradients, share)
        torch._foreach_add_(
            changes, torch._foreach_mul(parameters, [settings.weight_decay * decay for decay in decays])
        )
        torch._foreach_mul_(changes, [rate * multiplier for multiplier in rates])
        torch._foreach_mul_(momentum, settings.momentum)
        torch._foreach_add_(momentum, changes)
        torch._foreach_sub_(parameters, momentum)
        for parameter in parameters:
            parameter.grad = None
        self.iteration += 1


def _added_up(gradients):
    """Return the sums over all processes of tensors, sent as one: there are 190, most of them small."""
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    parts = flat.split([gradient.numel() for gradient in gradients])
    return [part.view_as(gradient) for gradient, part in zip(gradients, parts)]


def losses(
    net: GoogLeNetRCNN, recipe: Recipe, batch: Batch, state: Optional[Tensors] = None
) -> tuple[torch.Tensor, dict[str, torch.Tensor], Optional[Tensors]]:
    """Compute the losses of this process's rows of a batch.

    Parameters
    ----------
    net, recipe
        The net and what it learns from.
    batch
        Pairs, or frames in order.
    state
        {layer name: v^{t-1}} of frames in order, as the batch before returned it; None before the first.

    Returns
    -------
    loss
        To differentiate: weighted (Sec. 3.2) and divided by the whole batch, so that gradients of several processes
        add up.
    outputs
        {"<signal>/loss": mean over the rows}.
    state
        v^t of frames in order, through which no gradient goes (Eq. 6); None of pairs.
    """
    learning, after = recipe.learning, None
    with torch.autocast(batch.frames.device.type, torch.bfloat16, learning.precision == "bfloat16"):
        if not net.model.temporal:
            towers = [("", net(batch.frames)[0])]
        elif batch.previous is None:
            scores, values = net(batch.frames, state, batch.first)
            towers, after = [("", scores)], {name: value.detach() for name, value in values.items()}
        else:
            towers = _pair(net, learning, batch.previous, batch.frames)
    outputs, total = {}, 0
    for prefix, scores in towers:
        for layer in net.layers:
            if isinstance(layer, Classifier):
                loss = functional.cross_entropy(scores[layer.signal].float(), batch.labels)
                outputs[f"{prefix}{layer.signal}/loss"] = loss.detach()
                total = total + googlenet.LOSS_WEIGHT[layer.signal] * loss
    return total * (len(batch.labels) / recipe.data.batch), outputs, after


def _pair(net, learning, previous, frames):
    with torch.set_grad_enabled(learning.previous_loss or not learning.cut_gradient):
        before, values = net(previous)
    state = {name: value.detach() if learning.cut_gradient else value for name, value in values.items()}
    now, _ = net(frames, state)
    return [(googlenet.PREVIOUS, before), ("", now)] if learning.previous_loss else [("", now)]


def _on(device, batch):
    return batch._replace(
        **{name: value.to(device) for name, value in batch._asdict().items() if isinstance(value, torch.Tensor)}
    )


def step(net: GoogLeNetRCNN, solver: Solver, batches: Iterator[Batch]) -> tuple[float, dict[str, float], str]:
    """Make one update; return (loss, {"<signal>/loss": value}, state of the crops' random numbers).

    The loss is Caffe's: the weighted sum, the mean over the update's batches; the outputs are those of the last batch.
    Dropout's random numbers depend on seed, iteration and process alone.

    Parameters
    ----------
    net, solver
        The net and its solver.
    batches
        As `torch_batches.Pairs.batches` or `Sequences.batches` returns them.
    """
    recipe, device, total = solver.recipe, next(net.parameters()).device, 0.0
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    torch.manual_seed(hash((recipe.solver.seed, solver.iteration, rank)) % 2**63)
    net.train(recipe.learning.dropout)  # nothing but dropout knows the difference
    for _ in range(recipe.solver.iter_size):
        batch = _on(device, next(batches))
        loss, outputs, solver.state = losses(net, recipe, batch, solver.state)
        if loss.requires_grad:  # else every video begins, and only temporal parts learn, which have nothing to see
            loss.backward()
        shares = torch.stack(
            [loss.detach(), *(value * len(batch.labels) / recipe.data.batch for value in outputs.values())]
        )
        if distributed.is_initialized():
            distributed.all_reduce(shares)
        total += shares[0].item() / recipe.solver.iter_size
    solver.update()
    return total, {name: value.item() for name, value in zip(outputs, shares[1:])}, batch.state
