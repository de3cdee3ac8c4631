"""tools/claims.py on runs whose steps are done: real score files, logs, frames and records, but no training.

That the steps' programs make such files is test_reproduce.py's; what the steps are, test_plan.py's.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import frames
import in_process
import made_scores
import numpy as np
import pytest
from in_process import changed, files
from made_scores import softmax
from test_claims import TINY, log_of

from rcnn.data.synthetic import scenes
from rcnn.experiments import claims, description, plan
from rcnn.experiments.steps import Records
from rcnn.googlenet import SIGNALS
from rcnn.scoring.score_files import Scores

GIVEN = {**TINY, "splits": [2, 1]}
SEED = Path("out/seed3")
FOLDER = SEED / "split02_5fps"  # the first split's
WORDS = ("given.json", "--out", "out", "--seeds", "3")
KINDS = (("appearance", "appearance"), ("motion", "movement"), ("both", "both"))


def run(*words):
    return in_process.run("claims", *words)


def write(asked):
    Path("given.json").write_text(json.dumps(asked))


def do(step, generator):
    """Make what a step makes, as far as the claims read it."""
    classes = list(scenes.CLASSES)
    videos = {f"v_{name}_g{group:02d}_c01": (label, 5) for group in (1, 2) for label, name in enumerate(classes)}
    for path in step.outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".h5":
            crops = int(step.command[step.command.index("--crops") + 1])
            scored = [(name, label, softmax(generator, 5, crops, 3, 12)) for name, (label, _) in videos.items()]
            made_scores.write(path, scored, crops, SIGNALS, classes)
        elif path.parent.suffix == ".lmdb" and not path.exists():
            frames.write(path.parent, videos, classes).with_suffix(".txt").unlink()
        elif path.name == "classInd.txt":
            path.write_text("".join(f"{number} {name}\n" for number, name in enumerate(classes, 1)))
        elif path.name.endswith("list01.txt") or path.name.endswith("list02.txt"):
            path.write_text("".join(f"{name[2:-8]}/{name}.avi {label + 1}\n" for name, (label, _) in videos.items()))
        elif path.name == "motion_energy.json":
            parts = [dict(zip(("spatial", "temporal", "sum"), generator.uniform(size=3))) for _ in range(2)]
            path.write_text(json.dumps(dict(zip(("motion", "without motion"), parts))))
        elif path.suffix in (".caffemodel", ".prototxt"):
            path.touch()
            if path.name.startswith("rcnn_") and "stage1" not in path.name:
                log_of(path.parent / f"{path.name.split('_iter')[0]}.jsonl", generator.uniform(1, 3, 8))
                (path.parent / f"{path.name.split('_iter')[0]}.caffe.log").touch()
        elif path.name == "videos":
            path.mkdir(exist_ok=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("claims")


@pytest.fixture(autouse=True)
def there(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def seen(folder):
    """Return {what was seen}: of nothing, of all steps done, and again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write(GIVEN)
        seen = {"plan": run(*WORDS, "--dry-run"), "after plan": list(files())}
        read, generator, records = replace(description.parse(GIVEN), seed=3), np.random.default_rng(3), Records("out")
        for step in plan.steps(read, description.check(read, SEED), SEED, workers=1):
            step = replace(step, name=f"seed3.{step.name}")
            records.begin(step, "missing")
            do(step, generator)
            records.finish(step, 2.0)
        return seen


@pytest.fixture(scope="module")
def results(seen, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(*WORDS) == 0
        return json.loads(Path("out/claims.json").read_text())


def test_a_plan_changes_nothing(seen, capsys):
    assert (seen["plan"], seen["after plan"]) == (0, ["given.json"])
    before = files()
    assert run(*WORDS, "--dry-run") == 0 and files() == before
    assert capsys.readouterr().out == "all 89 steps are done\n"
    assert run(*WORDS[:-1], "4", "3", "--dry-run", "--jobs", "2") == 0 and files() == before
    assert capsys.readouterr().out.startswith("89 of 178 steps to do: about ")


def test_it_ends_with_claims_and_a_page(results):
    rows = [row for claim in results["claims"] for row in claim["comparisons"]]
    assert [row["text"] for row in rows] == [row.text for claim in claims.CLAIMS for row in claim.comparisons]
    assert {row["verdict"] for row in rows} == {claims.OPEN}
    assert (results["seeds"], results["videos"], results["split"], results["time"]) == ([3], 24, 2, "2:58 min")
    assert len(results["steps"]) == 89 and sorted(results["classes"]) == sorted(scenes.CLASSES)
    assert results["command"] == f"python tools/claims.py {' '.join(WORDS)}"
    assert {Path(f"out/claims_{name}.png").is_file() for name in ("films", "intervals", "loss", "kinds")} == {True}
    text = Path("out/claims.md").read_text()
    assert all(f"    python tools/{step}\n" in text for step in results["steps"])
    assert all(row["text"] in text for row in rows) and not {"nan", "None"} & set(text.split())


def accuracy(crops, *paths, kind=None):
    """Return the accuracy of the sum of the log-means of score files, by NumPy in float64."""
    logs, right = {}, []
    for path in paths:
        with Scores(path) as file:
            for index, name in enumerate(file.names):
                values = file.frames(index, "high")[:, :crops].astype(np.float64).mean(1)
                logs[name] = logs.get(name, 0) + np.log(values).mean(0)
            labels, classes = dict(zip(file.names, file.labels)), file.classes
    for name, label in labels.items():
        if kind in (None, scenes.CLASSES[classes[label]].kind):
            right.append(logs[name].argmax() == label)
    assert len(right) == (8 if kind else 24)
    return np.mean(right)


def test_each_figure_is_of_its_file(results):
    """Of the first split, though it is split 2: nets of each sort, their classes' kinds and both streams."""
    (figures,) = results["figures"]
    for title, net in (("CNN", "cnn"), ("RCNN-r", "rcnn_r"), ("RCNN-s", "rcnn_s")):
        assert figures[f"{title}, 5 crops"] == pytest.approx(accuracy(5, FOLDER / f"scores_{net}.h5"))
    for title, net in (("CNN", "cnn"), ("RCNN-r", "rcnn_r")):
        image, flow = FOLDER / f"scores_{net}.h5", FOLDER / f"scores_{net}_flow.h5"
        assert figures[f"{title} flow, 5 crops"] == pytest.approx(accuracy(5, flow))
        assert figures[f"{title} two-stream, 5 crops"] == pytest.approx(accuracy(5, image, flow))
    assert figures["RCNN-r, 10 crops"] == pytest.approx(accuracy(10, FOLDER / "scores_rcnn_r.h5"))
    fast = accuracy(5, SEED / "split02_25fps" / "scores_rcnn_r.h5")
    assert figures["RCNN-r at 25 fps, 5 crops"] == pytest.approx(fast)
    recurrent = accuracy(1, FOLDER / "scores_rcnn_r_recurrent.h5")
    assert figures["RCNN-r tested recurrently, 1 crop"] == pytest.approx(recurrent)
    for variant in GIVEN["variants"]:
        path = FOLDER / f"variant_{variant.replace(' ', '_')}" / "scores_rcnn_r.h5"
        assert figures[f"{variant}, 1 crop"] == pytest.approx(accuracy(1, path))
    for kind, shown in KINDS:
        path = FOLDER / "scores_cnn.h5"
        assert figures[f"CNN, 5 crops, classes told by {shown}"] == pytest.approx(accuracy(5, path, kind=kind))
    energy = json.loads((FOLDER / "motion_energy.json").read_text())
    assert figures["conv1, temporal, without motion"] == energy["without motion"]["temporal"]
    assert figures["conv1, sum, motion"] == energy["motion"]["sum"]
    raw = [json.loads(line)["raw"] for line in (FOLDER / "snapshots/rcnn_s.jsonl").read_text().splitlines()][:8]
    assert figures["loss, RCNN-s, mean of stage 2"] == pytest.approx(np.mean(raw))


def test_run_again_it_only_writes_the_page_again(results, capsys):
    before, first = files(), json.loads(Path("out/claims.json").read_text())
    assert run(*WORDS, "--page", "docs/other.md") == 0
    shown = capsys.readouterr().out
    assert all(
        f"{claims.OPEN:>18}: {row['text']}\n" in shown for claim in first["claims"] for row in claim["comparisons"]
    )
    assert changed(before, files()) == {
        "out/claims.json",
        "docs/other.md",
        *(f"docs/other_{name}.png" for name in ("films", "intervals", "loss", "kinds")),
    }
    assert {**json.loads(Path("out/claims.json").read_text()), "command": ""} == {**first, "command": ""}


def test_other_settings_are_named_and_nothing_is_done(seen, capsys):
    Path("longer.json").write_text(json.dumps({**GIVEN, "nets": {**TINY["nets"], "iterations": 9}}))
    before = files()
    assert run("longer.json", *WORDS[1:]) == 2 and files() == before
    error = capsys.readouterr().err
    assert "of 89 steps in out were made with other settings or from other files, the first is seed3." in error
    assert "--force makes them again" in error and error.count("\n") == 1
    assert run("longer.json", *WORDS[1:], "--dry-run") == 0  # what is stale or hangs on it is still to do
    assert " of 89 steps to do: " in capsys.readouterr().out


def test_a_step_that_fails_is_named_and_there_is_no_page(results, tmp_path, monkeypatch, capsys):
    """A record is gone, so that what its step would make is in the way."""
    shutil.copytree("out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    write(GIVEN)
    for path in [*Path("out").glob("claims*"), Path("out/steps/seed3.split02_5fps.scores_cnn.json")]:
        path.unlink()
    assert run(*WORDS) == 1
    out, error = capsys.readouterr()
    message = "claims.py: seed3.split02_5fps.scores_cnn failed: out/seed3/split02_5fps/scores_cnn.h5 is there, and "
    assert error.splitlines()[-1].startswith(message)
    assert not out and not list(Path("out").glob("claims*"))


@pytest.mark.parametrize(
    "asked, words, message",
    [
        (TINY | {"crops": [5]}, (), "description: crops: the claims need 1, 10 too\n"),
        (TINY | {"name": 3}, (), "description: given.json: name: 3: it should be a string\n"),
        (
            TINY,
            ("--seeds", "1", "2", "1"),
            "error: argument --seeds: 1 is there twice, and each is one run; --help tells more\n",
        ),
        (TINY, ("--page", "given.json/page.md"), "cannot write given.json/page.md: Not a directory\n"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, asked, words, message):
    monkeypatch.chdir(tmp_path)
    write(asked)
    assert run(*WORDS, *words) == 2
    assert capsys.readouterr() == ("", f"claims.py: {message}") and list(files()) == ["given.json"]
