"""A training that goes on in the other framework: what a snapshot of Caffe and one of PyTorch both hold.

    Caffe     PREFIX_iter_N.caffemodel   PREFIX_iter_N.solverstate   a history for each parameter, in the net's order
    PyTorch   OUT_iter_N.pt              OUT_iter_N.solver.pt        the momentum by parameter's name

Both solvers keep the same h (rcnn/training/torch_solver.py), so the updates that follow are the same, but for the crops
and dropout, whose random numbers begin anew.
"""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rcnn.files import InputError, PathLike, existing, replacing
from rcnn.nets import caffemodel, weight_files
from rcnn.nets.caffemodel import PARTS, plain_name
from rcnn.nets.model import TEMPORAL
from rcnn.training import snapshots

SOLVER = ".solver.pt"
FIELDS = {
    "rate": "base_lr",
    "momentum": "momentum",
    "weight_decay": "weight_decay",
    "iter_size": "iter_size",
    "iterations": "max_iter",
}  # of a recipe: of Caffe's solver
BLOBS = {"Convolution": "convolution_param", "InnerProduct": "inner_product_param"}  # layers with parameters


class Snapshot(NamedTuple):
    """The state of a training after so many updates.

    Attributes
    ----------
    iteration
        Updates done.
    weights
        The file of its parameters.
    momentum
        {"<layer>.weight" or "<layer>.bias": h}, float32 in the parameter's shape.
    """

    iteration: int
    weights: Path
    momentum: dict[str, np.ndarray]

    @property
    def fresh(self) -> list[str]:
        """The layers whose W has learnt, temporal parts left out: in stage 1 those that it found fresh."""
        weights = ((name[: -len(".weight")], h) for name, h in self.momentum.items() if name.endswith(".weight"))
        return [layer for layer, h in weights if not layer.endswith(TEMPORAL) and h.any()]


def of_caffe(path: PathLike) -> Snapshot:
    """Return the Snapshot of a solverstate.

    Raises
    ------
    InputError
        Where it or the caffemodel beside it is missing, not whole, or not of the other.
    """
    state = caffemodel.read_state(path)
    weights = snapshots.weights_of(Path(path), state.learned_net)
    arrays = caffemodel.read(weights).arrays  # in the net's order, what towers share once, as the history is
    shapes = {f"{layer}.{part}": value.shape for layer, values in arrays.items() for part, value in zip(PARTS, values)}
    history = caffemodel.history(path, state)
    if [value.shape for value in history] != list(shapes.values()):
        raise InputError(f"resume-from: {path} is not of the net of {weights}: its history has other parameters")
    return Snapshot(state.iter, weights, dict(zip(shapes, history)))


def to_caffe(path: PathLike, solver: Any, net: Any, prefix: Path) -> Path:
    """Write the snapshot of a .solver.pt and the .pt beside it as one of Caffe; return the solverstate.

    Parameters
    ----------
    path
        Of the .solver.pt.
    solver
        The SolverParameter of the training that is to go on.
    net
        Its training net, the layers of that phase alone.
    prefix
        Where that snapshots.

    Raises
    ------
    InputError
        Where a file is missing or damaged, of another net or stage, or of other settings than the solver's.
    """
    weight_files.need("torch")
    name = existing(path, "resume-from").name
    if not name.endswith(SOLVER):
        raise InputError(f"resume-from: {path} is none of *{SOLVER}, which tools/train_torch.py writes")
    saved = _loaded(path)
    arrays, model = weight_files.read(Path(path).with_name(name[: -len(SOLVER)] + ".pt"))
    settings = ast.literal_eval(saved["recipe"])
    for setting, field in FIELDS.items():
        if not np.isclose(settings[setting], getattr(solver, field), rtol=1e-5, atol=0):
            raise InputError(
                f"resume-from: {path} is of a training with {setting} {settings[setting]}, and the solver has {field} "
                f"{getattr(solver, field):g}; make both the same"
            )
    order = _order(net.layer)
    if {layer for layer, _ in order} != set(arrays):
        odd = min({layer for layer, _ in order} ^ set(arrays))
        raise InputError(f"resume-from: {path} is of another net than the solver's: one of them lacks layer {odd}")
    learning = {f"{layer}.{PARTS[part]}" for (layer, part), rate in order.items() if rate}
    if learning != set(saved["momentum"]):
        odd = min(learning ^ set(saved["momentum"]))
        raise InputError(f"resume-from: {path} is of another stage than the solver's net: in one of them {odd} learns")
    history = []
    for layer, part in order:
        value = saved["momentum"].get(f"{layer}.{PARTS[part]}")
        history.append(np.zeros_like(arrays[layer][part]) if value is None else value.numpy())
    start = prefix.with_name(f"{prefix.name}_iter_{saved['iteration']}")
    weights, state = start.with_name(start.name + ".caffemodel"), start.with_name(start.name + ".solverstate")
    caffemodel.write(weights, {layer: arrays[layer] for layer, _ in order}, model)  # in the order that the state is of
    with replacing(state) as file:
        file.write_bytes(caffemodel.state(saved["iteration"], str(weights), history).SerializeToString())
    return state


def _loaded(path):
    """Return what a .solver.pt holds, its tensors on the CPU."""
    import pickle

    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        saved["momentum"], saved["iteration"], saved["recipe"]
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, TypeError, pickle.UnpicklingError):
        raise InputError(f"resume-from: {path} is cut short or no snapshot of tools/train_torch.py") from None
    return saved


def _order(layers: Iterable[Any]) -> dict[tuple[str, int], float]:
    """Return {(layer, part): lr_mult} of a net's parameters, in the order of Caffe's history."""
    rates: dict[tuple[str, int], float] = {}
    for layer in layers:
        if layer.type in BLOBS:
            for part in range(1 + getattr(layer, BLOBS[layer.type]).bias_term):
                rate = layer.param[part].lr_mult if part < len(layer.param) else 1.0
                rates.setdefault((plain_name(layer.name), part), rate)
    return rates
