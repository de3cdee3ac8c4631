"""The log of `caffe train` as records."""

import math

import numpy as np
import pytest

from rcnn.files import InputError
from rcnn.training import log as training

LOG = """\
I1123 15:06:31.153342 20113 caffe.cpp:197] Use CPU.
I1123 15:06:31.153707 20113 solver.cpp:45] Initializing solver from parameters:
base_lr: 0.01
I1123 15:06:32.1 20113 solver.cpp:347] Iteration 0, Testing net (#0)
I1123 15:06:32.2 20119 data_layer.cpp:73] Restarting data prefetching from start.
I1123 15:06:32.2 20113 solver.cpp:414]     Test net output #0: high/accuracy = 0.25
I1123 15:06:32.2 20113 solver.cpp:414]     Test net output #1: high/loss = 4.61 (* 1 = 4.61 loss)
I1123 15:06:33.1 20113 solver.cpp:239] Iteration 40 (2.5 iter/s, 16s/40 iters), loss = 4.6
I1123 15:06:33.1 20113 solver.cpp:258]     Train net output #0: loss1/loss = 4 (* 0.3 = 1.2 loss)
I1123 15:06:33.1 20113 solver.cpp:258]     Train net output #1: loss3/loss = 3.5 (* 1 = 3.5 loss)
I1123 15:06:33.1 20113 solver.cpp:258]     Train net output #2: seen = 1e-05
I1123 15:06:33.1 20113 solver.cpp:258]     Train net output #3: seen = 2
a line of a Python layer
I1123 15:06:33.1 20113 sgd_solver.cpp:50] MultiStep Status: Iteration 40, step = 1
I1123 15:06:33.1 20113 sgd_solver.cpp:112] Iteration 40, lr = 0.01
I20261123 15:06:34.100000 20113 solver.cpp:332] Iteration 80, loss = -nan
I20261123 15:06:34.200000 20113 caffe.cpp:250] Optimization Done.
"""


def records(text, **options):
    parser = training.LogParser(**options)
    complete = [parser.feed(line) for line in text.splitlines(keepends=True)]
    return [record for record in [*complete, parser.finish()] if record]


def test_parses_each_kind_of_line():
    test, train, last = records(LOG, average_loss=40)
    assert test == {"phase": "test", "iteration": 0, "net": 0, "outputs": {"high/accuracy": 0.25, "high/loss": 4.61}}
    assert train == {
        "phase": "train",
        "iteration": 40,
        "loss": 4.6,
        "average_loss": 40,
        "raw": pytest.approx(4.7),
        "outputs": {"loss1/loss": 4.0, "loss3/loss": 3.5, "seen": [1e-5, 2.0]},
        "learning_rate": 0.01,
    }
    assert last["iteration"] == 80 and math.isnan(last["loss"]) and last["learning_rate"] is None


def test_a_record_is_given_out_as_soon_as_it_is_complete():
    parser = training.LogParser()
    complete = [bool(parser.feed(line)) for line in LOG.splitlines()]
    assert [index for index, there in enumerate(complete) if there] == [7, 14, 16]


def test_an_interrupted_test_gives_no_record():
    lines = LOG.splitlines()[:5] + ["I1123 15:06:32.2 20113 solver.cpp:400] Test interrupted."]
    assert records("\n".join(lines)) == []


@pytest.mark.parametrize(
    "change, names",
    [
        ({}, []),
        ({"loss": math.inf}, ["loss"]),
        ({"outputs": {"a": math.nan, "b": 1.0}}, ["a"]),
        ({"outputs": {"a": [1.0, math.nan]}}, ["a"]),
        ({"phase": "test", "outputs": {"high/loss": math.nan}}, ["high/loss"]),
    ],
)
def test_not_finite(change, names):
    assert training.not_finite({"outputs": {"a": 1.0}, **change}) == names


FATAL = "F1123 15:06:32.2 1 net.cpp:9] Check failed: a == b"
ERROR = "E1123 15:06:32.2 1 a.cpp:1] broken"
FINE = "I1123 15:06:32.2 1 a.cpp:1] fine"
TRACE = ["*** Check failure stack trace: ***", "    @     0x7f google::LogMessage::Fail()"]


@pytest.mark.parametrize(
    "lines, said",
    [
        ([ERROR, FATAL, *TRACE], "Check failed: a == b"),
        ([FINE, ERROR], "broken"),
        (["Traceback (most recent call last):", "ImportError: no layers", FINE, *TRACE], "ImportError: no layers"),
        ([], "it printed no error"),
    ],
)
def test_complaint(lines, said):
    assert training.complaint(lines) == said


def record(iteration, **contents):
    fixed = {"phase": "train", "loss": 2.0, "average_loss": 1, "outputs": {}, "learning_rate": 0.1}
    return {**fixed, "iteration": iteration, "raw": float(iteration), "seconds": iteration / 2, **contents}


def test_rewind_drops_what_is_done_again(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(training.line(record(iteration)) for iteration in (0, 10, 20, 30)) + '{"phase": "tr')
    assert [kept["iteration"] for kept in training.rewind(path, 20)] == [0, 10]
    assert [kept["iteration"] for kept in training.read_log(path)] == [0, 10]
    assert training.rewind(tmp_path / "none.jsonl", 5) == []


@pytest.mark.parametrize("damage", ["not json\n", "[]\n", '{"phase": "train"}\n'])
def test_a_damaged_log_is_named(tmp_path, damage):
    path = tmp_path / "log.jsonl"
    path.write_text(training.line(record(0)) + damage + training.line(record(1)))
    with pytest.raises(InputError, match="log.jsonl, line 2 is not a record; it is damaged, or .* did not write it$"):
        training.read_log(path)
    with pytest.raises(InputError, match="line 2 is not a record; .*; give another --log or --fresh"):
        training.rewind(path, 1)


def test_a_line_cannot_hold_nan():
    with pytest.raises(ValueError):
        training.line(record(0, loss=math.nan))


def test_running_mean_is_over_iterations_not_records():
    iterations, values = np.array([0, 10, 20, 30, 80]), np.array([5.0, 1.0, 2.0, 3.0, 7.0])
    expected = [values[(iterations > i - 25) & (iterations <= i)].mean() for i in iterations]
    assert np.allclose(training.running_mean(iterations, values, 25), expected)
    assert training.running_mean([], [], 40).shape == (0,)


def test_loss_curve_averages_unless_caffe_did():
    shown = [record(0), record(10), {**record(10), "phase": "test"}, record(20, raw=None)]
    iterations, raw, averaged = training.loss_curve(shown, 40)
    assert iterations.tolist() == [0, 10] and raw.tolist() == [0.0, 10.0] and averaged.tolist() == [0.0, 5.0]
    _, _, averaged = training.loss_curve([{**one, "average_loss": 40} for one in shown], 40)
    assert averaged.tolist() == [2.0, 2.0]
