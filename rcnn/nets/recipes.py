"""The sets of prototxt that are in the repository: the paper's on UCF-101, of images and of flow, and the demo's."""
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import wrap

from google.protobuf import text_format

from rcnn.data import crops

from rcnn.data import flow

from rcnn.nets import prototxt as net
from rcnn.nets.prototxt import TEST, TRAIN, Data, Frames, Learning, Model


@dataclass(frozen=True)
class Recipe:
    """All that decides one set of nets and solvers.

    folder: where its prototxt go.  snapshots: folder of its weights; Caffe wants it to exist.  train_pairs, test_pairs:
    LMDBs for random sampling; frames, train_list, test_list: LMDB and lists of videos for sequential sampling, with as
    many streams as `data` has pairs a batch.  Iterations are
    updates, and a test is `test_iterations` batches.  rate falls exponentially to final_rate times itself (Sec. 3.1).
    note: what a reader should know.

    A set for flow, whose model has two channels, starts from nothing (Sec. 3.4): there is no stage 1, and names end in
    "_flow".  Stage 1 is there for images only, sequential sampling for both.
    """
    folder: str
    snapshots: str
    train_pairs: str
    test_pairs: str
    frames: str
    train_list: str
    test_list: str
    model: Model = Model()
    data: Data = Data("")
    learning: Learning = Learning()
    cnn_iterations: int = 20000
    stage1_iterations: int = 10000
    iterations: int = 30000
    rate: float = 0.01
    final_rate: float = 0.01
    iter_size: int = 1
    test_iterations: int = 60
    test_interval: int = 1000
    snapshot: int = 1000
    display: int = 40
    seed: int = None
    clip_gradients: float = None
    note: str = field(default="", repr=False)


UCF101 = Recipe(folder="prototxt", snapshots="snapshots", train_pairs="data/ucf101/pairs_train01.lmdb",
                test_pairs="data/ucf101/pairs_test01.lmdb", frames="data/ucf101/frames_5fps.lmdb",
                train_list="data/ucf101/ucfTrainTestlist/trainlist01.txt",
                test_list="data/ucf101/ucfTrainTestlist/testlist01.txt")

UCF101_FLOW = replace(UCF101, train_pairs="data/ucf101/flow_pairs_train01.lmdb",
                      test_pairs="data/ucf101/flow_pairs_test01.lmdb", frames="data/ucf101/flow_5fps.lmdb",
                      model=Model(channels=flow.CHANNELS), data=Data("", mean=crops.FLOW_MEAN))

DEMO = Recipe(
    folder="prototxt/demo", snapshots="demo/snapshots", train_pairs="demo/pairs_train.lmdb",
    test_pairs="demo/pairs_test.lmdb", frames="demo/frames.lmdb", train_list="demo/videos/lists/trainlist01.txt",
    test_list="demo/videos/lists/testlist01.txt",
    model=Model(classes=12, width=0.25, size=64, combine="sum", filler="msra", temporal_filler="constant", bias=0.0),
    data=Data("", batch=16, scale=1 / 64), cnn_iterations=600, stage1_iterations=400, iterations=3200, final_rate=0.1,
    test_iterations=42, test_interval=800, snapshot=200, seed=1, clip_gradients=2.0,
    note="The demo learns from nothing in minutes, and differs from the paper for that: a quarter of the width, 64 x "
         "64 input of scale 1/64, msra filling, biases from 0, temporal weights from 0 added to unhalved spatial ones, "
         "gradients clipped.")


def files(recipe):
    """Return {path: text} of a recipe's nets and solvers; paths are relative to the repository's root."""
    return {**_nets(recipe), **_solvers(recipe)}


def _nets(recipe):
    model, learning = recipe.model, recipe.learning
    train, test = (_data(recipe, source) for source in (recipe.train_pairs, recipe.test_pairs))
    stage1 = replace(learning, stage=1)
    calls = {
        "cnn_train": (net.cnn, model, train, TRAIN), "cnn_test": (net.cnn, model, test, TEST),
        "rcnn_r_train": (net.rcnn_r, model, train, TRAIN, learning),
        "rcnn_r_test": (net.rcnn_r, model, test, TEST, learning),
        "deploy_cnn": (net.deploy_cnn, model), "deploy_rcnn_r": (net.deploy_rcnn_r, model),
        "deploy_rcnn_s": (net.deploy_rcnn_s, model),
    }
    if pretrained(recipe):
        calls.update(rcnn_r_stage1_train=(net.rcnn_r, model, train, TRAIN, stage1))
    if sequential(recipe):
        train, test = (_frames(recipe, videos) for videos in (recipe.train_list, recipe.test_list))
        calls.update(rcnn_s_train=(net.rcnn_s, model, train, TRAIN, learning),
                     rcnn_s_test=(net.rcnn_s, model, test, TEST, learning))
        if pretrained(recipe):
            calls.update(rcnn_s_stage1_train=(net.rcnn_s, model, train, TRAIN, stage1))
    return {_path(recipe, name): _text(recipe, call, *arguments) for name, (call, *arguments) in calls.items()}


def _solvers(recipe):
    runs = {"cnn": ("cnn_train", "cnn_test", recipe.cnn_iterations)}
    for name in ["rcnn_r", "rcnn_s"] if sequential(recipe) else ["rcnn_r"]:
        if pretrained(recipe):
            runs[f"{name}_stage1"] = f"{name}_stage1_train", f"{name}_test", recipe.stage1_iterations
        runs[name] = f"{name}_train", f"{name}_test", recipe.iterations
    options = {name: getattr(recipe, name) for name in (
        "rate", "final_rate", "iter_size", "display", "test_interval", "snapshot", "seed", "clip_gradients")}
    return {_path(recipe, "solver_" + name): _text(
        recipe, net.solver, _path(recipe, train), _path(recipe, test), f"{recipe.snapshots}/{name}{_suffix(recipe)}",
        iterations, recipe.test_iterations, **options) for name, (train, test, iterations) in runs.items()}


def sequential(recipe):
    """Return whether the recipe has RCNN-s too: a frames LMDB holds images or flow."""
    return recipe.model.channels in crops.MEANS


def pretrained(recipe):
    """Return whether the recipe has stage 1: GoogLeNet's weights are for images, other nets start from nothing."""
    return recipe.model.channels == 3


def _data(recipe, source):
    return replace(recipe.data, source=source, seed=recipe.seed)


def _frames(recipe, videos):
    data = recipe.data
    return Frames(recipe.frames, videos, data.batch, data.mean, data.scale, recipe.seed)


def _path(recipe, name):
    return (Path(recipe.folder) / f"{name}{_suffix(recipe)}.prototxt").as_posix()


def _suffix(recipe):
    return "_flow" if recipe.model.channels == flow.CHANNELS else ""


def _text(recipe, call, *arguments, **options):
    phases = {TRAIN: "TRAIN", TEST: "TEST"} if call in (net.cnn, net.rcnn_r, net.rcnn_s) else {}
    written = [phases[value] if isinstance(value, int) and value in phases else repr(value) for value in arguments]
    written += [f"{name}={value!r}" for name, value in options.items()]
    head = ["Made by tools/make_prototxt.py; do not edit. It is what this call returns:",
            *wrap(f"rcnn.nets.prototxt.{call.__name__}({', '.join(written)})", 110, subsequent_indent="    ",
                  break_long_words=False, break_on_hyphens=False)]
    if recipe.note:
        head += wrap(recipe.note, 110)
    return "".join(f"# {line}\n" for line in head) + "\n" + text_format.MessageToString(call(*arguments, **options))
