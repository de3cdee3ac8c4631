"""Two tables from score files: accuracy by the pair beside that by the video, and the motion probe.

Every net is compared on the same frames, with the CNN averaged over both frames of each pair beside it: whoever sees
two pictures gains by that without motion.  The splits of a description are pooled; intervals are those of
`rcnn.scoring.outcomes`.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from math import isnan
from pathlib import Path
from typing import Any, Optional

from rcnn.experiments.description import Description
from rcnn.experiments.tables import DASH, Key, Table, standard_crops
from rcnn.scoring.outcomes import Interval, outcomes, pooled
from rcnn.scoring.probe import PREVIOUS
from rcnn.scoring.score_files import Scores

ProbeKey = tuple[str, int, str]  # net, split, what is shown in place of frame t-1
NAMES = {"rcnn_r": "RCNN-r", "rcnn_s": "RCNN-s"}
CNN, BOTH = "single-frame CNN", "CNN averaged over both frames"
PAST = "all frames before"
INTERVAL = "In brackets: 95 % of 10,000 resamples of the groups or persons that the videos are of."
AVERAGED = f"{BOTH}: the log-mean of its scores at t-1 and t."
Row = dict[str, Any]


def pairs(description: Description, files: dict[Key, Path]) -> list[Row]:
    """Return a row for each net and signal whose score files are there for every split.

    Its keys are "net", "signal", "pairs", "videos", and as {"value", "low", "high"} from 0 to 1 "pair" and "video", and
    "pair_gain" and "video_gain" over the CNN averaged over both frames, None for that one.

    files: of `plan.score_files`.
    """
    fps, crops, rows = description.fps[-1], standard_crops(description), []
    there = {net: [files.get((net, split, fps)) for split in description.splits] for net in ("cnn", *NAMES)}
    for signal in description.signals:
        control = _pooled(there["cnn"], signal, crops, 2)
        tested = {
            CNN: _pooled(there["cnn"], signal, crops),
            BOTH: control,
            **{name: _pooled(there[net], signal, crops) for net, name in NAMES.items()},
        }
        for net, outcome in tested.items():
            if outcome is not None:
                rows.append({"net": net, "signal": signal, **_row(outcome, control)})
    return rows


def motion(description: Description, files: dict[Key, Path], probes: dict[ProbeKey, Path]) -> list[Row]:
    """Return a row for each net and each frame shown in place of frame t-1, where there are scores for every split.

    Its keys are those of `pairs` with "previous" for "signal", and the gains are over "true" of the same net.  A net
    that was tested in order has a row with its whole past too.  The CNN's rows are on the same frames.

    probes: of `plan.probe_files`.
    """
    fps, splits, crops, rows = description.fps[-1], description.splits, min(description.crops), []
    likes: Sequence[Optional[Path]] = []
    for net, name in NAMES.items():
        shown = {
            previous: paths
            for previous in PREVIOUS
            if None not in (paths := [probes.get((net, split, previous)) for split in splits])
        }
        if not shown:
            continue
        likes = next(iter(shown.values()))
        tested = _pooled([files.get((net, split, fps)) for split in splits], "high", crops, likes=likes)
        by = {previous: _pooled(paths, "high", crops, likes=likes) for previous, paths in shown.items()}
        by = {PAST if "true" in by else "true": tested, **by}
        for previous, outcome in by.items():
            if outcome is not None:
                rows.append({"net": name, "previous": previous, **_row(outcome, by.get("true"))})
    cnn = [files.get(("cnn", split, fps)) for split in splits]
    for name, averaged in ((CNN, 1), (BOTH, 2)) if rows else ():
        outcome = _pooled(cnn, "high", crops, averaged, likes)
        if outcome is not None:
            rows.append({"net": name, "previous": DASH, **_row(outcome, None)})
    return rows


def tables(description: Description, by_pair: Sequence[Row], by_previous: Sequence[Row]) -> list[Table]:
    """Return the tables of what `pairs` and `motion` return, without one that has no row."""
    splits = ", ".join(map(str, description.splits))
    where = f"{description.name}, in per cent; videos of split {splits} together, {description.fps[-1]:g} fps"
    made = []
    if by_pair:
        crops = standard_crops(description)
        made.append(
            Table(
                "By the pair and by the video",
                ["net", "signal", "a pair", "a video", "gain, pair", "gain, video"],
                list(_cells(by_pair, "signal")),
                f"Accuracy on {where}, {crops} crop{'s' * (crops > 1)}; {_numbers(by_pair)}.",
                [f"Gain: over the {BOTH}.", AVERAGED, INTERVAL],
            )
        )
    if by_previous:
        crops = min(description.crops)
        notes = ["Change: against true; a net that looks at motion loses without it.", AVERAGED, INTERVAL]
        notes += [f"{name}: {what}." for name, what in PREVIOUS.items()]
        notes += [f"{PAST}: the state that all of them left, as the net is tested otherwise."]
        made.append(
            Table(
                "Motion: another frame in place of frame t-1",
                ["net", "in its place", "a pair", "a video", "change, pair", "change, video"],
                list(_cells(by_previous, "previous")),
                f"Accuracy on {where}, high signal, {crops} crop{'s' * (crops > 1)}, first and last frames left out; "
                f"{_numbers(by_previous)}.",
                notes,
            )
        )
    return made


def _pooled(paths, signal, crops, averaged=1, likes=()):
    """Return the Outcomes of a net's score files of all splits, None where one is not there, or has not the signal."""
    if None in paths:
        return None
    parts = []
    with ExitStack() as stack:
        for path, like in zip(paths, likes or [None] * len(paths)):
            file, frames = (each and stack.enter_context(Scores(each)) for each in (path, like))
            if signal not in file.signals:
                return None
            parts.append(outcomes([file], signal, crops, averaged, like=frames))
    return pooled(parts)


def _row(outcome, other):
    pair, video = outcome.intervals()
    gains = (None, None) if other in (None, outcome) else outcome.intervals(other)
    return {
        "pairs": int(outcome.pairs.sum()),
        "videos": len(outcome.names),
        "pair": _plain(pair),
        "video": _plain(video),
        "pair_gain": gains[0] and _plain(gains[0]),
        "video_gain": gains[1] and _plain(gains[1]),
    }


def _plain(interval: Interval) -> dict[str, Optional[float]]:
    """Return an Interval as what JSON can hold."""
    return {name: None if isnan(value) else value for name, value in interval._asdict().items()}


def _cells(rows: Sequence[Row], kind: str) -> Iterator[list[str]]:
    for row in rows:
        shares = [_cell(row[name], "") for name in ("pair", "video")]
        yield [row["net"], row[kind], *shares, *(_cell(row[name], "+") for name in ("pair_gain", "video_gain"))]


def _cell(interval: Optional[dict[str, Optional[float]]], sign: str) -> str:
    if interval is None:
        return DASH
    value, low, high = (None if share is None else f"{100 * share:{sign}.1f}" for share in interval.values())
    return f"{value} ({low} to {high})" if low else str(value)


def _numbers(rows: Sequence[Row]) -> str:
    return f"{rows[0]['pairs']:,} pairs, {rows[0]['videos']:,} videos"
