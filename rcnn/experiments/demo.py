"""What the demo shows when its steps are done: a table with verdicts, loss curves, confusion matrices, videos."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rcnn.data.lists import read_classes
from rcnn.experiments import plan, plots, trainings
from rcnn.experiments.description import Description, lists
from rcnn.experiments.films import films
from rcnn.experiments.runner import clock
from rcnn.experiments.steps import Step, wall
from rcnn.files import InputError, write_text
from rcnn.scoring import scores
from rcnn.scoring.score_files import Scores
from rcnn.training import log as training

NETS = {"cnn": "single-frame CNN", "rcnn_s": "RCNN-s", "rcnn_r": "RCNN-r"}
RUNS = {net: trainings.runs(net, "cnn") for net in NETS}  # after the CNN that all start from
SAMPLING = {"cnn": "", "rcnn_s": " (sequential sampling)", "rcnn_r": " (random sampling)"}
RCNN_AIM, LEAD_AIM, APPEARANCE_AIM = 0.75, 0.3, 0.1
JOBS = 2  # side by side: one of these nets keeps one core busy


def refuse_older(out: Path) -> None:
    """Raise InputError where a folder holds a demo of a version that had other files."""
    if (out / "settings.json").is_file():
        raise InputError(f"{out} holds a demo of an older version; remove it or give another --out")


def show(description: Description, out: Path, steps: Sequence[Step]) -> None:
    """Draw the pictures, write OUT/results.json and print the table; the steps' seconds are what they took."""
    results = measure(description, out, steps)
    print(table(results, wall(steps, JOBS)))
    curves = {NETS[net] + SAMPLING[net]: loss(description, out, net) for net in NETS}
    title = f"Training loss; stage 1 until {description.nets['stage1-iterations']}"
    plots.loss_curves(out / "loss.png", curves, title=title)
    title = f"one video a class, {description.fps[-1]:g} frames a second"
    plots.film_strips(out / "films.png", films(description, out), title)
    write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
    pictures = ", ".join(f"{out}/{name}.png" for name in ("films", "loss", *(f"confusion_{net}" for net in NETS)))
    print(f"\npictures: {pictures}; figures: {out}/results.json")


def measure(description: Description, out: Path, steps: Sequence[Step]) -> dict:
    """Draw each net's confusion matrix, and return what results.json holds; accuracies are shares of 1."""
    accuracy, videos = {}, 0
    files = {net: path for (net, _, _), path in plan.score_files(description, out).items()}
    for net in NETS:
        with Scores(files[net]) as file:
            predicted, videos = scores.predictions(file.videos("high")), len(file)
            accuracy[net] = float(scores.accuracy(predicted, file.labels))
            matrix = scores.confusion(predicted, file.labels, len(file.classes))
            title = f"high signal, {file.crops} crops, log-mean, {videos} videos"
            plots.confusion_matrix(out / f"confusion_{net}.png", matrix, file.classes, title)
    results = {
        "seed": description.seed,
        "chance": 1 / len(read_classes(lists(description, out).classes)),
        "appearance alone": 1 / len((description.make or {})["movements"]),
        "seconds": {step.name: step.seconds for step in steps},
        "accuracy": accuracy,
        "videos": videos,
    }
    return {**results, "verdicts": verdicts(results)}


def loss(description: Description, out: Path, net: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the loss curve (Fig. 2) of a net's training from the CNN on, of stage 2 after stage 1 if it has both."""
    snapshots = plan.main_folder(description, out) / "snapshots"
    first, *later = [training.loss_curve(training.read_log(snapshots / f"{run}.jsonl")) for run in RUNS[net]]
    # Stage 2's first point is left out: it averages one iteration alone.
    later = [
        (iterations[1:] + description.nets["stage1-iterations"], raw[1:], averaged[1:])
        for iterations, raw, averaged in later
    ]
    iterations, raw, averaged = map(np.concatenate, zip(first, *later))
    return iterations, raw, averaged


def table(results: dict, in_all: float) -> str:
    """Return the results as Markdown; in_all: seconds of all steps, as they ran side by side."""

    def time(*names: str) -> str:
        return clock(sum(seconds for name, seconds in results["seconds"].items() if name.partition(".")[2] in names))

    lines = [
        f"\n{results['videos']} held-out videos, log-mean of the frames' scores, 5 crops, seed {results['seed']}",
        "",
        "| net | video accuracy | training | test |",
        "|---|---:|---:|---:|",
    ]
    for net, title in NETS.items():
        lines.append(
            f"| {title} | {100 * results['accuracy'][net]:.1f} % | {time(*RUNS[net])} | {time('scores_' + net)} |"
        )
    lines += [
        f"| what appearance alone allows | {100 * results['appearance alone']:.1f} % | | |",
        f"| chance | {100 * results['chance']:.1f} % | | |",
        "",
        f"all steps together: {clock(in_all)}",
        "",
        *(f"{'yes' if met else 'NO '}  {aim}" for aim, met in results["verdicts"].items()),
    ]
    return "\n".join(lines)


def verdicts(results: dict) -> dict[str, bool]:
    """Return {what the demo is to show: whether it did}."""
    cnn, rcnn_r, appearance = (*(results["accuracy"][name] for name in ("cnn", "rcnn_r")), results["appearance alone"])
    return {
        f"RCNN-r is right on at least {RCNN_AIM:.0%} of the videos": rcnn_r >= RCNN_AIM,
        f"RCNN-r is at least {100 * LEAD_AIM:.0f} points above the CNN": rcnn_r - cnn >= LEAD_AIM,
        f"the CNN is within {100 * APPEARANCE_AIM:.0f} points of what appearance alone allows": abs(cnn - appearance)
        <= APPEARANCE_AIM,
    }
