"""rcnn/experiments/steps.py: when a step counts as done, and what goes when it is made again."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rcnn.experiments import steps
from rcnn.experiments.steps import Records, Step, StepError, stamp, unchanged
from rcnn.files import InputError


@pytest.fixture
def first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("given").write_text("input")
    return Step(
        "first",
        ("one.py", "--out", "made"),
        (Path("given"),),
        (Path("made"),),
        leftovers=((Path(), "made.partial"), (Path("runs"), "net_iter_*")),
    )


@pytest.fixture
def second():
    return Step("second", ("two.py",), (Path("made"),), (Path("result"),))


@pytest.fixture
def records():
    return Records("out")


def do(records, step, text="output", seconds=1.0):
    """Do a step as a Runner does."""
    records.begin(step, records.state(step))
    for path in step.outputs:
        path.write_text(text)
    records.finish(step, seconds)


def later(path):
    """Give a file another time of change."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))


def test_from_missing_to_done(records, first):
    assert records.state(first) == "missing" and not Path("out").exists()
    records.begin(first, "missing")
    assert records.state(first) == "begun"
    records.pause(first, 2.0)
    Path("made").write_text("output")
    Path("made.partial").touch()
    assert records.state(first) == "begun"
    records.begin(first, "begun")
    assert Path("made.partial").exists()  # it goes on with what it has
    records.finish(first, 3.0)
    assert records.state(first) == "done" and records.read(first)["seconds"] == 5.0


@pytest.mark.parametrize(
    "change, state",
    [
        (lambda: Path("given").write_text("other"), "stale"),
        (lambda: Path("made").write_text("broken"), "stale"),
        (lambda: Path("made").unlink(), "missing"),
        (lambda: Path("given").unlink(), "done"),  # what it was made from may go
        (lambda: later(Path("given")), "done"),
        (lambda: later(Path("made")), "done"),
        (lambda: Path("out/steps/first.json").write_text("{"), "missing"),
    ],
)
def test_what_a_change_does(records, first, change, state):
    do(records, first)
    assert records.state(first) == "done"
    change()
    assert records.state(first) == state


def test_another_command_input_or_output_is_stale(records, first):
    do(records, first)
    for changed in (
        replace(first, command=("one.py", "--out", "made", "--fps", "5")),
        replace(first, inputs=(*first.inputs, Path("more"))),
        replace(first, outputs=(Path("other"),)),
    ):
        assert records.state(changed) == "stale"
    assert records.state(replace(first, settings=("--gpu", "0"), seconds=9.0, bytes=9)) == "done"


def test_settings_of_an_unfinished_step_count_too(records, first):
    records.begin(first, "missing")
    Path("made.partial").write_text("half")
    assert records.state(replace(first, command=("one.py",))) == "stale"


def test_what_needs_a_step_that_is_made_again_is_open(records, first, second):
    do(records, first)
    do(records, second)
    third = Step("third", ("three.py",), (Path("result"),), (Path("last"),))
    do(records, third)
    assert records.states([first, second, third]) == {"first": "done", "second": "done", "third": "done"}
    Path("given").write_text("other")
    assert records.states([first, second, third]) == {"first": "stale", "second": "open", "third": "open"}
    do(records, first)  # and makes what it made before
    assert records.states([first, second, third]) == {"first": "done", "second": "done", "third": "done"}
    Path("given").write_text("third")
    do(records, first, "another output")
    assert records.states([first, second, third]) == {"first": "done", "second": "stale", "third": "open"}


def test_a_stale_step_loses_what_it_made_and_nothing_else(records, first):
    do(records, first)
    for name in ("made.partial/data", "runs/net_iter_10.caffemodel", "runs/other_iter_10.caffemodel"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("given").write_text("other")
    records.begin(first, "stale")
    assert sorted(str(path) for path in Path().rglob("*") if path.is_file()) == [
        "given",
        "out/steps/first.json",
        "runs/other_iter_10.caffemodel",
    ]
    assert records.state(first) == "begun" and records.read(first)["seconds"] == 0


def test_what_is_in_the_way_stays(records, first):
    Path("made").write_text("somebody's")
    with pytest.raises(InputError, match="made is there, and out/steps/first.json does not say what made it; move it"):
        records.begin(first, records.state(first))
    assert Path("made").read_text() == "somebody's" and not Path("out").exists()


def test_a_step_that_does_not_make_what_it_should(records, first):
    records.begin(first, "missing")
    with pytest.raises(StepError, match="it did not make made"):
        records.finish(first, 1.0)
    assert records.state(first) == "begun"


def test_stamps_of_files(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    before = json.loads(json.dumps(stamp(path)))
    assert unchanged(path, before)
    later(path)
    assert unchanged(path, before)
    path.write_bytes(b"abd")
    later(path)
    assert not unchanged(path, before)
    path.write_bytes(b"abcd")
    os.utime(path, ns=(0, before["changed"]))
    assert not unchanged(path, before)
    path.unlink()
    assert not unchanged(path, before)
    path.mkdir()
    assert not unchanged(path, before)
    path.rmdir()
    monkeypatch.setattr(steps, "HASHED", 2)  # larger files are not read
    path.write_bytes(b"abc")
    before = stamp(path)
    assert before["sha256"] is None and unchanged(path, before)
    later(path)
    assert not unchanged(path, before)


def test_records_of_folders_that_are_there_already_go_on(records, first):
    """Their form, written out: whoever changes it has to bring people's folders along."""
    Path("made").write_text("output")
    size, changed = Path("made").stat().st_size, Path("made").stat().st_mtime_ns
    before = {"bytes": 5, "changed": 7, "sha256": "c96c6d5be8d08a12e7b5cdc1b207fa6b2430974c86803d8891675e76fd992c20"}
    Path("out/steps").mkdir(parents=True)
    Path("out/steps/first.json").write_text(
        json.dumps(
            {
                "command": ["one.py", "--out", "made"],
                "inputs": {"given": before},
                "finished": True,
                "seconds": 2.5,
                "outputs": {"made": {"bytes": size, "changed": changed, "sha256": None}},
            }
        )
    )
    assert (records.state(first), records.seconds(first)) == ("done", 2.5)


def test_stamps_of_folders(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one.avi").write_text("1")
    before = stamp(tmp_path / "a")
    (tmp_path / "a" / "b" / ".half.avi").write_text("1")
    assert unchanged(tmp_path / "a", before)
    (tmp_path / "a" / "b" / "one.avi").write_text("12")
    assert not unchanged(tmp_path / "a", before)
    (tmp_path / "a" / "b" / "one.avi").rename(tmp_path / "a" / "two.avi")
    (tmp_path / "a" / "two.avi").write_text("1")
    assert not unchanged(tmp_path / "a", before)


def test_an_input_that_changes_while_a_step_runs_makes_it_stale(records, first):
    records.begin(first, "missing")
    Path("made").write_text("output of the input as it was")
    Path("given").write_text("changed meanwhile")
    records.finish(first, 1.0)
    assert records.state(first) == "stale"


def test_a_step_that_made_nothing_can_be_given_anew(records, first):
    records.begin(first, "missing")
    records.pause(first, 1.0)
    other = replace(first, command=("one.py", "--other"))
    assert records.state(other) == "missing"
    Path("made").write_text("half")
    assert records.state(other) == "stale"
