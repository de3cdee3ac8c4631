"""The description of a reproduction: which videos, splits, nets and tests; a JSON file such as data/ucf101.json.

Its keys are the fields of `Description`, with dashes.  Paths are relative to the folder that the programs run in, as
everywhere here.
"""

import json
from collections.abc import Mapping
from dataclasses import field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from rcnn import recipe
from rcnn.data import crops as protocols
from rcnn.data import flow
from rcnn.data import splits as partition
from rcnn.data.flow_frames import BETWEEN
from rcnn.data.lists import MISSING, Video, choose, find_files
from rcnn.experiments import consistency, made_videos
from rcnn.experiments.consistency import IMAGE_ONLY, demand
from rcnn.files import InputError, existing
from rcnn.googlenet import SIGNALS
from rcnn.scoring.probe import SHOWN

ENGINES = ("caffe", "torch")  # what trains
STARTS = ("pretrained", "cnn", "nothing")
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
    if not made_videos.is_number(value):
        raise ValueError(f"{json.dumps(value)} is not a number above 0")
    return value


def _each_once(values: tuple) -> tuple:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{json.dumps(values)} is not a list of some, each once")
    return values


def _each_once_if_any(values: tuple) -> tuple:
    return _each_once(values) if values else values


def _protocol(value: int) -> int:
    if value not in protocols.PROTOCOLS:
        raise ValueError(f"{value} is not one of {', '.join(map(str, protocols.PROTOCOLS))}")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
Number = Annotated[Any, AfterValidator(_number)]
Whole = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Crops = Annotated[int, AfterValidator(_protocol)]
Split = Annotated[int, Field(ge=1, le=99)]
EachOnce = AfterValidator(_each_once)
OptionalEachOnce = AfterValidator(lambda values: values if values is None else _each_once(values))
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
    """RCNN-r with other settings."""

    nets: Nets = field(default_factory=dict)  # where they differ
    unhalved: Optional[bool] = None  # None: the description's, as of the next
    difference: Optional[Share] = None
    stages: Annotated[int, Field(ge=1, le=2)] = 2  # 1: all updates are in the second
    start: Literal["pretrained", "nothing"] = "pretrained"  # "nothing": one stage, from the fillers


@dataclass(frozen=True, config=CONFIG)
class Description:
    """What a description says."""

    name: Line  # what the tables call the set of videos
    nets: Nets  # of which some must be there and some must not (rcnn/experiments/consistency.py)
    fps: Annotated[tuple[Number, ...], Field(max_length=2), EachOnce]  # of two, the first is for Table 2's row 1 alone
    size: Whole  # height and width of the stored frames, pixels
    splits: Annotated[tuple[Split, ...], EachOnce] = (1, 2, 3)  # Table 2 is about the first
    videos: Optional[Line] = None  # folder of the class folders
    lists: Optional[Line] = None  # folder of trainlistNN.txt and testlistNN.txt; None: a split leaves out one group
    classes: Optional[Line] = None  # class list; None: lists/classInd.txt
    only_classes: Annotated[Optional[tuple[Line, ...]], OptionalEachOnce] = None  # those of them; None: all
    missing: Literal[MISSING] = MISSING[0]  # type: ignore[valid-type]  # what a listed video without a file is
    group: Optional[Line] = None  # regular expression that finds a video's group in its name, as tools/make_lists.py
    hold_out: tuple[Line, ...] = ()  # groups of the training videos, none of which is on both sides where it says
    hold_out_next: Optional[Whole] = None  # validate; or how many, those after the split's test groups
    validate: bool = False  # test on the groups held out of the training videos, and never on the test videos
    make: Optional[dict[str, Any]] = None  # instead of all these: options of tools/make_motion_videos.py
    pretrained: Optional[Line] = None  # caffemodel of a GoogLeNet
    # What all nets start from, and have the same updates after: "pretrained"; "cnn", a CNN that learns cnn-iterations
    # from `pretrained` or nothing; "nothing".  None: "pretrained" if that is given, else "cnn".
    start: Optional[Literal[STARTS]] = None  # type: ignore[valid-type]
    engine: Literal[ENGINES] = ENGINES[0]  # type: ignore[valid-type]
    unhalved: bool = False  # as init_weights.py --unhalved
    difference: Share = 0.0  # as init_weights.py --difference
    samplings: Annotated[tuple[Literal["random", "sequential"], ...], EachOnce] = ("random", "sequential")
    crops: Annotated[tuple[Crops, ...], EachOnce] = protocols.PROTOCOLS
    signals: Annotated[tuple[Literal[SIGNALS], ...], EachOnce] = SIGNALS  # type: ignore[valid-type]
    streams: Annotated[tuple[Literal["image", "flow"], ...], EachOnce] = ("image",)
    flow: Optional[Flow] = None  # None: there is no such stream
    variants: dict[str, Variant] = field(default_factory=dict)
    # "first": of the first split alone, as tools/claims.py has them; "all": of every split, in the tables by the pair
    variants_splits: Literal["first", "all"] = "first"
    recurrent_test: bool = False  # test RCNN-r's weights in the recurrent net too, frame after frame
    # what RCNNs are shown in place of frame t - 1, as evaluate.py --previous; None: no motion probe
    probe: Optional[Annotated[tuple[Literal[SHOWN], ...], EachOnce]] = None  # type: ignore[valid-type]
    motion_energy: bool = False  # have tools/motion_energy.py measure RCNN-r's first layer on the test pairs
    seed: Seed = 1  # of the synthetic videos, the order of pairs, fillers and crops
    # Of the trainings of the first split, on the same pairs, each once; `seed` is one of them.  (): `seed` alone.
    seeds: Annotated[tuple[Seed, ...], AfterValidator(_each_once_if_any)] = ()
    test_batch: Whole = 10  # crops a forward pass of the test
    test_pairs_per_video: Optional[Whole] = 1  # pairs of each test video to watch a training by; None: all
    mean_seconds: Number = 7.2  # mean length of a video, for estimates of disk and time
    chosen: Optional[Line] = None  # for the page: which settings were chosen on what
    source: Optional[Line] = None  # for the page: where its frames are from

    @property
    def sources(self) -> partition.Sources:
        """Where the splits come from."""
        if self.lists is None:
            made = partition.Sources(videos=Path(self.videos or ""), group=self.group)
        else:
            made = partition.Sources(None, Path(self.lists), self.classes and Path(self.classes), self.group)
        return made._replace(hold_out=self.hold_out, hold_out_next=self.hold_out_next or 0) if self.validate else made

    @property
    def own_lists(self) -> bool:
        """Whether the splits are not those of official lists, so that their lists are to be written."""
        return self.make is None and (self.lists is None or self.validate)

    @property
    def starts(self) -> str:
        """What all nets of the image stream start from, of STARTS; the flow stream's start from nothing."""
        return self.start or ("pretrained" if self.pretrained else "cnn")

    @property
    def flow_nets(self) -> dict[str, Any]:
        """Settings of the flow stream's nets."""
        return {
            **{key: value for key, value in self.nets.items() if key not in IMAGE_ONLY},
            **(self.flow or Flow()).nets,
        }

    @property
    def splits_of_variants(self) -> tuple[int, ...]:
        """The splits of which there are variants."""
        return self.splits if self.variants_splits == "all" else self.splits[:1]

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
    demand(isinstance(content, dict), "it is not an object, {...}")
    try:
        description = TypeAdapter(Description).validate_json(json.dumps(content))
    except ValidationError as error:
        raise InputError(_problem(error)) from None
    demand("flow" in description.streams or content.get("flow") is None, 'flow is given, and streams lacks "flow"')
    if "flow" in description.streams and description.flow is None:
        description = replace(description, flow=Flow())
    consistency.check(description)
    return description


def adapt(description: Description, changes: Mapping[str, Any]) -> Description:
    """Return a description with other values of some fields, as a command line gives them.

    Another folder of lists has its own class list, and the name says where a description came to `validate`.

    Raises
    ------
    InputError
        Where a value is none of its field's, or does not go with the rest.
    """
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
    }
    if "lists" in values:
        values["classes"] = None
    if values.get("validate"):
        values["name"] = f"{description.name}, groups held out of training"
    try:
        changed = replace(description, **values)
    except ValidationError as error:
        raise InputError(recipe.problem(error)) from None
    consistency.check(changed)
    return changed


def _problem(error):
    """Return what is wrong in a line; of an unknown key also what the keys are."""
    message, place = recipe.problem(error), error.errors()[0]["loc"]
    if ": unknown key" in f": {message}":
        kind = Description if len(place) == 1 else Flow if place[0] == "flow" else Variant
        message += f"; the keys are {', '.join(each.name.replace('_', '-') for each in fields(kind))}"
    return message


class Lists(NamedTuple):
    """Where the videos and lists of a description are."""

    videos: Path
    folder: Path
    classes: Path

    def train(self, split: int) -> Path:
        """Return the list of a split's videos to train on."""
        return partition.list_paths(self.folder, split)[0]

    def test(self, split: int) -> Path:
        """Return the list of a split's videos to test on."""
        return partition.list_paths(self.folder, split)[1]


def lists(description: Description, out: Union[str, PathLike]) -> Lists:
    """Return the Lists of a description; synthetic videos, and lists of its own, go under the folder `out`."""
    if description.make is not None:
        videos = Path(out) / "videos"
        return Lists(videos, videos / "lists", videos / "lists" / partition.CLASSES)
    folder = Path(out, "lists") if description.own_lists else Path(description.lists or "")
    classes = None if description.own_lists else description.classes
    return Lists(Path(description.videos or ""), folder, Path(classes or folder / partition.CLASSES))


class Counts(NamedTuple):
    """How much there is, for estimates."""

    classes: int
    videos: int
    splits: dict[int, tuple[int, int]]  # {split: (videos to train on, to test on)}
    seconds: float  # mean length of a video
    missing: int = 0  # videos that are listed and have no file


def check(description: Description, out: Union[str, PathLike]) -> Counts:
    """Return the Counts of a description whose files are there; synthetic videos need not be.

    Raises
    ------
    InputError
        For a missing file, a list that names a missing video or is otherwise wrong (rcnn/data/lists.py), a split that
        cannot be (rcnn/data/splits.py) or has no video on one side, and a flow method that this machine has not.
    """
    if description.flow:
        flow.describe(description.flow.method)
    if description.pretrained:
        try:
            existing(description.pretrained, "pretrained")
        except InputError as error:
            raise InputError(f"{error}; data/README.md says where to get it") from None
    if description.make is not None:
        number, videos, tested, seconds = made_videos.counts(description.make)
        return Counts(number, videos, dict.fromkeys(description.splits, (videos - tested, tested)), seconds)
    classes, made = partition.read(description.sources, description.splits)
    chosen = set(choose(classes, description.only_classes))
    wanted = {
        number: partition.Split(*([video for video in part if classes[video.label] in chosen] for part in split))
        for number, split in made.items()
    }
    union: dict[str, Video] = {video.name: video for split in wanted.values() for part in split for video in part}
    there, missing = find_files(list(union.values()), description.videos or "", description.missing)
    names, counts = {video.name for video in there}, dict[int, tuple[int, int]]()
    for number, split in wanted.items():
        train, test = (sum(video.name in names for video in part) for part in split)
        demand(train and test, f"split {number}: it has {train} videos to train on and {test} to test on")
        counts[number] = train, test
    return Counts(len(chosen), len(there), counts, description.mean_seconds, len(missing))
