"""THE settings of a training: one Recipe that the command line, descriptions, Caffe, PyTorch and the estimates read.

    model     rcnn.googlenet.Model: the architecture
    fillers   what the weights start from
    data      what a batch is
    learning  what learns, and from which losses (Sec. 2.2, 3.1)
    solver    how it learns, how long, what is kept (Sec. 3.1)

Every setting has one name, its part's field: `clip_gradients` is spelled --clip-gradients on a command line and
"clip-gradients" in a JSON description.  The defaults are the paper's.
"""

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal, Optional, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from rcnn.files import InputError
from rcnn.googlenet import MOST, RECURRENT, Classifier, Layer, Model

CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
PYTORCH_ONLY = ("dropout", "precision")  # Caffe's nets always drop out, and compute in float32
CAFFE_ONLY = (
    *("encoding", "cnn_stage1_iterations", "cnn_iterations", "stage1_iterations"),
    *("test_iterations", "test_interval"),
)
TEST_PAIRS = 60 * 64  # pairs a test while training, unless the recipe says otherwise
WORDING = (
    ("Input ", "it "),
    ("Tuple ", "it "),
    ("tuple", "list"),
    ("dictionary", "object"),
    (" after validation", ""),
    ("a valid boolean", "true or false"),
    ("a valid integer", "a whole number"),
    ("a valid ", "a "),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    ("greater than", "above"),
    ("less than", "below"),
)  # pydantic's and ours


Count = Annotated[int, Field(strict=True, ge=1, le=MOST)]
Number = Annotated[float, Field(strict=True)]
Positive = Annotated[float, Field(strict=True, gt=0)]
Truth = Annotated[bool, Field(strict=True)]


@dataclass(frozen=True, config=CONFIG)
class Fillers:
    """What the weights start from; a classifier's are xavier and its biases 0 whatever these are."""

    filler: Literal["xavier", "msra"] = Field(
        default="xavier", description="of every spatial weight that is not copied"
    )
    temporal_filler: Literal["xavier", "msra", "constant"] = Field(
        default="xavier", description="of every temporal weight; constant is 0"
    )
    bias: Number = Field(default=0.2, description="what the spatial biases start at")


@dataclass(frozen=True, config=CONFIG)
class Data:
    """What a batch is: pairs of frames, or for RCNN-s the next frame of each stream."""

    batch: Count = Field(default=64, description="size of the batch of a forward pass, of all processes together")
    encoding: Literal["jpeg", "raw"] = Field(default="jpeg", description="how the pairs are stored")
    mean: Optional[tuple[Number, ...]] = Field(
        default=None,
        strict=False,
        description="what is taken off each channel, blue first; 104 117 123, of flow 128 128, if not given",
    )
    scale: Positive = Field(default=1.0, description="multiplies the input after the mean is taken off")
    together: Truth = Field(default=True, description="one crop and mirror for both frames of a pair")
    crop: Literal["random", "corners"] = Field(
        default="random",
        description="where a training crop lies: anywhere, or corners: the centre or a corner, in four sizes",
    )

    def __post_init__(self):
        if self.encoding == "raw" and not self.together:
            raise ValueError("raw pairs have one crop for both frames; use jpeg pairs to draw it for each frame")
        if self.encoding == "raw" and self.crop != "random":
            raise ValueError(f"raw pairs are cut by Caffe, at random; use jpeg pairs for --crop {self.crop}")


@dataclass(frozen=True, config=CONFIG)
class Learning:
    """What learns in stage 2, and from which losses (Sec. 2.2, 3.1); in stage 1 nothing pretrained learns."""

    spatial_rate: Positive = Field(
        default=1.0, description="lr_mult of the spatial weights in stage 2 (b has twice that); a temporal one has 1"
    )
    previous_loss: Truth = Field(default=False, description="a loss on frame t-1 too")
    cut_gradient: Truth = Field(default=True, description="no gradient into frame t-1 (Eq. 6)")
    dropout: Truth = Field(default=True, description="no: without, for comparisons, as each process draws its own")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of the layers' arithmetic; bfloat16 is faster on processors and GPUs that have it",
    )


@dataclass(frozen=True, config=CONFIG)
class Solver:
    """How it learns: SGD with an exponentially falling rate (Sec. 3.1); iterations are updates."""

    rate: Positive = Field(default=0.01, description="learning rate at the start")
    final_rate: Annotated[float, Field(strict=True, gt=0, le=1)] = Field(
        default=0.01, description="share of --rate that is left at the end"
    )
    momentum: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(default=0.9, description="of the gradients")
    weight_decay: Annotated[float, Field(strict=True, ge=0)] = Field(
        default=0.0002, description="of the weights, not of b"
    )
    clip_gradients: Optional[Positive] = Field(
        default=None, description="largest Euclidean norm of all gradients together; the paper does not clip"
    )
    iter_size: Count = Field(default=1, description="forward passes an update")
    cnn_stage1_iterations: Annotated[int, Field(strict=True, ge=0, le=MOST)] = Field(
        default=0, description="updates of stage 1 of the single-frame net; 0: it has none, as in the paper"
    )
    cnn_iterations: Count = Field(default=20000, description="updates of the single-frame net")
    stage1_iterations: Count = Field(default=10000, description="updates of stage 1")
    iterations: Count = Field(default=30000, description="updates; of a set of nets, those of stage 2")
    test_iterations: Optional[Count] = Field(
        default=None, description=f"batches a test while training; as many as hold {TEST_PAIRS} pairs if not given"
    )
    test_interval: Count = Field(default=1000, description="updates between tests")
    snapshot: Count = Field(default=1000, description="updates between snapshots")
    display: Count = Field(default=40, description="updates between shown losses")
    seed: Optional[Annotated[int, Field(strict=True, ge=0, lt=2**32)]] = Field(
        default=None,
        description="of Caffe's and the crops' random numbers, 0 to 4294967295; other ones each run if not given",
    )


@dataclass(frozen=True, config=CONFIG)
class Recipe:
    """All settings of a training but its stage, which is of a run, and its files."""

    model: Model = Model()
    fillers: Fillers = Fillers()
    data: Data = Data()
    learning: Learning = Learning()
    solver: Solver = Solver()

    def __post_init__(self):
        self.model.layers()  # raises where there is no such network
        mean, channels = self.data.mean, self.model.channels
        if mean is not None and len(mean) != channels:
            raise ValueError(f"mean: frames of {channels} channels take {channels} numbers, not {len(mean)}")

    def mean(self, means: Mapping[int, Sequence[float]]) -> tuple[float, ...]:
        """Return what is taken off each channel: the recipe's own, or that of `means`, {channels: numbers}."""
        channels = self.model.channels
        mean = self.data.mean or means.get(channels)
        if mean is None:
            raise InputError(f"mean: frames of {channels} channels have none of their own; give {channels} numbers")
        return tuple(mean)

    def setting(self, name: str) -> Any:
        """Return the value of a setting by its field's name, such as "weight_decay"."""
        return getattr(getattr(self, PART_OF[name]), name)

    @property
    def test_iterations(self) -> int:
        """Batches a test while training."""
        return self.solver.test_iterations or -(-TEST_PAIRS // self.data.batch)


PARTS = {"model": Model, "fillers": Fillers, "data": Data, "learning": Learning, "solver": Solver}
PART_OF = {field.name: part for part, kind in PARTS.items() for field in fields(kind)}
FIELDS = {
    name: field
    for kind in (dataclass(Model, frozen=True), Fillers, Data, Learning, Solver)
    for name, field in vars(kind)["__pydantic_fields__"].items()
}  # Model is a plain dataclass


def spatial_rates(
    layers: Sequence[Layer],
    stage: int,
    temporal: bool,
    spatial_rate: float = 1.0,
    fresh: Optional[Collection[str]] = None,
) -> dict[str, float]:
    """Return {layer name: lr_mult of its W} of every layer with W and b (Sec. 3.1); that of b is twice as much.

    Parameters
    ----------
    layers
        Of the net, as `googlenet.googlenet` returns them.
    stage
        1: what is pretrained stays as it is; 2: all learn.
    temporal
        Whether the net has temporal parts, which always learn at rate 1; the single-frame net has not.
    spatial_rate
        In stage 2, of what BVLC GoogLeNet's own file has, in a net with temporal parts.
    fresh
        Names of the layers that stage 1 finds at their fillers' values, as `caffemodel.fresh_layers` tells them of the
        starting weights; None: those that BVLC GoogLeNet's own file lacks.
    """
    if stage not in (1, 2):
        raise InputError(f"stage: there are stages 1 and 2, not {stage}")
    rates = {}
    for layer in layers:
        if isinstance(layer, (*RECURRENT, Classifier)):
            pretrained = layer.pretrained if fresh is None or stage == 2 else layer.name not in fresh
            rates[layer.name] = 1.0 if not pretrained else 0.0 if stage == 1 else spatial_rate if temporal else 1.0
    return rates


def parse(settings: Mapping[str, Any], base: Recipe = Recipe()) -> Recipe:
    """Return a Recipe with some settings changed.

    Parameters
    ----------
    settings
        {name: value}, as a JSON object or the options of `add_options` give them; names with dashes or with
        underscores, truth as true and false or "yes" and "no".
    base
        Whose settings the others are.

    Raises
    ------
    InputError
        In one line, which names the setting, for an unknown one, a wrong type, a value out of range and a combination
        that cannot be.
    """
    changes: dict[str, dict[str, Any]] = {}
    for spelled, value in settings.items():
        name = spelled.replace("-", "_")
        if name not in PART_OF:
            raise InputError(f"unknown setting {spelled}; the settings are {', '.join(map(_spelled, PART_OF))}")
        changes.setdefault(PART_OF[name], {})[name] = value == "yes" if value in ("yes", "no") else value
    parts = {
        part: {**{field.name: base.setting(field.name) for field in fields(PARTS[part])}, **values}
        for part, values in changes.items()
    }
    try:
        return TypeAdapter(Recipe).validate_python({**vars(base), **parts})
    except ValidationError as error:
        raise InputError(problem(error, parts=True)) from None


def problem(error: ValidationError, parts: bool = False) -> str:
    """Return the first thing that pydantic found wrong, in one line that names it as it is spelled.

    Parameters
    ----------
    error
        As pydantic raised it.
    parts
        The outermost names are a recipe's parts, which nobody spells.
    """
    first = error.errors(include_url=False)[0]
    place = [_spelled(name) for name in first["loc"][parts:] if isinstance(name, str)]
    if first["type"] == "value_error":
        return ": ".join([*place, str(first["ctx"]["error"])])
    if first["type"] in ("missing", "missing_argument"):
        return ": ".join(place) + " is missing"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return ": ".join([*place[:-1], f"unknown key {place[-1]}"])
    message = first["msg"].split(", unable to parse")[0]
    for theirs, ours in WORDING:
        message = message.replace(theirs, ours)
    value = first["input"]
    shown = value if isinstance(value, str) and not place else json.dumps(value, default=repr)
    return ": ".join([*place, shown, message])


def _spelled(name):
    return str(name).replace("_", "-")


def settings(recipe: Recipe, base: Optional[Recipe] = None) -> dict[str, Any]:
    """Return {name with dashes: value} of a recipe's settings, of those alone that differ from `base`'s if given."""
    return {
        _spelled(name): recipe.setting(name)
        for name in PART_OF
        if base is None or recipe.setting(name) != base.setting(name)
    }


def words(settings: Mapping[str, Any]) -> list[str]:
    """Return {"test-interval": 8, "cut-gradient": False, "mean": [1, 2, 3]} as the words of a command line."""
    command = []
    for name, value in settings.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        command += [f"--{_spelled(name)}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return command


def add_options(
    parser: argparse.ArgumentParser, base: Recipe = Recipe(), without: Sequence[str] = PYTORCH_ONLY
) -> None:
    """Add an option for each setting, whose value `typed` takes from what was parsed.

    Parameters
    ----------
    parser
        That they are added to.
    base
        The recipe whose settings the help shows as the defaults.
    without
        Names of parts and of settings, with underscores, that the program has no option for.
    """
    for name, part in PART_OF.items():
        if name in without or part in without:
            continue
        field, default = FIELDS[name], base.setting(name)
        help = field.description or ""
        if default is not None:
            help += f" (default: {' '.join(words({name: default})[1:])})"
        options: dict[str, Any] = {}
        if get_origin(field.annotation) is Literal:
            options["choices"] = get_args(field.annotation)
        elif field.annotation is bool:
            options["choices"] = ("yes", "no")
        elif name == "mean":
            options.update(type=_reader(Number), nargs="+")
        else:
            # not `field` itself: of what only dataclasses know pydantic 2.12 and later warn
            options["type"] = _reader(Annotated[(field.annotation, Field(), *field.metadata)])
        parser.add_argument(f"--{_spelled(name)}", default=argparse.SUPPRESS, help=help, **options)


def typed(args: argparse.Namespace) -> dict[str, Any]:
    """Return {name: value} of the settings that were typed, of `add_options`'s options, for `parse`."""
    return {name: value for name, value in vars(args).items() if name in PART_OF}


def _reader(kind):
    """Return an argparse type: text to a value of a setting, in its range."""
    adapter = TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))

    def read(text):
        try:
            return adapter.validate_strings(text)
        except ValidationError as error:
            raise argparse.ArgumentTypeError(problem(error)) from None

    return read
