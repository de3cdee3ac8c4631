"""The paper's claims as comparisons of measured figures, and a verdict on each over several seeds.

A figure has a name; claim_figures.measure gives every figure of one seed's run.  A Comparison says that the figure
`better` is above (of a loss: below) the figure `worse`.  Over the seeds, whose videos, weights and crops differ, its
differences have a mean and a standard deviation s; with n seeds the interval is mean +- t s / sqrt(n), t the 95 %
point of Student's distribution with n - 1 degrees of freedom.  The verdict: it holds where all of the interval is
above 0, the opposite holds where all of it is below, else it is not decided.
"""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from scipy.stats import t as student

from rcnn.data.lists import read_classes
from rcnn.experiments import description as descriptions
from rcnn.experiments.claim_figures import KINDS_SHOWN, TREND, measure, name
from rcnn.experiments.description import Description
from rcnn.experiments.runner import clock, commit
from rcnn.experiments.steps import Records, Step
from rcnn.files import InputError
from rcnn.googlenet import SIGNALS

HOLDS, OPPOSITE, OPEN = "holds", "the opposite holds", "not decided"
CONFIDENCE = 0.95
LOSSES, NETS = "Random sampling trains better than sequential", "The RCNN beats the single-frame CNN"  # titles
LEAD = 40  # points on motion classes by which RCNN-r is to beat the CNN in every seed
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


CLAIMS = (
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
            Comparison("RCNN-r beats RCNN-s", "RCNN-r, 5 crops", "RCNN-s, 5 crops"),
        ),
        "Losses of each update in training. Unsteadiness: the standard deviation of the mean over 40 updates "
        f"around that over {TREND}, in the second half of stage 2. Jump: by how much the loss of a row of the batch is "
        "larger where its video begins, by least squares over the updates of that half, after the mean over "
        f"{TREND} is taken off.",
    ),
    Claim(
        NETS,
        "Sec. 3.4, Table 3",
        tuple(
            Comparison(f"{net} beats the CNN on {shown}", name(net, 5, kind=kind), name("CNN", 5, kind=kind))
            for net in ("RCNN-r", "RCNN-s")
            for kind, shown in KINDS_SHOWN.items()
        ),
        "What single frames allow is all of the appearance classes, a quarter of the motion classes and half of "
        "the others, however long a net learns from them. All three start from the same CNN's weights, and learn on "
        "for the same number of updates.",
    ),
    Claim(
        "High beats medium beats low signal",
        "Sec. 3.2, Table 2 rows 3, 5, 6, 7",
        (
            Comparison("high beats medium", "RCNN-r, 5 crops", "RCNN-r, 5 crops, medium"),
            Comparison("medium beats low", "RCNN-r, 5 crops, medium", "RCNN-r, 5 crops, low"),
            Comparison("high beats the fusion of three", "RCNN-r, 5 crops", "RCNN-r, 5 crops, three signals"),
        ),
    ),
    Claim(
        "Five crops beat one and ten",
        "Sec. 3.2, Table 2 rows 2, 3, 4",
        (
            Comparison("5 crops beat 1", "RCNN-r, 5 crops", "RCNN-r, 1 crop"),
            Comparison("5 crops beat 10", "RCNN-r, 5 crops", "RCNN-r, 10 crops"),
        ),
    ),
    Claim(
        "Log-mean is the best fusion over frames",
        "Sec. 2.4, Table 2 row 3",
        (
            Comparison("log-mean beats mean", "RCNN-r, 5 crops", "RCNN-r, 5 crops, mean"),
            Comparison("log-mean beats maximum", "RCNN-r, 5 crops", "RCNN-r, 5 crops, max"),
        ),
    ),
    Claim(
        "Five frames a second beat twenty-five",
        "Sec. 3.2, Table 2 rows 1, 3",
        (Comparison("5 fps beats 25 fps", "RCNN-r, 5 crops", "RCNN-r at 25 fps, 5 crops"),),
        "The same number of updates at both rates, which are more passes over the pairs at 5 fps.",
    ),
    Claim(
        "Two streams beat one",
        "Sec. 3.4, Table 3",
        (
            Comparison("RCNN-r's two streams beat its image stream", "RCNN-r two-stream, 5 crops", "RCNN-r, 5 crops"),
            Comparison(
                "RCNN-r's two streams beat its flow stream", "RCNN-r two-stream, 5 crops", "RCNN-r flow, 5 crops"
            ),
            Comparison("RCNN-r's image stream beats its flow stream", "RCNN-r, 5 crops", "RCNN-r flow, 5 crops"),
            Comparison("RCNN-r's flow stream beats the CNN's", "RCNN-r flow, 5 crops", "CNN flow, 5 crops"),
            Comparison("the CNN's two streams beat its image stream", "CNN two-stream, 5 crops", "CNN, 5 crops"),
            Comparison("RCNN-r's image stream alone beats the CNN's two", "RCNN-r, 5 crops", "CNN two-stream, 5 crops"),
        ),
    ),
    Claim(
        "How it is trained and tested",
        "Sec. 2.2, 2.3, 3.1 and choices of this software",
        (
            Comparison("two stages beat one of as many updates", "RCNN-r, 1 crop", "one stage, 1 crop"),
            Comparison(
                "the CNN's weights beat none to start from (msra fillers, no stage 1)",
                "RCNN-r, 1 crop",
                "nothing, 1 crop",
            ),
            Comparison(
                "the CNN's weights beat none to start from (xavier fillers, no stage 1)",
                "RCNN-r, 1 crop",
                "xavier, 1 crop",
            ),
            Comparison(
                "adding temporal parts that start at zero to whole W beats the average",
                "RCNN-r, 1 crop",
                "average, 1 crop",
            ),
            Comparison(
                "adding temporal parts that start at zero to whole W beats a sum with halved W",
                "RCNN-r, 1 crop",
                "halved sum, 1 crop",
            ),
            Comparison("the average beats a sum with halved W", "average, 1 crop", "halved sum, 1 crop"),
            Comparison("no loss at t-1 beats one", "RCNN-r, 1 crop", "previous loss, 1 crop"),
            Comparison(
                "cutting the gradient (Eq. 6) beats letting it through", "RCNN-r, 1 crop", "uncut gradient, 1 crop"
            ),
            Comparison("one crop for the pair beats two", "RCNN-r, 1 crop", "two crops, 1 crop"),
            Comparison(
                "pairs beat frame after frame in testing RCNN-r's weights",
                "RCNN-r, 1 crop",
                "RCNN-r tested recurrently, 1 crop",
            ),
        ),
        "Tested with 1 crop.",
    ),
    Claim(
        "The first layer's sum keeps what moves",
        "Sec. 3.4, Fig. 3",
        (
            Comparison(
                "more of the temporal part's energy than of the spatial part's lies where something moves",
                "conv1, temporal, motion",
                "conv1, spatial, motion",
            ),
            Comparison(
                "more of the sum's energy than of the spatial part's lies there",
                "conv1, sum, motion",
                "conv1, spatial, motion",
            ),
            Comparison(
                "more of the sum's energy lies there than without motion",
                "conv1, sum, motion",
                "conv1, sum, without motion",
            ),
            Comparison(
                "more of the temporal part's energy lies there than without motion",
                "conv1, temporal, motion",
                "conv1, temporal, without motion",
            ),
        ),
        "Shares of conv1's energy in the tenth of its places where the two frames differ most "
        "(tools/motion_energy.py), and in the same places where frame t is shown twice.",
    ),
)  # of the paper


def check(description: Description) -> None:
    """Raise InputError where a description lacks what the claims compare."""
    for key, needed in NEEDED.items():
        lacking = [str(value) for value in needed if value not in getattr(description, key)]
        if lacking:
            raise InputError(f"description: {key}: the claims need {', '.join(lacking)} too")
    if description.engine != "caffe":
        raise InputError("description: engine: the claims need caffe, whose log says where a training went on")
    if not (description.recurrent_test and description.motion_energy):
        raise InputError("description: recurrent-test and motion-energy: the claims need both to be true")
    if description.fps != (25, 5) or (description.make or {}).get("set") != "scenes":
        raise InputError("description: fps and make: the claims need fps 25 and 5, and videos of the set scenes")
    if (description.nets.get("display"), description.nets.get("iter-size", 1)) != (1, 1):
        raise InputError("description: nets: the claims need the loss of every batch: display 1 and iter-size 1")


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
        for claim in CLAIMS
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
