"""A set of prototxt: the nets and solvers of one recipe as files, whose names and heads are decided here.

prototxt/ holds the paper's set, of images on UCF-101; tools/make_prototxt.py writes any other where it is wanted.
"""

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Optional

from google.protobuf import text_format

from rcnn import recipe as settings
from rcnn.data import crops, flow
from rcnn.files import InputError, PathLike
from rcnn.nets import caffemodel, weight_files
from rcnn.nets.model import NetModel
from rcnn.recipe import Recipe

NETS = ("cnn", "rcnn_r", "rcnn_s")
FOLDER = "prototxt"  # of the set that is in the repository


@dataclass(frozen=True)
class Paths:
    """What a set reads and writes, relative to the folder that Caffe runs in; UCF-101's unless given."""

    train_pairs: str = "data/ucf101/pairs_train01.lmdb"
    test_pairs: str = "data/ucf101/pairs_test01.lmdb"
    frames: str = "data/ucf101/frames_5fps.lmdb"
    train_list: str = "data/ucf101/ucfTrainTestlist/trainlist01.txt"
    test_list: str = "data/ucf101/ucfTrainTestlist/testlist01.txt"
    snapshots: str = "snapshots"


PATHS = Paths()
FLOW_PATHS = Paths(
    train_pairs="data/ucf101/flow_pairs_train01.lmdb",
    test_pairs="data/ucf101/flow_pairs_test01.lmdb",
    frames="data/ucf101/flow_5fps.lmdb",
)


def default_paths(recipe: Recipe, folder: str) -> Paths:
    """Return the Paths of a set in `folder` unless others are given.

    Its snapshots are its own, or two sets would go on with each other's weights.
    """
    return replace(FLOW_PATHS if recipe.model.channels == flow.CHANNELS else PATHS, snapshots=f"{folder}/snapshots")


def runs(recipe: Recipe) -> dict[str, tuple[str, int, int]]:
    """Return {run: (its net, stage, updates)} of the trainings that a recipe's set has a solver for.

    Flow starts from nothing (Sec. 3.4), and so does any input but images: there is no stage 1.  RCNN-s reads a frames
    LMDB, which holds images or flow.
    """
    solver, trainings = recipe.solver, {}
    if solver.cnn_stage1_iterations and recipe.model.channels == len(crops.MEAN):
        trainings["cnn_stage1"] = "cnn", 1, solver.cnn_stage1_iterations
    trainings["cnn"] = "cnn", 2, solver.cnn_iterations
    for net in ("rcnn_r", "rcnn_s") if recipe.model.channels in crops.MEANS else ("rcnn_r",):
        if recipe.model.channels == len(crops.MEAN):
            trainings[f"{net}_stage1"] = net, 1, solver.stage1_iterations
        trainings[net] = net, 2, solver.iterations
    return trainings


def names(recipe: Recipe) -> dict[str, str]:
    """Return {"rcnn_r_train_val", "deploy_rcnn_r", "solver_rcnn_r", ...: name of the file} of a recipe's set."""
    suffix = "_flow" if recipe.model.channels == flow.CHANNELS else ""
    keys = (
        *(f"{run}_train_val" for run in runs(recipe)),
        *(f"deploy_{net}" for net in NETS),
        *(f"solver_{run}" for run in runs(recipe)),
    )
    return {key: f"{key}{suffix}.prototxt" for key in keys}


def fresh_layers(recipe: Recipe, weights: PathLike) -> list[str]:
    """Return the layers of a recipe's nets that a file of weights has no values for, temporal parts left out.

    The file is what tools/init_weights.py reads or what it wrote.  InputError where it is another net's.
    """
    model = NetModel(**asdict(recipe.model), temporal=False)
    fresh = caffemodel.fresh_layers(weight_files.source(weights), model.parameters())
    if recipe.solver.cnn_stage1_iterations and not fresh:
        raise InputError(
            f"--cnn-stage1-iterations: {weights} has every layer of the CNN, so that nothing would learn in its stage 1"
        )
    return fresh


def files(recipe: Recipe, folder: str, paths: Paths, weights: Optional[PathLike] = None) -> dict[str, str]:
    """Return {path: text} of a set's nets and solvers.

    Parameters
    ----------
    recipe
        Its settings.
    folder
        Where the files go, relative to the one that Caffe runs in.
    paths
        What its nets read, and where its solvers write.
    weights
        What its trainings start from: what they lack learns in stage 1 (`fresh_layers`); None: BVLC GoogLeNet's whole
        file, for input of 224 x 224.

    Raises
    ------
    InputError
        For frames of channels that the nets cannot take, and weights of another net.
    """
    from rcnn.nets import prototxt  # which needs Caffe

    places = {name: (Path(folder) / file).as_posix() for name, file in names(recipe).items()}
    fresh = None if weights is None else fresh_layers(recipe, weights)
    made = {f"deploy_{net}": getattr(prototxt, f"deploy_{net}")(recipe.model, 1, recipe.fillers) for net in NETS}

    def alone(net, phase, pairs, videos, stage):
        if net == "rcnn_s":
            return prototxt.rcnn_s(recipe, paths.frames, videos, phase, stage, fresh)
        return getattr(prototxt, net)(recipe, pairs, phase, stage, fresh)

    for run, (net, stage, iterations) in runs(recipe).items():
        train = alone(net, prototxt.TRAIN, paths.train_pairs, paths.train_list, stage)
        test = alone(net, prototxt.TEST, paths.test_pairs, paths.test_list, stage)
        made[f"{run}_train_val"] = prototxt.train_val(train, test)
        prefix = Path(places[f"solver_{run}"]).stem[len("solver_") :]
        made[f"solver_{run}"] = prototxt.solver(
            recipe, places[f"{run}_train_val"], f"{paths.snapshots}/{prefix}", iterations
        )
    head = _head(recipe, folder, paths, weights)
    return {path: head + text_format.MessageToString(made[name]) for name, path in places.items()}


def _head(recipe, folder, paths, weights):
    """Return the comment at a file's head: the command that makes its set, by what differs from the paper's."""
    words = []
    if (recipe, folder, paths, weights) != (Recipe(), FOLDER, PATHS, None):
        base = asdict(default_paths(recipe, folder))
        changed = {name: path for name, path in asdict(paths).items() if path != base[name]}
        start = {} if weights is None else {"weights": weights}
        words = settings.words({"out": folder, **start, **changed, **settings.settings(recipe, Recipe())})
    lines = wrap(
        f"python tools/make_prototxt.py {shlex.join(words)}",
        110,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(f"# {line}\n" for line in ["Made by this command; do not edit.", *lines]) + "\n"
