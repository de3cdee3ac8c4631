"""tools/reproduce.py from videos to tables, at a tiny scale: stopped, with a step that fails, and to its end.

Before the end the description gets the flow stream, a variant and the other tests, and a file that is to be made again.
"""

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import in_process
import numpy as np
import pytest
from in_process import changed, files
from runs import ROOT, run
from test_claims import NETS
from test_runner import alive

from rcnn.experiments import description, plan, results, tables
from rcnn.experiments.runner import Runner, alone_in
from rcnn.nets import caffemodel
from rcnn.scoring import scores
from rcnn.scoring.score_files import Scores
from rcnn.training import snapshots

GIVEN = {
    "name": "two classes",
    "make": {"appearances": ["Flowers"], "movements": ["Up", "Down"], "seconds": 1, "groups": 4, "clips": 1},
    "splits": [1, 2],
    "fps": [10, 5],
    "size": 36,
    "unhalved": True,
    "test-batch": 20,
    "crops": [1, 5],
    "nets": {**NETS, "cnn-iterations": 200, "stage1-iterations": 10, "iterations": 20, "snapshot": 10},
}
MORE = {
    "crops": [1, 5, 10],
    "streams": ["image", "flow"],
    "flow": {"method": "dis", "bound": 3, "nets": {"iterations": 10}},
    "variants": {"one stage": {"stages": 1, "unhalved": False, "nets": {"previous-loss": "yes"}}},
    "recurrent-test": True,
    "motion-energy": True,
    "probe": ["same"],
}
RUN = ["rcnn_r_stage1", "rcnn_r", "scores_rcnn_r", "pairs_train", "pairs_test", "nets"]
WHOLE = [
    *RUN,
    "start_cnn.nets",
    "start_cnn.cnn",
    "cnn",
    "start",
    "scores_cnn",
    "rcnn_s_stage1",
    "rcnn_s",
    "scores_rcnn_s",
]
FLOW = [
    f"{name}_flow" for name in ("pairs_train", "pairs_test", "nets", "cnn", "rcnn_r", "scores_cnn", "scores_rcnn_r")
]
PROBE = ["rcnn_r_same", "rcnn_s_true", "rcnn_s_same"]
VARIANT = [f"one stage.{name}" for name in ("nets", "start", "rcnn_r", "scores_rcnn_r")]
STEPS = {
    *("videos", "frames_5fps", "frames_10fps"),
    *(f"split01_10fps.{name}" for name in RUN),
    *(f"split{split:02d}_5fps.{name}" for split in (1, 2) for name in WHOLE),
}
ADDED = {
    "frames_5fps_flow",
    *(f"split{split:02d}_5fps.{name}" for split in (1, 2) for name in FLOW),
    *(f"split{split:02d}_5fps.probe_{name}" for split in (1, 2) for name in PROBE),
    *(f"split01_5fps.{name}" for name in ("scores_rcnn_r_recurrent", "motion_energy", *VARIANT)),
}
TABLES = {
    "table2.md",
    "table3.md",
    "pairs.md",
    "tables.json",
    "results.json",
    "report.html",
    "logs/report.log",
    "steps/report.json",
}
FIRST = "split01_5fps/start_cnn"  # the folder of the CNN that all nets start from
LAYER = "inception_3a/3x3"


def start(folder, *options, asked="given.json"):
    """Start the program in a folder, in a process group of its own."""
    words = [ROOT / "tools/reproduce.py", asked, "--out", "out", "--jobs", "2", *options]
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
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


def write(folder, asked, name="given.json"):
    (folder / name).write_text(json.dumps(asked))
    return name


def planned(folder, **options):
    """Return ({step: state}, last lines) that --dry-run shows; nothing may change by it."""
    before = files(folder)
    status, out, error, _ = end(start(folder, "--dry-run", **options))
    assert (status, error) == (0, "") and files(folder) == before
    lines = out.splitlines()
    rows = [line.split(None, 1) for line in lines if ".py" in line]
    return {row[1].rsplit("  ", 1)[1].split(":")[0]: row[0] for row in rows}, lines[1 + len(rows) :]


def children(process):
    """Return the processes that a process has started, and theirs."""
    numbers = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            numbers += [int(child), *children(child)]
    return numbers


def of_state(states, state):
    return {name for name, other in states.items() if other == state}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return (folder OUT, {what was seen of each run})."""
    folder = tmp_path_factory.mktemp("reproduce")
    seen, out = {}, folder / "out"
    write(folder, GIVEN)
    seen["plan before"] = planned(folder)
    process = start(folder)
    deadline = time.monotonic() + 200
    while not snapshots.of(out / FIRST / "snapshots" / "cnn"):
        assert process.poll() is None and time.monotonic() < deadline, end(process)
        time.sleep(0.02)
    seen["children"] = children(process.pid)
    process.send_signal(signal.SIGINT)
    seen["stopped"] = end(process)
    seen["left running"] = [child for child in seen["children"] if alive(child)]
    seen["stopped at"] = next(iter(snapshots.of(out / FIRST / "snapshots" / "cnn")))
    seen["plan when stopped"] = planned(folder)
    (out / "split02_5fps" / "scores_cnn.h5").mkdir(parents=True)  # in the way of a step
    seen["failed"] = end(start(folder))
    seen["failed table"], seen["failed page"] = (out / "table3.md").read_text(), (out / "report.html").read_text()
    seen["failed results"] = json.loads((out / "results.json").read_text())
    (out / "split02_5fps" / "scores_cnn.h5").rmdir()
    write(folder, {**GIVEN, **MORE})
    seen["plan of more"] = planned(folder)
    seen["before the last"] = files(out)
    seen["refused"] = end(start(folder))
    seen["refused files"] = files(out)
    seen["finished"] = end(start(folder, "--force"))
    seen["files"] = files(out)
    seen["again"] = end(start(folder))
    seen["files again"] = files(out)
    seen["page"] = end(start(folder, "--no-run", "--page", "docs/page.md"))
    seen["files after the page"] = files(out)
    return out, seen


def test_the_plan_of_nothing(runs):
    states, (line,) = runs[1]["plan before"]
    assert set(states) == {*STEPS, "report"} and set(states.values()) == {"missing"}
    assert line.startswith(f"{len(STEPS) + 1} of {len(STEPS) + 1} steps to do: about ") and " are free" in line


def test_ctrl_c_saves_and_leaves_nothing_running(runs):
    seen = runs[1]
    status, out, error, seconds = seen["stopped"]
    assert (status, out) == (130, "")
    assert "running steps save their work" in error and "failed" not in error
    assert error.splitlines()[-1] == "reproduce.py: interrupted; run the same command again to go on"
    assert len(seen["children"]) >= 2 and not seen["left running"] and seconds < 60
    assert 10 <= seen["stopped at"] < 200
    states = seen["plan when stopped"][0]
    assert states["split01_5fps.start_cnn.cnn"] == "begun" and states["videos"] == "done"
    assert states["split01_5fps.rcnn_r"] == "missing"


def test_it_goes_on_where_it_stopped(runs):
    out, seen = runs
    log = (out / "logs" / "split01_5fps.start_cnn.cnn.log").read_text()
    assert log.count("$ python tools/train.py") == 2
    assert f"going on from out/{FIRST}/snapshots/cnn_iter_{seen['stopped at']}.solverstate" in log


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
    assert seen["failed table"] in out and "| – | 79.7 | – | 78.7 | – | 79.6 |" in out  # row 4: 10 crops
    assert of_state({name: step["state"] for name, step in seen["failed results"]["steps"].items()}, "done") == (
        STEPS - {"split02_5fps.scores_cnn"}
    )


def test_a_description_that_says_more_makes_only_that(runs):
    """The flow stream, a variant and two tests are added, and one file is stale: that goes only with --force."""
    seen = runs[1]
    states, lines = seen["plan of more"]
    stale = "split01_5fps.scores_rcnn_r"
    assert of_state(states, "missing") == {*ADDED, "split02_5fps.scores_cnn"}
    assert of_state(states, "stale") - {"report"} == {stale} and "1 of them are stale and need --force" in lines[1]
    assert of_state(states, "done") == STEPS - {stale, "split02_5fps.scores_cnn"}
    number = len(STEPS | ADDED)
    assert seen["refused"][:3] == (
        2,
        "",
        f"reproduce.py: 1 of {number} steps in out were made with other settings or from other files, the first is "
        f"{stale}; --dry-run shows what; --force makes it again, another --out leaves it alone\n",
    )
    assert seen["refused files"] == seen["before the last"]
    status, out, error, _ = seen["finished"]
    assert status == 0 and f"{number} of {number} steps done" in out, error
    assert not set(seen["before the last"]) - set(seen["files"])
    old = {path for path in changed(seen["before the last"], seen["files"]) if "_flow" not in path}
    assert {path for path in old if not any(new in path for new in ("one", "recurrent", "motion_energy", "probe"))} == {
        *TABLES,
        *("split01_5fps/scores_rcnn_r.h5", "split02_5fps/scores_cnn.h5"),
        *(f"logs/{name}.log" for name in (stale, "split02_5fps.scores_cnn")),
        *(f"steps/{name}.json" for name in (stale, "split02_5fps.scores_cnn")),
    }


def test_run_again_it_does_nothing(runs):
    seen = runs[1]
    status, out, error, seconds = seen["again"]
    assert status == 0 and seconds < 10
    assert seen["files again"] == seen["files"] and out == seen["finished"][1]


def test_the_figures_are_those_of_the_score_files(runs):
    out, _ = runs
    summary = json.loads((out / "results.json").read_text())
    alone = [figure for figure in summary["figures"] if not figure["net"].endswith("two_stream")]
    for figure in alone:
        run = out / f"split{figure['split']:02d}_{figure['fps']}fps"
        with Scores(run / f"scores_{figure['net']}.h5") as file:
            fused = file.fused(figure["signal"], [figure["fusion"]], figure["crops"])[figure["fusion"]]
            assert figure["accuracy"] == scores.accuracy(scores.predictions(fused), file.labels)
            assert file.crops == (10 if run.name + figure["net"] == "split01_5fpsrcnn_r" else 5)
            held_out = {1: "g04", 2: "g03"}[figure["split"]]
            assert file.names == [f"v_Flowers{way}_{held_out}_c01" for way in ("Down", "Up")]
    assert len(alone) == 3 * (1 + 6 + 5 + 4)  # row 1, rows 2 to 7, one of each other file, and of flow's
    assert None not in [value for row in summary["table 2"] for value in row["ours"].values()]
    assert set(summary["steps"]) == STEPS | ADDED and (summary["seed"], summary["problems"]) == (1, [])
    assert all(step["seconds"] > 0 and step["command"][0] == "python" for step in summary["steps"].values())
    for name, mode in (("scores_rcnn_r_recurrent", "recurrent"), ("variant_one_stage/scores_rcnn_r", "pair")):
        with Scores(out / "split01_5fps" / f"{name}.h5") as file:
            assert (file.attributes["mode"], file.crops, len(file)) == (mode, 1, 2)
    assert json.loads((out / "split01_5fps" / "motion_energy.json").read_text())["motion"]["sum"] > 0


def test_the_motion_probe_is_in_the_tables(runs):
    out, seen = runs
    (table,) = [table for table in tables.read(out / "tables.json")[0] if table.title.startswith("Motion")]
    assert tables.markdown(table) in (out / "pairs.md").read_text() and tables.markdown(table) in seen["finished"][1]
    assert [row[:2] for row in table.rows] == [
        *(["RCNN-r", previous] for previous in ("true", "same")),
        *(["RCNN-s", previous] for previous in ("all frames before", "true", "same")),
        *(["CNN + RCNN-r fused", previous] for previous in ("true", "same")),
        *([net, "–"] for net in ("single-frame CNN", "CNN averaged over both frames")),
    ]
    rows = json.loads((out / "results.json").read_text())["motion"]
    pairs = right = 0
    for split in (1, 2):
        with Scores(out / f"split{split:02d}_5fps" / "probe_rcnn_r_same.h5") as file:
            for index, label in enumerate(file.labels):
                predicted = file.averaged(index).argmax(axis=1)
                pairs, right = pairs + len(predicted), right + (predicted == label).sum()
    assert rows[1]["pair"]["value"] == right / pairs and rows[1]["pairs"] == pairs


def test_the_nets_are_trained_and_start_from_one_another(runs):
    def values(path, layer=LAYER):
        return caffemodel.read(runs[0] / path).arrays[layer][0]

    for split in ("split01_5fps", "split02_5fps"):
        began = values(f"{split}/snapshots/start.caffemodel")
        assert (values(f"{split}/start_cnn/snapshots/cnn_iter_200.caffemodel") == began).all()
        assert (values(f"{split}/snapshots/cnn_iter_30.caffemodel") != began).any()
        assert not values(f"{split}/snapshots/start.caffemodel", LAYER + "/temporal").any()
        for net in ("rcnn_r", "rcnn_s"):
            first, last = (f"{split}/snapshots/{net}{stage}.caffemodel" for stage in ("_stage1_iter_10", "_iter_20"))
            assert (values(first) == began).all() and (values(last) != began).any()
            assert values(first, LAYER + "/temporal").any()
    began = values("split01_5fps/snapshots/start.caffemodel")
    assert (values("split01_10fps/snapshots/rcnn_r_stage1_iter_10.caffemodel") == began).all()
    variant = runs[0] / "split01_5fps" / "variant_one_stage" / "snapshots"
    assert np.allclose(values(variant / "start.caffemodel"), began / 2)  # it is not unhalved
    assert (values(variant / "rcnn_r_iter_30.caffemodel") != began / 2).any()
    assert not list(variant.glob("*stage1*"))


def test_the_flow_stream_has_two_channels_and_starts_from_nothing(runs):
    out, _ = runs
    arrays = caffemodel.read(out / "split01_5fps" / "snapshots" / "rcnn_r_flow_iter_10.caffemodel").arrays
    assert arrays["conv1/7x7_s2"][0].shape[1] == 2
    assert "--weights" not in (out / "logs" / "split01_5fps.rcnn_r_flow.log").read_text().splitlines()[1]
    recipe = json.loads((out / "frames_5fps_flow.lmdb" / "manifest.json").read_text())["recipe"]["flow"]
    assert (recipe["method"], recipe["bound"]) == ("dis", 3)


def test_the_page_has_the_tables_and_what_failed(runs):
    out, seen = runs
    both, problems = tables.read(out / "tables.json")
    pages = [seen["failed page"], (out / "report.html").read_text()]
    assert problems == [] and "Not everything could be made" not in pages[1]
    assert "split02_5fps.scores_cnn: out/split02_5fps/scores_cnn.h5 is there" in pages[0]
    for text in map(html.unescape, pages):
        assert "two classes" in text and 'src="http' not in text and 'href="http' not in text
    assert all(table.title in html.unescape(pages[1]) for table in both) and "RCNN-s" in pages[1]
    for table, name in zip(both, ("table2.md", "table3.md")):
        assert tables.markdown(table) == (out / name).read_text()


def test_the_page_of_the_study_draws_a_pair_of_frames(runs):
    """Of what is done, without running a step of the plan; tests/test_study_page.py has the rest."""
    out, seen = runs
    status, shown, error, _ = seen["page"]
    assert status == 0 and "docs/page_figure3.png" in shown.splitlines()[-1], error
    page = (out.parent / "docs" / "page.md").read_text()
    assert "are done." in page and "](page_figure3.png)" in page and "tools/figures.py --net OUT/split01_5fps" in page
    assert (out.parent / "docs" / "page_figure3.png").stat().st_size < 400_000
    added = set(seen["files after the page"]) - set(seen["files again"])
    assert added == {"figure3.png", "logs/figure3.log", "steps/figure3.json"}


def test_where_nothing_is_scored_there_is_a_page_that_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked, out = description.parse(GIVEN), Path("out")
    steps, runner = plan.steps(asked, description.check(asked, out), out), Runner(out)
    runner.failed["frames_5fps"] = "it fails"
    runner.skipped.append("split01_5fps.cnn")
    summary = results.make(asked, out, steps, runner)
    assert results.report(out, summary, steps, runner) == 1
    shown, error = capsys.readouterr()
    assert "| RCNN-r | – | 81.0 |" in shown and f"0 of {len(steps)} steps done, 0:00 min" in shown
    assert "reproduce.py: frames_5fps failed: it fails\n" in error
    assert "reproduce.py: not run, as they need what failed: split01_5fps.cnn\n" in error
    text = Path("out/report.html").read_text()
    assert "frames_5fps: it fails" in text and "Table 3: all splits" in text and "Confusion matrix" not in text


def test_a_changed_description_makes_only_what_depends_on_it_stale(runs):
    folder = runs[0].parent
    longer = write(folder, {**GIVEN, **MORE, "nets": {**GIVEN["nets"], "iterations": 30}}, "longer.json")
    states, lines = planned(folder, asked=longer)
    assert of_state(states, "stale") == {
        *(f"split0{split}_5fps.nets" for split in (1, 2)),
        *("split01_10fps.nets", "split01_10fps.rcnn_r", "split01_10fps.scores_rcnn_r"),
        *(
            f"split0{split}_5fps.{step}{net}"
            for split in (1, 2)
            for net in ("cnn", "rcnn_r", "rcnn_s")
            for step in ("", "scores_")
        ),
        *(f"split{split:02d}_5fps.probe_{name}" for split in (1, 2) for name in PROBE),
        *("split01_5fps.scores_rcnn_r_recurrent", "split01_5fps.motion_energy"),
        *(f"split01_5fps.one stage.{step}" for step in ("nets", "rcnn_r", "scores_rcnn_r")),
    }
    assert states["report"] == states["split01_5fps.start"] == "open"
    assert states["split01_5fps.start_cnn.cnn"] == states["split01_5fps.pairs_train"] == "done"
    assert "open: done as it stands; made again only if" in lines[2]


def test_table_3_of_the_two_streams(runs):
    """The means of Table 3 against NumPy, and the fusion against tools/fuse.py."""
    out, seen = runs
    summary = json.loads((out / "results.json").read_text())
    rows = {row["net"]: row for row in summary["table 3"]}
    assert rows["rcnn_s"]["ours"]["image"] is not None
    assert rows["rcnn_s"]["ours"]["optical flow"] is rows["rcnn_s"]["ours"]["two-stream"] is None
    for net in ("cnn", "rcnn_r"):
        shares = []
        for split in ("split01_5fps", "split02_5fps"):
            logs, paths = [], [out / split / f"scores_{net}{end}.h5" for end in ("", "_flow")]
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
        status, _, error = run(
            "fuse", *paths, "--crops", "5", "--fusion", "log-mean", "--json", out.parent / "fused.json"
        )
        assert status == 0, error
        fused = json.loads((out.parent / "fused.json").read_text())["fusions"]["log-mean"]["accuracy"]
        assert fused == shares[-1][2]
        assert list(rows[net]["ours"].values()) == pytest.approx(list(100 * np.mean(shares, axis=0)))
        assert [list(of.values()) for of in rows[net]["splits"].values()] == (100 * np.array(shares).T).tolist()
    figures = {(figure["net"], figure["split"]) for figure in summary["figures"]}
    assert {("cnn_flow", 2), ("rcnn_r_two_stream", 1)} <= figures and "Optical flow by the method dis" in seen[
        "finished"
    ][1]
    assert summary["problems"] == []


@pytest.mark.parametrize(
    "asked, message",
    [
        ("{", "description: given.json is not JSON: Expecting property name"),
        (json.dumps({**GIVEN, "split": [1]}), "description: given.json: unknown key split; the keys are name, "),
        (json.dumps({**GIVEN, "make": None, "videos": "none", "lists": "none"}), "lists: no such folder: none"),
        (
            json.dumps({**GIVEN, "pretrained": "none", "start": "cnn"}),
            "pretrained: no such file: none",
        ),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, asked, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given.json").write_text(asked)
    assert in_process.run("reproduce", "given.json", "--out", "out") == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith(f"reproduce.py: {message}") and error.count("\n") == 1
    assert list(files()) == ["given.json"]


def test_the_plans_of_the_real_sets(tmp_path, monkeypatch, capsys, real_data):
    """From one's own folders, with nothing of the repository's edited and nothing made."""
    weights = ["--weights", real_data / "weights/bvlc_googlenet_deploy.caffemodel"]
    official = ["--videos", real_data / "UCF-101", "--lists", real_data / "ucfTrainTestlist"]
    monkeypatch.chdir(tmp_path)
    nets, variants = 14 + 11, 3 * (5 + 5)  # of a split, with the probe
    for name, where, steps, missing in (
        ("ucf101_16", official, 1 + 3 * nets + 1, True),
        ("ucf101_16", [*official, "--validate"], 1 + 1 + 3 * nets + 1, True),
        ("ucf101_16", [*official, "--validate", "--splits", 2], 1 + 1 + nets + 1, True),
        ("ucf101_16_study", official, 1 + 3 * (nets + variants) + 2 * 12 + 1, True),
        ("weizmann", ["--videos", real_data / "Weizmann"], 1 + 1 + 9 * (nets + variants) + 1, False),
        ("ucf101_16_gpu", [*official, "--missing", "skip"], None, True),
    ):
        words = [ROOT / f"data/{name}.json", *where, *weights, "--out", "out", "--dry-run"]
        assert in_process.run("reproduce", *words) == 0
        out, error = capsys.readouterr()
        assert steps is None or f"{steps} of {steps} steps to do" in out
        assert ("lists: make_lists.py" in out) == (name == "weizmann" or "--validate" in where)
        assert error.endswith("listed videos have no file and are left out\n") if missing else error == ""
    assert in_process.run("reproduce", ROOT / "data/ucf101_16_gpu.json", *official, *weights, "--out", "out") == 2
    assert "lacks 1722 of the 2122 listed videos" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_page_of_a_dry_run_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GIVEN)
    assert in_process.run("reproduce", "given.json", "--out", "out", "--dry-run", "--page", "p.md") == 2
    assert "--no-run writes the page of what is done so far" in capsys.readouterr().err
    assert list(files()) == ["given.json"]


def test_another_one_at_work_in_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GIVEN)
    with alone_in(Path("out")):
        assert in_process.run("reproduce", "given.json", "--out", "out") == 2
    assert capsys.readouterr().err == "reproduce.py: another program is at work in out; wait for it to end\n"


def test_a_disk_that_is_too_small_is_named(tmp_path, monkeypatch, capsys):
    """The warning comes before the first step, which the lock keeps from beginning here."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {**GIVEN, "make": {**GIVEN["make"], "groups": 10**9}})
    with alone_in(Path("out")):
        assert in_process.run("reproduce", "given.json", "--out", "out") == 2
    assert re.search("^this may need about .* GB of disk, and .* are free in out$", capsys.readouterr().err, re.M)
