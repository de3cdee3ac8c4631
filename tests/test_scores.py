"""Fusion and accuracy, against NumPy in float64."""

import math
import subprocess
import sys

import numpy as np
import pytest
from made_scores import softmax
from runs import ROOT

from rcnn.files import InputError
from rcnn.scoring import scores


def test_averages_over_crops_and_signals():
    values = softmax(np.random.default_rng(2), 4, 10, 3)
    for crops in (1, 5, 10):
        expected = sum(values[:, crop].astype(float) for crop in range(crops)) / crops
        assert np.allclose(scores.average_crops(values, crops), expected, rtol=1e-14)
    assert np.array_equal(scores.average_crops(values), scores.average_crops(values, 10))
    assert np.allclose(scores.average_signals(values), expected, rtol=1e-14)
    for crops in (0, 11):
        with pytest.raises(InputError, match=f"{crops} crops asked for, but the scores are of 10"):
            scores.average_crops(values, crops)


def test_each_fusion_by_hand():
    frames = np.array([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.0, 0.9, 0.1]])
    logs = [(2 * np.log(0.5) + np.log(1e-12)) / 3, (2 * np.log(0.4) + np.log(0.9)) / 3, np.log(0.1)]
    assert np.allclose(scores.fuse(frames, "mean"), [1 / 3, 1.7 / 3, 0.1])
    assert np.allclose(scores.fuse(frames, "max"), [0.5, 0.9, 0.1])
    assert np.allclose(scores.fuse(frames), logs)
    assert scores.fuse(frames, floor=0.1)[0] == pytest.approx((2 * np.log(0.5) + np.log(0.1)) / 3)
    for bad, said in (((frames, "median"), "median is none of"), ((frames[:0],), "at least one frame")):
        with pytest.raises(InputError, match=said):
            scores.fuse(*bad)


def by_numpy(frames, how):
    frames = [[float(value) for value in row] for row in frames]
    if how == "max":
        return [max(column) for column in zip(*frames)]
    if how == "log-mean":
        frames = [[math.log(value) if value > 1e-12 else math.log(1e-12) for value in row] for row in frames]
    return [math.fsum(column) / len(frames) for column in zip(*frames)]


@pytest.mark.parametrize("how", scores.FUSIONS)
@pytest.mark.parametrize("frames", [1, 300])
def test_each_fusion_on_random_scores_with_zeros(how, frames):
    generator = np.random.default_rng(frames)
    values = softmax(generator, frames, 7) * (generator.random((frames, 7)) < 0.8)
    values[:, 3] = 0
    fused = scores.fuse(values, how)
    assert np.isfinite(fused).all() and np.allclose(fused, by_numpy(values, how), rtol=1e-12, atol=0)


@pytest.mark.parametrize("how", scores.FUSIONS)
def test_streams_are_fused_by_logarithms(how):
    generator = np.random.default_rng(4)
    frames = [[softmax(generator, count, 5) for count in (3, 1, 8)] for _ in range(2)]
    frames[0][1][0, 2] = 0
    one, two = (np.stack([scores.fuse(video, how) for video in stream]) for stream in frames)
    logs = [np.array([by_numpy(video, how) for video in stream]) for stream in frames]
    if how != "log-mean":
        logs = [np.log(np.maximum(values, 1e-12)) for values in logs]
    for weight in (0, 0.3, 1):
        expected = weight * logs[0] + (1 - weight) * logs[1]
        assert np.allclose(scores.fuse_streams(one, two, weight, how), expected, rtol=1e-12, atol=0)
    assert np.array_equal(scores.fuse_streams(one, two, fusion=how), scores.fuse_streams(two, one, fusion=how))
    for bad, said in (
        ((one, two[:2]), r"shape \(3, 5\)"),
        ((one, two, 1.5), "weight of 1.5"),
        ((one, two, float("nan")), "weight of nan"),
        ((one, two, 0.5, "sum"), "sum is none of"),
    ):
        with pytest.raises(InputError, match=said):
            scores.fuse_streams(*bad)


def test_of_equal_scores_the_lowest_class_wins():
    frames = softmax(np.random.default_rng(5), 6, 8)
    frames[:, [1, 4, 6]] = frames[:, [2]] = 0.9
    for how in scores.FUSIONS:
        assert scores.predictions([scores.fuse(frames, how)]).tolist() == [1]
    assert scores.top_accuracy(np.zeros((8, 8)), [0, 1, 2, 3, 4, 4, 0, 1], 5) == 1
    assert scores.top_accuracy(np.zeros((8, 8)), [5, 6, 7, 5, 6, 7, 5, 4], 5) == 1 / 8


def test_accuracy_and_confusion():
    predicted, labels = [0, 1, 1, 2, 1], [0, 1, 2, 2, 2]
    assert scores.accuracy(predicted, labels) == 0.6
    assert scores.confusion(predicted, labels, 4).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0]]
    for bad in (([], []), ([0], [0, 1])):
        with pytest.raises(InputError):
            scores.accuracy(*bad)
    with pytest.raises(InputError, match="not finite"):
        scores.predictions([[0.1, np.nan]])


def test_top_accuracy_is_a_sort():
    generator = np.random.default_rng(6)
    videos, labels = generator.normal(size=(40, 12)), generator.integers(12, size=40)
    for count in (1, 5, 12, 20):
        right = sum(
            label in sorted(range(12), key=lambda place: -row[place])[:count] for row, label in zip(videos, labels)
        )
        assert scores.top_accuracy(videos, labels, count) == pytest.approx(right / 40)
    assert scores.top_accuracy(videos, labels, 1) == scores.accuracy(scores.predictions(videos), labels)
    for bad in ((videos, labels[:3]), (np.full((1, 2), np.nan), [0]), (videos[:0], [])):
        with pytest.raises(InputError):
            scores.top_accuracy(*bad)


def test_class_accuracies():
    labels, predicted = [0] * 3 + [1] * 1 + [3] * 4, [0, 0, 1] + [3] + [3, 3, 1, 3]
    matrix = scores.confusion(predicted, labels, 4)
    assert np.array_equal(scores.class_accuracy(matrix), [2 / 3, 0, np.nan, 3 / 4], equal_nan=True)
    assert scores.mean_class_accuracy(matrix) == pytest.approx((2 / 3 + 0 + 3 / 4) / 3)
    with pytest.raises(InputError, match="no videos"):
        scores.mean_class_accuracy(np.zeros((3, 3), int))


def test_most_confused():
    matrix = [[9, 1, 2], [0, 5, 2], [3, 1, 0]]
    assert scores.most_confused(matrix) == [(2, 0, 3), (0, 2, 2), (1, 2, 2), (0, 1, 1), (2, 1, 1)]
    assert scores.most_confused(matrix, 2) == [(2, 0, 3), (0, 2, 2)] and scores.most_confused(np.eye(3)) == []


def test_neither_caffe_nor_hdf5_is_needed():
    code = "import sys; from rcnn.scoring import scores; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], text=True, cwd=ROOT, capture_output=True, check=True)
    assert "rcnn.scoring.scores" in done.stdout.split() and not {"caffe", "h5py"} & set(done.stdout.split())
