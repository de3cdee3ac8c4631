"""tools/demo.py, and with it every program from the videos to the scores, at the scale of --quick."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import in_process
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from in_process import changed, files
from runs import ROOT
from test_plan import without_weights

from rcnn.data.records import read_manifest
from rcnn.experiments import demo, description, plan
from rcnn.nets import caffemodel
from rcnn.scoring import score_files, scores
from rcnn.training import log as training
from rcnn.training import snapshots

RUNS = {
    "start_cnn.cnn": 40,
    "cnn": 120,
    "rcnn_r_stage1": 40,
    "rcnn_r": 80,
    "rcnn_s_stage1": 40,
    "rcnn_s": 80,
}  # updates
SPLIT = "split01_5fps"
OTHERS = (
    "pairs_train",
    "pairs_test",
    "nets",
    "start_cnn.nets",
    "start",
    "scores_cnn",
    "scores_rcnn_s",
    "scores_rcnn_r",
)
STEPS = ["videos", "frames_5fps", *(f"{SPLIT}.{name}" for name in (*RUNS, *OTHERS))]
PICTURES = {f"{name}.png" for name in ("films", "loss", *(f"confusion_{net}" for net in demo.NETS))}


def start(folder):
    """Start a quick demo in work/ of the folder, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "demo.py"), "--quick", "--out", "work"],
        cwd=folder,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process, number=None):
    """Send a signal, if there is one, to all of the process's group; return (status, output, errors)."""
    if number:
        os.killpg(process.pid, number)
    out, error = process.communicate(timeout=300)
    assert "Traceback" not in error, error
    return process.returncode, out, error


def prefix(made, name):
    """Return the start of the names of what a training writes."""
    *folder, run = name.split(".")
    return Path(made, SPLIT, *folder, "snapshots", run)


def reached(made, name):
    """Return the iteration of the newest snapshot of a training."""
    return next(iter(snapshots.of(prefix(made, name))), 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One quick demo: killed while the CNN trained, run to its end, and run again.

    Returns its folder and what was seen on the way.  Ctrl-C is test_reproduce.py's.
    """
    folder = tmp_path_factory.mktemp("demo")
    made, seen = folder / "work" / "quick", {}
    process = start(folder)
    deadline = time.monotonic() + 300
    while not reached(made, "start_cnn.cnn"):
        assert process.poll() is None and time.monotonic() < deadline, end(process, signal.SIGKILL)
        time.sleep(0.01)
    end(process, signal.SIGKILL)
    seen["killed at"] = reached(made, "start_cnn.cnn")
    seen["finished"] = end(start(folder))
    seen["files"] = files(made)
    seen["again"] = end(start(folder))
    seen["files again"] = files(made)
    return made, seen


def test_killed_it_goes_on_to_the_end(runs):
    made, seen = runs
    status, out, error = seen["finished"]
    assert status == 0 and 0 < seen["killed at"] < RUNS["start_cnn.cnn"], error
    logs = {name: (made / "logs" / f"{name}.log").read_text() for name in STEPS}
    assert f"going on from work/quick/{SPLIT}/start_cnn/snapshots/cnn_iter_" in logs[f"{SPLIT}.start_cnn.cnn"]
    assert [name for name, log in logs.items() if log.count("$ python tools/") != 1] == [f"{SPLIT}.start_cnn.cnn"]
    assert "8 videos of 2 classes" in logs["videos"]
    assert "80 frames of 8 videos; 0 videos skipped" in logs["frames_5fps"]
    assert "54 pairs of 6 videos" in logs[f"{SPLIT}.pairs_train"]
    assert "18 pairs of 2 videos" in logs[f"{SPLIT}.pairs_test"] and "the numbers above mean nothing" in out
    seconds = json.loads((made / "results.json").read_text())["seconds"]
    assert sorted(seconds) == sorted(STEPS) and min(seconds.values()) > 0


def test_all_is_there_and_finite(runs):
    made, seen = runs
    for name, updates in RUNS.items():
        assert reached(made, name) == updates
        for path in snapshots.of(prefix(made, name), "caffemodel").values():
            caffemodel.read(path)  # raises where a number is not finite
        records = training.read_log(f"{prefix(made, name)}.jsonl")
        shown = [record["iteration"] for record in records if record["phase"] == "train"]
        assert shown == list(range(0, updates + 1, 20))
        tested = [record["iteration"] for record in records if record["phase"] == "test"]
        assert tested == list(range(40, updates + 1, 40))
        assert not any(training.not_finite(record) for record in records)
    for name, mode in (("cnn", "frame"), ("rcnn_s", "recurrent"), ("rcnn_r", "pair")):
        with score_files.Scores(made / SPLIT / f"scores_{name}.h5") as file:
            assert file.attributes["mode"] == mode and file.signals == ["low", "medium", "high"]
            assert file.names == ["v_FlowersDown_g04_c01", "v_FlowersUp_g04_c01"] and list(file.labels) == [0, 1]
            for index in range(2):
                values = np.stack([file.frames(index, signal) for signal in file.signals])
                assert values.shape == (3, 10, 5, 2) and np.abs(values.sum(axis=-1) - 1).max() < 1e-5
            right = scores.accuracy(scores.predictions(file.videos("high")), file.labels)
        results = json.loads((made / "results.json").read_text())
        assert results["accuracy"][name] == right and results["videos"] == 2
        title = {"cnn": "single-frame CNN", "rcnn_s": "RCNN-s", "rcnn_r": "RCNN-r"}[name]
        assert f"| {title} | {100 * right:.1f} % |" in seen["finished"][1]
    assert (results["chance"], results["appearance alone"], results["seed"]) == (0.5, 0.5, 1)
    assert {(made / name).read_bytes()[:4] for name in PICTURES} == {b"\x89PNG"}
    for name, videos in (("frames_5fps", 8), (f"{SPLIT}/pairs_train", 6), (f"{SPLIT}/pairs_test", 2)):
        assert read_manifest(made / f"{name}.lmdb")["counts"]["videos"] == videos


def test_run_again_it_makes_nothing_anew(runs):
    made, seen = runs
    status, out, error = seen["again"]
    assert status == 0, error
    assert out == seen["finished"][1] and "done in" not in error
    assert changed(seen["files"], seen["files again"]) == {"results.json", *PICTURES}


def test_another_seed_in_its_folder_is_refused(runs, monkeypatch, capsys):
    made, _ = runs
    monkeypatch.chdir(made.parent.parent)
    before = files(made)
    assert in_process.run("demo", "--quick", "--out", "work", "--seed", "2") == 2 and files(made) == before
    out, error = capsys.readouterr()
    assert error.startswith("demo.py: ") and "steps in work/quick were made with other settings" in error
    assert (out, error.count("\n")) == ("", 1) and error.endswith("; remove it or give another --out\n")


def test_a_demo_of_an_older_version_stays_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("work/quick").mkdir(parents=True)
    Path("work/quick/settings.json").write_text("{}")
    assert in_process.run("demo", "--quick", "--out", "work") == 2
    message = "demo.py: work/quick holds a demo of an older version; remove it or give another --out\n"
    assert capsys.readouterr() == ("", message) and list(files()) == ["work/quick/settings.json"]


def test_a_step_that_fails_ends_the_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("videos", "prototxt"):
        Path("work/quick", SPLIT if name == "prototxt" else "", name).mkdir(parents=True)  # in the way
    Path("work/quick", SPLIT, "prototxt/deploy_cnn.prototxt").touch()
    assert in_process.run("demo", "--quick", "--out", "work") == 2
    out, error = capsys.readouterr()
    assert out == "" and error.splitlines()[-1] == (
        "demo.py: videos: work/quick/videos is there, and work/quick/steps/videos.json does not say what made it; "
        "move it away"
    )


@pytest.mark.parametrize(
    "name, classes, width, updates, snapshot, tests",
    [("demo", 12, 1 / 4, (600, 400, 2800), 200, (42, 700)), ("demo_quick", 2, 1 / 16, (40, 40, 80), 20, (4, 40))],
)
def test_nets_and_solvers_of_the_descriptions(tmp_path, monkeypatch, name, classes, width, updates, snapshot, tests):
    """What decides the demo's numbers is written here once more."""
    monkeypatch.chdir(tmp_path)
    asked = description.read(ROOT / "data" / f"{name}.json")
    out = Path("demo")
    steps = {step.name: step for step in plan.steps(asked, description.check(asked, out), out)}
    for nets in ("nets", "start_cnn.nets"):
        assert in_process.run("make_prototxt", *without_weights(steps[f"{SPLIT}.{nets}"])) == 0

    def read(file, message):
        *folder, name = file.split("/")
        return text_format.Merge(Path(out, SPLIT, *folder, "prototxt", f"{name}.prototxt").read_text(), message)

    net = read("rcnn_r_train_val", caffe_pb2.NetParameter())
    layers = {layer.name: layer for layer in net.layer}
    spatial, temporal = (layers[f"conv1/7x7_s2{end}"].convolution_param for end in ("", "/temporal"))
    assert (spatial.num_output, spatial.weight_filler.type, spatial.bias_filler.value) == (64 * width, "msra", 0)
    assert (temporal.weight_filler.type, temporal.weight_filler.value) == ("constant", 0)
    assert "loss3/classifier_video" in layers and any(
        layer.inner_product_param.num_output == classes for layer in net.layer
    )
    assert {layer.data_param.batch_size for layer in net.layer if layer.type == "Data"} == {16 if classes == 12 else 4}
    first, stage1, stage2 = updates
    solvers = {"start_cnn/solver_cnn": first, "solver_rcnn_s_stage1": stage1, "solver_rcnn_r": stage2}
    for name, iterations in {**solvers, "solver_cnn": stage1 + stage2}.items():
        solver = read(name, caffe_pb2.SolverParameter())
        assert (solver.max_iter, solver.snapshot, list(solver.test_iter), solver.test_interval) == (
            iterations,
            snapshot,
            [tests[0]],
            tests[1],
        )
        assert (round(solver.base_lr, 6), solver.clip_gradients, solver.random_seed) == (0.01, 2.0, 1)
        assert solver.gamma**iterations == pytest.approx(0.1, rel=1e-3)
    assert "--pairs-per-video" not in steps[f"{SPLIT}.pairs_test"].command
    assert "--unhalved" in steps[f"{SPLIT}.start"].command
    for net in demo.NETS:
        test = steps[f"{SPLIT}.scores_{net}"]
        assert " ".join(test.command).endswith(f"--crops 5 --scale 0.015625 --out demo/{SPLIT}/scores_{net}.h5")
        assert test.settings == ("--batch", "40")


def test_the_table():
    times = {"start_cnn.cnn": 50, "cnn": 100, "rcnn_s_stage1": 50, "rcnn_s": 200, "rcnn_r_stage1": 60, "rcnn_r": 300.9}
    times.update({"scores_cnn": 30, "scores_rcnn_s": 40, "scores_rcnn_r": 59.6})
    results = {
        "seed": 3,
        "videos": 144,
        "accuracy": {"cnn": 1 / 6, "rcnn_s": 0.5, "rcnn_r": 0.875},
        "appearance alone": 1 / 6,
        "chance": 1 / 12,
        "seconds": {
            "videos": 10,
            f"{SPLIT}.start_cnn.cnn": 50,
            **{f"{SPLIT}.{name}": time for name, time in times.items()},
        },
    }
    results["verdicts"] = demo.verdicts(results)
    assert demo.table(results, 632).splitlines()[5:] == [
        "| single-frame CNN | 16.7 % | 1:40 min | 0:30 min |",
        "| RCNN-s | 50.0 % | 4:10 min | 0:40 min |",
        "| RCNN-r | 87.5 % | 6:01 min | 1:00 min |",
        "| what appearance alone allows | 16.7 % | | |",
        "| chance | 8.3 % | | |",
        "",
        "all steps together: 10:32 min",
        "",
        "yes  RCNN-r is right on at least 75% of the videos",
        "yes  RCNN-r is at least 30 points above the CNN",
        "yes  the CNN is within 10 points of what appearance alone allows",
    ]


@pytest.mark.parametrize(
    "cnn, rcnn_r, met",
    [
        (0.2, 0.74, [False, True, True]),
        (0.3, 0.75, [True, True, False]),
        (0.5, 0.79, [True, False, False]),
        (0.05, 0.9, [True, True, False]),
    ],
)
def test_verdicts_that_do_not_hold(cnn, rcnn_r, met):
    results = {"accuracy": {"cnn": cnn, "rcnn_r": rcnn_r}, "appearance alone": 1 / 6}
    assert list(demo.verdicts(results).values()) == met
