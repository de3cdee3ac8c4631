"""The description of a reproduction: which videos, splits, nets and tests; a JSON file such as data/ucf101.json.

Its keys are the fields of `Description`, with dashes.  Paths are relative to the folder that the programs run in, as
everywhere here.
"""

import json
import re
from dataclasses import field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from rcnn import recipe
from rcnn.data import crops as protocols
from rcnn.data import flow
from rcnn.data.flow_frames import BETWEEN
from rcnn.data.lists import Video, check_files, read_classes, read_list
from rcnn.data.synthetic import scenes
from rcnn.files import InputError, existing
from rcnn.googlenet import SIGNALS, Model
from rcnn.recipe import PYTORCH_ONLY, Recipe
from rcnn.scoring.probe import SHOWN

NEEDED = ("batch", "size", "cnn-iterations", "stage1-iterations", "iterations", "snapshot")  # what the cost hangs on
SET = (
    "check",
    "out",
    "snapshots",
    "classes",
    "seed",
    "channels",
    "encoding",
    "train-pairs",
    "test-pairs",
    "frames",
    "train-list",
    "test-list",
)  # options of make_prototxt.py that follow from the rest
IMAGE_ONLY = ("mean", "stage1-iterations")  # options of the image stream's nets that are not the flow stream's too
FRAME_RATE = 25  # of UCF-101's videos and of the synthetic ones
CONFIG = ConfigDict(
    extra="forbid", strict=True, populate_by_name=True, alias_generator=lambda name: name.replace("_", "-")
)


def _one_line(value: str) -> str:
    if value.strip() == "" or "\n" in value:
        raise ValueError(f"{json.dumps(value)} is not one line of text")
    return value


def _number(value: Any) -> Any:
    """Return a number above 0 as it is: 25 frames a second are not spelled 25.0."""
    if not _is_number(value):
        raise ValueError(f"{json.dumps(value)} is not a number above 0")
    return value


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _each_once(values: tuple) -> tuple:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{json.dumps(values)} is not a list of some, each once")
    return values


def _protocol(value: int) -> int:
    if value not in protocols.PROTOCOLS:
        raise ValueError(f"{value} is not one of {', '.join(map(str, protocols.PROTOCOLS))}")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
Number = Annotated[Any, AfterValidator(_number)]
Whole = Annotated[int, Field(ge=1)]
Crops = Annotated[int, AfterValidator(_protocol)]
Split = Annotated[int, Field(ge=1, le=99)]
EachOnce = AfterValidator(_each_once)
Nets = Annotated[dict[str, Any], Field(description="settings of rcnn/recipe.py")]


@dataclass(frozen=True, config=CONFIG)
class Flow:
    """The stream of optical flow of Sec. 3.4, which learns from nothing, as tools/build_frames.py takes it."""

    # Literal of a tuple: pydantic reads it, and the choices stand in one place
    method: Literal[flow.METHODS] = "brox"  # type: ignore[valid-type]
    between: Literal[BETWEEN] = BETWEEN[0]  # type: ignore[valid-type]
    bound: Number = flow.BOUND  # pixels
    nets: Nets = field(default_factory=dict)  # where they differ from the image stream's; the mean is flow's own


@dataclass(frozen=True, config=CONFIG)
class Variant:
    """RCNN-r of the first split with other settings, for tools/claims.py."""

    nets: Nets = field(default_factory=dict)  # where they differ
    unhalved: Optional[bool] = None  # None: the description's
    stages: Annotated[int, Field(ge=1, le=2)] = 2  # 1: all updates are in the second
    start: Literal["pretrained", "nothing"] = "pretrained"  # "nothing": one stage, from the fillers


@dataclass(frozen=True, config=CONFIG)
class Description:
    """What a description says."""

    name: Line  # what the tables call the set of videos
    nets: Nets  # those of NEEDED must be there, those of SET must not
    fps: Annotated[tuple[Number, ...], Field(max_length=2), EachOnce]  # of two, the first is for Table 2's row 1 alone
    size: Whole  # height and width of the stored frames, pixels
    splits: Annotated[tuple[Split, ...], EachOnce] = (1, 2, 3)  # Table 2 is about the first
    videos: Optional[Line] = None  # folder of the class folders
    lists: Optional[Line] = None  # folder of trainlistNN.txt and testlistNN.txt
    classes: Optional[Line] = None  # class list; None: lists/classInd.txt
    make: Optional[dict[str, Any]] = None  # instead of these three: options of tools/make_motion_videos.py
    pretrained: Optional[Line] = None  # caffemodel to start from; None: the CNN from nothing, and the RCNNs from it
    unhalved: bool = False  # as init_weights.py --unhalved
    samplings: Annotated[tuple[Literal["random", "sequential"], ...], EachOnce] = ("random", "sequential")
    crops: Annotated[tuple[Crops, ...], EachOnce] = protocols.PROTOCOLS
    signals: Annotated[tuple[Literal[SIGNALS], ...], EachOnce] = SIGNALS  # type: ignore[valid-type]
    streams: Annotated[tuple[Literal["image", "flow"], ...], EachOnce] = ("image",)
    flow: Optional[Flow] = None  # None: there is no such stream
    variants: dict[str, Variant] = field(default_factory=dict)
    recurrent_test: bool = False  # test RCNN-r's weights in the recurrent net too, frame after frame
    # what RCNNs are shown in place of frame t - 1, as evaluate.py --previous; None: no motion probe
    probe: Optional[Annotated[tuple[Literal[SHOWN], ...], EachOnce]] = None  # type: ignore[valid-type]
    motion_energy: bool = False  # have tools/motion_energy.py measure RCNN-r's first layer on the test pairs
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1  # of the synthetic videos, the order of pairs, fillers and crops
    test_batch: Whole = 10  # crops a forward pass of the test
    test_pairs_per_video: Optional[Whole] = 1  # pairs of each test video to watch a training by; None: all
    mean_seconds: Number = 7.2  # mean length of a video, for estimates of disk and time

    @property
    def flow_nets(self) -> dict[str, Any]:
        """Settings of the flow stream's nets."""
        return {
            **{key: value for key, value in self.nets.items() if key not in IMAGE_ONLY},
            **(self.flow or Flow()).nets,
        }

    def variant_nets(self, variant: Variant) -> dict[str, Any]:
        """Return the settings of a variant's nets; where it has one stage, that has all updates."""
        nets = {**self.nets, **variant.nets}
        if variant.stages == 1 and "iterations" not in variant.nets:
            nets["iterations"] += self.nets["stage1-iterations"]
        return nets


def read(path: Union[str, PathLike]) -> Description:
    """Return the Description in a JSON file.

    Raises
    ------
    InputError
        Naming file and key, for what is missing, unknown or of a wrong type or value.
    """
    try:
        content = json.loads(existing(path, "description").read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"description: {path} is not a text file (UTF-8)") from None
    except ValueError as error:
        raise InputError(f"description: {path} is not JSON: {error}") from None
    try:
        return parse(content)
    except InputError as error:
        raise InputError(f"description: {path}: {error}") from None


def parse(content: Any) -> Description:
    """Return the Description of what a file's JSON holds, and raise InputError where it is none."""
    _demand(isinstance(content, dict), "it is not an object, {...}")
    try:
        description = TypeAdapter(Description).validate_json(json.dumps(content))
    except ValidationError as error:
        raise InputError(_problem(error)) from None
    _demand("flow" in description.streams or content.get("flow") is None, 'flow is given, and streams lacks "flow"')
    if "flow" in description.streams and description.flow is None:
        description = replace(description, flow=Flow())
    _check(description)
    return description


def _problem(error):
    """Return what is wrong in a line; of an unknown key also what the keys are."""
    message, place = recipe.problem(error), error.errors()[0]["loc"]
    if ": unknown key" in f": {message}":
        kind = Description if len(place) == 1 else Flow if place[0] == "flow" else Variant
        message += f"; the keys are {', '.join(each.name.replace('_', '-') for each in fields(kind))}"
    return message


def _check(description):
    """Raise InputError for values that do not go together."""
    _demand("image" in description.streams, 'streams: "image" is always one of them')
    _check_nets("nets", description.nets, NEEDED, description.size)
    if description.flow:
        _demand("stage1-iterations" not in description.flow.nets, "flow: nets: stage1-iterations: flow has no stage 1")
        needed = [key for key in NEEDED if key not in IMAGE_ONLY]
        _check_nets("flow: nets", description.flow_nets, needed, description.size, flow.CHANNELS)
    for name, variant in description.variants.items():
        part = f"variants: {name}"
        _demand(re.fullmatch(r"[a-z0-9][a-z0-9 -]*", name), f"{part}: a name is of small letters, digits, blanks and -")
        _demand(
            variant.start == "pretrained" or variant.stages == 1,
            f"{part}: from nothing there is one stage: say stages 1",
        )
        _demand(
            variant.stages == 2 or "stage1-iterations" not in variant.nets,
            f"{part}: nets: stage1-iterations: with stages 1 there is no stage 1 of its own",
        )
        _check_nets(f"{part}: nets", {**description.nets, **variant.nets}, NEEDED, description.size)
    for key in ("variants", "recurrent-test", "motion-energy"):
        _demand(
            not getattr(description, key.replace("-", "_")) or "random" in description.samplings,
            f'{key}: it needs the sampling "random"',
        )
    if description.make is None:
        for key in ("videos", "lists"):
            _demand(getattr(description, key), f"{key} is missing (or make, where videos are to be made)")
        return
    for key in ("videos", "lists", "classes"):
        _demand(not getattr(description, key), f"{key} and make do not go together")
    _check_make(description.make)


def _check_make(make):
    """Raise InputError where options of tools/make_motion_videos.py lack what is needed, or have what is set here."""
    for key, value in make.items():
        _demand(isinstance(value, (str, int, float, list)), f"make: {key}: {json.dumps(value)} is no option's")
    for key in ("out", "seed", "splits", "workers"):
        _demand(key not in make, f"make: {key} follows from the rest; leave it out")
    kind, seconds = make.get("set", "motion"), make.get("seconds")
    _demand(kind in ("motion", "scenes"), f"make: set: {json.dumps(kind)} is neither motion nor scenes")
    for key in ("appearances", "movements") if kind == "motion" else ():
        names = make.get(key)
        _demand(
            isinstance(names, list) and names and all(isinstance(name, str) for name in names),
            f"make: {key} is missing, or no list of names",
        )
    lengths = isinstance(seconds, list) and len(seconds) == 2 and all(map(_is_number, seconds))
    _demand(
        lengths and seconds[0] <= seconds[1] if kind == "scenes" else _is_number(seconds),
        "make: seconds is missing, or no such number",
    )
    for key in ("groups", "clips"):
        _demand(_is_number(make.get(key)) and isinstance(make[key], int), f"make: {key} is missing, or no such number")


def _check_nets(part, nets, needed, size, channels=3):
    """Raise InputError where settings of nets make no recipe, lack what is needed, or have what is set by the rest."""
    for key, value in nets.items():
        _demand(key not in SET, f"{part}: {key} follows from the rest; leave it out")
        _demand(key not in PYTORCH_ONLY, f"{part}: {key} is of trainings in PyTorch; leave it out")
        _demand(value is not None, f"{part}: {key} is null; leave it out")
    for key in needed:
        _demand(key in nets, f"{part}: {key} is missing")
    try:
        net = recipe.parse(nets, Recipe(model=Model(channels=channels)))
    except InputError as error:
        raise InputError(f"{part}: {error}") from None
    _demand(
        size >= net.model.size,
        f"size: frames of {size} pixels are smaller than the nets' input of {net.model.size} ({part})",
    )


def _demand(holds, message):
    if not holds:
        raise InputError(message)


class Lists(NamedTuple):
    """Where the videos and lists of a description are."""

    videos: Path
    folder: Path
    classes: Path

    def train(self, split: int) -> Path:
        """Return the list of a split's videos to train on."""
        return self.folder / f"trainlist{split:02d}.txt"

    def test(self, split: int) -> Path:
        """Return the list of a split's videos to test on."""
        return self.folder / f"testlist{split:02d}.txt"


def lists(description: Description, out: Union[str, PathLike]) -> Lists:
    """Return the Lists of a description; synthetic videos go under the folder `out`."""
    if description.make is not None:
        videos = Path(out) / "videos"
        return Lists(videos, videos / "lists", videos / "lists" / "classInd.txt")
    folder = Path(description.lists or "")
    return Lists(Path(description.videos or ""), folder, Path(description.classes or folder / "classInd.txt"))


class Counts(NamedTuple):
    """How much there is, for estimates."""

    classes: int
    videos: int
    splits: dict[int, tuple[int, int]]  # {split: (videos to train on, to test on)}
    seconds: float  # mean length of a video


def check(description: Description, out: Union[str, PathLike]) -> Counts:
    """Return the Counts of a description whose files are there; synthetic videos need not be.

    Raises
    ------
    InputError
        For a missing file, a list that names a missing video or is otherwise wrong (rcnn/data/lists.py), a split whose
        two lists share a video, and a flow method that this machine has not.
    """
    if description.flow:
        flow.describe(description.flow.method)
    if description.pretrained:
        try:
            existing(description.pretrained, "pretrained")
        except InputError as error:
            raise InputError(f"{error}; data/README.md says where to get it") from None
    if description.make is not None:
        return _synthetic(description)
    where, splits = lists(description, out), {}
    union: dict[str, Video] = {}
    classes = read_classes(where.classes)
    for split in description.splits:
        train, test = (read_list(path, classes) for path in (where.train(split), where.test(split)))
        both = {video.name for video in train} & {video.name for video in test}
        _demand(
            not both,
            f"split {split}: {len(both)} videos are in {where.train(split)} and in {where.test(split)}, "
            f"one is {min(both, default='')}",
        )
        union.update((video.name, video) for video in train + test)
        splits[split] = len(train), len(test)
    check_files(list(union.values()), where.videos)
    return Counts(len(classes), len(union), splits, description.mean_seconds)


def _synthetic(description):
    make = description.make
    if make.get("set") == "scenes":
        classes, (shortest, longest) = len(scenes.CLASSES), make["seconds"]
        seconds = scenes.mean_length(shortest, longest)
    else:
        classes, seconds = len(set(make["appearances"])) * len(set(make["movements"])), make["seconds"]
    a_group = classes * make["clips"]
    tested = max(1, make["groups"] // 4) * a_group  # tools/make_motion_videos.py holds out a quarter
    videos = make["groups"] * a_group
    return Counts(classes, videos, dict.fromkeys(description.splits, (videos - tested, tested)), seconds)
