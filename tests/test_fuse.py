"""tools/fuse.py over score files, against NumPy."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import runs

from rcnn.files import ProgramError, sha256
from rcnn.googlenet import SIGNALS
from rcnn.scoring.score_writing import writing

CLASSES = ["Up", "Down", "Left", "Right", "Near", "Far", "Épée"]
LENGTHS = (3, 1, 70, 2, 5, 4, 1, 9)
LABELS = (0, 1, 2, 3, 4, 0, 1, 0)  # none of the last two classes


def write(path, seed, crops=10, signals=SIGNALS, order=range(len(LENGTHS)), labels=LABELS, classes=CLASSES):
    """Write random scores, some of them zero, that favour the right class; return them in the usual order."""
    generator = np.random.default_rng(seed)
    videos = []
    for index, frames in enumerate(LENGTHS):
        values = np.exp(generator.normal(size=(frames, 10, 3, len(CLASSES))))
        values[..., LABELS[index]] *= 1.3
        values *= generator.random(values.shape) < 0.9
        videos.append((values / values.sum(axis=-1, keepdims=True)).astype(np.float32)[:, :crops, : len(signals)])
    listed = [(f"v_{index}", labels[index], np.arange(LENGTHS[index]) / 5) for index in order]
    with writing(path, listed, crops, signals, classes, {"seed": seed}) as writer:
        for place, index in enumerate(order):
            writer.add(place, videos[index])
    return videos


@pytest.fixture(autouse=True)
def scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write("a.h5", 1), write("b.h5", 2, crops=5, order=(5, 0, 7, 2, 1, 3, 6, 4))


@pytest.fixture
def fuse(monkeypatch, capsys):
    """The tool's main(), called with arguments; returns what it prints."""
    module = runs.module("fuse")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fuse.py", *map(str, arguments)])
        module.main()
        return capsys.readouterr().out

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
    [
        ((), (10, 5), [2]),
        (("--crops", 5), (5, 5), [2]),
        (("--crops", 1, "--signal", "low"), (1, 1), [0]),
        (("--signal", "all"), (10, 5), [0, 1, 2]),
    ],
)
@pytest.mark.parametrize("weight", [None, 0, 0.25, 0.5])
def test_every_number_is_numpys(fuse, scores, options, crops, places, weight):
    streams = () if weight is None else ("b.h5", "--weight", weight)
    said = fuse("a.h5", *streams, *options, "--json", "out.json").splitlines()
    report = json.loads(Path("out.json").read_text())
    assert list(report["fusions"]) == ["log-mean", "mean", "max"]
    for how, line in zip(("log-mean", "mean", "max"), said[2:]):
        expected = logarithms(scores[0], how, crops[0], places)
        if weight is not None:
            expected = weight * expected + (1 - weight) * logarithms(scores[1], how, crops[1], places)
        result = report["fusions"][how]
        found = result["accuracy"], result["mean_class_accuracy"], result["top5_accuracy"]
        assert found == pytest.approx(metrics(expected))
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
    assert report["scores"][0] == {"file": "a.h5", "sha256": sha256("a.h5")} and report["videos"] == len(LABELS)
    assert report["weight"] == weight and report["crops"] == list(crops[: len(report["scores"])])
    assert len(report["scores"]) == (1 if weight is None else 2)


def test_what_is_said(fuse):
    assert fuse("a.h5").splitlines()[0] == "a.h5 (10 crops), high signal, 8 videos"
    said = fuse("a.h5", "b.h5", "--weight", 0.7, "--fusion", "max", "--signal", "all").splitlines()
    assert said[0] == (
        "0.7 x log a.h5 (10 crops) + 0.3 x log b.h5 (5 crops), mean of low, medium and high signal, 8 videos"
    )
    assert len(said) == 3 and said[2].startswith("max ")


def test_the_weights_default_and_ends(fuse):
    assert fuse("a.h5", "b.h5").splitlines() == fuse("a.h5", "b.h5", "--weight", "0.5").splitlines()
    alone = fuse("a.h5").splitlines()[2:]
    assert fuse("a.h5", "b.h5", "--weight", "1").splitlines()[2:] == alone
    assert fuse("b.h5", "a.h5", "--weight", "0").splitlines()[2:] == alone


def test_the_picture(fuse):
    fuse("a.h5", "--confusion", "new/c.png")
    assert Path("new/c.png").read_bytes()[1:4] == b"PNG"


def cut():
    Path("b.h5").write_bytes(Path("b.h5").read_bytes()[:3000])


@pytest.mark.parametrize(
    "prepare, arguments, said",
    [
        (lambda: None, ["a.h5", "none.h5"], "no such file: none.h5"),
        (cut, ["a.h5", "b.h5"], "b.h5 is cut short"),
        (lambda: write("c.h5", 3, order=range(7)), ["a.h5", "c.h5"], "video v_7 is in a.h5, but not in c.h5"),
        (
            lambda: write("c.h5", 3, labels=(0, 1, 2, 4, *LABELS[4:])),
            ["a.h5", "c.h5"],
            "video v_3 is of class Right in a.h5, but of Near in c.h5",
        ),
        (lambda: write("c.h5", 3, classes=[*CLASSES[:-1], "Sword"]), ["a.h5", "c.h5"], "class 7 is Épée in a.h5"),
        (lambda: write("c.h5", 3, signals=SIGNALS[:2]), ["c.h5"], "c.h5 has no signal high; it has low, medium"),
        (lambda: None, ["b.h5", "--crops", "10"], "b.h5 has 5 crops a frame, 10 are asked for"),
        (lambda: None, ["a.h5", "--json", "a.h5"], "neither of them a score file"),
        (lambda: None, ["a.h5", "b.h5", "--confusion", "./b.h5"], "neither of them a score file"),
        (lambda: None, ["a.h5", "--json", "x", "--confusion", "x"], "must be two files"),
        (lambda: Path("folder").mkdir(), ["a.h5", "--json", "folder"], "cannot write folder: Is a directory"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(fuse, prepare, arguments, said):
    prepare()
    before = {path: path.read_bytes() for path in Path(".").glob("*.*")}
    with pytest.raises(ProgramError, match=said) as error:
        fuse(*arguments, *(() if "--json" in arguments else ("--json", "out.json")))
    assert "\n" not in str(error.value)
    assert before == {path: path.read_bytes() for path in Path(".").glob("*.*")}


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["a.h5", "--weight", "0.5"], "--weight is for two score files"),
        (["a.h5"] * 3, "3 score files"),
        (["a.h5", "b.h5", "--weight", "1.1"], "1.1 is not a number from 0 to 1"),
        (["a.h5", "b.h5", "--weight", "nan"], "nan is not a number"),
        ([], "SCORES"),
        (["a.h5", "--crops", "3"], "--crops"),
    ],
)
def test_wrong_arguments(fuse, capsys, arguments, said):
    with pytest.raises(SystemExit) as stop:
        fuse(*arguments)
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_as_a_program():
    status, said, error = runs.run("fuse", "a.h5", "b.h5")
    assert (status, error) == (0, "") and said.startswith("0.5 x log a.h5")
    assert runs.run("fuse", "none.h5") == (2, "", "fuse.py: scores: no such file: none.h5\n")
    assert "log-mean" in runs.run("fuse", "--help")[1]
