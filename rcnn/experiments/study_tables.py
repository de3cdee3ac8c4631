"""The tables of a study's page beside those of tables.json: what is scored, seeds, signals, classes, losses, costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from rcnn.data.records import open_records
from rcnn.experiments import pair_tables, plan, tables, trainings
from rcnn.experiments.description import Description
from rcnn.experiments.preview import size
from rcnn.experiments.runner import clock
from rcnn.experiments.tables import DASH, Key, Table
from rcnn.scoring import scores
from rcnn.scoring.score_files import ALL, Scores
from rcnn.training import log as training

TITLES = {
    "cnn": pair_tables.CNN,
    **pair_tables.NAMES,
    "cnn_flow": f"{pair_tables.CNN} of flow",
    "rcnn_r_flow": "RCNN-r of flow",
}
NO_STEP: dict[str, Any] = {"state": "missing", "seconds": None, "bytes": 0}


@dataclass(frozen=True)
class Study:
    """A description's run as far as it is done.

    Parameters
    ----------
    description, out
        As of `plan.steps`.
    summary
        What OUT/results.json holds.
    """

    description: Description
    out: Path
    summary: dict[str, Any]

    @property
    def splits(self) -> Sequence[int]:
        """The splits of the description, done or not."""
        return self.description.splits

    @property
    def files(self) -> dict[Key, Path]:
        """{(net, split, fps): path} of `plan.pair_files` and of the flow stream, where their steps are done."""
        return self._scored(plan.pair_files(self.description, self.out))

    def of(self, net: str) -> dict[int, Path]:
        """Return {split: score file} of a net at the rate of Table 3."""
        fps = self.description.fps[-1]
        return {split: path for (key, split, rate), path in self.files.items() if (key, rate) == (net, fps)}

    def done(self, step: str, split: int, fps: Optional[float] = None) -> bool:
        """Return whether a step of a split is done; fps: None for that of Table 3."""
        folder = trainings.folder_of(self.out, split, fps or self.description.fps[-1]).name
        return self.summary["steps"].get(f"{folder}.{step}", NO_STEP)["state"] == "done"

    def _scored(self, files):
        there = self.summary["made_from"]["scores"]
        return {key: path for key, path in files.items() if str(path) in there}

    @property
    def seeds(self) -> dict[tuple[int, str], Path]:
        """{(seed, net): path} of `plan.seed_scores`, where their steps are done."""
        return self._scored(plan.seed_scores(self.description, self.out))


def title(net: str) -> str:
    """Return what the tables call a net of `plan.pair_files`."""
    name, _, rest = net.partition(" ")
    return TITLES[name] + (f", {rest}" if rest else "")


def videos(study: Study) -> Optional[Table]:
    """Return how many videos, frames and pairs each split has, None before there are any."""
    rows = []
    for split in study.splits:
        counts = []
        for part in ("train", "test"):
            if not study.done(f"pairs_{part}", split):
                counts += [DASH, DASH]
                continue
            folder = trainings.folder_of(study.out, split, study.description.fps[-1])
            with open_records(folder / f"pairs_{part}.lmdb", "pairs") as pairs:
                counts += [f"{pairs.manifest['counts'][what]:,}" for what in ("videos", "pairs")]
        rows.append([str(split), *counts])
    frames = plan.frames(study.description, study.out)
    if study.summary["steps"].get(frames.stem, NO_STEP)["state"] != "done":
        return None
    with open_records(frames, "frames") as records:
        counts, listed = records.manifest["counts"], records.manifest["videos"]
    missing = counts.get("missing", 0)
    return Table(
        "Videos",
        ["split", "training videos", "their pairs", "test videos", "pairs to watch a training by"],
        rows,
        f"{counts['videos']:,} videos of {len({video['label'] for video in listed})} classes, {counts['frames']:,} "
        f"frames of {study.description.size} pixels at {study.description.fps[-1]:g} frames a second"
        + (f"; {missing:,} listed videos have no file and are left out." if missing else "."),
        [f"{DASH}: not done."],
    )


def scored(study: Study) -> Table:
    """Return which nets are scored in which splits, and which are not yet."""
    description, rows = study.description, []
    asked: dict[tuple[str, float], list[int]] = {}
    for net, split, fps in plan.pair_files(description, study.out):
        if not net.startswith("cnn "):  # other seeds, below
            asked.setdefault((net, fps), []).append(split)
    for (net, fps), splits in asked.items():
        done = [split for split in splits if (net, split, fps) in study.files]
        variant = description.variants.get(net.partition(" ")[2])
        rows.append([title(net), f"{fps:g}", str(description.seed), _settings(variant), *_done_and_not(splits, done)])
    for seed, net in plan.seed_scores(description, study.out):
        first = list(description.splits[:1])
        done = first if (seed, net) in study.seeds else []
        rows.append([title(net), f"{description.fps[-1]:g}", str(seed), DASH, *_done_and_not(first, done)])
    head = ["net", "fps", "seed", "other settings", "splits done", "splits not done"]
    return Table("What is trained and tested", head, rows)


def _done_and_not(splits, done):
    """Return the splits that are done, and those that are not, as cells."""
    parts = [split for split in splits if split in done], [split for split in splits if split not in done]
    return [", ".join(map(str, part)) or DASH for part in parts]


def _settings(variant):
    if variant is None:
        return DASH
    own = {"unhalved": variant.unhalved, "difference": variant.difference, **variant.nets}
    if variant.stages == 1:
        own = {**own, "stages": 1, "start": variant.start}
    return settings({key: value for key, value in own.items() if value is not None}) or DASH


def settings(values: dict[str, Any]) -> str:
    """Return settings as text: "width 1, batch 32"."""
    words = {True: "yes", False: "no"}
    texts = {key: words[value] if isinstance(value, bool) else value for key, value in values.items()}
    return ", ".join(f"{key} {value}" for key, value in texts.items())


def seeds(study: Study) -> Optional[Table]:
    """Return the video accuracies of several seeds of the first split with mean and deviation, None of one seed."""
    of = study.summary["seeds"]
    numbers = sorted({int(seed) for each in of.values() for seed in each["accuracy"]})
    if not of:
        return None
    rows = [
        [
            title(net),
            *(tables.cell(tables.percent(each["accuracy"].get(str(seed)))) for seed in numbers),
            *(tables.cell(100 * each[what]) for what in ("mean", "deviation")),
        ]
        for net, each in of.items()
    ]
    lead = f"Video accuracy in per cent, split {study.splits[0]}; {_rule(study)}. Deviation: the sample's."
    return Table("Seeds", ["net", *(f"seed {seed}" for seed in numbers), "mean", "deviation"], rows, lead)


def signals(study: Study) -> Optional[Table]:
    """Return the video accuracies of the first split by every signal, fusion and number of crops; None without any."""
    description, rows = study.description, []
    wanted = [(crops, signal) for crops in sorted(description.crops) for signal in (*description.signals, ALL)]
    for net in ("cnn", *pair_tables.NAMES):
        path = study.of(net).get(study.splits[0])
        for (crops, signal), shares in (tables.accuracies(path, wanted) if path else {}).items():
            cells = [tables.cell(100 * shares[fusion]) for fusion in tables.FUSIONS]
            rows.append([title(net), str(crops), "fusion of three" if signal == ALL else signal, *cells])
    lead = f"Video accuracy in per cent, split {study.splits[0]}, {description.fps[-1]:g} fps, seed {description.seed}."
    head = ["net", "crops", "signal", *tables.FUSIONS]
    return Table("Signals, fusions and crops", head, rows, lead) if rows else None


def confusion(study: Study, net: str, splits: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    """Return (confusion matrix of the videos of some splits together, class names) of a net's score files."""
    crops, matrices = tables.standard_crops(study.description), []
    for split in splits:
        with Scores(study.of(net)[split]) as file:
            predicted = scores.predictions(file.videos("high", "log-mean", crops))
            matrices.append(scores.confusion(predicted, file.labels, len(file.classes)))
            names = file.classes
    return np.sum(matrices, axis=0), names


def classes(study: Study) -> Optional[Table]:
    """Return the accuracy of each class by the CNN and RCNN-r, and the gain; None where no split has both."""
    splits = [split for split in study.splits if split in study.of("cnn") and split in study.of("rcnn_r")]
    if not splits:
        return None
    (one, names), (two, _) = (confusion(study, net, splits) for net in ("cnn", "rcnn_r"))
    before: np.ndarray = 100 * scores.class_accuracy(one)
    after: np.ndarray = 100 * scores.class_accuracy(two)
    rows = [
        [name, str(one[label].sum()), f"{before[label]:.1f}", f"{after[label]:.1f}", f"{change:+.1f}"]
        for label, (name, change) in enumerate(zip(names, after - before))
        if one[label].any()
    ]
    lead = f"Video accuracy in per cent, split {', '.join(map(str, splits))} together; {_rule(study)}."
    return Table("Each class", ["class", "videos", title("cnn"), title("rcnn_r"), "gain"], rows, lead)


def curves(study: Study) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return {net: loss curve of stage 2 of the first split}, as of `plots.loss_curves`, of trainings that are done."""
    folder = plan.main_folder(study.description, study.out) / "snapshots"
    there = [net for net in ("cnn", *pair_tables.NAMES) if study.done(net, study.splits[0])]
    found = {title(net): training.loss_curve(training.read_log(folder / f"{net}.jsonl")) for net in there}
    return {net: curve for net, curve in found.items() if len(curve[0])}


def losses(found: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Table:
    """Return where the curves of `curves` begin and end."""
    rows = [[net, f"{curve[0][-1]:,}", f"{curve[2][0]:.3f}", f"{curve[2][-1]:.3f}"] for net, curve in found.items()]
    return Table("Training loss", ["net", "last update shown", "first loss", "last loss (mean over 40)"], rows)


def costs(study: Study) -> Table:
    """Return time and disk of each step, those of the same name in several splits together."""
    groups: dict[str, list[dict]] = {}
    for name, step in study.summary["steps"].items():
        groups.setdefault(within(study, name)[1], []).append(step)
    rows = []
    for name, steps in [*groups.items(), ("all", list(study.summary["steps"].values()))]:
        done = [step["state"] for step in steps].count("done")
        seconds, used = (sum(step[what] or 0 for step in steps) for what in ("seconds", "bytes"))
        begun = any(step["seconds"] is not None for step in steps)
        cells = [clock(seconds), size(used)] if begun else [DASH, DASH]
        rows.append([name, f"{done} of {len(steps)}", *cells])
    notes = ["Steps of several splits stand together; each one's time, disk and command are in results.json."]
    return Table("Time and disk of each step", ["step", "done", "time", "disk"], rows, "", notes)


def within(study: Study, step: str) -> tuple[Optional[int], str]:
    """Return (split or None, what a step is called in its split)."""
    for split in study.splits:
        for fps in study.description.fps:
            folder = f"{trainings.folder_of(study.out, split, fps).name}."
            if step.startswith(folder):
                other = "" if fps == study.description.fps[-1] else f" at {fps:g} fps"
                return split, step[len(folder) :] + other
    return None, step


def _rule(study):
    crops = tables.standard_crops(study.description)
    return f"high signal, {crops} crop{'s' * (crops > 1)}, log-mean"
