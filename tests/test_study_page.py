"""rcnn/experiments/study_page.py and study_tables.py: pages of made score files, logs and LMDBs, without training."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import frames
import numpy as np
import pytest
from test_claims_page import tables as tables_of
from test_description import GIVEN
from test_pair_tables import store
from test_plan import OUT, planned

from rcnn.data.builds import Build
from rcnn.experiments import description, plan, results, study_page, study_tables
from rcnn.experiments.runner import Runner
from rcnn.scoring.score_files import Scores

SPLITS = (1, 2)
WHAT = {
    **GIVEN,
    "name": "two | sets",
    "splits": list(SPLITS),
    "fps": [5],
    "crops": [1, 5],
    "probe": ["same", "other"],
    "variants": {"average": {"unhalved": False, "nets": {"combine": "average"}}},
    "variants-splits": "all",
    "seeds": [1, 2],
    "source": "a film, for research",
    "chosen": "Updates were chosen on groups 3 and 4.",
}
TYPED = ["python", "tools/reproduce.py", "d.json", "--out", str(OUT), "--videos", "videos", "--page", "docs/s.md"]


def log(path, last):
    """Write a training's log whose loss falls from 2 to `last`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"phase": "train", "average_loss": 40, "outputs": {}, "learning_rate": 0.1, "seconds": 1.0}
    losses = zip((0, 40, 80), np.linspace(2, last, 3))
    path.write_text("".join(json.dumps({**record, "iteration": i, "loss": x, "raw": x}) + "\n" for i, x in losses))


def make(name, path):
    """Make a step's output as its program would, but tiny; scores of 9 videos, each split's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".h5":
        split, _, previous = int(re.search(r"split(\d+)", str(path))[1]), *path.stem.partition("probe_rcnn_r_")[1:]
        previous = path.stem.rsplit("_", 1)[1] if "probe" in path.stem else previous
        store(path, sum(map(ord, str(path))), split, previous or None, favour=0.03)
    elif path.name == "manifest.json":
        videos = {f"v_{index}": (index % 3, 4) for index in range(9)}
        if "frames" in name:
            frames.write(path.parent, videos, list("ABC"))
        else:
            with Build(path.parent, "pairs", {}, print) as build:
                build.put((f"{number:08d}_v_0_000001".encode(), b"x") for number in range(1234))
                build.finish(counts={"videos": 9, "pairs": 1234}, skipped=[], videos=[])
    elif path.name != "data.mdb":
        path.write_bytes(b"weights")


def page(folder, monkeypatch, lacking=lambda name: False):
    """Write the page of a study whose steps are done but for those that are `lacking`, and one that Fig. 3 needs.

    Returns (text, description, what results.json holds, folder).
    """
    monkeypatch.chdir(folder)
    asked = description.parse(WHAT)
    runner, steps = Runner(OUT), [replace(step, inputs=()) for step in planned(asked).values()]
    for step in steps:
        if not (lacking(step.name) or step.name == "split01_5fps.pairs_test"):
            runner.records.begin(step, "missing")
            for path in step.outputs:
                make(step.name, path)
            runner.records.finish(step, 61.0)
    for place, net in enumerate(("cnn", "rcnn_r", "rcnn_s")):
        for run in (net, f"{net}_stage1"):
            log(OUT / "split01_5fps" / "snapshots" / f"{run}.jsonl", 0.5 + place / 10)
    summary = results.make(asked, OUT, steps, runner)
    pages = study_page.write(Path("docs/s.md"), asked, OUT, summary, steps, runner, TYPED)
    assert all(path.is_file() for path in pages) and pages[0] == Path("docs/s.md")
    return pages[0].read_text(encoding="utf-8"), asked, summary, folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return page(tmp_path_factory.mktemp("study"), patch)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """Of split 2 there is the CNN alone."""

    def lacking(name):
        return name.startswith("split02") and not name.endswith(("scores_cnn", ".cnn"))

    with pytest.MonkeyPatch.context() as patch:
        return page(tmp_path_factory.mktemp("unfinished"), patch, lacking)


def table(text, title):
    """Return the rows of the table below a heading, head first."""
    (part,) = [part for part in re.split("^## ", text, flags=re.M) if part.startswith(title)]
    return tables_of(part.replace("\\|", "/"))[0]


def test_what_stands_on_top(whole):
    text, asked, summary, _ = whole
    assert text.startswith("# two | sets\n")
    assert "`python tools/reproduce.py d.json --out OUT --videos VIDEOS --page docs/s.md`" in text
    assert summary["commit"] in text and summary["machine"] in text and WHAT["chosen"] in text
    assert "batch 4, size 64" in text and "## None" not in text
    assert "9 videos of 3 classes, 36 frames of 72 pixels at 5 frames a second." in text
    assert table(text, "Videos")[1:] == [["1", "9", "1,234", "–", "–"], ["2", "9", "1,234", "9", "1,234"]]
    titles = re.findall("^## (.*)", text, re.M)
    assert titles.index("By the pair and by the video") < titles.index("Table 3: all splits") < titles.index("Commands")


def test_the_tables_are_those_of_the_run(whole):
    """They stand in tables.json; one with other rows has the words of results.json."""
    text, _, summary, _ = whole
    rows = table(text, "By the pair")
    assert len(rows) - 1 == len(summary["pairs"]) and "CNN + RCNN-r, average fused" in {row[0] for row in rows}
    assert len(table(text, "Motion")) - 1 == len(summary["motion"])
    value = summary["pairs"][0]["pair"]["value"]
    assert rows[1][rows[0].index("a pair")].startswith(f"{100 * value:.1f} (")
    assert table(text, "Seeds")[1][-1] == f"{100 * summary['seeds']['cnn']['deviation']:.1f}"


def test_each_class_is_counted(whole):
    text, _, _, _ = whole

    def right(net, label):
        shares = []
        for split in SPLITS:
            with Scores(whole[3] / OUT / f"split{split:02d}_5fps" / f"scores_{net}.h5") as file:
                for index in np.flatnonzero(file.labels == label):
                    values = np.log(file.averaged(index, "high", 5)).mean(axis=0)
                    shares.append(values.argmax() == label)
        return 100 * np.mean(shares)

    head, *rows = table(text, "Each class")
    assert head == ["class", "videos", "single-frame CNN", "RCNN-r", "gain"]
    for label, row in enumerate(rows):
        one, two = right("cnn", label), right("rcnn_r", label)
        assert row == ["ABC"[label], "6", f"{one:.1f}", f"{two:.1f}", f"{two - one:+.1f}"]
    assert len({row[2] for row in rows} | {row[3] for row in rows}) > 2


def test_signals_fusions_and_crops(whole):
    text, asked, _, folder = whole
    head, *rows = table(text, "Signals")
    assert head == ["net", "crops", "signal", "mean", "max", "log-mean"] and len(rows) == 3 * 2 * 4
    with Scores(plan.score_files(asked, folder / OUT)["rcnn_r", 1, 5]) as file:
        expected = [file.fused("low", ("mean", "max"), 1)[how].argmax(axis=1) == file.labels for how in ("mean", "max")]
    (row,) = [row for row in rows if row[:3] == ["RCNN-r", "1", "low"]]
    assert row[3:5] == [f"{100 * right.mean():.1f}" for right in expected]


def test_losses_and_pictures(whole):
    text, _, _, folder = whole
    assert table(text, "Training loss")[2] == ["RCNN-r", "80", "2.000", "0.600"]
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert pictures == ["s_confusion.png", "s_loss.png"], "of Fig. 3 the pairs are not there"
    assert all(cv2.imread(str(folder / "docs" / picture)).std() > 0 for picture in pictures)


def test_time_disk_and_commands(whole):
    text, _, summary, folder = whole
    rows = {row[0]: row[1:] for row in table(text, "Time and disk")[1:]}
    size = 2 * len(b"weights") + (folder / OUT / "split01_5fps/snapshots/rcnn_r.jsonl").stat().st_size
    assert rows["rcnn_r"] == ["2 of 2", "2:02 min", f"{size} B"] and rows["pairs_test"][0] == "1 of 2"
    assert rows["all"][0] == f"{len(summary['steps']) - 1} of {len(summary['steps'])}"
    commands = re.findall("^    (python .*)", text, re.M)
    assert len(commands) == sum("split02" not in name for name in summary["steps"])
    assert all("split02" not in command for command in commands if "build_frames" not in command)
    assert not re.search(rf"(^|[ =]){OUT}/", "\n".join(commands)) and "--frames OUT/frames_5fps.lmdb" in commands[1]


def test_an_unfinished_study_says_which_rows_are_of_which_splits(unfinished):
    text, _, summary, _ = unfinished
    assert "**The study is not finished**" in text
    rows = {row[0]: row for row in table(text, "What is trained")[1:] if row[2] == "1"}
    assert rows["single-frame CNN"][4:] == ["1, 2", "–"] and rows["RCNN-r"][4:] == ["1", "2"]
    assert rows["RCNN-r, average"][3:] == ["unhalved no, combine average", "1", "2"]
    head, *rows = table(text, "By the pair")
    of = {row[0]: row[head.index("splits")] for row in rows}
    assert of["single-frame CNN"] == "1, 2" and of["RCNN-r"] == of["CNN + RCNN-r fused"] == "1"
    assert "split 1 together" in text.split("## Each class")[1].split("|")[0]
    assert table(text, "Time and disk")[-2][1].startswith(("0", "1"))


def test_a_study_of_which_nothing_is_done(tmp_path, monkeypatch):
    text, *_ = page(tmp_path, monkeypatch, lambda name: True)
    assert "0 of" in text and "![" not in text and "## Videos" not in text and "## By the pair" not in text
    assert all(row[1:] == row[1:2] + ["–", "–"] for row in table(text, "Time and disk")[1:])


def test_what_failed_is_named(tmp_path, monkeypatch):
    """Fig. 3 too, here of weights that are none."""
    monkeypatch.chdir(tmp_path)
    asked = description.parse(WHAT)
    study = study_tables.Study(asked, OUT, {"steps": {}, "made_from": {"scores": {}}})
    assert study_page.draw_figure3(study, [], Runner(OUT), tmp_path / "f.png") is None
    done = {name: {"state": "done"} for name in ("split01_5fps.rcnn_r", "split01_5fps.pairs_test")}
    study = replace(study, summary={**study.summary, "steps": done})
    steps, runner = list(planned(asked).values()), Runner(OUT)
    make("pairs", OUT / "split01_5fps" / "pairs_test.lmdb" / "manifest.json")
    assert study_page.draw_figure3(study, steps, runner, tmp_path / "f.png") is None
    assert "deploy_rcnn_r.prototxt" in runner.failed["figure3"] and not (tmp_path / "f.png").exists()
