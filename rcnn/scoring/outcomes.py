"""How many pairs of frames and which videos are classified rightly, and how sure that is, by a bootstrap over groups.

A pair counts by the score of its second frame, so a video's first frame does not, for single-frame nets either: all
nets are compared on the same frames.  A video is classified by the log-mean of its pairs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import ArrayLike

from rcnn.files import InputError
from rcnn.scoring.score_files import Scores, matched
from rcnn.scoring.scores import FLOOR, predictions

RESAMPLES, LEVEL = 10_000, 0.95
UCF = re.compile(r"(.+_g\d+)_c\d+")  # a video of a group: clips of one scene


class Interval(NamedTuple):
    """A share or a difference of two, and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of videos.

    Parameters
    ----------
    names
        Of the videos.
    groups
        Of what is not independent: one for each video, of `group_of`.
    pairs, right_pairs
        int64, one number a video: pairs of frames, and those of them that are classified rightly.
    right
        bool, one a video.
    """

    names: Sequence[str]
    groups: Sequence[str]
    pairs: np.ndarray
    right_pairs: np.ndarray
    right: np.ndarray

    @property
    def pair_accuracy(self) -> float:
        """The share of pairs that are classified rightly, 0 to 1."""
        return float(self.right_pairs.sum() / self.pairs.sum())

    @property
    def accuracy(self) -> float:
        """The share of videos that are classified rightly, 0 to 1."""
        return float(self.right.mean())

    def intervals(self, other: Optional["Outcomes"] = None, seed: int = 1) -> tuple[Interval, Interval]:
        """Return by how much pairs and videos are classified rightly, or by how much more than in `other`.

        Parameters
        ----------
        other
            Of the same videos in the same order, with as many pairs each.
        seed
            Of the bootstrap.

        Raises
        ------
        InputError
            Where `other` is of other videos or frames.
        """
        right_pairs = self.right_pairs
        right: np.ndarray = self.right.astype(np.int64)
        if other is not None:
            if list(self.names) != list(other.names) or not np.array_equal(self.pairs, other.pairs):
                raise InputError("bootstrap: the two are not of the same videos and frames")
            right_pairs, right = right_pairs - other.right_pairs, right - other.right
        return (
            bootstrap(right_pairs, self.pairs, self.groups, seed),
            bootstrap(right, np.ones_like(right), self.groups, seed),
        )


def outcomes(
    files: Sequence[Scores],
    signal: str = "high",
    crops: Optional[int] = None,
    averaged: int = 1,
    weight: Optional[float] = None,
    like: Optional[Scores] = None,
) -> Outcomes:
    """Return the Outcomes of a score file.

    Parameters
    ----------
    files
        One, or two whose pairs are fused by the mean of their logarithms, as those of two CNNs of different seeds.
    signal, crops, averaged
        As for `Scores.pairs`.
    weight
        Of the first of two files, 0 to 1; None for 0.5.
    like
        The scores whose videos and frames alone count, so that files compare the same; None for the first's.

    Raises
    ------
    InputError
        Where a file lacks a video or a frame, or what `Scores.pairs` refuses.
    """
    first, share = like or files[0], 0.5 if weight is None else weight
    places = [matched(first, file, more=like is not None) for file in files]
    rows = []
    for index, label in enumerate(first.labels):
        times = first.pair_times(index)
        logs, *second = (
            _logs(file, place[index], times, (signal, crops, averaged)) for file, place in zip(files, places)
        )
        if second:
            logs = share * logs + (1 - share) * second[0]
        rows.append((len(times), (predictions(logs) == label).sum(), predictions(logs.mean(axis=0)[None])[0] == label))
    pairs, right_pairs, right = map(np.array, zip(*rows))
    groups = [group_of(name, first.classes[label]) for name, label in zip(first.names, first.labels)]
    return Outcomes(first.names, groups, pairs, right_pairs, right)


def pooled(parts: Sequence[Outcomes]) -> Outcomes:
    """Return several Outcomes as one, such as those of the test videos of several splits."""
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("pairs", "right_pairs", "right"))
    names, groups = ([text for part in parts for text in getattr(part, name)] for name in ("names", "groups"))
    return Outcomes(names, groups, *arrays)


def group_of(name: str, label: str) -> str:
    """Return what a video has in common with others that are not independent of it.

    Of UCF-101's v_Archery_g08_c01 that is v_Archery_g08, clips of one scene; of Weizmann's daria_bend of class bend
    daria, the person; else the video's own name.

    label: the name of its class.
    """
    if match := UCF.fullmatch(name):
        return match[1]
    person, _, rest = name.partition("_")
    return person if rest.startswith(label) else name


def bootstrap(
    right: ArrayLike, total: ArrayLike, groups: Sequence[str], seed: int = 1, resamples: int = RESAMPLES
) -> Interval:
    """Return the share sum(right) / sum(total) and its 95 % interval: percentiles over groups drawn with replacement.

    A single group tells nothing of how groups spread; low and high are NaN then.

    Parameters
    ----------
    right, total
        One number a video: of what is right, or the difference of two such numbers; and of all.
    groups
        Of each video; a draw takes all videos of a group.
    seed, resamples
        Of the draws, and their number.
    """
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    part, whole = (np.bincount(place, weights=np.asarray(values, np.float64)) for values in (right, total))
    value = float(part.sum() / whole.sum())
    if len(names) == 1:
        return Interval(value, np.nan, np.nan)
    drawn = _drawn(len(names), seed, resamples)
    shares = (drawn @ part) / (drawn @ whole)
    low, high = (float(np.quantile(shares, (1 + side * LEVEL) / 2)) for side in (-1, 1))
    return Interval(value, low, high)


@lru_cache(maxsize=4)
def _drawn(count: int, seed: int, resamples: int) -> np.ndarray:
    """Return how often each of so many groups is in each resample, float64; all nets of a table share these draws."""
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return draws.astype(np.float64)


def _logs(file, index, times, settings):
    """Return the logarithms of the scores of a video's pairs at some times, float64, pairs x classes."""
    there, scores = file.pair_times(index), file.pairs(index, *settings)
    rows = np.searchsorted(there, times)
    if not np.array_equal(there[np.minimum(rows, len(there) - 1)], times):
        raise InputError(f"video {file.names[index]} lacks frames in {file.path} that are in the scores beside it")
    return np.log(np.maximum(scores[rows], FLOOR))
