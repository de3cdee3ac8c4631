"""Fusion of per-frame scores into video scores (Sec. 2.4), and what accuracy that gives.

Scores are softmax probabilities.  They are averaged over the crops of a frame, then over signals where more than one
is asked for, then fused over the frames of a video, then over two streams.  Where classes have the same score, that
with the lowest number counts as the higher one.
"""

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
from numpy.typing import ArrayLike

from rcnn.files import InputError

FLOOR = 1e-12  # probability below which logarithms do not tell apart, so that one zero does not decide a video
FUSIONS = ("log-mean", "mean", "max")


def average_crops(scores: ArrayLike, crops: Optional[int] = None) -> np.ndarray:
    """Return the mean over crops of frames x crops x ... probabilities (Sec. 3.2), float64, frames x ...

    Parameters
    ----------
    crops
        How many of them, the first ones (None: all), which of ten are so the protocols of one and of five.

    Raises
    ------
    InputError
        Where there are fewer.
    """
    scores = np.asarray(scores)
    crops = scores.shape[1] if crops is None else crops
    if not 1 <= crops <= scores.shape[1]:
        raise InputError(f"fusion: {crops} crops asked for, but the scores are of {scores.shape[1]}")
    return scores[:, :crops].mean(axis=1, dtype=np.float64)


def average_signals(scores: ArrayLike) -> np.ndarray:
    """Return the mean over signals of frames x signals x classes probabilities, float64, frames x classes.

    The paper does not say how it fuses the three (Table 2, row 7); here it is frame by frame, before the frames are
    fused.
    """
    return np.asarray(scores).mean(axis=1, dtype=np.float64)


def average_pairs(scores: ArrayLike, floor: float = FLOOR) -> np.ndarray:
    """Return exp of the log-mean over both frames of each pair of neighbours, float64, pairs x classes.

    scores: probabilities, frames x classes; a single frame is a pair with itself.
    """
    logs = np.log(np.maximum(np.asarray(scores, np.float64), floor))
    return np.exp(logs if len(logs) == 1 else (logs[1:] + logs[:-1]) / 2)


def fuse(scores: ArrayLike, fusion: str = "log-mean", floor: float = FLOOR) -> np.ndarray:
    """Return the video's score from its frames' (Sec. 2.4), float64, one a class.

    Parameters
    ----------
    scores
        Probabilities, frames x classes, of at least one frame.
    fusion
        "mean" or "max" over frames, or "log-mean", the mean over frames of log(max(p, floor)).
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or not len(scores):
        raise InputError(f"fusion: scores of shape {scores.shape}; expected frames x classes with at least one frame")
    if fusion == "mean":
        return scores.mean(axis=0)
    if fusion == "max":
        return scores.max(axis=0)
    if fusion == "log-mean":
        return np.log(np.maximum(scores, floor)).mean(axis=0)
    raise _unknown(fusion)


def fuse_streams(
    one: ArrayLike, two: ArrayLike, weight: float = 0.5, fusion: str = "log-mean", floor: float = FLOOR
) -> np.ndarray:
    """Return the log-average of two streams' video scores (Sec. 3.4), float64, videos x classes.

    That is weight * log(one) + (1 - weight) * log(two); scores of log-mean are logarithms already, others are taken as
    at least `floor`.  The paper only says "log-average"; with equal weights this is it.

    Parameters
    ----------
    one, two
        videos x classes, as `fuse` gives them by `fusion`.
    weight
        That of the first stream, 0 to 1.
    """
    first, second = np.asarray(one, np.float64), np.asarray(two, np.float64)
    if first.shape != second.shape:
        raise InputError(f"fusion: one stream's scores have shape {first.shape}, the other's {second.shape}")
    if not 0 <= weight <= 1:
        raise InputError(f"fusion: a weight of {weight}; it is that of the first stream, from 0 to 1")
    if fusion not in FUSIONS:
        raise _unknown(fusion)
    if fusion != "log-mean":
        first, second = np.log(np.maximum(first, floor)), np.log(np.maximum(second, floor))
    return weight * first + (1 - weight) * second


def _unknown(fusion):
    return InputError(f"fusion: {fusion} is none of {', '.join(FUSIONS)}")


def predictions(videos: ArrayLike) -> np.ndarray:
    """Return the class of the highest score of each row of videos x classes, int64; of equal ones the lowest number.

    Raises InputError if a score is not finite: argmax would take it for the highest.
    """
    return _finite(videos).argmax(axis=1)


def accuracy(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of videos, 0 to 1, whose predicted class is their label; one whole number a video in both."""
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape or not labels.size:
        raise InputError(f"accuracy: {predicted.size} predictions for {labels.size} labels")
    return float((predicted == labels).mean())


def top_accuracy(videos: ArrayLike, labels: ArrayLike, count: int = 5) -> float:
    """Return the share of videos, 0 to 1, whose label is among the `count` classes of highest score.

    videos: videos x classes scores.  labels: one whole number a video.  With no more than `count` classes it is 1.
    """
    scores, truth = _finite(videos), np.asarray(labels)
    if len(scores) != len(truth) or not truth.size:
        raise InputError(f"accuracy: scores of {len(scores)} videos for {truth.size} labels")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]  # stable, so that of equal ones the lowest comes first
    return float((best == truth[:, None]).any(axis=1).mean())


def confusion(predicted: ArrayLike, labels: ArrayLike, classes: int) -> np.ndarray:
    """Return the confusion matrix of `classes` classes, int64: rows are labels, columns predictions."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(predicted)), 1)
    return matrix


def class_accuracy(matrix: ArrayLike) -> np.ndarray:
    """Return the share of each class's videos that are classified rightly, float64, NaN for a class without videos.

    matrix: as `confusion` returns it.
    """
    matrix = np.asarray(matrix)
    videos = matrix.sum(axis=1)
    return np.where(videos > 0, np.diag(matrix) / np.maximum(videos, 1), np.nan)


def mean_class_accuracy(matrix: ArrayLike) -> float:
    """Return the mean of `class_accuracy` over the classes that have videos, 0 to 1; TSN reports this one.

    Raises InputError where no class has any.
    """
    shares = class_accuracy(matrix)
    if np.isnan(shares).all():
        raise InputError("accuracy: the confusion matrix is of no videos")
    return float(np.nanmean(shares))


def most_confused(matrix: ArrayLike, count: int = 10) -> list[tuple[int, int, int]]:
    """Return at most `count` pairs of classes that are taken for each other, as (label, predicted class, videos).

    matrix: as `confusion` returns it.  Those of most videos come first; of equal ones the lowest numbers.
    """
    pairs = [
        (int(label), int(predicted), int(videos))
        for (label, predicted), videos in np.ndenumerate(np.asarray(matrix))
        if videos and label != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[:count]


def metrics(videos: ArrayLike, labels: ArrayLike, classes: Sequence[str]) -> dict[str, Any]:
    """Return every measure of videos x classes scores as what JSON can hold, classes by their names."""
    matrix = confusion(predictions(videos), labels, len(classes))
    return {
        "accuracy": accuracy(predictions(videos), labels),
        "mean_class_accuracy": mean_class_accuracy(matrix),
        "top5_accuracy": top_accuracy(videos, labels),
        "classes": [
            {"class": name, "videos": int(row.sum()), "accuracy": None if np.isnan(right) else right}
            for name, row, right in zip(classes, matrix, class_accuracy(matrix).tolist())
        ],
        "confused": [
            {"class": classes[label], "predicted": classes[predicted], "videos": count}
            for label, predicted, count in most_confused(matrix)
        ],
    }


def _finite(videos):
    videos = np.asarray(videos)
    if not np.isfinite(videos).all():
        raise InputError("a video's scores are not finite; they cannot be ranked")
    return videos
