"""The plan of a reproduction, as data: every step with its command, what it needs, what it makes, and what it costs.

A step is one program of tools/.  It depends on another one where that makes what it needs.  Under the folder OUT:

    videos/                        synthetic videos, if the description has them made
    lists/                         its lists, if the splits are not those of official ones
    frames_5fps.lmdb               frames of all videos, one LMDB a frame rate
    frames_5fps_flow.lmdb          their flow, if the description has that stream
    split01_5fps/                  one folder a split and frame rate:
        pairs_train.lmdb, pairs_test.lmdb, prototxt/, snapshots/, scores_cnn.h5, scores_rcnn_r.h5, scores_rcnn_s.h5
        pairs_train_flow.lmdb, ...     and the flow stream's beside them
        start_cnn/                     the CNN that all nets start from, if they start from one
        seed_N/                        the image stream with another seed, on the same pairs
        variant_NAME/                  RCNN-r with other settings, on the same pairs, if the description has variants
        probe_rcnn_r_same.h5, ...      the motion probe of the RCNNs, if the description has it

The rate of Table 2's row 1 has RCNN-r on the first split alone, started from the weights of the other rate.  The flow
stream has the rate of Table 3, the CNN and RCNN-r, each from nothing (Sec. 3.4); the paper has no RCNN-s of flow.
rcnn/experiments/trainings.py says which trainings a net gets.
"""

from pathlib import Path
from typing import Any, Optional, Union

from rcnn.data import flow
from rcnn.data.lists import MISSING
from rcnn.data.workers import cores
from rcnn.experiments import trainings
from rcnn.experiments.description import Counts, Description, lists
from rcnn.experiments.estimates import Costs
from rcnn.experiments.steps import Step, lmdb, program_step
from rcnn.experiments.trainings import Trainings, folder_of

NET_OF = {"random": "rcnn_r", "sequential": "rcnn_s"}  # a sampling's net
FLOW = "_flow"  # ends the names of what is the flow stream's, as in prototxt/
RECURRENT, ENERGY = "scores_rcnn_r_recurrent", "motion_energy.json"  # beside the split's other results
TABLES = "tables.json"  # the tables as data, for the page


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


def probe_files(description: Description, out: Union[str, Path]) -> dict[tuple[str, int, str], Path]:
    """Return {(net, split, previous): path} of the motion probe's score files; previous: of `probe.PREVIOUS`.

    net: a `variant_net` too, where variants are of every split.  RCNN-s, which is tested in order otherwise, is also
    shown the true frame alone.
    """
    if not description.probe:
        return {}
    nets = [NET_OF[sampling] for sampling in description.samplings]
    files = {
        (net, split, previous): folder_of(out, split, description.fps[-1]) / f"probe_{net}_{previous}.h5"
        for split in description.splits
        for net in nets
        for previous in (("true", *description.probe) if net == "rcnn_s" else description.probe)
    }
    if description.variants_splits == "all":
        for (name, split), path in variant_scores(description, out).items():
            for previous in description.probe:
                files[variant_net(name), split, previous] = path.with_name(f"probe_rcnn_r_{previous}.h5")
    return files


def pair_files(description: Description, out: Union[str, Path]) -> dict[tuple[str, int, float], Path]:
    """Return {(net, split, fps): path} of the score files of the tables by the pair.

    net: of `score_files`, or `variant_net` where variants are of every split, or `seed_net` of the CNN.
    """
    fps, files = description.fps[-1], score_files(description, out)
    if description.variants_splits == "all":
        for (name, split), path in variant_scores(description, out).items():
            files[variant_net(name), split, fps] = path
    for (seed, net), path in seed_scores(description, out).items():
        if net == "cnn":
            files[seed_net(net, seed), description.splits[0], fps] = path
    return files


def variant_net(name: str) -> str:
    """Return what a variant is called among the nets of a plan."""
    return f"rcnn_r {name}"


def seed_net(net: str, seed: int) -> str:
    """Return what a net of another seed than the description's is called among the nets of a plan."""
    return f"{net} {seed}"


def frames(description: Description, out: Union[str, Path]) -> Path:
    """Return the frames LMDB of images at the rate of Table 3."""
    return Path(out) / f"frames_{description.fps[-1]:g}fps.lmdb"


def variant_scores(description: Description, out: Union[str, Path]) -> dict[tuple[str, int], Path]:
    """Return {(variant, split): path} of the score files of a description's variants."""
    return {
        (name, split): _variant_folder(folder_of(out, split, description.fps[-1]), name) / "scores_rcnn_r.h5"
        for split in description.splits_of_variants
        for name in description.variants
    }


def seed_scores(description: Description, out: Union[str, Path]) -> dict[tuple[int, str], Path]:
    """Return {(seed, net): path} of the score files of the first split with other seeds than the description's."""
    main, split, fps = main_folder(description, out), description.splits[0], description.fps[-1]
    nets = [net for net, *run in score_files(description, out) if run == [split, fps] and not net.endswith(FLOW)]
    return {(seed, net): _seed_folder(main, seed) / f"scores_{net}.h5" for seed in _others(description) for net in nets}


def _others(description):
    return [seed for seed in description.seeds if seed != description.seed]


def _seed_folder(folder, seed):
    return folder / f"seed_{seed}"


def _variant_folder(folder, name):
    return folder / f"variant_{name.replace(' ', '_')}"


def report(description: Description, out: Union[str, Path], scores: dict[tuple[str, int, float], Path]) -> Step:
    """Return the step that makes OUT/report.html of the tables, and of the first split as far as there are scores.

    scores: those of `score_files` that are there.
    """
    out, split, fps = Path(out), description.splits[0], description.fps[-1]
    nets = [net for net in ("rcnn_r", "rcnn_s", "cnn") if (net, split, fps) in scores]
    shown: dict[str, Any] = {}
    if nets:
        runs = [run for net in nets for run in trainings.runs(net, description.starts)]
        shown = {
            "scores": scores[nets[0], split, fps],
            "scores2": scores[nets[-1], split, fps] if len(nets) > 1 else None,
            "crops": min(5, max(description.crops)),
            "logs": [main_folder(description, out) / "snapshots" / f"{run}.jsonl" for run in runs],
            "frames": frames(description, out),
        }
    title, page = f"GoogLeNet-RCNN: {description.name}, split {split}", out / "report.html"
    return program_step("report", "report.py", [page], tables=out / TABLES, **shown, title=title, out=page)


class _Plan:
    """Adds steps to `steps`, run by run; a run is a split at a frame rate."""

    def __init__(self, description, counts, out, gpu, workers):
        self.description, self.counts, self.out = description, counts, out
        self.number, self.gpu = gpu, () if gpu is None else ("--gpu", str(gpu))
        self.workers = () if workers is None else ("--workers", str(workers))
        self.where = lists(description, out)
        self.costs = Costs(description.nets, counts, description.size, gpu is not None, engine=description.engine)
        self.steps = []
        if description.make is not None:
            self.videos()
        if description.own_lists:
            self.lists()
        runs = {}
        for net, split, fps in score_files(description, out):
            suffix = FLOW if net.endswith(FLOW) else ""
            runs.setdefault((split, fps, suffix), []).append(net[: len(net) - len(suffix)])
        for fps in sorted({fps for _, fps, _ in runs}, key=description.fps.index, reverse=True):
            self.frames(f"frames_{fps:g}fps", fps, self.costs.frames(fps))
        if description.flow:
            how, fps = description.flow, description.fps[-1]
            self.flow_costs = Costs(
                description.flow_nets, counts, description.size, gpu is not None, flow.CHANNELS, description.engine
            )
            cost = self.flow_costs.frames(fps, how.method, workers or cores())
            options = {"flow": how.method, "flow_between": how.between, "flow_bound": f"{how.bound:g}"}
            self.frames(f"frames_{fps:g}fps{FLOW}", fps, cost, **options)
        for (split, fps, suffix), nets in runs.items():
            _Run(self, split, fps, suffix).steps(nets)
        main = _Run(self, description.splits[0], description.fps[-1])
        for seed in _others(description):
            _Seed(main, seed).steps([net for other, net in seed_scores(description, out) if other == seed])
        if description.recurrent_test:
            main.scores("rcnn_r", min(description.crops), "rcnn_s", RECURRENT)
        if description.motion_energy:
            main.energy()
        variants = {
            (variant_net(name), split): _Variant(_Run(self, split, description.fps[-1]), name, variant)
            for split in description.splits_of_variants
            for name, variant in description.variants.items()
        }
        for variant in variants.values():
            variant.steps(["rcnn_r"])
        for (net, split, previous), path in probe_files(description, out).items():
            run = variants.get((net, split)) or _Run(self, split, description.fps[-1])
            run.scores(net.split()[0], min(description.crops), None, path.stem, previous)

    def add(self, *step, **options):
        self.steps.append(program_step(*step, **options))

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

    def lists(self):
        options = {name: value for name, value in self.description.sources._asdict().items() if value}
        made = [self.where.classes, *self.listed]
        self.add("lists", "make_lists.py", made, **options, splits=self.description.splits, out=self.where.folder)

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
            only_classes=self.description.only_classes,
            missing=None if self.description.missing == MISSING[0] else self.description.missing,
            fps=fps,
            size=self.description.size,
            **kind,
            out=path,
        )


class _Run(Trainings):
    """The steps of a split at a frame rate, of images or of flow."""

    def steps(self, nets):
        most = max(self.description.crops)
        main = (self.folder, self.suffix) == (main_folder(self.description, self.plan.out), "")
        self.pairs("train", self.train_pairs, None)
        self.pairs("test", self.test_pairs, self.description.test_pairs_per_video)
        if "cnn" in nets:
            self.starting_points()
        else:  # at the rate of row 1, which starts from the other one's weights
            self.nets(self.source)
        for net in nets:
            self.train(net)
            self.scores(net, most if main and net == "rcnn_r" else min(5, most))

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
            only_classes=self.description.only_classes,
            out=path,
            seed=self.description.seed,
            pairs_per_video=each,
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
            net=self.deployed("rcnn_r"),
            weights=self.weights("rcnn_r"),
            pairs=self.test_pairs,
            **self.as_trained,
            out=path,
        )

    def scores(self, net, crops, tested=None, name=None, previous=None):
        """Add the test of a net's weights, in the net `tested` if that is another one; previous: of a motion probe."""
        tested, name = tested or net, name or f"scores_{net}"
        path, deployed = self.folder / f"{name}{self.suffix}.h5", self.deployed(tested)
        self.add(
            name,
            "evaluate.py",
            [path],
            self.costs.test("rcnn_r" if previous else tested, self.fps, self.plan.counts.splits[self.split][1], crops),
            leftovers=built(path),
            settings=("--batch", str(self.description.test_batch), *self.plan.gpu),
            net=deployed,
            weights=self.weights(net),
            frames=self.frames,
            list=self.lists["test"],
            classes=self.plan.where.classes,
            only_classes=self.description.only_classes,
            crops=crops,
            mode=None if deployed else "pair" if previous else trainings.MODES[tested],
            **self.as_trained,
            previous=previous,
            seed=self.description.seed if previous == "other" else None,
            out=path,
        )


class _Seed(_Run):
    """The steps of the image stream with another seed, on the pairs of `main`."""

    def __init__(self, main, seed):
        super().__init__(main.plan, main.split, main.fps)
        self.folder, self.name, self.seed = _seed_folder(main.folder, seed), f"{main.name}.seed_{seed}", seed
        self.home = self.folder
        self.start = None if self.filled_by_caffe else self.snapshots / "start.caffemodel"

    def steps(self, nets):
        self.starting_points()
        for net in nets:
            self.train(net)
            self.scores(net, min(5, max(self.description.crops)))


class _Variant(_Run):
    """The steps of a description.Variant, on the pairs of `main`, a _Run of images."""

    def __init__(self, main, name, variant):
        super().__init__(main.plan, main.split, main.fps)
        self.variant, self.options = variant, self.description.variant_nets(variant)
        self.folder, self.name = _variant_folder(main.folder, name), f"{main.name}.{name}"
        self.costs = Costs(
            self.options,
            self.plan.counts,
            self.description.size,
            bool(self.plan.gpu),
            engine=self.description.engine,
        )
        self.initial = main.source if variant.start == "pretrained" else None
        if variant.unhalved is not None:
            self.unhalved = variant.unhalved
        if variant.difference is not None:
            self.difference = variant.difference

    def steps(self, nets):
        self.nets(self.initial)
        weights = self.starting("start", "deploy_rcnn_r", self.initial)
        for net in nets:
            for run in [net + trainings.STAGE1, net][2 - self.variant.stages :]:
                self.training(run, weights)
                weights = self.weights(run)
            crops = self.description.crops
            self.scores(net, min(5, max(crops)) if self.description.variants_splits == "all" else min(crops))


def built(path: Path) -> tuple[tuple[Path, str], ...]:
    """Return the leftovers of a program that works in `path`.partial until `path` is whole."""
    return (path.parent, path.name), (path.parent, f"{path.name}.partial")
