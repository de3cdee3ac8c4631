"""Pictures of results, as PNG files, drawn without a display, in colours that colour-blind readers tell apart."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from rcnn import environment
from rcnn.command import tell
from rcnn.files import InputError, replacing

# Pictures are drawn into files alone, and a backend that matplotlib does not know would end its import
with environment.hidden("MPLBACKEND"):
    import matplotlib
    from matplotlib import font_manager
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Okabe and Ito's palette (Color Universal Design, 2008), dark colours first
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":")
PathLike = Union[str, Path]
Values = Union[Sequence[float], np.ndarray]
MOST_NUMBERED = 20  # classes; with more, the cells of a confusion matrix are too small for numbers


@contextmanager
def settings(**changed: Any) -> Iterator[None]:
    """Draw by matplotlib's own settings, some of them changed, whatever the user's matplotlibrc says."""
    own = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    with matplotlib.rc_context({**own, **changed}):
        yield


@contextmanager
def _drawn(path: PathLike, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of so many inches to draw into, and write it; a name or path may hold a $, and is no formula."""
    with settings(**{"text.parse_math": False}):
        figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
        yield figure
        with replacing(path) as part, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # said below
            figure.savefig(part, format="png")
            if texts := _beyond_the_font(figure):
                _fall_back(texts)
                figure.savefig(part, format="png")


def _beyond_the_font(figure: Figure) -> dict[Text, set[str]]:
    """Return the texts of a figure that was drawn whose font lacks characters, with these."""
    own = _characters(font_manager.findfont("DejaVu Sans"))
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    characters = {text: {each for each in text.get_text() if not each.isspace()} - own for text in texts}
    return {text: lacking for text, lacking in characters.items() if lacking}


def _fall_back(texts: Mapping[Text, set[str]]) -> None:
    """Have texts fall back on fonts of this machine that have what theirs lacks; say once what none has."""
    lacking, families = set().union(*texts.values()), ["DejaVu Sans"]
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.weight != 400, font.style, font.name)):
        if lacking and (has := lacking & _characters(font.fname)):
            lacking -= has
            families.append(font.name)
    for text in texts:
        text.set_fontfamily(families)
    if lacking:
        _say_once(f"pictures: no font of this machine has {' '.join(sorted(lacking))}: drawn as boxes; install one")


@lru_cache
def _characters(path: str) -> frozenset[str]:
    """Return what a font file has a glyph for, nothing where it cannot be read."""
    try:
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


_say_once = lru_cache(tell)


def _legend(axes, names):
    """Name the curves that have a label; set afterwards, as matplotlib leaves out a label that begins with _."""
    for text, name in zip(axes.legend().get_texts(), names):
        text.set_text(name)


def _curves(axes, place, xs, thin, thick, faint):
    """Draw one of several named curves, thin as measured and thick as averaged; a single point is seen too."""
    colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]
    axes.plot(xs, thin, color=colour, **faint)
    marker = "o" if len(xs) == 1 else None
    axes.plot(xs, thick, color=colour, linewidth=2, linestyle=dashes, label=str(place), marker=marker)


def loss_curves(
    path: PathLike, curves: Mapping[str, tuple[Values, Values, Values]], window: int = 40, title: str = "Training loss"
) -> None:
    """Draw training curves as in Fig. 2.

    Parameters
    ----------
    path
        PNG to write, whole or not at all, as everywhere here.
    curves
        {name: (iterations, raw, averaged)} as `rcnn.training.log.loss_curve` returns them, equally long; raw is drawn
        thin, averaged thick and named.
    window
        Iterations of the average, for the axis.

    Raises
    ------
    InputError
        Where there is nothing to draw.
    """
    if not any(len(iterations) for iterations, _, _ in curves.values()):
        raise InputError(f"loss plot: no training record to draw in {path}; has an iteration been displayed yet?")
    with _drawn(path, 8, 5) as figure:
        axes = figure.subplots()
        for place, curve in enumerate(curves.values()):
            _curves(axes, place, *curve, {"linewidth": 0.5, "alpha": 0.35})
        axes.set(xlabel="iteration", ylabel=f"loss (thick: mean over {window} iterations)", title=title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        _legend(axes, curves)


def confusion_matrix(
    path: PathLike, matrix: np.ndarray, classes: Sequence[str], title: str = "Confusion matrix"
) -> None:
    """Draw a confusion matrix: classes x classes whole numbers; rows are true classes, columns predicted ones.

    A cell's shade is its share of the row, so that classes of different sizes compare; its number is its count.
    """
    matrix, count = np.asarray(matrix), len(classes)
    if matrix.shape != (count, count):
        raise InputError(f"confusion matrix: its shape is {matrix.shape}, but there are {count} class names")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    numbered = count <= MOST_NUMBERED
    side, size = max(4.0, (0.45 if numbered else 0.16) * count), 9 if numbered else 8
    with _drawn(path, side + 2.5, side + 1.5) as figure:
        axes = figure.subplots()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="share of the true class's videos")
        axes.set_xticks(range(count), classes, rotation=90, fontsize=size)
        axes.set_yticks(range(count), classes, fontsize=size)
        axes.set(xlabel="predicted class", ylabel="true class", title=title)
        for (row, column), number in np.ndenumerate(matrix) if numbered else ():
            if number:
                ink = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, str(number), ha="center", va="center", fontsize=size, color=ink)


def film_strips(path: PathLike, strips: Mapping[str, Sequence[np.ndarray]], title: str) -> None:
    """Draw one row of frames for each name: uint8 H x W x 3 BGR, as many in each row."""
    number = len(next(iter(strips.values())))
    with _drawn(path, number + 1.3, 0.8 * len(strips) + 0.4) as figure:
        grid = figure.subplots(len(strips), number, squeeze=False)
        for row, (name, frames) in zip(grid, strips.items()):
            for axes, frame in zip(row, frames):
                axes.imshow(frame[..., ::-1])
                axes.set(xticks=[], yticks=[])
            row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        figure.suptitle(title, fontsize=11)


def scores_over_time(
    path: PathLike,
    times: Values,
    curves: Mapping[str, tuple[Values, Values]],
    title: str = "Scores over time",
    stride: int = 1,
) -> None:
    """Draw the scores of some classes over a video's time.

    Parameters
    ----------
    times
        Seconds, rising.
    curves
        {class name: (frame, so_far)}, as long as times, from 0 to 1: the frame's own score is drawn thin, that of all
        frames so far thick and named.
    stride
        Frames a point is the mean of.

    Raises
    ------
    InputError
        Where there is nothing to draw.
    """
    if not len(times) or not curves:
        raise InputError(f"plot: no scores to draw in {path}")
    with _drawn(path, 8, 5) as figure:
        axes = figure.subplots()
        for place, curve in enumerate(curves.values()):
            _curves(axes, place, times, *curve, {"linewidth": 0.7, "alpha": 0.5})
        thin = "of the frame" if stride == 1 else f"mean of {stride} frames"
        axes.set(xlabel="time (seconds)", ylabel=f"score (thin: {thin}; thick: log-mean so far)", title=title)
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
        _legend(axes, curves)


def intervals(
    path: PathLike, rows: Sequence[tuple[str, float, Optional[float], Optional[float], Values]], title: str
) -> None:
    """Draw (name, mean, low, high, values) as a mean, its interval, if it has one, and dots; the first row on top."""
    with _drawn(path, 10, 0.34 * len(rows) + 1) as figure:
        axes = figure.subplots()
        for place, (_, mean, low, high, values) in enumerate(rows):
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=2)
            axes.plot(values, [place] * len(values), ".", color=COLOURS[1], markersize=5)
            axes.plot(mean, place, "D", color=COLOURS[0], markersize=5)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows], fontsize=8)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(alpha=0.3, axis="x")
        axes.set_title(title, fontsize=11)


def grouped_bars(path: PathLike, series: Mapping[str, Mapping[str, Values]], title: str) -> None:
    """Draw {name: {group: values from 0 to 100}} as bars of their means, and dots; the groups of each are the same."""
    groups, width = list(next(iter(series.values()))), 0.8 / len(series)
    with _drawn(path, 8, 4) as figure:
        axes = figure.subplots()
        for index, values in enumerate(series.values()):
            places = np.arange(len(groups)) + (index - (len(series) - 1) / 2) * width
            means = [np.mean(values[group]) for group in groups]
            axes.bar(places, means, 0.9 * width, label=str(index), color=COLOURS[index % len(COLOURS)], alpha=0.6)
            for place, group in zip(places, groups):
                axes.plot([place] * len(values[group]), values[group], ".", color="black", markersize=4)
        axes.set_xticks(range(len(groups)), groups)
        axes.set_ylim(0, 100)
        axes.set_title(title, fontsize=11)
        axes.grid(alpha=0.3, axis="y")
        _legend(axes, series)


def feature_maps(
    path: PathLike,
    frames: Mapping[str, np.ndarray],
    columns: Sequence[str],
    rows: Mapping[str, Sequence[np.ndarray]],
    title: str,
) -> None:
    """Draw feature maps beside the two frames that they come from, as Fig. 3.

    Zero is white, and each row has a scale of its own, from minus to plus its largest magnitude.

    Parameters
    ----------
    frames
        {what it is: uint8 H x W x 3 BGR}, drawn above each other.
    columns
        Heads of the maps' columns.
    rows
        {name of the map: real h x w arrays, one a column}.
    """
    height = max(1.9 * len(rows) + 0.7, 5.4)
    with _drawn(path, 2.9 + 2.2 * len(columns), height) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(2.4, 0.5 + 2.2 * len(columns)))
        for axes, (name, frame) in zip(left.subplots(len(frames), 1), frames.items()):
            axes.imshow(frame[..., ::-1])
            axes.set_title(name, fontsize=8)
            axes.set_axis_off()
        grid = right.subplots(len(rows), len(columns), squeeze=False)
        for row, (name, maps) in zip(grid, rows.items()):
            largest = max(np.abs(maps).max(), 1e-12)
            for axes, values in zip(row, maps):
                image = axes.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
            row[0].set_ylabel(name)
            right.colorbar(image, ax=list(row), fraction=0.05, pad=0.02, shrink=min(1.0, 2.1 * len(rows) / height))
        for axes, column in zip(grid[0], columns):
            axes.set_title(column, fontsize=10)
        figure.suptitle(title)
