"""The plan of a reproduction, as data: every step with its command, what it needs, what it makes, and what it costs.

A step is one program of tools/.  It depends on another one where that makes what it needs.  Under the folder OUT:

    videos/                        synthetic videos, if the description has them made
    frames_5fps.lmdb               frames of all videos, one LMDB a frame rate
    frames_5fps_flow.lmdb          their flow, if the description has that stream
    split01_5fps/                  one folder a split and frame rate:
        pairs_train.lmdb, pairs_test.lmdb, prototxt/, snapshots/, scores_cnn.h5, scores_rcnn_r.h5, scores_rcnn_s.h5
        pairs_train_flow.lmdb, ...     and the flow stream's beside them
        variant_NAME/                  RCNN-r with other settings, on the same pairs, if the description has variants

The rate of Table 2's row 1 has RCNN-r on the first split alone, started from the weights of the other rate.  The flow
stream has the rate of Table 3, the CNN and RCNN-r, each from nothing (Sec. 3.4); the paper has no RCNN-s of flow.
"""

from pathlib import Path
from typing import Optional, Union

from rcnn import recipe
from rcnn.data import flow
from rcnn.data.records import MANIFEST
from rcnn.data.workers import cores
from rcnn.experiments.description import Counts, Description, lists
from rcnn.experiments.estimates import STARTING, Costs
from rcnn.experiments.steps import Step
from rcnn.nets import prototxt_set

NET_OF = {"random": "rcnn_r", "sequential": "rcnn_s"}  # a sampling's net
FLOW = "_flow"  # ends the names of what is the flow stream's, as in prototxt/
RECURRENT, ENERGY = "scores_rcnn_r_recurrent", "motion_energy.json"  # beside the split's other results
TABLES = "tables.json"  # the tables as data, for the page


def lmdb(path: Path) -> tuple[Path, Path]:
    """Return the files of an LMDB: the manifest, which says what is in it, and the records."""
    return path / MANIFEST, path / "data.mdb"


def steps(
    description: Description,
    counts: Counts,
    out: Union[str, Path],
    gpu: Optional[int] = None,
    workers: Optional[int] = None,
) -> list[Step]:
    """Return the steps of a description, each after those whose outputs it needs.

    Parameters
    ----------
    gpu
        Number of the GPU, None for the CPU.
    workers
        Processes of those programs that have some, None for what they choose.
    """
    return _Plan(description, counts, Path(out), gpu, workers).steps


def folder_of(out: Union[str, Path], split: int, fps: float) -> Path:
    """Return the folder of a split at a frame rate."""
    return Path(out) / f"split{split:02d}_{fps:g}fps"


def main_folder(description: Description, out: Union[str, Path]) -> Path:
    """Return the folder of the first split at the rate of Table 3, which most of Table 2 is about."""
    return folder_of(out, description.splits[0], description.fps[-1])


def score_files(description: Description, out: Union[str, Path]) -> dict[tuple[str, int, float], Path]:
    """Return {(net, split, fps): path} of the score files of Tables 2 and 3.

    net: "cnn", "rcnn_r" or "rcnn_s" of the image stream, "cnn_flow" or "rcnn_r_flow" of the flow stream.
    """
    nets = ["cnn", *(NET_OF[sampling] for sampling in description.samplings)]
    keys = [(net, split, description.fps[-1]) for split in description.splits for net in nets]
    if len(description.fps) == 2 and "rcnn_r" in nets:
        keys.append(("rcnn_r", description.splits[0], description.fps[0]))
    if description.flow:
        keys += [
            (net + FLOW, split, description.fps[-1]) for split in description.splits for net in nets if net != "rcnn_s"
        ]
    return {key: folder_of(out, *key[1:]) / f"scores_{key[0]}.h5" for key in keys}


def frames(description: Description, out: Union[str, Path]) -> Path:
    """Return the frames LMDB of images at the rate of Table 3."""
    return Path(out) / f"frames_{description.fps[-1]:g}fps.lmdb"


def variant_scores(description: Description, out: Union[str, Path]) -> dict[str, Path]:
    """Return {variant: path} of the score files of a description's variants."""
    folder = main_folder(description, out)
    return {name: _variant_folder(folder, name) / "scores_rcnn_r.h5" for name in description.variants}


def _variant_folder(folder, name):
    return folder / f"variant_{name.replace(' ', '_')}"


def report(description: Description, out: Union[str, Path], scores: dict[tuple[str, int, float], Path]) -> Step:
    """Return the step that makes OUT/report.html of the tables, and of the first split as far as there are scores.

    scores: those of `score_files` that are there.
    """
    out, split, fps = Path(out), description.splits[0], description.fps[-1]
    nets = [net for net in ("rcnn_r", "rcnn_s", "cnn") if (net, split, fps) in scores]
    shown = {}
    if nets:
        runs = [f"{net}{stage}" for net in nets for stage in (("_stage1", "") if net != "cnn" else ("",))]
        shown = {
            "scores": scores[nets[0], split, fps],
            "scores2": scores[nets[-1], split, fps] if len(nets) > 1 else None,
            "crops": min(5, max(description.crops)),
            "logs": [main_folder(description, out) / "snapshots" / f"{run}.jsonl" for run in runs],
            "frames": frames(description, out),
        }
    title, page = f"GoogLeNet-RCNN: {description.name}, split {split}", out / "report.html"
    return _step("report", "report.py", [page], tables=out / TABLES, **shown, title=title, out=page)


def _step(name, program, outputs, cost=(STARTING, 0.0), inputs=None, leftovers=(), settings=(), **options):
    """Return a Step.

    options: those of the program, in the order of its command; () has no value, None is left out.  Its inputs are the
    paths among them but for `out`, of an LMDB the manifest, unless `inputs` says which.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if inputs is None:
        values = [value for key, value in options.items() if key != "out"]
        paths = [path for value in values for path in (value if isinstance(value, list) else [value])]
        inputs = [lmdb(path)[0] if path.suffix == ".lmdb" else path for path in paths if isinstance(path, Path)]
    command = (program, *recipe.words(options))
    return Step(name, command, tuple(inputs), tuple(outputs), tuple(leftovers), tuple(settings), *cost)


class _Plan:
    """Adds steps to `steps`, run by run; a run is a split at a frame rate."""

    def __init__(self, description, counts, out, gpu, workers):
        self.description, self.counts, self.out = description, counts, out
        self.gpu = () if gpu is None else ("--gpu", str(gpu))
        self.workers = () if workers is None else ("--workers", str(workers))
        self.where = lists(description, out)
        self.costs = Costs(description.nets, counts, description.size, gpu is not None)
        self.steps = []
        if description.make is not None:
            self.videos()
        runs = {}
        for net, split, fps in score_files(description, out):
            suffix = FLOW if net.endswith(FLOW) else ""
            runs.setdefault((split, fps, suffix), []).append(net[: len(net) - len(suffix)])
        for fps in sorted({fps for _, fps, _ in runs}, key=description.fps.index, reverse=True):
            self.frames(f"frames_{fps:g}fps", fps, self.costs.frames(fps))
        if description.flow:
            how, fps = description.flow, description.fps[-1]
            self.flow_costs = Costs(description.flow_nets, counts, description.size, gpu is not None, flow.CHANNELS)
            cost = self.flow_costs.frames(fps, how.method, workers or cores())
            options = {"flow": how.method, "flow_between": how.between, "flow_bound": f"{how.bound:g}"}
            self.frames(f"frames_{fps:g}fps{FLOW}", fps, cost, **options)
        for (split, fps, suffix), nets in runs.items():
            _Run(self, split, fps, suffix).steps(nets)
        main = _Run(self, description.splits[0], description.fps[-1])
        if description.recurrent_test:
            main.scores("rcnn_r", min(description.crops), "rcnn_s", RECURRENT)
        if description.motion_energy:
            main.energy()
        for name, variant in description.variants.items():
            _Variant(main, name, variant).steps(["rcnn_r"])

    def add(self, *step, **options):
        self.steps.append(_step(*step, **options))

    @property
    def listed(self):
        """The lists of all videos."""
        return [path for split in self.description.splits for path in (self.where.train(split), self.where.test(split))]

    def videos(self):
        where, splits = self.where, max(self.description.splits)
        self.add(
            "videos",
            "make_motion_videos.py",
            [where.videos, where.classes, *self.listed],
            self.costs.videos(),
            settings=self.workers,
            **{"out": where.videos, **self.description.make, "splits": splits, "seed": self.description.seed},
        )

    def frames(self, name, fps, cost, **kind):
        """Add the step of a frames LMDB; kind: options of flow."""
        path = self.out / f"{name}.lmdb"
        self.add(
            name,
            "build_frames.py",
            lmdb(path),
            cost,
            leftovers=built(path),
            settings=self.workers,
            videos=self.where.videos,
            list=self.listed,
            classes=self.where.classes,
            fps=fps,
            size=self.description.size,
            **kind,
            out=path,
        )


class _Run:
    """The steps of a split at a frame rate, of images or of flow."""

    def __init__(self, plan, split, fps, suffix=""):
        description = plan.description
        self.plan, self.description, self.split, self.fps, self.suffix = plan, description, split, fps, suffix
        self.options = description.flow_nets if suffix else description.nets
        self.costs = plan.flow_costs if suffix else plan.costs
        self.folder, self.unhalved = folder_of(plan.out, split, fps), description.unhalved
        self.name = self.folder.name
        self.frames = plan.out / f"frames_{fps:g}fps{suffix}.lmdb"
        self.train, self.test = (self.folder / f"pairs_{part}{suffix}.lmdb" for part in ("train", "test"))
        self.lists = {"train": plan.where.train(split), "test": plan.where.test(split)}
        self.start = folder_of(plan.out, split, description.fps[-1]) / "snapshots" / "start.caffemodel"

    @property
    def snapshots(self):
        return self.folder / "snapshots"

    def steps(self, nets):
        most = max(self.description.crops)
        main = (self.folder, self.suffix) == (main_folder(self.description, self.plan.out), "")
        self.pairs("train", self.train, None)
        self.pairs("test", self.test, self.description.test_pairs_per_video)
        self.nets()
        for net in nets:
            if self.suffix:
                self.training(net, None)
            elif net == "cnn":
                self.single_frames()
            else:
                self.training(f"{net}_stage1", self.start)
                self.training(net, self.weights(f"{net}_stage1"))
            self.scores(net, most if main and net == "rcnn_r" else min(5, most))

    def add(self, name, *step, **options):
        self.plan.add(f"{self.name}.{name}{self.suffix}", *step, **options)

    def pairs(self, part, path, each):
        self.add(
            f"pairs_{part}",
            "build_pairs.py",
            lmdb(path),
            self.costs.pairs(self.fps, self.plan.counts.splits[self.split][part == "test"], each),
            leftovers=built(path),
            settings=self.plan.workers,
            frames=self.frames,
            list=self.lists[part],
            classes=self.plan.where.classes,
            out=path,
            seed=self.description.seed,
            pairs_per_video=each,
        )

    def nets(self):
        channels = {"channels": flow.CHANNELS} if self.suffix else {}
        pretrained = self.description.pretrained if not self.suffix else None  # flow starts from nothing
        self.add(
            "nets",
            "make_prototxt.py",
            [self.net(name) for name in prototxt_set.names(recipe.parse(channels))],
            inputs=[Path(pretrained)] if pretrained else [],
            out=self.folder / "prototxt",
            weights=pretrained,
            snapshots=self.snapshots,
            train_pairs=self.train,
            test_pairs=self.test,
            frames=self.frames,
            train_list=self.lists["train"],
            test_list=self.lists["test"],
            classes=self.plan.counts.classes,
            seed=self.description.seed,
            **channels,
            **self.options,
        )

    def net(self, name):
        return self.folder / "prototxt" / f"{name}{self.suffix}.prototxt"

    def iterations(self, run):
        return self.options[
            "cnn-iterations" if run == "cnn" else "stage1-iterations" if run.endswith("stage1") else "iterations"
        ]

    def weights(self, run):
        return self.snapshots / f"{run}{self.suffix}_iter_{self.iterations(run)}.caffemodel"

    def single_frames(self):
        """Add the CNN and what the RCNNs of this split start from."""
        pretrained = self.description.pretrained and Path(self.description.pretrained)
        start = None
        if pretrained:
            start = self.snapshots / "start_cnn.caffemodel"
            self.starting("start_cnn", "deploy_cnn", pretrained, start)
        self.training("cnn", start)
        self.starting("start", "deploy_rcnn_r", pretrained or self.weights("cnn"), self.start)

    def starting(self, name, net, weights, path):
        self.add(
            name,
            "init_weights.py",
            [path],
            self.plan.costs.weights(net != "deploy_cnn"),
            net=self.net(net),
            weights=weights,
            out=path,
            unhalved=() if self.unhalved and net != "deploy_cnn" else None,
            seed=self.description.seed,
        )

    def training(self, run, weights):
        solver, kind = self.net(f"solver_{run}"), run.replace("_stage1", "")
        data = [lmdb(self.train)[0], lmdb(self.test)[0]]
        if kind == "rcnn_s":
            data = [lmdb(self.frames)[0], *self.lists.values()]
        self.add(
            run,
            "train.py",
            [self.weights(run)],
            self.costs.training(run, self.iterations(run)),
            inputs=[solver, self.net(f"{run}_train_val"), *data, *([weights] if weights else [])],
            leftovers=[(self.snapshots, f"{run}{self.suffix}{end}") for end in ("_iter_*", ".jsonl", ".caffe.log")],
            settings=self.plan.gpu,
            solver=solver,
            weights=weights,
        )

    @property
    def as_trained(self):
        """The options in which a program's input must be the nets'."""
        return {option: self.options[option] for option in ("scale", "mean") if option in self.options}

    def energy(self):
        path = self.folder / ENERGY
        self.add(
            "motion_energy",
            "motion_energy.py",
            [path],
            net=self.net("deploy_rcnn_r"),
            weights=self.weights("rcnn_r"),
            pairs=self.test,
            **self.as_trained,
            out=path,
        )

    def scores(self, net, crops, tested=None, name=None):
        """Add the test of a net's weights, in the net `tested` if that is another one."""
        tested, name = tested or net, name or f"scores_{net}"
        path = self.folder / f"{name}{self.suffix}.h5"
        self.add(
            name,
            "evaluate.py",
            [path],
            self.costs.test(tested, self.fps, self.plan.counts.splits[self.split][1], crops),
            leftovers=built(path),
            settings=("--batch", str(self.description.test_batch), *self.plan.gpu),
            net=self.net(f"deploy_{tested}"),
            weights=self.weights(net),
            frames=self.frames,
            list=self.lists["test"],
            classes=self.plan.where.classes,
            crops=crops,
            **self.as_trained,
            out=path,
        )


class _Variant(_Run):
    """The steps of a description.Variant, on the pairs of `main`, a _Run of images."""

    def __init__(self, main, name, variant):
        super().__init__(main.plan, main.split, main.fps)
        self.variant, self.options = variant, self.description.variant_nets(variant)
        self.folder, self.name = _variant_folder(main.folder, name), f"{main.name}.{name}"
        self.costs = Costs(self.options, self.plan.counts, self.description.size, bool(self.plan.gpu))
        self.pretrained = Path(self.description.pretrained or main.weights("cnn"))
        if variant.unhalved is not None:
            self.unhalved = variant.unhalved

    def steps(self, nets):
        self.nets()
        start = None
        if self.variant.start == "pretrained":
            start = self.snapshots / "start.caffemodel"
            self.starting("start", "deploy_rcnn_r", self.pretrained, start)
        for net in nets:
            if self.variant.stages == 2:
                self.training(f"{net}_stage1", start)
                start = self.weights(f"{net}_stage1")
            self.training(net, start)
            self.scores(net, min(self.description.crops))


def built(path: Path) -> tuple[tuple[Path, str], ...]:
    """Return the leftovers of a program that works in `path`.partial until `path` is whole."""
    return (path.parent, path.name), (path.parent, f"{path.name}.partial")
