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

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from rcnn import recipe
from rcnn.data import flow
from rcnn.data.records import MANIFEST
from rcnn.data.workers import cores
from rcnn.experiments.description import Counts, Description, lists
from rcnn.experiments.estimates import STARTING, Costs
from rcnn.nets import prototxt_set

NET_OF = {"random": "rcnn_r", "sequential": "rcnn_s"}  # a sampling's net
FLOW = "_flow"  # ends the names of what is the flow stream's, as in prototxt/
RECURRENT, ENERGY = "scores_rcnn_r_recurrent", "motion_energy.json"  # beside the split's other results
TABLES = "tables.json"  # the tables as data, for the page


@dataclass(frozen=True)
class Step:
    """One program to run.

    Parameters
    ----------
    name
        Unlike any other step's.
    command
        The program's name in tools/ and its arguments, all that decides the result.
    inputs, outputs
        What it reads and makes.
    leftovers
        (folder, glob pattern) of what else it leaves, which must go before it begins anew.
    settings
        Arguments that decide only how it is done (--gpu, --workers).
    seconds, bytes
        Estimates of time and disk.
    """

    name: str
    command: tuple[str, ...]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    leftovers: tuple[tuple[Path, str], ...] = ()
    settings: tuple[str, ...] = ()
    seconds: float = STARTING
    bytes: float = 0.0


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
    description, counts
        What is to be made, and how much of it there is.
    out
        Folder of all that is made.
    gpu
        Number of the GPU, None for the CPU.
    workers
        Processes of those programs that have some, None for what they choose.
    """
    return _Plan(description, counts, Path(out), gpu, workers).steps


def folder_of(out: Union[str, Path], split: int, fps: float) -> Path:
    """Return the folder of a split at a frame rate."""
    return Path(out) / f"split{split:02d}_{fps:g}fps"


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
    folder = folder_of(out, description.splits[0], description.fps[-1])
    return {name: variant_folder(folder, name) / "scores_rcnn_r.h5" for name in description.variants}


def variant_folder(folder: Path, name: str) -> Path:
    """Return the folder of a variant in that of its split and frame rate."""
    return folder / f"variant_{name.replace(' ', '_')}"


def report(description: Description, out: Union[str, Path], scores: dict[tuple[str, int, float], Path]) -> Step:
    """Return the step that makes OUT/report.html of the tables, and of the first split as far as there are scores.

    scores: those of `score_files` that are there.
    """
    out, split, fps = Path(out), description.splits[0], description.fps[-1]
    nets = [net for net in ("rcnn_r", "rcnn_s", "cnn") if (net, split, fps) in scores]
    shown, folder = [scores[net, split, fps] for net in dict.fromkeys(nets[:1] + nets[-1:])], folder_of(out, split, fps)
    logs = [
        folder / "snapshots" / f"{net}{stage}.jsonl"
        for net in nets
        for stage in (("_stage1", "") if net != "cnn" else ("",))
    ]
    words, inputs = ["--tables", out / TABLES], [out / TABLES, *shown, *logs]
    if nets:
        frames_ = frames(description, out)
        words += [word for option, path in zip(("--scores", "--scores2"), shown) for word in (option, path)]
        words += ["--crops", min(5, max(description.crops)), "--logs", *logs, "--frames", frames_]
        inputs.append(lmdb(frames_)[0])
    words += ["--title", f"GoogLeNet-RCNN: {description.name}, split {split}", "--out", out / "report.html"]
    return Step("report", ("report.py", *map(str, words)), tuple(inputs), (out / "report.html",))


class _Plan:
    """Adds steps to `steps`, run by run; a run is a split at a frame rate."""

    def __init__(self, description, counts, out, gpu, workers):
        self.given, self.counts, self.out = description, counts, out
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
            self.frames(f"frames_{fps:g}fps", fps, [], self.costs.frames(fps))
        if description.flow:
            self.flow_costs = Costs(description.flow_nets, counts, description.size, gpu is not None, flow.CHANNELS)
            self.flow_frames(description.fps[-1], workers or cores())
        for (split, fps, suffix), nets in runs.items():
            _Run(self, split, fps, suffix).steps(nets)
        main = _Run(self, self.given.splits[0], self.given.fps[-1])
        if self.given.recurrent_test:
            main.scores("rcnn_r", min(self.given.crops), "rcnn_s", RECURRENT)
        if self.given.motion_energy:
            main.energy()
        for name, variant in self.given.variants.items():
            _Variant(main, name, variant).steps(["rcnn_r"])

    def add(self, name, program, arguments, inputs, outputs, cost=(STARTING, 0.0), **more):
        command = tuple(str(word) for word in (program, *arguments))
        self.steps.append(Step(name, command, tuple(inputs), tuple(outputs), seconds=cost[0], bytes=cost[1], **more))

    def videos(self):
        make, where = self.given.make, self.where
        written = [path for split in self.given.splits for path in (where.train(split), where.test(split))]
        self.add(
            "videos",
            "make_motion_videos.py",
            ["--out", where.videos, *recipe.words(make), "--splits", max(self.given.splits), "--seed", self.given.seed],
            [],
            [where.videos, where.classes, *written],
            self.costs.videos(),
            settings=self.workers,
        )

    def flow_frames(self, fps, workers):
        given = self.given.flow
        chosen = ["--flow", given.method, "--flow-between", given.between, "--flow-bound", f"{given.bound:g}"]
        self.frames(f"frames_{fps:g}fps{FLOW}", fps, chosen, self.flow_costs.frames(fps, given.method, workers))

    def frames(self, name, fps, kind, cost):
        """Add the step of a frames LMDB; kind: options of images or flow."""
        given = self.given
        chosen = [path for split in given.splits for path in (self.where.train(split), self.where.test(split))]
        path = self.out / f"{name}.lmdb"
        self.add(
            name,
            "build_frames.py",
            [
                "--videos",
                self.where.videos,
                "--list",
                *chosen,
                "--classes",
                self.where.classes,
                "--fps",
                fps,
                "--size",
                given.size,
                *kind,
                "--out",
                path,
            ],
            [self.where.videos, self.where.classes, *chosen],
            lmdb(path),
            cost,
            leftovers=built(path),
            settings=self.workers,
        )


class _Run:
    """The steps of a split at a frame rate, of images or of flow."""

    def __init__(self, plan, split, fps, suffix=""):
        self.plan, self.given, self.split, self.fps, self.suffix = plan, plan.given, split, fps, suffix
        self.options, self.costs = (self.given.flow_nets, plan.flow_costs) if suffix else (self.given.nets, plan.costs)
        self.folder, self.unhalved = folder_of(plan.out, split, fps), self.given.unhalved
        self.name = self.folder.name
        self.frames = plan.out / f"frames_{fps:g}fps{suffix}.lmdb"
        self.train, self.test = (self.folder / f"pairs_{part}{suffix}.lmdb" for part in ("train", "test"))
        self.start = folder_of(plan.out, split, self.given.fps[-1]) / "snapshots" / "start.caffemodel"

    @property
    def snapshots(self):
        return self.folder / "snapshots"

    def steps(self, nets):
        main = (self.split, self.fps, self.suffix) == (self.given.splits[0], self.given.fps[-1], "")  # Table 2's
        self.pairs("pairs_train", self.train, self.plan.where.train(self.split), None)
        self.pairs("pairs_test", self.test, self.plan.where.test(self.split), self.given.test_pairs_per_video)
        self.nets()
        for net in nets:
            if self.suffix:
                self.training(net, None)
            elif net == "cnn":
                self.single_frames()
            else:
                self.training(f"{net}_stage1", self.start)
                self.training(net, self.weights(f"{net}_stage1"))
            self.scores(net, max(self.given.crops) if main and net == "rcnn_r" else min(5, max(self.given.crops)))

    def add(self, name, program, arguments, inputs, outputs, cost=(STARTING, 0.0), **more):
        self.plan.add(f"{self.name}.{name}{self.suffix}", program, arguments, inputs, outputs, cost, **more)

    def pairs(self, name, path, list_, each):
        videos, classes = self.plan.counts.splits[self.split][path == self.test], self.plan.where.classes
        arguments = [
            "--frames",
            self.frames,
            "--list",
            list_,
            "--classes",
            classes,
            "--out",
            path,
            "--seed",
            self.given.seed,
        ]
        self.add(
            name,
            "build_pairs.py",
            [*arguments, *(["--pairs-per-video", each] if each else [])],
            [lmdb(self.frames)[0], list_, classes],
            lmdb(path),
            self.costs.pairs(self.fps, videos, each),
            leftovers=built(path),
            settings=self.plan.workers,
        )

    def nets(self):
        plan, where = self.plan, self.plan.where
        channels = {"channels": flow.CHANNELS} if self.suffix else {}
        self.add(
            "nets",
            "make_prototxt.py",
            [
                "--out",
                self.folder / "prototxt",
                "--snapshots",
                self.snapshots,
                "--train-pairs",
                self.train,
                "--test-pairs",
                self.test,
                "--frames",
                self.frames,
                "--train-list",
                where.train(self.split),
                "--test-list",
                where.test(self.split),
                "--classes",
                plan.counts.classes,
                "--seed",
                self.given.seed,
                *recipe.words({**channels, **self.options}),
            ],
            [],
            [self.net(name) for name in prototxt_set.names(recipe.parse(channels))],
        )

    def net(self, name):
        return self.folder / "prototxt" / f"{name}{self.suffix}.prototxt"

    def weights(self, run):
        option = {"cnn": "cnn-iterations"}.get(run, "stage1-iterations" if run.endswith("stage1") else "iterations")
        return self.snapshots / f"{run}{self.suffix}_iter_{self.options[option]}.caffemodel"

    def single_frames(self):
        """The CNN and what the RCNNs of this split start from."""
        pretrained = self.given.pretrained
        if pretrained:
            began = self.snapshots / "start_cnn.caffemodel"
            self.starting("start_cnn", "deploy_cnn", pretrained, began)
        self.training("cnn", began if pretrained else None)
        self.starting("start", "deploy_rcnn_r", pretrained or self.weights("cnn"), self.start)

    def starting(self, name, net, weights, path):
        unhalved = ["--unhalved"] if self.unhalved and net != "deploy_cnn" else []
        self.add(
            name,
            "init_weights.py",
            ["--net", self.net(net), "--weights", weights, "--out", path, *unhalved, "--seed", self.given.seed],
            [self.net(net), Path(weights)],
            [path],
            self.plan.costs.weights(net != "deploy_cnn"),
        )

    def training(self, run, weights):
        solver, kind = self.net(f"solver_{run}"), run.replace("_stage1", "")
        if kind == "rcnn_s":
            split, where = self.split, self.plan.where
            data = [lmdb(self.frames)[0], where.train(split), where.test(split)]
        else:
            data = [lmdb(self.train)[0], lmdb(self.test)[0]]
        result = self.weights(run)
        self.add(
            run,
            "train.py",
            ["--solver", solver, *(["--weights", weights] if weights else [])],
            [solver, self.net(f"{run}_train_val"), *data, *([weights] if weights else [])],
            [result],
            self.costs.training(run, int(result.stem.rsplit("_", 1)[1])),
            leftovers=tuple(
                (self.snapshots, f"{run}{self.suffix}{end}") for end in ("_iter_*", ".jsonl", ".caffe.log")
            ),
            settings=self.plan.gpu,
        )

    def as_trained(self):
        """Return the words of the options in which a program's input must be the nets'."""
        return [
            word
            for option in ("scale", "mean")
            if option in self.options
            for word in recipe.words({option: self.options[option]})
        ]

    def energy(self):
        deploy, weights, path = self.net("deploy_rcnn_r"), self.weights("rcnn_r"), self.folder / ENERGY
        self.add(
            "motion_energy",
            "motion_energy.py",
            ["--net", deploy, "--weights", weights, "--pairs", self.test, *self.as_trained(), "--out", path],
            [deploy, weights, lmdb(self.test)[0]],
            [path],
        )

    def scores(self, net, crops, tested=None, name=None):
        """Add the test of a net's weights, in the net `tested` if that is another one."""
        tested, name = tested or net, name or f"scores_{net}"
        plan, deploy, path = self.plan, self.net(f"deploy_{tested}"), self.folder / f"{name}{self.suffix}.h5"
        frames, test = self.frames, plan.where.test(self.split)
        self.add(
            name,
            "evaluate.py",
            [
                "--net",
                deploy,
                "--weights",
                self.weights(net),
                "--frames",
                frames,
                "--list",
                test,
                "--classes",
                plan.where.classes,
                "--crops",
                crops,
                *self.as_trained(),
                "--out",
                path,
            ],
            [deploy, self.weights(net), lmdb(frames)[0], test, plan.where.classes],
            [path],
            self.costs.test(tested, self.fps, plan.counts.splits[self.split][1], crops),
            leftovers=built(path),
            settings=("--batch", str(self.given.test_batch), *plan.gpu),
        )


class _Variant(_Run):
    """The steps of a description.Variant, on the pairs of `main`, a _Run of images."""

    def __init__(self, main, name, variant):
        super().__init__(main.plan, main.split, main.fps)
        self.variant, self.options = variant, self.given.variant_nets(variant)
        self.folder, self.name = variant_folder(main.folder, name), f"{main.name}.{name}"
        self.costs = Costs(self.options, self.plan.counts, self.given.size, bool(self.plan.gpu))
        self.began = main.weights("cnn")
        if variant.unhalved is not None:
            self.unhalved = variant.unhalved

    def steps(self, nets):
        self.nets()
        start = None
        if self.variant.start == "pretrained":
            start = self.snapshots / "start.caffemodel"
            self.starting("start", "deploy_rcnn_r", self.given.pretrained or self.began, start)
        for net in nets:
            if self.variant.stages == 2:
                self.training(f"{net}_stage1", start)
                start = self.weights(f"{net}_stage1")
            self.training(net, start)
            self.scores(net, min(self.given.crops))


def built(path: Path) -> tuple[tuple[Path, str], ...]:
    """Return the leftovers of a program that works in `path`.partial until `path` is whole."""
    return (path.parent, path.name), (path.parent, f"{path.name}.partial")
