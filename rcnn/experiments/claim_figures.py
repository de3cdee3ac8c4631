"""The figures that the paper's claims compare, of one seed's run: accuracies, losses, and where conv1's energy lies."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rcnn.data import sampling, sequences
from rcnn.data.synthetic import scenes
from rcnn.experiments import plan
from rcnn.experiments.description import Description
from rcnn.experiments.motion_energy import PARTS
from rcnn.experiments.tables import FUSIONS, two_streams
from rcnn.scoring import scores
from rcnn.scoring.score_files import ALL, Scores
from rcnn.training import log as training

KINDS_SHOWN = {
    "all": "all classes",
    "appearance": "classes told by appearance",
    "motion": "classes told by movement",
    "both": "classes told by both",
}
TREND = 200  # updates over which a loss is averaged to see its trend


def name(net: str, crops: int, signal: str = "high", fusion: str = "log-mean", kind: str = "all") -> str:
    """Return the name of a video accuracy; kind: of the classes, "all" or one of scenes.KINDS."""
    parts = [net, "1 crop" if crops == 1 else f"{crops} crops"]
    if signal != "high":
        parts.append("three signals" if signal == ALL else signal)
    if fusion != "log-mean":
        parts.append(fusion)
    if kind != "all":
        parts.append(KINDS_SHOWN[kind])
    return ", ".join(parts)


def energy(motion: str, part: str) -> str:
    """Return the name of a share of conv1's energy; motion: "motion" or "without motion"; part: of PARTS."""
    return f"conv1, {part}, {motion}"


def measure(description: Description, out: Path) -> dict[str, float]:
    """Return {name: figure} of one seed's run of the first split, accuracies and shares from 0 to 1.

    Parameters
    ----------
    description
        With the run's seed.
    out
        Folder of the run, whose steps are done.
    """
    fps, split = description.fps[-1], description.splits[0]
    folder, figures = plan.main_folder(description, out), {}
    files = {key: path for key, path in plan.score_files(description, out).items() if key[1] == split}
    titles = {
        "cnn": "CNN",
        "rcnn_r": "RCNN-r",
        "rcnn_s": "RCNN-s",
        "cnn_flow": "CNN flow",
        "rcnn_r_flow": "RCNN-r flow",
    }
    tested = {
        **{titles[net] + (f" at {rate:g} fps" if rate != fps else ""): path for (net, _, rate), path in files.items()},
        **{variant: path for (variant, _), path in plan.variant_scores(description, out).items()},
        "RCNN-r tested recurrently": folder / f"{plan.RECURRENT}.h5",
    }
    for title, path in tested.items():
        figures.update(accuracies(title, path, description.crops))
    for net in ("cnn", "rcnn_r"):
        fused = two_streams(files[net, split, fps], files[net + plan.FLOW, split, fps], 5)
        figures[name(f"{titles[net]} two-stream", 5)] = float(fused[5, "high"]["log-mean"])
    figures.update(losses(description, out))
    measured = json.loads((folder / plan.ENERGY).read_text(encoding="utf-8"))
    figures.update(
        {energy(motion, part): measured[motion][part] for motion in ("motion", "without motion") for part in PARTS}
    )
    return figures


def accuracies(net: str, path: Path, protocols: Sequence[int]) -> dict[str, float]:
    """Return {name: accuracy} of a score file: each protocol of crops that it has, each signal, fusion and kind."""
    figures = {}
    with Scores(path) as file:
        kinds = np.array([scenes.CLASSES[file.classes[label]].kind for label in file.labels])
        for crops in [number for number in protocols if number <= file.crops]:
            for signal in (*file.signals, ALL):
                for fusion, videos in file.fused(signal, FUSIONS, crops).items():
                    right = scores.predictions(videos) == file.labels
                    for kind in KINDS_SHOWN:
                        share = right if kind == "all" else right[kinds == kind]
                        figures[name(net, crops, signal, fusion, kind)] = float(share.mean())
    return figures


def loss_log(description: Description, out: Path, net: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (updates, raw, averaged) of stage 2's training of a net, as training.log.loss_curve does."""
    return training.loss_curve(training.read_log(snapshots(description, out) / f"{net}.jsonl"))


def snapshots(description: Description, out: Path) -> Path:
    """Return the folder of the trainings that are compared."""
    return plan.main_folder(description, out) / "snapshots"


def losses(description: Description, out: Path) -> dict[str, float]:
    """Return {name: figure} of the losses of stage 2: mean, end, unsteadiness, and RCNN-s's jump."""
    figures = {}
    for title, net in (("RCNN-r", "rcnn_r"), ("RCNN-s", "rcnn_s")):
        updates, raw, averaged = loss_log(description, out, net)
        later = updates >= len(updates) // 2
        figures[f"loss, {title}, mean of stage 2"] = float(raw.mean())
        figures[f"loss, {title}, end of stage 2"] = float(raw[-max(1, len(raw) // 10) :].mean())
        figures[f"unsteadiness, {title}"] = float((averaged - trend(averaged))[later].std())
    figures["jump, RCNN-s"] = jump(raw, beginnings(description, out, len(raw)), description.nets["batch"])
    return figures


def trend(values: np.ndarray) -> np.ndarray:
    """Return the mean of values over TREND neighbours, centred, fewer at the ends (float64)."""
    places = np.arange(len(values))
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    first, last = np.maximum(0, places - TREND // 2), np.minimum(len(values), places + TREND // 2 + 1)
    return (sums[last] - sums[first]) / (last - first)


def jump(raw: np.ndarray, begun: np.ndarray, batch: int) -> float:
    """Return by how much a row's loss is larger where its video begins, by least squares over the second half.

    The trend is taken off both, so that what the trend has of the jumps does not make them look smaller.

    Parameters
    ----------
    raw
        Loss of each update, a mean over `batch` rows.
    begun
        In how many rows a video began at each update.
    """
    half = len(raw) // 2
    loss, rows = ((values - trend(values))[half:] for values in (raw, begun))
    rows -= rows.mean()
    return float(batch * (loss @ rows) / max(rows @ rows, 1e-12))


def beginnings(description: Description, out: Path, updates: int) -> np.ndarray:
    """Return in how many streams of RCNN-s's training a video began at each update (int64).

    The order is that of layers/sequential_frames.py, from the training's seed; it begins anew where a training that
    was interrupted went on.
    """
    frames = sequences.open_frames(plan.frames(description, out))
    videos, _ = sequences.listed_videos(frames, plan.lists(description, out).train(description.splits[0]))
    _, order = sequences.draws(description.seed)
    steps = sampling.sequences({video.name: len(times) for video, times in videos}, description.nets["batch"], order)
    whole = np.array([sum(first for _, _, first in step) for _, step in zip(range(updates), steps)], np.int64)
    begun = whole.copy()
    for start in training.resumed(snapshots(description, out) / "rcnn_s.caffe.log"):
        begun[start:] = whole[: max(0, updates - start)]
    return begun
