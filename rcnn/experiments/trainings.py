"""Which trainings each net of a plan gets: from what, in which stages, how many updates, by Caffe or PyTorch.

All nets of a run start from the same weights and have the same updates at the same rates, the single-frame CNN too, so
that what a recurrent net is better by is not a longer training:

    start         each net
    pretrained    stage 1, what is fresh in it; stage 2, everything
    cnn           as pretrained, from a CNN that learnt cnn-iterations; in stage 1 what GoogLeNet lacks learns, though
                  it is not fresh (held still, RCNN-s learns far more slowly); nothing is fresh in the CNN itself, so
                  that it goes on for the updates of both stages at once
    nothing       the updates of both stages at once, as there is nothing that stage 1 could leave as it is

The flow stream starts from nothing (Sec. 3.4).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from rcnn import recipe
from rcnn.data import flow
from rcnn.experiments.description import Description
from rcnn.experiments.steps import lmdb
from rcnn.nets import prototxt_set, weight_files
from rcnn.recipe import CAFFE_ONLY, PART_OF, PYTORCH_ONLY

MODES = {"cnn": "frame", "rcnn_r": "pair", "rcnn_s": "recurrent"}  # of evaluate.py, where no prototxt tells it
SUFFIX = {"caffe": "caffemodel", "torch": "pt"}  # of the weights that an engine writes
STAGE1 = "_stage1"  # ends the name of a run


def settings(nets: Mapping[str, Any], start: str) -> dict[str, Any]:
    """Return the settings of make_prototxt.py and train_torch.py by which all nets have the updates of `nets`.

    Parameters
    ----------
    nets
        As a description has them.
    start
        Of description.STARTS.
    """
    first, later = nets.get("stage1-iterations", 0), nets["iterations"]
    changes = {
        "pretrained": {"cnn-iterations": later, "cnn-stage1-iterations": first},
        "cnn": {"cnn-iterations": first + later},
        "nothing": {"cnn-iterations": first + later, "iterations": first + later},
    }
    return {**nets, **changes[start]}


def runs(net: str, start: str) -> list[str]:
    """Return the trainings of a net, "cnn", "rcnn_r" or "rcnn_s", in their order: its name alone, or stage 1 first."""
    two = start == "pretrained" or start == "cnn" and net != "cnn"
    return [net + STAGE1, net] if two else [net]


def updates(run: str, options: Mapping[str, Any]) -> int:
    """Return how many updates a training of `runs` has by `settings`."""
    name = {"cnn": "cnn-iterations", f"cnn{STAGE1}": "cnn-stage1-iterations"}.get(run)
    return options[name or ("stage1-iterations" if run.endswith(STAGE1) else "iterations")]


def need(description: Description) -> None:
    """Raise InputError unless what trains the nets of a description is installed."""
    if description.engine == "torch":
        weight_files.need("torch")


def of_caffe(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings that make_prototxt.py takes."""
    return {name: value for name, value in options.items() if name.replace("-", "_") not in PYTORCH_ONLY}


def of_torch(run: str, options: Mapping[str, Any], out: Path, weights: Optional[Path], seed: int) -> dict[str, Any]:
    """Return the options of train_torch.py for a training that writes OUT_iter_N.pt, but for its data."""

    def taken(name):
        return PART_OF[name] not in ("model", "fillers") and name not in (*CAFFE_ONLY, "iterations")

    return {
        "weights": weights,
        "stage": 1 if run.endswith(STAGE1) else 2,
        "size": recipe.parse(options).model.size,
        "seed": seed,
        "iterations": updates(run, options),
        **{name: value for name, value in options.items() if taken(name.replace("-", "_"))},
        "out": out,
    }


def device(engine: str, gpu: Optional[int]) -> tuple[str, ...]:
    """Return the words that have a training run on a GPU, or on the CPU where it is None."""
    if gpu is not None:
        return ("--gpu", str(gpu))
    return ("--device", "cpu") if engine == "torch" else ()


def folder_of(out: Union[str, Path], split: int, fps: float) -> Path:
    """Return the folder of a split at a frame rate."""
    return Path(out) / f"split{split:02d}_{fps:g}fps"


class Trainings:
    """Adds the steps from the pairs of a run, a split at a frame rate, of images or of flow, to its nets' weights."""

    def __init__(self, plan, split, fps, suffix=""):
        description = plan.description
        self.plan, self.description, self.split, self.fps, self.suffix = plan, description, split, fps, suffix
        self.starts = "nothing" if suffix else description.starts
        self.options = settings(description.flow_nets if suffix else description.nets, self.starts)
        self.seed = description.seed
        self.costs = plan.flow_costs if suffix else plan.costs
        self.folder, self.unhalved = folder_of(plan.out, split, fps), description.unhalved
        self.difference = 0.0 if suffix else description.difference
        self.name = self.folder.name
        self.frames = plan.out / f"frames_{fps:g}fps{suffix}.lmdb"
        self.train_pairs, self.test_pairs = (self.folder / f"pairs_{part}{suffix}.lmdb" for part in ("train", "test"))
        self.lists = {"train": plan.where.train(split), "test": plan.where.test(split)}
        self.home = folder_of(plan.out, split, description.fps[-1])  # has what its nets start from
        start = self.home / "snapshots" / f"start{suffix}.caffemodel"
        self.start = None if self.filled_by_caffe else start

    @property
    def snapshots(self) -> Path:
        """The folder of what is trained."""
        return self.folder / "snapshots"

    def add(self, name: str, *step: Any, **options: Any) -> None:
        """Add a step; arguments as of steps.program_step."""
        self.plan.add(f"{self.name}.{name}{self.suffix}", *step, **options)

    def nets(self, weights: Optional[Path] = None) -> None:
        """Add the prototxt of all nets and solvers; weights: what the nets start from, which decides stage 1."""
        channels, options = {"channels": flow.CHANNELS} if self.suffix else {}, of_caffe(self.options)
        if self.starts != "pretrained":  # of a CNN of one's own all that GoogLeNet lacks learns in stage 1
            weights = None
        self.add(
            "nets",
            "make_prototxt.py",
            [self.net(name) for name in prototxt_set.names(recipe.parse({**channels, **options}))],
            inputs=[weights] if weights else [],
            out=self.folder / "prototxt",
            weights=weights,
            snapshots=self.snapshots,
            train_pairs=self.train_pairs,
            test_pairs=self.test_pairs,
            frames=self.frames,
            train_list=self.lists["train"],
            test_list=self.lists["test"],
            classes=self.plan.counts.classes,
            seed=self.seed,
            **channels,
            **options,
        )

    def net(self, name: str) -> Path:
        """Return a prototxt of `nets`."""
        return self.folder / "prototxt" / f"{name}{self.suffix}.prototxt"

    def weights(self, run: str) -> Path:
        """Return what a training ends with."""
        suffix = SUFFIX[self.description.engine]
        return self.snapshots / f"{run}{self.suffix}_iter_{updates(run, self.options)}.{suffix}"

    @property
    def filled_by_caffe(self) -> bool:
        """Whether trainings start without weights: Caffe fills a net by itself."""
        return self.starts == "nothing" and self.description.engine == "caffe"

    @property
    def source(self) -> Optional[Path]:
        """The weights that all nets start from, None where that is their fillers'."""
        if self.starts == "cnn":
            return _First(self).weights("cnn")
        return Path(self.description.pretrained) if self.starts == "pretrained" else None

    def starting_points(self) -> None:
        """Add what the nets of this split start from, and the nets, of which that decides what learns in stage 1."""
        if self.starts == "cnn":
            _First(self).steps()
        self.nets(self.source)
        first = self.starts == "cnn"
        self.start_cnn = self.source if first else self.starting("start_cnn", "deploy_cnn", self.source)
        self.starting("start", "deploy_rcnn_r", self.source)

    def starting(self, name: str, net: str, weights: Optional[Path]) -> Optional[Path]:
        """Add the weights that a net starts from and return their path; None where Caffe fills the net by itself."""
        if weights is None and self.description.engine == "caffe":
            return None
        path = self.snapshots / f"{name}{self.suffix}.caffemodel"
        self.add(
            name,
            "init_weights.py",
            [path],
            self.plan.costs.weights(net != "deploy_cnn"),
            net=self.net(net),
            weights=weights,
            out=path,
            unhalved=() if self.unhalved and net != "deploy_cnn" and weights else None,
            difference=self.difference or None if net != "deploy_cnn" else None,
            seed=self.seed,
        )
        return path

    def train(self, net: str) -> None:
        """Add a net's trainings."""
        weights = self.start_cnn if net == "cnn" else self.start
        for run in runs(net, self.starts):
            self.training(run, weights)
            weights = self.weights(run)

    def training(self, run: str, weights: Optional[Path]) -> None:
        """Add one training from weights, None where Caffe fills the net."""
        net, files, engine = run.replace(STAGE1, ""), f"{run}{self.suffix}", self.description.engine
        videos = {"frames": self.frames, "list": self.lists["train"]}
        source = videos if net == "rcnn_s" else {"pairs": self.train_pairs}
        inputs = None
        if engine == "torch":
            options = {**source, **of_torch(run, self.options, self.snapshots / files, weights, self.seed)}
        else:
            data = [lmdb(self.train_pairs)[0], lmdb(self.test_pairs)[0]]
            if net == "rcnn_s":
                data = [lmdb(self.frames)[0], *self.lists.values()]
            options = {"solver": self.net(f"solver_{run}"), "weights": weights}
            inputs = [options["solver"], self.net(f"{run}_train_val"), *data, *([weights] if weights else [])]
        self.add(
            run,
            "train_torch.py" if engine == "torch" else "train.py",
            [self.weights(run)],
            self.costs.training(run, updates(run, self.options)),
            inputs=inputs,
            leftovers=[(self.snapshots, f"{files}{end}") for end in ("_iter_*", ".jsonl", ".caffe.log")],
            settings=device(engine, self.plan.number),
            **options,
        )

    def deployed(self, net: str) -> Optional[Path]:
        """Return the prototxt to run trained weights in; None where they are PyTorch's, which tell their net."""
        return self.net(f"deploy_{net}") if self.description.engine == "caffe" else None


class _First(Trainings):
    """The steps of the CNN that all nets of `run` start from, on its pairs."""

    def __init__(self, run):
        super().__init__(run.plan, run.split, run.fps)
        self.folder, self.name, self.seed = run.home / "start_cnn", f"{run.name}.start_cnn", run.seed
        later = ("stage1-iterations", "iterations")  # another number of them leaves this one as it is
        self.options = {name: value for name, value in self.description.nets.items() if name not in later}

    def steps(self):
        weights = self.description.pretrained and Path(self.description.pretrained)
        self.nets()
        self.training("cnn", self.starting("start", "deploy_cnn", weights))
