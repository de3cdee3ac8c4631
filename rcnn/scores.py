"""Fusion of per-frame scores into video scores (Sec. 2.4), and what accuracy that gives; files: rcnn/score_files.py."""
import numpy as np

from rcnn.files import InputError

FLOOR = 1e-12  # probability below which log-mean does not tell apart, so that one zero does not decide a video
FUSIONS = ("log-mean", "mean", "max")


def average_crops(scores):
    """Return the mean over crops of frames x crops x classes probabilities (Sec. 3.2), float64, frames x classes."""
    return np.asarray(scores, np.float64).mean(axis=1)


def fuse(scores, fusion="log-mean", floor=FLOOR):
    """Return the video's score from its frames' (Sec. 2.4), float64, one a class.

    scores: frames x classes probabilities.  fusion: "mean" or "max" over frames, or "log-mean", the mean over frames of
    log(max(p, floor)).
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
    raise InputError(f"fusion: {fusion} is none of {', '.join(FUSIONS)}")


def predictions(videos):
    """Return the class of the highest score of each row of videos x classes, int64.

    Raises InputError if a score is not finite: argmax would take it for the highest.
    """
    videos = np.asarray(videos)
    if not np.isfinite(videos).all():
        raise InputError("a video's scores are not finite; they cannot be ranked")
    return videos.argmax(axis=1)


def accuracy(predicted, labels):
    """Return the share of videos, 0 to 1, whose predicted class is their label; one whole number a video in both."""
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape or not labels.size:
        raise InputError(f"accuracy: {predicted.size} predictions for {labels.size} labels")
    return float((predicted == labels).mean())


def confusion(predicted, labels, classes):
    """Return the confusion matrix of `classes` classes, int64: rows are labels, columns predictions."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(predicted)), 1)
    return matrix
