"""tools/demo.py, and with it every program from the videos to the scores, at the scale of --quick."""
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import ROOT, module

from rcnn.nets import caffemodel

from rcnn.nets import recipes

from rcnn.scoring import score_files

from rcnn.scoring import scores

from rcnn.training import snapshots

from rcnn.training import log as training
from rcnn.files import InputError
from rcnn.data.records import read_manifest

TOOL = ROOT / "tools" / "demo.py"
RUNS = {"cnn": 40, "rcnn_r_stage1": 40, "rcnn_r": 80, "rcnn_s_stage1": 40, "rcnn_s": 80}  # updates
ALONE = ["videos", "frames", "pairs train", "pairs test", "CNN, single frames", "starting weights"]
RUN_OF = {"RCNN-r, stage 1": "rcnn_r_stage1", "RCNN-r, stage 2": "rcnn_r",
          "RCNN-s, stage 1": "rcnn_s_stage1", "RCNN-s, stage 2": "rcnn_s"}
SIDE_BY_SIDE = list(RUN_OF)
STEPS = ALONE + SIDE_BY_SIDE + ["test of cnn", "test of rcnn_s", "test of rcnn_r"]


@pytest.fixture(scope="module")
def tool():
    return module("demo")


def start(folder, *options):
    """Start a quick demo in work/ of the folder, in a process group of its own."""
    return subprocess.Popen([sys.executable, str(TOOL), "--quick", "--out", "work", *options], cwd=folder, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(process, number=None):
    """Send a signal to all of the process's group, if given; return (status, standard output, standard error)."""
    if number:
        os.killpg(process.pid, number)
    out, error = process.communicate(timeout=300)
    assert "Traceback" not in error, error
    return process.returncode, out, error


def wait_until(true, process):
    deadline = time.monotonic() + 300
    while not true():
        assert process.poll() is None and time.monotonic() < deadline, end(process, signal.SIGKILL)
        time.sleep(0.01)


def reached(made, name):
    """Return the iteration of the newest snapshot of a training."""
    return next(iter(snapshots.of(made / "snapshots" / name)), 0)


def stamps(made):
    return {path.relative_to(made): path.stat().st_mtime_ns for path in made.rglob("*")
            if path.is_file() and path.name != "lock.mdb"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One quick demo: killed while the CNN trained, stopped by Ctrl-C in stage 2, run to its end, and run again.

    Returns its folder and what was seen on the way.
    """
    folder = tmp_path_factory.mktemp("demo")
    made, seen = folder / "work" / "quick", {}
    log = made / "snapshots" / "cnn.jsonl"
    process = start(folder)
    wait_until(lambda: log.is_file() and log.read_text(), process)
    end(process, signal.SIGKILL)
    seen["killed at"] = reached(made, "cnn")
    process = start(folder)
    wait_until(lambda: reached(made, "rcnn_r_stage1") or reached(made, "rcnn_s_stage1"), process)
    seen["stopped"] = end(process, signal.SIGINT)
    seen["stopped at"] = {name: reached(made, RUN_OF[name]) for name in SIDE_BY_SIDE}
    seen["stopped after"] = json.loads((made / "seconds.json").read_text())
    seen["finished"] = end(start(folder))
    seen["stamps"], seen["seconds"] = stamps(made), (made / "seconds.json").read_bytes()
    seen["again"] = end(start(folder))
    return made, seen


def test_ctrl_c_snapshots_and_says_so(runs):
    _, seen = runs
    status, out, error = seen["stopped"]
    assert seen["killed at"] < RUNS["cnn"]
    unfinished = seen["stopped after"]["unfinished"]
    assert status == 130 and out.count("stopped; run the same command to go on") == len(unfinished) > 0
    assert error.splitlines()[-1] == "demo.py: interrupted; run the same command again to go on"
    assert "== RCNN-r, stage 1" in out and "== RCNN-s, stage 1" in out and "== test of" not in out
    assert set(ALONE) <= set(seen["stopped after"]["finished"]) and set(unfinished) <= set(SIDE_BY_SIDE)
    # each had the time to end its update and snapshot, wherever it was
    assert all(0 < seen["stopped at"][name] < RUNS[RUN_OF[name]] for name in unfinished)


def test_it_goes_on_to_the_end(runs):
    made, seen = runs
    status, out, error = seen["finished"]
    assert status == 0, error
    for name in seen["stopped after"]["unfinished"]:
        assert f"going on from work/quick/snapshots/{RUN_OF[name]}_iter_{seen['stopped at'][name]}.solverstate" in out
    begun = [line[3:] for line in out.splitlines() if line.startswith("== ")]
    assert sorted(begun) == sorted(STEPS)
    assert begun[:len(ALONE)] == ALONE and begun[-3:] == STEPS[-3:]
    for name in ("RCNN-r", "RCNN-s"):
        assert begun.index(f"{name}, stage 1") < begun.index(f"{name}, stage 2")
    assert "8 videos of 2 classes" in out and "80 frames of 8 videos; 0 videos skipped" in out
    assert "54 pairs of 6 videos" in out and "18 pairs of 2 videos" in out
    assert "the numbers above mean nothing" in out
    finished = json.loads(seen["seconds"])
    assert sorted(finished["finished"]) == sorted(STEPS) and not finished["unfinished"]
    # the time before Ctrl-C counts too
    for name, before in seen["stopped after"]["unfinished"].items():
        assert finished["finished"][name] > before > 0


def test_all_is_there_and_finite(runs):
    made, seen = runs
    for name, updates in RUNS.items():
        assert reached(made, name) == updates
        for path in snapshots.of(made / "snapshots" / name, "caffemodel").values():
            caffemodel.read(path)  # raises where a number is not finite
        records = training.read_log(made / "snapshots" / f"{name}.jsonl")
        shown = [record["iteration"] for record in records if record["phase"] == "train"]
        assert shown == list(range(0, updates + 1, 20))
        tested = [record["iteration"] for record in records if record["phase"] == "test"]
        assert tested == list(range(40, updates + 1, 40))
        assert not any(training.not_finite(record) for record in records)
    for name, mode in (("cnn", "frame"), ("rcnn_s", "recurrent"), ("rcnn_r", "pair")):
        with score_files.Scores(made / f"scores_{name}.h5") as file:
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
    for name in ("films", "loss", "confusion_cnn", "confusion_rcnn_s", "confusion_rcnn_r"):
        assert (made / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for name, videos in (("frames", 8), ("pairs_train", 6), ("pairs_test", 2)):
        assert read_manifest(made / f"{name}.lmdb")["counts"]["videos"] == videos


def test_each_stage_starts_from_the_one_before(runs):
    made, _ = runs

    def values(path):
        return {name: arrays[0] for name, arrays in caffemodel.read(made / "snapshots" / path).arrays.items()}

    cnn, began = values("cnn_iter_40.caffemodel"), values("start.caffemodel")
    name = "inception_3a/3x3"
    assert np.array_equal(cnn[name], began[name]) and not began[name + "/temporal"].any()
    for kind in ("rcnn_r", "rcnn_s"):
        stage1, stage2 = values(f"{kind}_stage1_iter_40.caffemodel"), values(f"{kind}_iter_80.caffemodel")
        assert np.array_equal(cnn[name], stage1[name]) and stage1[name + "/temporal"].any()
        assert not np.array_equal(stage1[name], stage2[name])
        assert not np.array_equal(stage1[name + "/temporal"], stage2[name + "/temporal"])


def test_run_again_it_makes_nothing_anew(runs):
    made, seen = runs
    status, out, error = seen["again"]
    assert status == 0, error
    assert out.count("finished already") == 5 and out.count("is there already") == 6 and "starting from" not in out
    assert seen["seconds"] == (made / "seconds.json").read_bytes()
    after = stamps(made)
    assert set(after) == set(seen["stamps"])
    anew = {path for path in after if after[path] != seen["stamps"][path]}
    kept = {path for path in after if path.suffix in (".avi", ".mdb", ".solverstate", ".jsonl")
            or path.suffix == ".caffemodel" and path.name != "start.caffemodel"}
    assert len(kept) > 20 and not anew & kept
    table = seen["finished"][1][seen["finished"][1].index("2 held-out videos"):]
    assert out.endswith(table)


def test_another_seed_in_its_folder_is_refused(runs):
    made, _ = runs
    before = stamps(made)
    status, out, error = end(start(made.parent.parent, "--seed", "2"))
    assert (status, out) == (2, "")
    assert error == "demo.py: work/quick holds a demo of other settings; remove it or give another --out\n"
    assert stamps(made) == before


def test_the_demo_is_that_of_the_committed_prototxt(tool, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    demo = tool.Demo(Path("demo"), recipes.DEMO.seed)
    assert demo.recipe == recipes.DEMO and demo.recipe.folder == "prototxt/demo"
    assert recipes.DEMO.model.classes == len(tool.APPEARANCES) * len(tool.MOVEMENTS)
    assert tool.FRAME_SIZE > recipes.DEMO.model.size
    other = tool.Demo(Path("demo2"), 2)
    assert (other.recipe.seed, other.recipe.folder) == (2, "demo2/prototxt")
    places = dict.fromkeys(
        ("folder", "snapshots", "train_pairs", "test_pairs", "frames", "train_list", "test_list"), "")
    assert replace(other.recipe, seed=1, **places) == replace(recipes.DEMO, **places)
    assert len(tool.QUICK_VIDEOS.appearances) * len(tool.QUICK_VIDEOS.movements) == tool.QUICK.model.classes


def test_a_folder_that_cannot_be_made_is_one_line(tool, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder .*/file/demo: Not a directory; give another --out"):
        tool.Demo(tmp_path / "file" / "demo", 1)


def test_a_step_that_fails_ends_the_demo(tool, tmp_path, capfd):
    demo = tool.Demo(tmp_path / "demo", 1)
    with pytest.raises(InputError, match="^frames: tools/build_frames.py ended with status 2; see what it says above$"):
        demo.records()
    assert "no such file" in capfd.readouterr().err
    assert not demo.seconds.finished and list(demo.seconds.unfinished) == ["frames"]


def test_ctrl_c_leaves_a_step_the_time_it_needs(tool, tmp_path):
    code = ("import sys, time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\n"
            "except KeyboardInterrupt:\n    time.sleep(1)\n    open(sys.argv[1], 'w')")
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "saved"], stdout=subprocess.PIPE,
                               start_new_session=True)
    with process.stdout:
        assert process.stdout.readline() == b"begun\n"

    def press():
        for number in (process.pid, os.getpid()):
            os.kill(number, signal.SIGINT)

    timer = threading.Timer(0.2, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        tool.finish(process)
    timer.join()
    assert process.returncode == 0 and (tmp_path / "saved").exists()


def test_seconds_add_up_until_a_step_is_finished(tool, monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(tool.time, "monotonic", lambda: now[0])

    def run(name, length, error=None):
        seconds = tool.Seconds(tmp_path / "seconds.json")  # as a new run of the demo reads it
        try:
            with seconds.of(name):
                now[0] += length
                if error:
                    raise error
        except (InputError, KeyboardInterrupt):
            assert error
        again = tool.Seconds(tmp_path / "seconds.json")
        assert (again.finished, again.unfinished) == (seconds.finished, seconds.unfinished)
        return again

    assert run("videos", 3.0).finished == {"videos": 3.0}
    stopped = run("train", 5.0, KeyboardInterrupt())
    assert stopped.finished == {"videos": 3.0} and stopped.unfinished == {"train": 5.0}
    assert run("train", 2.0, InputError("no disk")).unfinished == {"train": 7.0}
    finished = run("train", 1.0)
    assert finished.finished == {"videos": 3.0, "train": 8.0} and not finished.unfinished
    assert run("train", 100.0).finished == run("train", 4.0, KeyboardInterrupt()).finished == finished.finished


def test_the_table(tool):
    seconds = dict(zip(STEPS, (10, 20, 3, 4, 100, 5, 60, 300.9, 50, 200, 30, 40, 59.6)))
    accuracy = {"cnn": 1 / 6, "rcnn_s": 0.5, "rcnn_r": 0.875}
    results = {"seed": 3, "videos": 144, "accuracy": accuracy, "seconds": seconds,
               "appearance alone": 1 / 6, "chance": 1 / 12}
    results["verdicts"] = tool.verdicts(results)
    assert tool.table(results).splitlines() == [
        "", "144 held-out videos, log-mean of the frames' scores, 5 crops, seed 3", "",
        "| net | video accuracy | training | test |",
        "|---|---:|---:|---:|",
        "| single-frame CNN | 16.7 % | 1:40 min | 0:30 min |",
        "| RCNN-s | 50.0 % | 4:10 min | 0:40 min |",
        "| RCNN-r | 87.5 % | 6:00 min | 0:59 min |",
        "| what appearance alone allows | 16.7 % | | |",
        "| chance | 8.3 % | | |",
        "", "all steps together: 10:32 min", "",
        "yes  RCNN-r is right on at least 75% of the videos", "yes  RCNN-r is at least 30 points above the CNN",
        "yes  the CNN is within 10 points of what appearance alone allows"]


@pytest.mark.parametrize("cnn, rcnn_r, held", [
    (0.2, 0.74, [False, True, True]), (0.3, 0.75, [True, True, False]), (0.5, 0.79, [True, False, False]),
    (0.05, 0.9, [True, True, False])])
def test_verdicts_that_do_not_hold(tool, cnn, rcnn_r, held):
    results = {"accuracy": {"cnn": cnn, "rcnn_r": rcnn_r}, "appearance alone": 1 / 6}
    assert list(tool.verdicts(results).values()) == held
