"""The page of claims: verdicts, figures and pictures, as Markdown, from what tools/claims.py measured."""

import os
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rcnn.experiments import claim_figures, claims, pages, plots
from rcnn.experiments.description import Description
from rcnn.files import write_text

SHARES = ("crop", "conv1")  # what stands in the names of figures from 0 to 1
VIDEOS_README = Path(__file__).parents[2] / "data" / "README.md"
WIDTH = 56  # characters of a line of a label in a picture
Curves = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # as plots.loss_curves takes them
Films = dict[str, list[np.ndarray]]  # {class: uint8 BGR frames of a video}, as plots.film_strips takes them


def write(path: Path, results: dict, curves: Curves, films: Films) -> list[Path]:
    """Write the page to `path` (Markdown) and its pictures beside it, named after it; return their paths.

    results: what claims.json holds.
    """
    path = Path(path)
    pictures = {name: path.with_name(f"{path.stem}_{name}.png") for name in ("films", "intervals", "loss", "kinds")}
    draw(pictures, results)
    plots.loss_curves(pictures["loss"], curves, title=f"Training loss of stage 2, seed {results['seeds'][0]}")
    plots.film_strips(pictures["films"], films, "one held-out video a class")
    names = {name: picture.name for name, picture in pictures.items()}
    sections = []
    for claim in results["claims"]:
        rows = [row(comparison, results["figures"]) for comparison in claim["comparisons"]]
        picture = {claims.LOSSES: names["loss"], claims.NETS: names["kinds"]}.get(claim["title"])
        sections.append({**claim, "comparisons": rows, "picture": picture})
    verdicts = Counter(comparison["verdict"] for claim in results["claims"] for comparison in claim["comparisons"])
    ahead, met = claims.lead(results["figures"])
    text = pages.render(
        "claims.md",
        **{
            key: results[key]
            for key in ("command", "commit", "description", "videos", "classes", "split", "seeds", "time", "steps")
        },
        results="claims.json",
        videos_readme=os.path.relpath(VIDEOS_README, path.parent),
        pictures=names,
        confidence=claims.CONFIDENCE,
        claims=sections,
        counts={verdict: verdicts[verdict] for verdict in (claims.HOLDS, claims.OPEN, claims.OPPOSITE)},
        lead=[f"{value:.1f}" for value in ahead],
        aim=claims.LEAD,
        met=met,
        figures=[every(name, results["figures"]) for name in results["shown"]],
    )
    write_text(path, text)
    return [path, *pictures.values()]


def loss_curves(description: Description, out: Path) -> Curves:
    """Return the loss curves of stage 2 of a seed's run, by both samplings."""
    return {
        title: claim_figures.loss_log(description, out, net)
        for title, net in (("RCNN-r (random sampling)", "rcnn_r"), ("RCNN-s (sequential sampling)", "rcnn_s"))
    }


def is_share(name: str) -> bool:
    """Return whether a figure is a share of 1, shown in points; else it is a loss."""
    return any(word in name for word in SHARES)


def number(name: str, value: float, sign: str = "") -> str:
    """Return a figure, or a difference of such figures, as text: shares in points, losses as they are."""
    return f"{100 * value:{sign}.1f}" if is_share(name) else f"{value:{sign}.3f}"


def mean(name: str, figures: Sequence[dict[str, float]]) -> float:
    """Return the mean of a figure over the seeds."""
    return sum(seed[name] for seed in figures) / len(figures)


def row(comparison: dict, figures: Sequence[dict[str, float]]) -> dict[str, str]:
    """Return the texts of a comparison's row."""
    one, two = comparison["better"], comparison["worse"]
    texts = [f"{name} {number(name, mean(name, figures))}" for name in (one, two) if name]
    interval = (
        "one seed"
        if comparison["low"] is None
        else (f"{number(one, comparison['low'], '+')} to {number(one, comparison['high'], '+')}")
    )
    return {
        "text": comparison["text"],
        "figures": " over ".join(texts),
        "verdict": comparison["verdict"],
        "each": ", ".join(number(one, value, "+") for value in comparison["differences"]),
        "mean": number(one, comparison["mean"], "+"),
        "interval": interval,
    }


def every(name: str, figures: Sequence[dict[str, float]]) -> dict:
    """Return the texts of a figure's row: each seed's, their mean and spread."""
    values = [seed[name] for seed in figures]
    return {
        "name": name,
        "each": [number(name, value) for value in values],
        "mean": number(name, mean(name, figures)),
        "spread": f"{number(name, min(values))} to {number(name, max(values))}",
    }


def draw(pictures: dict[str, Path], results: dict) -> None:
    """Draw the pictures of accuracies."""

    def points(value):
        return None if value is None else 100 * value

    rows = [
        (
            textwrap.fill(comparison["text"], WIDTH),
            *(points(comparison[key]) for key in ("mean", "low", "high")),
            list(map(points, comparison["differences"])),
        )
        for claim in results["claims"]
        for comparison in claim["comparisons"]
        if is_share(comparison["better"])
    ]
    plots.intervals(pictures["intervals"], rows, "difference in points: mean, interval, and each seed")
    figures = results["figures"]
    plots.grouped_bars(
        pictures["kinds"],
        {
            net: {
                kind: [100 * seed[claim_figures.name(net, 5, kind=kind)] for seed in figures]
                for kind in claim_figures.KINDS_SHOWN
            }
            for net in ("CNN", "RCNN-s", "RCNN-r")
        },
        "video accuracy in per cent, by what tells the classes; dots are seeds",
    )
