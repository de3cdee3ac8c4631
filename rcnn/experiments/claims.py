"""The paper's claims as comparisons of measured figures, and a verdict on each over several seeds.

A figure has a name; `measure` gives every figure of one seed's run.  A Comparison says that the figure `better` is
above (of a loss: below) the figure `worse`.  Over the seeds, whose videos, weights and crops differ, its differences
have a mean and a standard deviation s; with n seeds the interval is mean +- t s / sqrt(n), t the 95 % point of
Student's distribution with n - 1 degrees of freedom.  The verdict: it holds where all of the interval is above 0, the
opposite holds where all of it is below, else it is not decided.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from scipy.stats import t as student

from rcnn.data import sampling, sequences
from rcnn.data.lists import read_classes
from rcnn.data.synthetic import scenes
from rcnn.experiments import description as descriptions
from rcnn.experiments import plan
from rcnn.experiments.description import Description
from rcnn.experiments.motion_energy import PARTS
from rcnn.experiments.plan import Step
from rcnn.experiments.runner import clock, commit
from rcnn.experiments.steps import Records
from rcnn.experiments.tables import FUSIONS, two_streams
from rcnn.files import InputError
from rcnn.googlenet import SIGNALS
from rcnn.scoring import scores
from rcnn.scoring.score_files import ALL, Scores
from rcnn.training import log as training

HOLDS, OPPOSITE, OPEN = "holds", "the opposite holds", "not decided"
CONFIDENCE = 0.95
LOSSES, NETS = "Random sampling trains better than sequential", "The RCNN beats the single-frame CNN"  # titles
KINDS_SHOWN = {
    "all": "all classes",
    "appearance": "classes told by appearance",
    "motion": "classes told by movement",
    "both": "classes told by both",
}
LEAD = 40  # points on motion classes by which RCNN-r is to beat the CNN in every seed
TREND = 200  # updates over which a loss is averaged to see its trend
NEEDED = {
    "samplings": ("random", "sequential"),
    "crops": (1, 5, 10),
    "signals": SIGNALS,
    "streams": ("image", "flow"),
    "variants": (
        "one stage",
        "nothing",
        "xavier",
        "average",
        "halved sum",
        "previous loss",
        "uncut gradient",
        "two crops",
    ),
}  # what a description must have


@dataclass(frozen=True)
class Comparison:
    """What is claimed of two figures, by their names; worse None: 0.  lower: whether less is better."""

    text: str
    better: str
    worse: Optional[str] = None
    lower: bool = False


@dataclass(frozen=True)
class Claim:
    """What the paper says and where, and the comparisons that it comes down to.  note: how they are measured."""

    title: str
    source: str
    comparisons: tuple[Comparison, ...]
    note: str = ""


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


def check(description: Description) -> None:
    """Raise InputError where a description lacks what the claims compare."""
    for key, needed in NEEDED.items():
        lacking = [str(value) for value in needed if value not in getattr(description, key)]
        if lacking:
            raise InputError(f"description: {key}: the claims need {', '.join(lacking)} too")
    if not (description.recurrent_test and description.motion_energy):
        raise InputError("description: recurrent-test and motion-energy: the claims need both to be true")
    if description.fps != (25, 5) or (description.make or {}).get("set") != "scenes":
        raise InputError("description: fps and make: the claims need fps 25 and 5, and videos of the set scenes")
    if (description.nets.get("display"), description.nets.get("iter-size", 1)) != (1, 1):
        raise InputError("description: nets: the claims need the loss of every batch: display 1 and iter-size 1")


def claims() -> tuple[Claim, ...]:
    """Return what the paper claims."""
    rcnn_r, cnn, rcnn_s = "RCNN-r", "CNN", "RCNN-s"

    def over_cnn(net, kind):
        return Comparison(
            f"{net} beats the {cnn} on {KINDS_SHOWN[kind]}", name(net, 5, kind=kind), name(cnn, 5, kind=kind)
        )

    def variant(text, other, usual=rcnn_r):
        return Comparison(text, name(usual, 1), name(other, 1))

    return (
        Claim(
            LOSSES,
            "Sec. 3.3, Fig. 2",
            (
                Comparison(
                    "its loss is lower over all of stage 2 (faster)",
                    "loss, RCNN-r, mean of stage 2",
                    "loss, RCNN-s, mean of stage 2",
                    lower=True,
                ),
                Comparison(
                    "its loss is lower at the end (last tenth of stage 2)",
                    "loss, RCNN-r, end of stage 2",
                    "loss, RCNN-s, end of stage 2",
                    lower=True,
                ),
                Comparison(
                    "the averaged loss of sequential sampling is less steady",
                    "unsteadiness, RCNN-s",
                    "unsteadiness, RCNN-r",
                ),
                Comparison("the loss of sequential sampling rises when videos change", "jump, RCNN-s"),
                Comparison("RCNN-r beats RCNN-s", name(rcnn_r, 5), name(rcnn_s, 5)),
            ),
            f"Losses of each update in training. Unsteadiness: the standard deviation of the mean over 40 updates "
            f"around that over {TREND}, in the second half of stage 2. Jump: by how much the loss of a row of the "
            f"batch is larger where its video begins, by least squares over the updates of that half, after the mean "
            f"over {TREND} is taken off.",
        ),
        Claim(
            NETS,
            "Sec. 3.4, Table 3",
            tuple(over_cnn(net, kind) for net in (rcnn_r, rcnn_s) for kind in KINDS_SHOWN),
            "What single frames allow is all of the appearance classes, a quarter of the motion classes and half of "
            "the others, however long a net learns from them. The RCNNs start from the CNN's weights and learn on, "
            "so what they gain on classes told by appearance is not the recurrence's alone.",
        ),
        Claim(
            "High beats medium beats low signal",
            "Sec. 3.2, Table 2 rows 3, 5, 6, 7",
            (
                Comparison("high beats medium", name(rcnn_r, 5), name(rcnn_r, 5, "medium")),
                Comparison("medium beats low", name(rcnn_r, 5, "medium"), name(rcnn_r, 5, "low")),
                Comparison("high beats the fusion of three", name(rcnn_r, 5), name(rcnn_r, 5, ALL)),
            ),
        ),
        Claim(
            "Five crops beat one and ten",
            "Sec. 3.2, Table 2 rows 2, 3, 4",
            (
                Comparison("5 crops beat 1", name(rcnn_r, 5), name(rcnn_r, 1)),
                Comparison("5 crops beat 10", name(rcnn_r, 5), name(rcnn_r, 10)),
            ),
        ),
        Claim(
            "Log-mean is the best fusion over frames",
            "Sec. 2.4, Table 2 row 3",
            (
                Comparison("log-mean beats mean", name(rcnn_r, 5), name(rcnn_r, 5, fusion="mean")),
                Comparison("log-mean beats maximum", name(rcnn_r, 5), name(rcnn_r, 5, fusion="max")),
            ),
        ),
        Claim(
            "Five frames a second beat twenty-five",
            "Sec. 3.2, Table 2 rows 1, 3",
            (Comparison("5 fps beats 25 fps", name(rcnn_r, 5), name("RCNN-r at 25 fps", 5)),),
            "The same number of updates at both rates, which are more passes over the pairs at 5 fps.",
        ),
        Claim(
            "Two streams beat one",
            "Sec. 3.4, Table 3",
            (
                Comparison("RCNN-r's two streams beat its image stream", name("RCNN-r two-stream", 5), name(rcnn_r, 5)),
                Comparison(
                    "RCNN-r's two streams beat its flow stream", name("RCNN-r two-stream", 5), name("RCNN-r flow", 5)
                ),
                Comparison("RCNN-r's image stream beats its flow stream", name(rcnn_r, 5), name("RCNN-r flow", 5)),
                Comparison("RCNN-r's flow stream beats the CNN's", name("RCNN-r flow", 5), name("CNN flow", 5)),
                Comparison("the CNN's two streams beat its image stream", name("CNN two-stream", 5), name(cnn, 5)),
                Comparison(
                    "RCNN-r's image stream alone beats the CNN's two", name(rcnn_r, 5), name("CNN two-stream", 5)
                ),
            ),
        ),
        Claim(
            "How it is trained and tested",
            "Sec. 2.2, 2.3, 3.1 and choices of this software",
            (
                variant("two stages beat one of as many updates", "one stage"),
                variant("the CNN's weights beat none to start from (msra fillers, no stage 1)", "nothing"),
                variant("the CNN's weights beat none to start from (xavier fillers, no stage 1)", "xavier"),
                variant("adding temporal parts that start at zero to whole W beats the average", "average"),
                variant("adding temporal parts that start at zero to whole W beats a sum with halved W", "halved sum"),
                variant("the average beats a sum with halved W", "halved sum", "average"),
                variant("no loss at t-1 beats one", "previous loss"),
                variant("cutting the gradient (Eq. 6) beats letting it through", "uncut gradient"),
                variant("one crop for the pair beats two", "two crops"),
                variant("pairs beat frame after frame in testing RCNN-r's weights", "RCNN-r tested recurrently"),
            ),
            "Tested with 1 crop.",
        ),
        Claim(
            "The first layer's sum keeps what moves",
            "Sec. 3.4, Fig. 3",
            (
                Comparison(
                    "more of the temporal part's energy than of the spatial part's lies where something moves",
                    energy("motion", "temporal"),
                    energy("motion", "spatial"),
                ),
                Comparison(
                    "more of the sum's energy than of the spatial part's lies there",
                    energy("motion", "sum"),
                    energy("motion", "spatial"),
                ),
                Comparison(
                    "more of the sum's energy lies there than without motion",
                    energy("motion", "sum"),
                    energy("without motion", "sum"),
                ),
                Comparison(
                    "more of the temporal part's energy lies there than without motion",
                    energy("motion", "temporal"),
                    energy("without motion", "temporal"),
                ),
            ),
            "Shares of conv1's energy in the tenth of its places where the two frames differ most "
            "(tools/motion_energy.py), and in the same places where frame t is shown twice.",
        ),
    )


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
    folder, figures = plan.folder_of(out, split, fps), {}
    files = {key: path for key, path in plan.score_files(description, out).items() if key[1] == split}
    titles = {
        "cnn": "CNN",
        "rcnn_r": "RCNN-r",
        "rcnn_s": "RCNN-s",
        "cnn_flow": "CNN flow",
        "rcnn_r_flow": "RCNN-r flow",
    }
    for (net, _, rate), path in files.items():
        title = titles[net] if rate == fps else f"{titles[net]} at {rate:g} fps"
        figures.update(accuracies(title, path, description.crops))
    for variant, path in plan.variant_scores(description, out).items():
        figures.update(accuracies(variant, path, description.crops))
    figures.update(accuracies("RCNN-r tested recurrently", folder / f"{plan.RECURRENT}.h5", description.crops))
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
                    figures[name(net, crops, signal, fusion)] = float(right.mean())
                    figures.update(
                        {
                            name(net, crops, signal, fusion, kind): float(right[kinds == kind].mean())
                            for kind in scenes.KINDS
                        }
                    )
    return figures


def loss_log(description: Description, out: Path, net: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (updates, raw, averaged) of stage 2's training of a net, as training.log.loss_curve does."""
    return training.loss_curve(training.read_log(snapshots(description, out) / f"{net}.jsonl"))


def snapshots(description: Description, out: Path) -> Path:
    """Return the folder of the trainings that are compared."""
    return plan.folder_of(out, description.splits[0], description.fps[-1]) / "snapshots"


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


def judge(comparison: Comparison, measured: Sequence[dict[str, float]]) -> dict:
    """Return a comparison as a dict with its differences, positive where the claim holds, and verdict.

    measured: figures by name, one dict a seed.
    """
    differences = np.array(
        [figures[comparison.better] - (figures[comparison.worse] if comparison.worse else 0.0) for figures in measured]
    ) * (-1 if comparison.lower else 1)
    mean, number = float(differences.mean()), len(differences)
    deviation, low, high, verdict = None, None, None, OPEN
    if number > 1:
        deviation = float(differences.std(ddof=1))
        half = float(student.ppf(CONFIDENCE, number - 1)) * deviation / number**0.5
        low, high = mean - half, mean + half
        verdict = HOLDS if low > 0 else OPPOSITE if high < 0 else OPEN
    return {
        **asdict(comparison),
        "differences": differences.tolist(),
        "mean": mean,
        "deviation": deviation,
        "low": low,
        "high": high,
        "verdict": verdict,
    }


def lead(measured: Sequence[dict[str, float]]) -> tuple[list[float], bool]:
    """Return by how many points RCNN-r beats the CNN on motion classes in each seed, and whether all reach LEAD."""
    ahead = [
        100 * (figures[name("RCNN-r", 5, kind="motion")] - figures[name("CNN", 5, kind="motion")])
        for figures in measured
    ]
    return ahead, all(value >= LEAD for value in ahead)


def results(
    base: Description, runs: dict[int, tuple[Description, Path]], steps: Sequence[Step], records: Records, command: str
) -> dict:
    """Return what claims.json holds.

    Parameters
    ----------
    base
        The description of all runs.
    runs
        {seed: (its description, its folder)}.
    steps
        The steps of all runs, done, named seed1..., seed2...; records: their records.
    command
        What made them.
    """
    figures = [measure(*run) for run in runs.values()]
    judged = [
        {**asdict(claim), "comparisons": [judge(comparison, figures) for comparison in claim.comparisons]}
        for claim in claims()
    ]
    compared = [row[key] for claim in judged for row in claim["comparisons"] for key in ("better", "worse") if row[key]]
    first, folder = runs[min(runs)]
    return {
        "description": asdict(base),
        "seeds": list(runs),
        "commit": commit(),
        "videos": descriptions.check(first, folder).videos,
        "classes": read_classes(descriptions.lists(first, folder).classes),
        "split": base.splits[0],
        "command": command,
        "time": clock(sum(records.seconds(step) or 0 for step in steps)),
        "claims": judged,
        "figures": figures,
        "shown": list(dict.fromkeys(compared)),
        "steps": [shlex.join(step.command) for step in steps if step.name.startswith(f"seed{min(runs)}.")],
    }


def verdicts(results: dict) -> str:
    """Return the verdicts of what `results` returned, a line each."""
    lines = []
    for claim in results["claims"]:
        lines += [claim["title"], *(f"  {row['verdict']:>18}: {row['text']}" for row in claim["comparisons"])]
    ahead, met = lead(results["figures"])
    return "\n".join(
        [
            *lines,
            f"RCNN-r over the CNN on motion classes, in points: "
            f"{', '.join(f'{value:.1f}' for value in ahead)} (aim: {LEAD} in every seed, "
            f"{'met' if met else 'NOT met'})",
        ]
    )
