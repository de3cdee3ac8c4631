"""tools/fuse.py over score files, against NumPy."""

import json
from pathlib import Path

import made_scores
import numpy as np
import pytest
import runs
from calls import caller, refused

from rcnn.files import sha256
from rcnn.googlenet import SIGNALS

CLASSES = ["Up", "Down", "Left", "Right", "Near", "Far", "Épée"]
LENGTHS = (3, 1, 70, 2, 5, 4, 1, 9)
LABELS = (0, 1, 2, 3, 4, 0, 1, 0)  # none of the last two classes
FUSIONS = ("log-mean", "mean", "max")


def write(path, seed, crops=10, signals=SIGNALS, order=range(len(LENGTHS)), labels=LABELS, classes=CLASSES):
    """Write random scores, some of them zero, that favour the right class; return them in the usual order."""
    generator = np.random.default_rng(seed)
    videos = []
    for index, frames in enumerate(LENGTHS):
        values = np.exp(generator.normal(size=(frames, 10, 3, len(CLASSES))))
        values[..., LABELS[index]] *= 1.3
        values *= generator.random(values.shape) < 0.9
        videos.append((values / values.sum(axis=-1, keepdims=True)).astype(np.float32)[:, :crops, : len(signals)])
    listed = [(f"v_{index}", labels[index], videos[index]) for index in order]
    made_scores.write(path, listed, crops=crops, signals=signals, classes=classes, seed=seed)
    return videos


@pytest.fixture(autouse=True)
def scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write("a.h5", 1), write("b.h5", 2, crops=5, order=(5, 0, 7, 2, 1, 3, 6, 4))


@pytest.fixture
def fuse(monkeypatch, capsys):
    """The program's main(), called with arguments; returns the lines that it prints."""
    main = caller(monkeypatch, "fuse")

    def call(*arguments, **options):
        main(*arguments, **options)
        return capsys.readouterr().out.splitlines()

    return call


def logarithms(videos, how, crops, places):
    """Return log video scores by NumPy (those of mean and max as at least 1e-12), videos x classes."""
    rows = []
    for values in videos:
        frames = np.mean([values[:, crop, place].astype(float) for crop in range(crops) for place in places], axis=0)
        frames = np.maximum(frames, 1e-12)
        rows.append(
            {"log-mean": np.log(frames).mean(0), "mean": np.log(frames.mean(0)), "max": np.log(frames.max(0))}[how]
        )
    return np.array(rows)


def metrics(scores):
    """Return (accuracy, mean class accuracy, top 5) by NumPy."""
    ranks = np.argsort(-scores, axis=1)
    right = ranks[:, 0] == LABELS
    classes = [right[np.array(LABELS) == label].mean() for label in sorted(set(LABELS))]
    return right.mean(), np.mean(classes), np.mean([label in row[:5] for label, row in zip(LABELS, ranks)])


@pytest.mark.parametrize(
    "options, crops, places",
    [({}, (10, 5), [2]), ({"crops": 1, "signal": "low"}, (1, 1), [0]), ({"signal": "all"}, (10, 5), [0, 1, 2])],
)
@pytest.mark.parametrize("weight", [None, 0, 0.25])
def test_every_number_is_numpys(fuse, scores, options, crops, places, weight):
    files = ["a.h5"] if weight is None else ["a.h5", "b.h5"]
    printed = fuse(*files, **options, weight=weight, json="out.json")
    report = json.loads(Path("out.json").read_text())
    assert tuple(report["fusions"]) == FUSIONS
    for how, line in zip(FUSIONS, printed[2:]):
        expected = logarithms(scores[0], how, crops[0], places)
        if weight is not None:
            expected = weight * expected + (1 - weight) * logarithms(scores[1], how, crops[1], places)
        result = report["fusions"][how]
        shares = result["accuracy"], result["mean_class_accuracy"], result["top5_accuracy"]
        assert shares == pytest.approx(metrics(expected))
        assert line.split() == [how, *sum(([f"{100 * value:.1f}", "%"] for value in metrics(expected)), [])]
        predicted = expected.argmax(axis=1)
        wrong = [(CLASSES[label], CLASSES[place]) for label, place in zip(LABELS, predicted) if label != place]
        assert sum(pair["videos"] for pair in result["confused"]) == len(wrong)
        for pair in result["confused"]:
            assert pair["videos"] == wrong.count((pair["class"], pair["predicted"]))
        for place, row in enumerate(result["classes"]):
            mine = [number for number, label in enumerate(LABELS) if label == place]
            assert (row["class"], row["videos"]) == (CLASSES[place], len(mine))
            assert row["accuracy"] == (pytest.approx(np.mean(predicted[mine] == place)) if mine else None)
    assert report["scores"] == [{"file": path, "sha256": sha256(path)} for path in files]
    assert (report["videos"], report["weight"], report["crops"]) == (len(LABELS), weight, list(crops[: len(files)]))


@pytest.mark.parametrize("averaged", [1, 2])
@pytest.mark.parametrize("weight", [None, 0.25])
def test_pairs_by_one_frame_or_both(fuse, scores, averaged, weight):
    """The CNN's control; a video of one frame is that frame.  Of two files too, as two CNNs of different seeds."""

    def pairs(values, crops):
        frames = np.log(np.maximum(values[:, :crops, 2].astype(float).mean(1), 1e-12))
        if len(frames) > 1:
            frames = (frames[1:] + frames[:-1]) / 2 if averaged == 2 else frames[1:]
        return frames

    rows = [pairs(values, 10) for values in scores[0]]
    if weight:
        rows = [weight * one + (1 - weight) * pairs(values, 5) for one, values in zip(rows, scores[1])]
    files = ["a.h5", "b.h5"] if weight else ["a.h5"]
    printed = fuse(*files, weight=weight, **{"frames-averaged": averaged, "json": "out.json", "fusion": "log-mean"})
    right = [(row.argmax(1) == label).sum() for row, label in zip(rows, LABELS)]
    report = json.loads(Path("out.json").read_text())
    assert report["pair_accuracy"] == pytest.approx(sum(right) / sum(map(len, rows)))
    assert report["frames_averaged"] == averaged
    expected = metrics(np.array([row.mean(0) for row in rows]))
    result = report["fusions"]["log-mean"]
    assert (result["accuracy"], result["top5_accuracy"]) == pytest.approx((expected[0], expected[2]))
    kind = {1: "pairs by frame t", 2: "pairs by both frames"}[averaged]
    assert f"high signal, {kind}, 8 videos" in printed[0]
    assert printed[-1] == f"by the pair, log-mean: {100 * report['pair_accuracy']:.1f} %, 89 pairs"


def test_what_is_printed(fuse):
    assert fuse("a.h5", confusion="new/c.png")[0] == "a.h5 (10 crops), high signal, 8 videos"
    assert Path("new/c.png").read_bytes()[1:4] == b"PNG"
    lines = fuse("a.h5", "b.h5", weight=0.7, fusion="max", signal="all")
    names = "0.7 x log a.h5 (10 crops) + 0.3 x log b.h5 (5 crops)"
    assert lines[0] == f"{names}, mean of low, medium and high signal, 8 videos"
    assert len(lines) == 3 and lines[2].startswith("max ")
    assert fuse("a.h5", "b.h5") == fuse("a.h5", "b.h5", weight=0.5)


@pytest.mark.parametrize(
    "prepare, arguments, options, said",
    [
        (None, ["a.h5", "none.h5"], {}, "no such file: none.h5"),
        (lambda: write("c.h5", 3, order=range(7)), ["a.h5", "c.h5"], {}, "video v_7 is in a.h5, but not in c.h5"),
        (lambda: write("c.h5", 3, signals=SIGNALS[:2]), ["c.h5"], {}, "c.h5 has no signal high; it has low, medium"),
        (None, ["b.h5"], {"crops": 10}, "b.h5 has 5 crops a frame, 10 are asked for"),
        (None, ["a.h5", "b.h5"], {"json": "./b.h5"}, "--json: ./b.h5 is what SCORES reads; give another --json"),
        (None, ["a.h5"], {"json": "x.png", "confusion": "x.png"}, "--json: x.png is the file of --confusion too"),
        (lambda: Path("folder").mkdir(), ["a.h5"], {"json": "folder"}, "cannot write folder: Is a directory"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(fuse, prepare, arguments, options, said):
    if prepare:
        prepare()
    refused(fuse, said, *arguments, **{"json": "out.json", **options})


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["a.h5", "--weight", "0.5"], "--weight is for two score files"),
        (["a.h5"] * 3, "3 score files"),
        (["a.h5", "b.h5", "--weight", "1.1"], "1.1 is not a number from 0 to 1"),
        (["a.h5", "b.h5", "--weight", "nan"], "nan is not a number"),
        (["a.h5", "--crops", "3"], "--crops"),
    ],
)
def test_wrong_arguments(fuse, capsys, arguments, said):
    with pytest.raises(SystemExit) as stop:
        fuse(*arguments)
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_as_a_program():
    status, out, error = runs.run("fuse", "a.h5", "b.h5")
    assert (status, error) == (0, "") and out.startswith("0.5 x log a.h5")
    assert runs.run("fuse", "none.h5") == (2, "", "fuse.py: scores: no such file: none.h5\n")
