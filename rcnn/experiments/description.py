"""The description of a reproduction: which videos, splits, nets and tests; a JSON file such as data/ucf101.json.

    name         what the tables call the set of videos
    videos       folder of the class folders
    lists        folder of trainlistNN.txt and testlistNN.txt
    classes      class list; lists/classInd.txt if it is not given
    make         instead of these three: options of tools/make_motion_videos.py, which makes the videos
    splits       numbers of the splits; Table 2 is about the first, Table 3 about all
    fps          frames a second: the first is row 1's of Table 2, the last that of all else
    size         height and width of the stored frames, pixels
    nets         options of tools/make_prototxt.py, without the dashes in front; those of NEEDED must be there
    pretrained   caffemodel that every training starts from; without it the single-frame CNN learns from nothing, and
                 the RCNNs start from that
    unhalved     init_weights.py --unhalved
    samplings    "random" (RCNN-r), "sequential" (RCNN-s)
    crops        protocols of the test, of 1, 5 and 10
    signals      of "low", "medium", "high"
    streams      "image", or "image" and "flow", the optical flow of Sec. 3.4, which learns from nothing
    flow         of the stream "flow": "method", "between" and "bound", as tools/build_frames.py takes them (brox,
                 neighbours, 20), and "nets", options of tools/make_prototxt.py where they differ from the image
                 stream's; the mean is flow's own unless it is given here
    variants     {name: RCNN-r of the first split with other settings}, for tools/claims.py: "nets", options of
                 tools/make_prototxt.py where they differ; "unhalved" (the description's); "stages", 2 or 1, which has
                 all updates in the second; "start", "pretrained" or "nothing" (one stage, from the fillers)
    recurrent-test  whether RCNN-r's weights are tested in the recurrent net too, frame after frame
    motion-energy   whether tools/motion_energy.py measures RCNN-r's first layer on the test pairs
    seed         of the made videos, the order of pairs, the fillers and the crops
    test-pairs-per-video  pairs of each test video that a training is watched by; null: all
    test-batch   crops a forward pass of the test (evaluate.py --batch)
    mean-seconds mean length of a video, for estimates of disk and time

Paths are relative to the folder that the programs run in, as everywhere here.
"""
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from rcnn.data import crops as protocols
from rcnn.data import flow
from rcnn.data.synthetic import scenes
from rcnn.files import InputError, existing
from rcnn.data.flow_frames import BETWEEN
from rcnn.googlenet import SIGNALS
from rcnn.data.lists import check_files, read_classes, read_list

NEEDED = ("batch", "size", "cnn-iterations", "stage1-iterations", "iterations", "snapshot")  # what the cost hangs on
SET = ("check", "out", "snapshots", "classes", "seed", "channels", "encoding", "train-pairs", "test-pairs", "frames",
       "train-list", "test-list")  # options of make_prototxt.py that follow from the rest
SAMPLINGS = ("random", "sequential")
STREAMS = ("image", "flow")
STARTS = ("pretrained", "nothing")
IMAGE_ONLY = ("mean", "stage1-iterations")  # options of the image stream's nets that are not the flow stream's too
FRAME_RATE = 25  # of UCF-101's videos and of the made ones


@dataclass(frozen=True)
class Flow:
    """The flow stream of a description; see above."""
    method: str = "brox"
    between: str = BETWEEN[0]
    bound: float = flow.BOUND
    nets: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """A variant of a description; see above."""
    nets: dict = field(default_factory=dict)
    unhalved: bool = None
    stages: int = 2
    start: str = STARTS[0]


@dataclass(frozen=True)
class Description:
    """What a description says; see above.

    Lists are tuples, `make` and `pretrained` None where they are not given, `flow` None without that stream.
    """
    name: str
    nets: dict
    fps: tuple
    size: int
    splits: tuple = (1, 2, 3)
    videos: str = None
    lists: str = None
    classes: str = None
    make: dict = None
    pretrained: str = None
    unhalved: bool = False
    samplings: tuple = SAMPLINGS
    crops: tuple = protocols.PROTOCOLS
    signals: tuple = SIGNALS
    streams: tuple = STREAMS[:1]
    flow: Flow = None
    variants: dict = field(default_factory=dict)
    recurrent_test: bool = False
    motion_energy: bool = False
    seed: int = 1
    test_batch: int = 10
    test_pairs_per_video: Optional[int] = 1
    mean_seconds: float = 7.2

    @property
    def flow_nets(self):
        """Options of make_prototxt.py for the flow stream's nets."""
        return {**{key: value for key, value in self.nets.items() if key not in IMAGE_ONLY}, **self.flow.nets}

    def variant_nets(self, variant):
        """Options of make_prototxt.py for the nets of a Variant; where it has one stage, that has all updates."""
        nets = {**self.nets, **variant.nets}
        if variant.stages == 1 and "iterations" not in variant.nets:
            nets["iterations"] += self.nets["stage1-iterations"]
        return nets


def read(path):
    """Return the Description in a JSON file.

    Raises InputError naming file and key for what is missing, unknown or of a wrong type or value.
    """
    try:
        given = json.loads(existing(path, "description").read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"description: {path} is not a text file (UTF-8)") from None
    except ValueError as error:
        raise InputError(f"description: {path} is not JSON: {error}") from None
    try:
        return parse(given)
    except InputError as error:
        raise InputError(f"description: {path}: {error}") from None


def parse(given):
    """Return the Description of what a file's JSON gave, and raise InputError where it is none."""
    _demand(isinstance(given, dict), "it is not an object, {...}")
    kinds = _kinds()
    for key in given:
        _demand(key in kinds, f"unknown key {key}; the keys are {', '.join(kinds)}")
    for key in ("name", "nets", "fps", "size"):
        _demand(key in given, f"{key} is missing")
    values = {}
    for key, value in given.items():
        holds, expected = kinds[key]
        if value is None and key in ("videos", "lists", "classes", "make", "pretrained", "flow"):
            continue
        _demand(holds(value), f"{key}: {json.dumps(value)} is not {expected}")
        values[key.replace("-", "_")] = tuple(value) if isinstance(value, list) else value
    _demand("flow" in values.get("streams", ()) or "flow" not in values, 'flow is given, and streams lacks "flow"')
    if "flow" in values.get("streams", ()):
        values["flow"] = _flow(values.get("flow", {}))
    values["variants"] = {name: _variant(name, variant) for name, variant in values.get("variants", {}).items()}
    description = Description(**values)
    _check(description)
    return description


def _flow(given):
    """Return the Flow of what a description gave."""
    return Flow(**_part("flow", given, {
        "method": (lambda value: value in flow.METHODS, f"one of {', '.join(flow.METHODS)}"),
        "between": (lambda value: value in BETWEEN, f"one of {', '.join(BETWEEN)}"),
        "bound": (_number, "a number of pixels above 0"), "nets": NETS}))


def _variant(name, given):
    """Return the Variant of what a description gave."""
    part = f"variants: {name}"
    _demand(re.fullmatch(r"[a-z0-9][a-z0-9 -]*", name), f"{part}: a name is of small letters, digits, blanks and -")
    _demand(isinstance(given, dict), f"{part}: {json.dumps(given)} is not an object")
    variant = Variant(**_part(part, given, {
        "nets": NETS, "unhalved": TRUTH, "stages": (lambda value: _whole(value) and value < 3, "1 or 2"),
        "start": (lambda value: value in STARTS, f"one of {', '.join(STARTS)}")}))
    _demand(variant.start == STARTS[0] or variant.stages == 1, f"{part}: from nothing there is one stage: say stages 1")
    _demand(variant.stages == 2 or "stage1-iterations" not in variant.nets,
            f"{part}: nets: stage1-iterations: with stages 1 there is no stage 1 of its own")
    return variant


def _part(part, given, kinds):
    """Return an object of a description, whose keys and values are as `kinds` says (see `_kinds`)."""
    for key, value in given.items():
        _demand(key in kinds, f"{part}: unknown key {key}; the keys are {', '.join(kinds)}")
        holds, expected = kinds[key]
        _demand(holds(value), f"{part}: {key}: {json.dumps(value)} is not {expected}")
    return given


def _kinds():
    """Return {key: (function that tells whether a value is right, what it should be)}."""
    def text(value):
        return isinstance(value, str) and value.strip() != "" and "\n" not in value

    def seed(value):
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2 ** 32

    def some(holds, most=None):
        return lambda value: (isinstance(value, list) and 0 < len(value) <= (most or len(value))
                              and all(map(holds, value)) and len(set(value)) == len(value))

    def some_of(choices):
        expected = f"a list of some of {', '.join(map(str, choices))}, each once"
        return some(lambda value: not isinstance(value, bool) and value in choices), expected

    table, path = lambda value: isinstance(value, dict), (text, "a path")
    return {
        "name": (text, "one line of text"), "videos": path, "lists": path, "classes": path, "pretrained": path,
        "make": (table, "an object of options of tools/make_motion_videos.py"), "nets": NETS,
        "variants": (table, "an object of variants"),
        "splits": (some(lambda value: _whole(value) and value < 100), "a list of different numbers of 1 to 99"),
        "fps": (some(_number, 2), "a list of one or two different numbers above 0"),
        "size": (_whole, "a whole number of pixels"),
        "unhalved": TRUTH, "recurrent-test": TRUTH, "motion-energy": TRUTH,
        "samplings": some_of(SAMPLINGS), "crops": some_of(protocols.PROTOCOLS), "signals": some_of(SIGNALS),
        "flow": (table, "an object of method, between, bound and nets"), "streams": some_of(STREAMS),
        "seed": (seed, "a whole number of 0 to 4294967295"),
        "test-pairs-per-video": (lambda value: value is None or _whole(value), "a whole number of at least 1, or null"),
        "test-batch": (_whole, "a whole number of at least 1"), "mean-seconds": (_number, "a number above 0"),
    }


def _number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _whole(value):
    return _number(value) and isinstance(value, int)


def _lengths(value):
    return isinstance(value, list) and len(value) == 2 and all(map(_number, value)) and value[0] <= value[1]


NETS = (lambda value: isinstance(value, dict), "an object of options of tools/make_prototxt.py")
TRUTH = (lambda value: isinstance(value, bool), "true or false")


def _check(description):
    """Raise InputError for values that do not go together."""
    _demand("image" in description.streams, 'streams: "image" is always one of them')
    _check_nets("nets", description.nets, NEEDED, description.size)
    if description.flow:
        _demand("stage1-iterations" not in description.flow.nets, "flow: nets: stage1-iterations: flow has no stage 1")
        needed = [key for key in NEEDED if key not in IMAGE_ONLY]
        _check_nets("flow: nets", description.flow_nets, needed, description.size)
    for name, variant in description.variants.items():
        _check_nets(f"variants: {name}: nets", description.variant_nets(variant), NEEDED, description.size)
    for key in ("variants", "recurrent-test", "motion-energy"):
        _demand(not getattr(description, key.replace("-", "_")) or "random" in description.samplings,
                f'{key}: it needs the sampling "random"')
    _check_options("make", description.make or {})
    if description.make is None:
        for key in ("videos", "lists"):
            _demand(getattr(description, key), f"{key} is missing (or make, where videos are to be made)")
        return
    for key in ("videos", "lists", "classes"):
        _demand(not getattr(description, key), f"{key} and make do not go together")
    for key in ("out", "seed", "splits", "workers"):
        _demand(key not in description.make, f"make: {key} follows from the rest; leave it out")
    kind = description.make.get("set", "motion")
    _demand(kind in ("motion", "scenes"), f"make: set: {json.dumps(kind)} is neither motion nor scenes")
    for key in ("appearances", "movements") if kind == "motion" else ():
        names = description.make.get(key)
        _demand(isinstance(names, list) and names and all(isinstance(name, str) for name in names),
                f"make: {key} is missing, or no list of names")
    seconds = _lengths if kind == "scenes" else _number
    for key, holds in (("seconds", seconds), ("groups", _whole), ("clips", _whole)):
        _demand(holds(description.make.get(key)), f"make: {key} is missing, or no such number")


def _check_nets(part, nets, needed, size):
    """Raise InputError where options of nets lack what is needed, or have what is set by the rest."""
    for key in needed:
        _demand(_whole(nets.get(key)), f"{part}: {key} is missing, or no whole number above 0")
    for key in ("width", "iter-size", "conv1-temporal-kernel"):
        _demand(_number(nets.get(key, 1)), f"{part}: {key}: {json.dumps(nets.get(key))} is not a number above 0")
    for key in SET:
        _demand(key not in nets, f"{part}: {key} follows from the rest; leave it out")
    _check_options(part, nets)
    _demand(size >= nets["size"], f"size: frames of {size} pixels are smaller than the nets' input of "
                                  f"{nets['size']} ({part})")


def _check_options(part, options):
    for key, value in options.items():
        _demand(isinstance(value, (str, int, float, list)), f"{part}: {key}: {json.dumps(value)} is no option's")


def _demand(holds, message):
    if not holds:
        raise InputError(message)


@dataclass(frozen=True)
class Lists:
    """Where the videos and lists of a description are."""
    videos: Path
    folder: Path
    classes: Path

    def train(self, split):
        return self.folder / f"trainlist{split:02d}.txt"

    def test(self, split):
        return self.folder / f"testlist{split:02d}.txt"


def lists(description, out):
    """Return the Lists of a description; made videos go under the folder `out`."""
    if description.make is not None:
        videos = Path(out) / "videos"
        return Lists(videos, videos / "lists", videos / "lists" / "classInd.txt")
    folder = Path(description.lists)
    return Lists(Path(description.videos), folder, Path(description.classes or folder / "classInd.txt"))


@dataclass(frozen=True)
class Counts:
    """How much there is, for estimates: classes, videos in all, and {split: (videos to train on, to test on)}."""
    classes: int
    videos: int
    splits: dict
    seconds: float  # mean length of a video


def check(description, out):
    """Return the Counts of a description whose files are there; made videos need not be.

    Raises InputError for a missing file, a list that names a missing video or is otherwise wrong (rcnn/data/lists.py), a
    split whose two lists share a video, and a flow method that this machine has not.
    """
    if description.flow:
        flow.describe(description.flow.method)
    if description.pretrained:
        existing(description.pretrained, "pretrained")
    if description.make is not None:
        return _made(description)
    where, union, splits = lists(description, out), {}, {}
    classes = read_classes(where.classes)
    for split in description.splits:
        train, test = (read_list(path, classes) for path in (where.train(split), where.test(split)))
        both = {video.name for video in train} & {video.name for video in test}
        _demand(not both, f"split {split}: {len(both)} videos are in {where.train(split)} and in {where.test(split)}, "
                          f"one is {min(both, default='')}")
        union.update((video.name, video) for video in train + test)
        splits[split] = len(train), len(test)
    check_files(list(union.values()), where.videos)
    return Counts(len(classes), len(union), splits, description.mean_seconds)


def _made(description):
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
