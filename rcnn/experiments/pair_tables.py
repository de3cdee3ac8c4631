"""Two tables from score files: accuracy by the pair beside that by the video, and the motion probe.

Every net is compared on the same frames with the better of two CNNs: the single-frame CNN, and the same averaged over
both frames of each pair, as whoever sees two pictures gains by that without motion.  Two nets fused gain without it
too, so two CNNs of different seeds stand beside the CNN fused with an RCNN.  The splits that a net is scored in are
pooled; intervals are those of `rcnn.scoring.outcomes`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, Optional

from rcnn.experiments.description import Description
from rcnn.experiments.plan import seed_net, variant_net
from rcnn.experiments.tables import DASH, Key, Table, standard_crops
from rcnn.scoring.outcomes import Interval, Outcomes, outcomes, pooled
from rcnn.scoring.probe import PREVIOUS
from rcnn.scoring.score_files import Scores

ProbeKey = tuple[str, int, str]  # net, split, what is shown in place of frame t-1
NAMES = {"rcnn_r": "RCNN-r", "rcnn_s": "RCNN-s"}
CNN, BOTH = "single-frame CNN", "CNN averaged over both frames"
PAST = "all frames before"
INTERVAL = "In brackets: 95 % of 10,000 resamples of the groups or persons that the videos are of."
GAIN = "Gain: over the better of the two CNNs, on the same videos and frames."
AVERAGED = f"{BOTH}: the log-mean of its scores at t-1 and t."
FUSED = "Fused: the mean of the logarithms of both nets' scores, pair by pair."
Row = dict[str, Any]


class Net(NamedTuple):
    """What a row is of.

    Parameters
    ----------
    name
        As the tables have it.
    files
        Nets of `plan.pair_files`, one, or two that are fused pair by pair.
    averaged
        As of `outcomes`.
    """

    name: str
    files: tuple[str, ...]
    averaged: int = 1


CONTROLS = (Net(CNN, ("cnn",)), Net(BOTH, ("cnn",), 2))


def nets(description: Description) -> list[Net]:
    """Return the nets of the tables of a description, whether they are scored or not."""
    variants = {variant_net(name): f"RCNN-r, {name}" for name in description.variants}
    recurrent = {**NAMES, **variants}
    seeds = [seed for seed in description.seeds if seed != description.seed]
    return [
        *CONTROLS,
        *(Net(name, (net,)) for net, name in recurrent.items()),
        *(Net(f"CNN + {name} fused", ("cnn", net)) for net, name in recurrent.items() if net != "rcnn_s"),
        *(Net(f"CNNs of seeds {description.seed} and {seed} fused", ("cnn", seed_net("cnn", seed))) for seed in seeds),
    ]


def pairs(description: Description, files: dict[Key, Path]) -> list[Row]:
    """Return a row for each net and signal, of the splits whose score files are there.

    Its keys are "net", "signal", "splits", "pairs", "videos", and as {"value", "low", "high"} from 0 to 1 "pair" and
    "video", and "pair_gain" and "video_gain" over the better of the two CNNs, None for that one.

    files: of `plan.pair_files`.
    """
    compared, rows = _Compared(description, files, standard_crops(description)), []
    for signal in description.signals:
        for net in nets(description):
            splits = compared.splits(net)
            outcome = splits and compared.outcome(net, splits, signal)
            if outcome:
                gains = compared.gains(outcome, splits, signal)
                rows.append({"net": net.name, "signal": signal, "splits": splits, **_row(outcome), **gains})
    return rows


def motion(description: Description, files: dict[Key, Path], probes: dict[ProbeKey, Path]) -> list[Row]:
    """Return a row for each net and each frame shown in place of frame t-1, of the splits where all these are scored.

    Its keys are those of `pairs` with "previous" for "signal", and "pair_change" and "video_change" against "true" of
    the same net.  A net that was tested in order has a row with its whole past too.  A CNN that is fused with another
    net sees frame t alone.  The CNN's rows are on the same frames.

    probes: of `plan.probe_files`.
    """
    compared, rows = _Compared(description, files, min(description.crops)), []
    seen: dict[int, Path] = {}  # a probe's scores of each split, whose frames alone count
    for net in nets(description):
        probed = net.files[-1]
        shown = [each for each in PREVIOUS if any((probed, split, each) in probes for split in description.splits)]
        splits = [
            split for split in compared.splits(net) if all((probed, split, previous) in probes for previous in shown)
        ]
        if not shown or not splits:
            continue
        likes = {split: seen.setdefault(split, probes[probed, split, shown[0]]) for split in splits}
        by = {PAST if "true" in shown else "true": compared.outcome(net, splits, likes=likes)}
        for previous in shown:
            other = {split: probes[probed, split, previous] for split in splits}
            by[previous] = compared.outcome(net, splits, likes=likes, last=other)
        for previous, outcome in by.items():
            if outcome:
                changes = _differences(outcome, by["true"], by["true"], "change")
                gains = compared.gains(outcome, splits, likes=likes)
                which = {"net": net.name, "previous": previous, "splits": splits}
                rows.append({**which, **_row(outcome), **gains, **changes})
    for net in CONTROLS:
        splits = [split for split in compared.splits(net) if split in seen]
        outcome = splits and compared.outcome(net, splits, likes=seen)
        if outcome:
            gains = compared.gains(outcome, splits, likes=seen)
            which = {"net": net.name, "previous": DASH, "splits": splits}
            rows.append({**which, **_row(outcome), **gains, "pair_change": None, "video_change": None})
    return rows


def tables(description: Description, by_pair: Sequence[Row], by_previous: Sequence[Row]) -> list[Table]:
    """Return the tables of what `pairs` and `motion` return, without one that has no row."""
    made, notes = [], [GAIN, AVERAGED, FUSED, INTERVAL]
    if by_pair:
        crops = standard_crops(description)
        made.append(
            _table(
                "By the pair and by the video",
                description,
                by_pair,
                {"signal": "signal"},
                {"gain, pair": "pair_gain", "gain, video": "video_gain"},
                f"{crops} crop{'s' * (crops > 1)}",
                notes,
            )
        )
    if by_previous:
        crops = min(description.crops)
        probe = ["Change: against true; a net that looks at motion loses without it.", *notes]
        probe += ["A CNN that is fused with another net sees frame t alone."]
        probe += [f"{name}: {what}." for name, what in PREVIOUS.items()]
        probe += [f"{PAST}: the state that all of them left, as the net is tested otherwise."]
        made.append(
            _table(
                "Motion: another frame in place of frame t-1",
                description,
                by_previous,
                {"in its place": "previous"},
                {
                    "gain, pair": "pair_gain",
                    "gain, video": "video_gain",
                    "change, pair": "pair_change",
                    "change, video": "video_change",
                },
                f"high signal, {crops} crop{'s' * (crops > 1)}, first and last frames left out",
                probe,
            )
        )
    return made


class _Compared:
    """Outcomes of nets by their score files, each of which is read once."""

    def __init__(self, description, files, crops):
        self.description, self.files, self.crops = description, files, crops
        self.fps = description.fps[-1]
        self._read = cache(self._outcome)

    def splits(self, net):
        """Return the splits that all files of a net are there for."""
        return [split for split in self.description.splits if all(self._file(each, split) for each in net.files)]

    def outcome(self, net, splits, signal="high", likes=None, last=None):
        """Return the Outcomes of a net in some splits, the same object each time; None where it has not the signal.

        likes: {split: scores whose frames alone count}.  last: {split: scores in place of those of the last file}.
        """
        paths = []
        for split in splits:
            of_nets = [self._file(each, split) for each in net.files]
            paths.append((*of_nets[:-1], last[split] if last else of_nets[-1]))
        like = tuple(likes[split] if likes else None for split in splits)
        return self._read(tuple(paths), signal, net.averaged, like)

    def gains(self, outcome, splits, signal="high", likes=None):
        """Return by how much an Outcomes is better than that of the better CNN in the same splits."""
        there = set(splits) <= set(self.splits(CONTROLS[0]))
        controls = [self.outcome(net, splits, signal, likes) for net in CONTROLS[::-1]] if there else [None]
        if None in controls:
            return _differences(outcome, None, None, "gain")
        by_pair = max(controls, key=lambda control: control.pair_accuracy)
        return _differences(outcome, by_pair, max(controls, key=lambda control: control.accuracy), "gain")

    def _file(self, net, split):
        return self.files.get((net, split, self.fps))

    def _outcome(self, paths, signal, averaged, likes):
        parts = []
        for of_split, like in zip(paths, likes):
            with ExitStack() as stack:
                opened = [stack.enter_context(Scores(path)) for path in of_split]
                if any(signal not in file.signals for file in opened):
                    return None
                frames = stack.enter_context(Scores(like)) if like else None
                parts.append(outcomes(opened, signal, self.crops, averaged, like=frames))
        return pooled(parts)


def _row(outcome: Outcomes) -> Row:
    pair, video = map(_plain, outcome.intervals())
    return {"pairs": int(outcome.pairs.sum()), "videos": len(outcome.names), "pair": pair, "video": video}


def _differences(outcome: Outcomes, by_pair: Optional[Outcomes], by_video: Optional[Outcomes], kind: str) -> Row:
    """Return by how much an Outcomes is better than one by the pair, and one by the video; None where it is that."""
    return {
        f"{unit}_{kind}": None if other in (None, outcome) else _plain(outcome.intervals(other)[place])
        for place, (unit, other) in enumerate((("pair", by_pair), ("video", by_video)))
    }


def _plain(interval: Interval) -> dict[str, Optional[float]]:
    """Return an Interval as what JSON can hold."""
    return {name: None if isnan(value) else value for name, value in interval._asdict().items()}


def _table(title, description, rows, kinds, differences, tested, notes):
    """Return a Table; kinds, differences: {head: key of the rows}.  Rows of unlike splits say which they are of."""
    splits = [", ".join(map(str, row["splits"])) for row in rows]
    unlike = len(set(splits)) > 1
    which = "each row's splits" if unlike else f"split {splits[0]}"
    numbers = "" if unlike else f"; {rows[0]['pairs']:,} pairs, {rows[0]['videos']:,} videos"
    head = ["net", *kinds, *(["splits", "videos"] if unlike else []), "a pair", "a video", *differences]
    return Table(
        title,
        head,
        [
            [
                row["net"],
                *(row[key] for key in kinds.values()),
                *([of, str(row["videos"])] if unlike else []),
                *_cells(row, ("pair", "video"), ""),
                *_cells(row, differences.values(), "+"),
            ]
            for row, of in zip(rows, splits)
        ],
        f"Accuracy on {description.name}, in per cent; videos of {which} together, {description.fps[-1]:g} fps, "
        f"{tested}{numbers}.",
        notes,
    )


def _cells(row: Row, keys: Iterable[str], sign: str) -> Iterator[str]:
    for interval in map(row.get, keys):
        if interval is None:
            yield DASH
        else:
            value, low, high = (None if share is None else f"{100 * share:{sign}.1f}" for share in interval.values())
            yield f"{value} ({low} to {high})" if low else str(value)
