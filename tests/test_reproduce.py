"""tools/reproduce.py from videos to tables, at a tiny scale: stopped, with a step that fails, to its end, and again.

Then the flow stream is added to what is done.
"""

import html
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import ROOT, run
from test_runner import alive

from rcnn.experiments import tables
from rcnn.nets import caffemodel
from rcnn.scoring import scores
from rcnn.scoring.score_files import Scores
from rcnn.training import snapshots

TOOL = ROOT / "tools" / "reproduce.py"
GIVEN = {
    "name": "two classes",
    "make": {"appearances": ["Flowers"], "movements": ["Up", "Down"], "seconds": 1, "groups": 4, "clips": 1},
    "splits": [1, 2],
    "fps": [10, 5],
    "size": 72,
    "unhalved": True,
    "test-batch": 20,
    "nets": {
        "width": 0.0625,
        "size": 64,
        "batch": 4,
        "scale": 0.015625,
        "combine": "sum",
        "filler": "msra",
        "temporal-filler": "constant",
        "bias": 0,
        "cnn-iterations": 200,
        "stage1-iterations": 10,
        "iterations": 20,
        "test-iterations": 1,
        "test-interval": 20,
        "snapshot": 10,
        "display": 10,
    },
}
RUN = ["rcnn_r_stage1", "rcnn_r", "scores_rcnn_r", "pairs_train", "pairs_test", "nets"]
WHOLE = [*RUN, "cnn", "start", "scores_cnn", "rcnn_s_stage1", "rcnn_s", "scores_rcnn_s"]
STEPS = {
    "videos",
    "frames_5fps",
    "frames_10fps",
    *(f"split01_10fps.{name}" for name in RUN),
    *(f"split{split:02d}_5fps.{name}" for split in (1, 2) for name in WHOLE),
}

FLOW = {
    "streams": ["image", "flow"],
    "flow": {"method": "dis", "bound": 3, "nets": {"cnn-iterations": 10, "iterations": 10}},
}
FLOW_STEPS = {
    "frames_5fps_flow",
    *(
        f"split{split:02d}_5fps.{name}_flow"
        for split in (1, 2)
        for name in ("pairs_train", "pairs_test", "nets", "cnn", "rcnn_r", "scores_cnn", "scores_rcnn_r")
    ),
}


def start(folder, *options, given="given.json"):
    return subprocess.Popen(
        [sys.executable, str(TOOL), given, "--out", "out", "--jobs", "2", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process):
    """Return (status, standard output, standard error, seconds) of a run that ends by itself."""
    began = time.monotonic()
    out, error = process.communicate(timeout=400)
    assert "Traceback" not in error, error
    return process.returncode, out, error, time.monotonic() - began


def write(folder, given, name="given.json"):
    (folder / name).write_text(json.dumps(given))
    return name


def files(folder):
    """Return {path: (time of change, bytes)} of all in a folder, without what LMDB's readers touch."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock.mdb"
    }


def planned(folder, **options):
    """Return ({step: state}, last lines) that --dry-run shows; nothing may change by it."""
    before = files(folder)
    status, out, error, _ = end(start(folder, "--dry-run", **options))
    assert (status, error) == (0, "") and files(folder) == before
    lines = out.splitlines()
    rows = [line.split(None, 1) for line in lines if ".py" in line]
    return {row[1].rsplit("  ", 1)[1].split(":")[0]: row[0] for row in rows}, lines[1 + len(rows) :]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return (folder, {what was seen of each run})."""
    folder = tmp_path_factory.mktemp("reproduce")
    seen, out = {}, folder / "out"
    write(folder, GIVEN)
    seen["plan before"] = planned(folder)
    process = start(folder)
    deadline = time.monotonic() + 200
    while not snapshots.of(out / "split01_5fps" / "snapshots" / "cnn"):
        assert process.poll() is None and time.monotonic() < deadline, end(process)
        time.sleep(0.02)
    seen["children"] = children(process.pid)
    process.send_signal(signal.SIGINT)
    seen["stopped"] = end(process)
    seen["left running"] = [child for child in seen["children"] if alive(child)]
    seen["stopped at"] = next(iter(snapshots.of(out / "split01_5fps" / "snapshots" / "cnn")))
    seen["plan when stopped"] = planned(folder)
    (out / "split02_5fps" / "scores_cnn.h5").mkdir(parents=True)  # in the way of a step
    seen["failed"] = end(start(folder))
    seen["failed table"] = (out / "table3.md").read_text()
    seen["failed page"] = (out / "report.html").read_text()
    seen["failed results"] = json.loads((out / "results.json").read_text())
    (out / "split02_5fps" / "scores_cnn.h5").rmdir()
    seen["before the last"] = files(out)
    seen["finished"] = end(start(folder))
    seen["files"] = files(folder)
    seen["again"] = end(start(folder))
    seen["files again"] = files(folder)
    return folder, seen


@pytest.fixture(scope="module")
def flow(runs, tmp_path_factory):
    """Return (folder, {what was seen}) of the flow stream added to a copy of what is done."""
    folder = tmp_path_factory.mktemp("flow") / "copy"
    subprocess.run(["cp", "-a", runs[0], folder], check=True)
    write(folder, {**GIVEN, **FLOW})
    seen = {
        "before": files(folder / "out"),
        "plan before": planned(folder),
        "run": end(start(folder)),
        "files": files(folder),
    }
    return folder, {**seen, "again": end(start(folder)), "files again": files(folder)}


def children(process):
    """Return the processes that a process has started, and theirs."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *children(child)]
    return found


def test_the_plan_of_nothing(runs):
    states, (said,) = runs[1]["plan before"]
    assert set(states) == {*STEPS, "report"} and set(states.values()) == {"missing"}
    assert said.startswith(f"{len(STEPS) + 1} of {len(STEPS) + 1} steps to do: about ") and " are free" in said


def test_ctrl_c_saves_and_leaves_nothing_running(runs):
    seen = runs[1]
    status, out, error, seconds = seen["stopped"]
    assert (status, out) == (130, "")
    assert "running steps save their work" in error and "failed" not in error
    assert error.splitlines()[-1] == "reproduce.py: interrupted; run the same command again to go on"
    assert len(seen["children"]) >= 2 and not seen["left running"] and seconds < 60
    assert 10 <= seen["stopped at"] < 200
    states = seen["plan when stopped"][0]
    assert states["split01_5fps.cnn"] == "begun" and states["videos"] == "done"
    assert states["split01_5fps.rcnn_r"] == "missing"


def test_it_goes_on_where_it_stopped(runs):
    folder, seen = runs
    log = (folder / "out" / "logs" / "split01_5fps.cnn.log").read_text()
    assert log.count("$ python tools/train.py") == 2
    assert f"going on from out/split01_5fps/snapshots/cnn_iter_{seen['stopped at']}.solverstate" in log


def test_a_step_that_fails_leaves_the_others_results(runs):
    seen = runs[1]
    status, out, error, _ = seen["failed"]
    assert status == 1
    assert (
        "reproduce.py: split02_5fps.scores_cnn failed: out/split02_5fps/scores_cnn.h5 is there, and "
        "out/steps/split02_5fps.scores_cnn.json does not say what made it; move it away" in error
    )
    rows = {line.split(" |")[0][2:]: line for line in seen["failed table"].splitlines() if line.startswith("| ")}
    cnn = [cell.strip() for cell in rows["single-frame CNN [b]"].split("|")[2:-1]]
    assert cnn[0] == "–" and cnn[6] != "–" and cnn[7] == "–"
    assert "| – | 74.1" not in rows["RCNN-s"] and "| – | 81.0" not in rows["RCNN-r"]
    assert seen["failed table"] in out
    steps = seen["failed results"]["steps"]
    assert {name for name, step in steps.items() if step["state"] != "done"} == {"split02_5fps.scores_cnn"}


def test_then_only_that_step_is_run(runs):
    folder, seen = runs
    status, out, error, _ = seen["finished"]
    assert status == 0 and f"{len(STEPS)} of {len(STEPS)} steps done" in out, error
    changed = {str(path) for path, stamp in files(folder / "out").items() if seen["before the last"].get(path) != stamp}
    assert changed == {
        "split02_5fps/scores_cnn.h5",
        "logs/split02_5fps.scores_cnn.log",
        "table2.md",
        "table3.md",
        "steps/split02_5fps.scores_cnn.json",
        "tables.json",
        "results.json",
        "report.html",
        "logs/report.log",
        "steps/report.json",
    }


def test_run_again_it_does_nothing(runs):
    seen = runs[1]
    status, out, error, seconds = seen["again"]
    assert status == 0 and seconds < 10
    assert seen["files again"] == seen["files"] and out == seen["finished"][1]


def test_the_figures_are_those_of_the_score_files(runs):
    folder, _ = runs
    results = json.loads((folder / "out" / "results.json").read_text())
    for figure in results["figures"]:
        run = folder / "out" / f"split{figure['split']:02d}_{figure['fps']}fps"
        with Scores(run / f"scores_{figure['net']}.h5") as file:
            fused = file.fused(figure["signal"], [figure["fusion"]], figure["crops"])[figure["fusion"]]
            assert figure["accuracy"] == scores.accuracy(scores.predictions(fused), file.labels)
            assert file.crops == (10 if run.name + figure["net"] == "split01_5fpsrcnn_r" else 5)
            held_out = {1: "g04", 2: "g03"}[figure["split"]]
            assert file.names == [f"v_Flowers{way}_{held_out}_c01" for way in ("Down", "Up")]
    assert len(results["figures"]) == 3 * (1 + 6 + 5)  # row 1, rows 2 to 7, and one of each other file
    assert None not in [value for row in results["table 2"] for value in row["ours"].values()]
    assert [row["ours"]["image"] is None for row in results["table 3"]] == [False] * 3
    assert set(results["steps"]) == STEPS and results["seed"] == 1
    assert all(step["seconds"] > 0 and step["command"][0] == "python" for step in results["steps"].values())


def test_the_nets_are_trained_and_start_from_one_another(runs):
    folder, _ = runs
    made = folder / "out"

    def values(path, layer):
        return caffemodel.read(made / path).arrays[layer][0]

    name = "inception_3a/3x3"
    for split in ("split01_5fps", "split02_5fps"):
        began = values(f"{split}/snapshots/start.caffemodel", name)
        assert (values(f"{split}/snapshots/cnn_iter_200.caffemodel", name) == began).all()
        assert not values(f"{split}/snapshots/start.caffemodel", name + "/temporal").any()
        for net in ("rcnn_r", "rcnn_s"):
            first, last = (f"{split}/snapshots/{net}{stage}.caffemodel" for stage in ("_stage1_iter_10", "_iter_20"))
            assert (values(first, name) == began).all() and (values(last, name) != began).any()
            assert values(first, name + "/temporal").any()
    fast = values("split01_10fps/snapshots/rcnn_r_stage1_iter_10.caffemodel", name)
    assert (fast == values("split01_5fps/snapshots/start.caffemodel", name)).all()


def test_the_page_has_the_tables_and_what_failed(runs):
    folder, seen = runs
    both, problems = tables.read(folder / "out" / "tables.json")
    pages = [seen["failed page"], (folder / "out" / "report.html").read_text()]
    assert problems == [] and "Not everything could be made" not in pages[1]
    assert "split02_5fps.scores_cnn: out/split02_5fps/scores_cnn.h5 is there" in pages[0]
    for text in map(html.unescape, pages):
        assert "two classes" in text and 'src="http' not in text and 'href="http' not in text
        assert all(table.title in text and table.lead in text for table in both) and "RCNN-s" in text
    for table, name in zip(both, ("table2.md", "table3.md")):
        assert tables.markdown(table) == (folder / "out" / name).read_text()


def test_where_nothing_could_be_scored_there_is_a_page_that_says_why(tmp_path):
    write(tmp_path, {**GIVEN, "splits": [1], "fps": [5], "samplings": ["random"]})
    (tmp_path / "out" / "frames_5fps.lmdb").mkdir(parents=True)
    (tmp_path / "out" / "frames_5fps.lmdb" / "data.mdb").touch()  # in the way
    status, out, error, _ = end(start(tmp_path))
    assert status == 1 and "| RCNN-r | – | 81.0 |" in out
    text = (tmp_path / "out" / "report.html").read_text()
    assert "frames_5fps: out/frames_5fps.lmdb/data.mdb is there, and " in text and "Table 3: all splits" in text
    assert "Confusion matrix" not in text


def test_a_changed_description_makes_only_what_depends_on_it_stale(runs):
    folder, _ = runs
    assert set(planned(folder)[0].values()) == {"done"}
    changed = write(folder, {**GIVEN, "nets": {**GIVEN["nets"], "iterations": 30}}, "longer.json")
    states, said = planned(folder, given=changed)
    assert {name for name, state in states.items() if state == "stale"} == {
        "split01_5fps.nets",
        "split02_5fps.nets",
        "split01_10fps.nets",
        *(
            f"{run}.{name}"
            for run in ("split01_5fps", "split02_5fps")
            for name in ("rcnn_r", "rcnn_s", "scores_rcnn_r", "scores_rcnn_s")
        ),
        "split01_10fps.rcnn_r",
        "split01_10fps.scores_rcnn_r",
    }
    kept = {name for name, state in states.items() if state == "done"}
    assert kept == {
        "videos",
        "frames_5fps",
        "frames_10fps",
        *(
            f"{run}.pairs_{part}"
            for run in ("split01_5fps", "split02_5fps", "split01_10fps")
            for part in ("train", "test")
        ),
    }
    assert "13 of them are stale and need --force" in said[1]
    states, _ = planned(folder, given=write(folder, {**GIVEN, "crops": [1, 5]}, "crops.json"))
    assert {name for name, state in states.items() if state == "stale"} == {"split01_5fps.scores_rcnn_r"}
    assert states["report"] == "open"
    before = files(folder)
    status, out, error, _ = end(start(folder, given=changed))
    assert (status, out) == (2, "") and files(folder) == before
    assert error == (
        "reproduce.py: 13 of 33 steps in out were made with other settings or from other files, the first "
        "is split01_5fps.nets; --dry-run shows what; --force makes it again, another --out leaves it "
        "alone\n"
    )


def test_adding_flow_runs_the_flow_stream_alone(flow):
    folder, seen = flow
    states, said = seen["plan before"]
    assert {name for name, state in states.items() if state == "missing"} == FLOW_STEPS
    assert {name for name, state in states.items() if state == "done"} == {*STEPS, "report"}
    status, out, error, _ = seen["run"]
    assert status == 0 and f"{len(STEPS | FLOW_STEPS)} of {len(STEPS | FLOW_STEPS)} steps done" in out, error
    changed = {str(path) for path, stamp in files(folder / "out").items() if seen["before"].get(path) != stamp}
    assert {path for path in changed if "_flow" not in path} == {
        "table2.md",
        "table3.md",
        "tables.json",
        "results.json",
        "report.html",
        "logs/report.log",
        "steps/report.json",
    }
    assert not set(seen["before"]) - set(files(folder / "out"))
    assert (seen["again"][0], seen["again"][1], seen["files again"]) == (0, out, seen["files"])
    assert seen["again"][3] < 10


def test_table_3_of_the_two_streams(flow):
    """The means of Table 3 against NumPy, and the fusion against tools/fuse.py."""
    folder, seen = flow
    results = json.loads((folder / "out" / "results.json").read_text())
    rows = {row["net"]: row for row in results["table 3"]}
    assert rows["rcnn_s"]["ours"]["image"] is not None
    assert rows["rcnn_s"]["ours"]["optical flow"] is rows["rcnn_s"]["ours"]["two-stream"] is None
    for net in ("cnn", "rcnn_r"):
        shares = []
        for split in ("split01_5fps", "split02_5fps"):
            logs, paths = [], [folder / "out" / split / f"scores_{net}{end}.h5" for end in ("", "_flow")]
            for path in paths:
                with Scores(path) as file:
                    frames = [file.frames(index, "high")[:, :5].astype(np.float64) for index in range(len(file))]
                    logs.append(
                        {name: np.log(scored.mean(axis=1)).mean(axis=0) for name, scored in zip(file.names, frames)}
                    )
                    labels = dict(zip(file.names, file.labels))
            shares.append(
                [
                    np.mean([np.argmax(sum(log[name] for log in some)) == label for name, label in labels.items()])
                    for some in (logs[:1], logs[1:], logs)
                ]
            )
        status, _, error = run("fuse", *paths, "--crops", "5", "--fusion", "log-mean", "--json", folder / "fused.json")
        assert status == 0, error
        fused = json.loads((folder / "fused.json").read_text())["fusions"]["log-mean"]["accuracy"]
        assert fused == shares[-1][2]
        assert list(rows[net]["ours"].values()) == pytest.approx(list(100 * np.mean(shares, axis=0)))
        assert [list(of.values()) for of in rows[net]["splits"].values()] == (100 * np.array(shares).T).tolist()
    figures = {(figure["net"], figure["split"]) for figure in results["figures"]}
    assert {("cnn_flow", 2), ("rcnn_r_two_stream", 1)} <= figures and "Optical flow by the method dis" in seen["run"][1]
    assert results["problems"] == []


def test_the_flow_stream_has_two_channels_and_starts_from_nothing(flow):
    folder, _ = flow
    made = folder / "out" / "split01_5fps"
    arrays = caffemodel.read(made / "snapshots" / "rcnn_r_flow_iter_10.caffemodel").arrays
    assert arrays["conv1/7x7_s2"][0].shape[1] == 2
    log = (folder / "out" / "logs" / "split01_5fps.rcnn_r_flow.log").read_text()
    assert "--weights" not in log.splitlines()[1]
    manifest = json.loads((folder / "out" / "frames_5fps_flow.lmdb" / "manifest.json").read_text())
    assert (manifest["recipe"]["flow"]["method"], manifest["recipe"]["flow"]["bound"]) == ("dis", 3)


def test_force_makes_again_what_is_stale(runs, tmp_path):
    """On a copy with one score file to make again, and what it is made of as it was."""
    folder, _ = runs
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", folder, copy], check=True)
    write(copy, {**GIVEN, "crops": [1, 5]})
    status, out, error, _ = end(start(copy, "--force"))
    assert status == 0, error
    changed = {str(path) for path, stamp in files(copy / "out").items() if files(folder / "out").get(path) != stamp}
    assert {path for path in changed if path.endswith((".h5", ".caffemodel", ".mdb"))} == {
        "split01_5fps/scores_rcnn_r.h5"
    }
    with Scores(copy / "out/split01_5fps/scores_rcnn_r.h5") as file:
        assert file.crops == 5
    row = next(line for line in out.splitlines() if line.startswith("| 4 | "))
    assert "| – | 79.7 | – | 78.7 | – | 79.6 |" in row


def test_a_wrong_option_of_the_nets_is_told_first(tmp_path):
    write(tmp_path, {**GIVEN, "nets": {**GIVEN["nets"], "filter": "msra"}})
    status, out, error, _ = end(start(tmp_path))
    assert (status, out) == (2, "")
    assert error.splitlines()[-1].startswith("reproduce.py: split01_5fps.nets: make_prototxt.py ended with status 2: ")
    assert "unrecognized arguments: --filter msra" in error.splitlines()[-1]
    assert not (tmp_path / "out" / "videos").exists()


@pytest.mark.parametrize(
    "given, message",
    [
        (
            "{",
            "description: given.json is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 "
            "(char 1)",
        ),
        (json.dumps({**GIVEN, "split": [1]}), "description: given.json: unknown key split; the keys are name, "),
        (
            json.dumps({**GIVEN, "make": None, "videos": "none", "lists": "none"}),
            "class list: no such file: none/classInd.txt",
        ),
        (json.dumps({**GIVEN, "pretrained": "none.caffemodel"}), "pretrained: no such file: none.caffemodel"),
    ],
)
def test_bad_input_is_one_line(tmp_path, given, message):
    (tmp_path / "given.json").write_text(given)
    status, out, error, _ = end(start(tmp_path))
    assert (status, out) == (2, "") and error.startswith(f"reproduce.py: {message}") and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["given.json"]


def test_an_out_that_cannot_be_made(tmp_path):
    write(tmp_path, GIVEN)
    (tmp_path / "out").touch()
    status, _, error, _ = end(start(tmp_path))
    assert status == 2 and error == "reproduce.py: cannot make the folder out: File exists; give another --out\n"


def test_another_one_at_work_in_the_folder(tmp_path):
    write(tmp_path, GIVEN)
    first = start(tmp_path)
    while not (tmp_path / "out" / "logs").exists():
        assert first.poll() is None
        time.sleep(0.02)
    status, _, error, _ = end(start(tmp_path))
    assert (status, error) == (2, "reproduce.py: another program is at work in out; wait for it to end\n")
    first.send_signal(signal.SIGTERM)
    assert end(first)[0] == 130
