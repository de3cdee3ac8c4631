"""tools/claims.py from a description to its page, once, at the smallest scale.

It takes about a minute on two idle cores, as it must: the claims compare what 22 trainings and 15 tests give, so that
even of two short videos a class there are 66 steps, each a program whose start alone takes a second.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from runs import ROOT
from test_claims import TINY

from rcnn.data.synthetic import scenes
from rcnn.experiments import claims
from rcnn.nets import caffemodel
from rcnn.scoring.score_files import Scores

TOOL = ROOT / "tools" / "claims.py"
WORDS = ("given.json", "--out", "out", "--seeds", "3", "--jobs", "2")


def run(folder, *words):
    """Run tools/claims.py in a folder; return (status, standard output, standard error)."""
    done = subprocess.run(
        [sys.executable, str(TOOL), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1800,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def files(folder):
    """Return {path: (time of change, bytes)} of all in a folder, without what LMDB's readers touch."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock.mdb"
    }


def changed(before, after):
    return {str(path) for path in {*before, *after} if before.get(path) != after.get(path)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Return {what was seen}: of nothing, to the end, and again."""
    folder = tmp_path_factory.mktemp("claims")
    (folder / "given.json").write_text(json.dumps(TINY))
    found = {"folder": folder, "plan": run(folder, *WORDS, "--dry-run")}
    found["after plan"] = sorted(path.name for path in folder.iterdir())
    found["run"] = run(folder, *WORDS)
    found["files"], found["results"] = files(folder), (folder / "out" / "claims.json").read_text()
    found["again"] = run(folder, *WORDS, "--page", "docs/other.md")
    found["files again"], found["results again"] = files(folder), (folder / "out" / "claims.json").read_text()
    return found


def figures(text):
    """Return the part of claims.json that a run of the same steps must give again."""
    return {key: value for key, value in json.loads(text).items() if key not in ("time", "command")}


def test_a_plan_changes_nothing(seen):
    status, out, error = seen["plan"]
    assert (status, error) == (0, "") and out.startswith("66 of 66 steps to do: about ") and out.count("\n") == 1
    assert seen["after plan"] == ["given.json"]


def test_it_ends_with_claims_and_a_page(seen):
    status, out, error = seen["run"]
    assert status == 0, error
    assert {
        "out/claims.json",
        "out/claims.md",
        *(f"out/claims_{name}.png" for name in ("films", "intervals", "loss", "kinds")),
    } <= set(map(str, seen["files"]))
    given = json.loads(seen["results"])
    rows = [row for claim in given["claims"] for row in claim["comparisons"]]
    assert [row["text"] for row in rows] == [row.text for claim in claims.claims() for row in claim.comparisons]
    assert {row["verdict"] for row in rows} == {claims.OPEN}
    assert all(f"{claims.OPEN:>18}: {row['text']}\n" in out for row in rows)
    assert (given["seeds"], given["videos"], given["split"]) == ([3], 24, 1) and len(given["steps"]) == 66
    assert sorted(given["classes"]) == sorted(scenes.CLASSES)
    assert given["command"] == f"python tools/claims.py {' '.join(WORDS)}"
    text = (seen["folder"] / "out" / "claims.md").read_text()
    assert all(f"    python tools/{step}\n" in text for step in given["steps"])
    assert all(row["text"] in text for row in rows) and not {"nan", "None"} & set(text.split())


def test_the_figures_are_those_of_the_files(seen):
    """By NumPy, of nets of each sort, their classes' kinds and both streams."""
    folder = seen["folder"] / "out/seed3/split01_5fps"
    (given,) = json.loads(seen["results"])["figures"]

    def logs(name, crops):
        with Scores(folder / name) as file:
            labels = dict(zip(file.names, ([file.classes[label] for label in file.labels])))
            return (
                file.classes,
                labels,
                {
                    name: np.log(
                        np.maximum(file.frames(index, "high")[:, :crops].astype(np.float64).mean(1), 1e-12)
                    ).mean(0)
                    for index, name in enumerate(file.names)
                },
            )

    def accuracy(crops, *names, kind=None):
        (classes, labels, one), *rest = [logs(name, crops) for name in names]
        right = [
            classes[sum((other[name] for *_, other in rest), one[name]).argmax()] == label
            for name, label in labels.items()
            if kind in (None, scenes.CLASSES[label].kind)
        ]
        assert len(right) == (4 if kind else 12)
        return np.mean(right)

    for title, name in (
        ("CNN", "cnn"),
        ("RCNN-r", "rcnn_r"),
        ("RCNN-s", "rcnn_s"),
        ("CNN flow", "cnn_flow"),
        ("RCNN-r flow", "rcnn_r_flow"),
    ):
        assert given[f"{title}, 5 crops"] == pytest.approx(accuracy(5, f"scores_{name}.h5"))
    assert given["RCNN-r, 10 crops"] == pytest.approx(accuracy(10, "scores_rcnn_r.h5"))
    assert given["RCNN-r at 25 fps, 5 crops"] == pytest.approx(accuracy(5, "../split01_25fps/scores_rcnn_r.h5"))
    assert given["RCNN-r tested recurrently, 1 crop"] == pytest.approx(accuracy(1, "scores_rcnn_r_recurrent.h5"))
    for variant in TINY["variants"]:
        path = f"variant_{variant.replace(' ', '_')}/scores_rcnn_r.h5"
        assert given[f"{variant}, 1 crop"] == pytest.approx(accuracy(1, path))
    assert given["CNN two-stream, 5 crops"] == pytest.approx(accuracy(5, "scores_cnn.h5", "scores_cnn_flow.h5"))
    for kind, said in (("appearance", "appearance"), ("motion", "movement"), ("both", "both")):
        assert given[f"CNN, 5 crops, classes told by {said}"] == pytest.approx(accuracy(5, "scores_cnn.h5", kind=kind))
    records = [json.loads(line) for line in (folder / "snapshots/rcnn_s.jsonl").read_text().splitlines()]
    raw = [record["raw"] for record in records if record["phase"] == "train" and record["raw"] is not None]
    assert len(raw) == TINY["nets"]["iterations"]
    assert given["loss, RCNN-s, mean of stage 2"] == pytest.approx(np.mean(raw))


def test_the_variants_are_what_they_say(seen):
    folder = seen["folder"] / "out/seed3/split01_5fps"
    learned = {name: folder / f"variant_{name.replace(' ', '_')}" for name in TINY["variants"]}
    iterations = TINY["nets"]["iterations"]
    for name, one in learned.items():
        stages = TINY["variants"][name].get("stages", 2)
        total = iterations + (2 if stages == 1 else 0)
        assert [
            path.name
            for path in one.glob("snapshots/rcnn_r_iter_*.caffemodel")
            if path.name == f"rcnn_r_iter_{total}.caffemodel"
        ], name
        assert (one / "snapshots" / "rcnn_r_stage1_iter_2.caffemodel").exists() == (stages == 2)
        assert (one / "snapshots" / "start.caffemodel").exists() == (name not in ("nothing", "xavier"))

    def spatial(path):
        return caffemodel.read(path).arrays["inception_3a/3x3"][0]

    cnn = spatial(folder / "snapshots" / "cnn_iter_2.caffemodel")
    assert (spatial(learned["one stage"] / "snapshots" / "start.caffemodel") == cnn).all()
    assert np.allclose(spatial(learned["halved sum"] / "snapshots" / "start.caffemodel"), cnn / 2)


def test_run_again_it_makes_no_step_again(seen):
    status, _, error = seen["again"]
    assert status == 0, error
    assert changed(seen["files"], seen["files again"]) == {
        "out/claims.json",
        "docs/other.md",
        *(f"docs/other_{name}.png" for name in ("films", "intervals", "loss", "kinds")),
    }
    assert figures(seen["results again"]) == figures(seen["results"])


def test_other_settings_are_named_and_nothing_is_done(seen):
    folder = seen["folder"]
    (folder / "longer.json").write_text(json.dumps({**TINY, "nets": {**TINY["nets"], "iterations": 9}}))
    before = files(folder)
    status, out, error = run(folder, "longer.json", *WORDS[1:])
    assert (status, out, error.count("\n")) == (2, "", 1) and files(folder) == before
    assert "of 66 steps in out were made with other settings or from other files, the first is seed3." in error


def test_a_step_that_fails_is_named_and_there_is_no_page(tmp_path):
    make = {**TINY["make"], "no-such-option": 1}
    (tmp_path / "given.json").write_text(json.dumps({**TINY, "make": make}))
    status, out, error = run(tmp_path, *WORDS)
    assert (status, out) == (1, "")
    assert error.splitlines()[-1].startswith("claims.py: seed3.videos failed: make_motion_videos.py ended with status")
    assert not list((tmp_path / "out").glob("claims*"))


@pytest.mark.parametrize(
    "given, words, said",
    [
        (TINY | {"crops": [5]}, (), "description: crops: the claims need 1, 10 too\n"),
        (TINY | {"name": 3}, (), "description: given.json: name: 3 is not one line of text\n"),
        (TINY, ("--page", "given.json/page.md"), "cannot write given.json/page.md: Not a directory\n"),
        (TINY, ("--out", "given.json"), "cannot write given.json/claims.md: Not a directory\n"),
    ],
)
def test_bad_input_is_one_line(tmp_path, given, words, said):
    (tmp_path / "given.json").write_text(json.dumps(given))
    status, out, error = run(tmp_path, *WORDS, *words)
    assert (status, out, error.count("\n")) == (2, "", 1) and error.startswith(f"claims.py: {said}")
    assert [path.name for path in tmp_path.iterdir()] == ["given.json"]
