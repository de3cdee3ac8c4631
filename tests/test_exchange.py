"""A snapshot of either framework goes on in the other: by the programs, against a training that never changed."""

from dataclasses import replace

import in_process
import numpy as np
import pytest
from google.protobuf import text_format
from nets import images, recipe, write_pairs
from random_nets import parameters

from rcnn.nets import caffemodel
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.model import NetModel, without_temporal
from rcnn.training import exchange, log, snapshots

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")
torch.set_num_threads(1)

MODEL = NetModel(classes=4, width=0.05, size=39)
HALF, WHOLE, BATCH = 3, 6, 4
SETTINGS = {"rate": 0.3, "final_rate": 0.1, "scale": 1 / 64, "batch": BATCH, "seed": 1, "iterations": WHOLE}
STAGES = pytest.mark.parametrize("kind, stage", [("pair", 1), ("pair", 2), ("frame", 1), ("frame", 2)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with pairs, of which a half training sees each once and crops and mirrors are no choice."""
    monkeypatch.chdir(tmp_path)
    made = images(np.random.default_rng(7), 2 * HALF * BATCH, MODEL.size, symmetric=True)
    write_pairs(tmp_path / "pairs.lmdb", made[::2], made[1::2], np.arange(HALF * BATCH) % 4, "raw")
    return tmp_path


def prepare(folder, kind, stage, **settings):
    """Write weights to start from and a solver without dropout, whose snapshots are caffe_iter_N."""
    arrays, model = parameters(MODEL, "pair")
    if kind == "frame":
        arrays, model = without_temporal(arrays, model)
    caffemodel.write(folder / "start.caffemodel", arrays, model)
    settings = recipe(
        model, **{**SETTINGS, "snapshot": HALF, "display": 1, "encoding": "raw", "test_iterations": 1, **settings}
    )
    made = (net.rcnn_r if model.temporal else net.cnn)(settings, "pairs.lmdb", net.TRAIN, stage)
    for layer in made.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 0
    (folder / "net.prototxt").write_text(text_format.MessageToString(net.train_val(made, made)))
    solver = net.solver(settings, "net.prototxt", "caffe", WHOLE)
    (folder / "solver.prototxt").write_text(text_format.MessageToString(solver))
    return arrays


def by_caffe(*words):
    return in_process.run("train", "--solver", "solver.prototxt", *words)


def by_torch(stage, *words):
    options = {**SETTINGS, "final-rate": SETTINGS["final_rate"], "snapshot": HALF, "display": 1, "dropout": "no"}
    del options["final_rate"]
    pairs = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    more = ["--pairs", "pairs.lmdb", "--stage", str(stage), "--size", str(MODEL.size), "--device", "cpu"]
    return in_process.run("train_torch", *more, *pairs, "--out", "torch", *words)


def same(one, other, before):
    """Whether two files' parameters are the same, and the median of the changed ones far from `before`."""
    (one, _), (other, _), moved = files.read(one, size=MODEL.size), files.read(other, size=MODEL.size), []
    for name, values in one.items():
        for mine, theirs, old in zip(values, other[name], before[name]):
            scale = np.abs(theirs).max()
            assert np.abs(mine - theirs).max() <= 1e-4 * scale, name
            if (theirs != old).any():
                moved.append(np.abs(theirs - old).max() / scale)
    return len(moved) > 5 and np.median(moved) > 5e-4  # the tolerance is 1e-4


@STAGES
def test_caffes_goes_on_in_pytorch(folder, kind, stage):
    before = prepare(folder, kind, stage)
    assert by_caffe("--weights", "start.caffemodel") == 0
    assert by_torch(stage, "--resume-from", f"caffe_iter_{HALF}.solverstate") == 0
    assert same(f"torch_iter_{WHOLE}.pt", f"caffe_iter_{WHOLE}.caffemodel", before)
    half = exchange.of_caffe(f"caffe_iter_{HALF}.solverstate").momentum
    assert any(value.any() for value in half.values())  # without it the weights would be others
    caffes, ours = (log.read_log(f"{name}.jsonl") for name in ("caffe", "torch"))
    raw = {record["iteration"]: record["raw"] for record in caffes if record["phase"] == "train"}
    assert [record["iteration"] for record in ours] == list(range(HALF, WHOLE))
    assert [record["raw"] for record in ours] == pytest.approx([raw[n] for n in range(HALF, WHOLE)], rel=1e-4)


@STAGES
def test_pytorchs_goes_on_in_caffe(folder, kind, stage, capfd):
    before = prepare(folder, kind, stage)
    assert by_torch(stage, "--weights", "start.caffemodel") == 0
    assert by_caffe("--resume-from", f"torch_iter_{HALF}.solver.pt") == 0
    assert f"going on from caffe_iter_{HALF}.solverstate" in capfd.readouterr().out
    assert same(f"caffe_iter_{WHOLE}.caffemodel", f"torch_iter_{WHOLE}.pt", before)
    assert by_caffe("--resume-from", f"torch_iter_{HALF}.solver.pt") == 0  # its own snapshots are further
    assert "finished already: caffe_iter_6.solverstate" in capfd.readouterr().out


def test_there_and_back_keeps_every_bit(folder):
    prepare(folder, "pair", 2)
    assert by_caffe("--weights", "start.caffemodel") == 0
    assert by_torch(2, "--resume-from", f"caffe_iter_{WHOLE}.solverstate") == 0  # finished: it writes nothing
    assert not list(folder.glob("torch_iter*"))
    assert by_torch(2, "--resume-from", f"caffe_iter_{HALF}.solverstate", "--out", "new/folder/torch") == 0
    saved = torch.load(f"new/folder/torch_iter_{WHOLE}.solver.pt", weights_only=True)["momentum"]
    solver = replace_prefix(folder, "back")
    state = exchange.to_caffe(f"new/folder/torch_iter_{WHOLE}.solver.pt", *solver, folder / "back")
    again = exchange.of_caffe(state)
    assert (again.iteration, again.weights) == (WHOLE, folder / f"back_iter_{WHOLE}.caffemodel")
    assert set(again.momentum) == set(saved) and all(
        again.momentum[name].tobytes() == value.numpy().tobytes() for name, value in saved.items()
    )


def replace_prefix(folder, name):
    """Return the SolverParameter of the folder and its training net."""
    from rcnn.nets.protos import read_solver
    from rcnn.training import caffe_inputs

    solver = read_solver(folder / "solver.prototxt")
    return solver, caffe_inputs.read_nets(solver)[0].net


@pytest.mark.parametrize(
    "settings, stage, message",
    [
        ({"rate": 0.02}, 2, "is of a training with rate 0.3, and the solver has base_lr 0.02; make both the same"),
        ({"iter_size": 2}, 2, "is of a training with iter_size 1, and the solver has iter_size 2"),
        ({}, 1, "is of another stage than the solver's net: in one of them conv1/7x7_s2.bias learns"),
    ],
)
def test_another_training_is_refused(folder, capfd, settings, stage, message):
    prepare(folder, "pair", 2)
    assert by_torch(2, "--weights", "start.caffemodel") == 0
    prepare(folder, "pair", stage, **settings)
    capfd.readouterr()
    assert by_caffe("--resume-from", f"torch_iter_{HALF}.solver.pt") == 2
    error = capfd.readouterr().err
    assert message in error and error.count("\n") == 1 and not snapshots.of("caffe")


def test_files_that_are_none(folder, capfd):
    prepare(folder, "pair", 2)
    (folder / "bad_iter_3.solver.pt").write_bytes(b"no")
    (folder / "bad_iter_3.solverstate").write_bytes(b"\x08")
    for status in (
        by_caffe("--resume-from", "bad_iter_3.solver.pt"),
        by_caffe("--resume-from", "start.caffemodel"),
        by_torch(2, "--resume-from", "bad_iter_3.solverstate"),
        by_torch(2, "--resume-from", "gone.solverstate"),
    ):
        assert status == 2
    error = capfd.readouterr().err
    for message in ("is cut short or no snapshot", "is none of *.solver.pt", "solverstate is cut short", "gone.solver"):
        assert message in error
    assert error.count("\n") == 4


def test_a_state_of_another_net_is_refused(folder, capfd):
    prepare(folder, "pair", 2)
    assert by_caffe("--weights", "start.caffemodel") == 0
    other = replace(MODEL, classes=5)
    caffemodel.write(folder / f"caffe_iter_{HALF}.caffemodel", *parameters(other, "pair"))
    capfd.readouterr()
    assert by_torch(2, "--resume-from", f"caffe_iter_{HALF}.solverstate") == 2
    assert "is not of the net of caffe_iter_3.caffemodel: its history has other parameters" in capfd.readouterr().err
