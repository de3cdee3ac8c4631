"""tools/train.py over real `caffe train` runs of a net of three numbers."""

import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest
import runs
from caffe.proto import caffe_pb2

from rcnn.files import InputError, ProgramError, TrainingError
from rcnn.nets import caffemodel
from rcnn.training import snapshots

TOOL = runs.ROOT / "tools" / "train.py"

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 2 dim: 4 } shape { dim: 2 } data_filler { type: "constant" value: 0.5 }
  data_filler { type: "constant" value: 1 } } }
%s
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "high/loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "high/loss" }
layer { name: "high/accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "high/accuracy"
  include { phase: TEST } }
"""
SLOW = 'layer { name: "slow" type: "Python" bottom: "data" python_param { module: "slow" layer: "Slow" } }'
SLOW_MODULE = """
import time
import caffe

class Slow(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): pass
    def forward(self, bottom, top): time.sleep(0.03)
    def backward(self, top, propagate_down, bottom): pass
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "exp" gamma: 0.99 momentum: 0.9 solver_mode: CPU random_seed: 3
display: 5 max_iter: 60 average_loss: 40 snapshot: 20 snapshot_prefix: "snap/tiny"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a net and a solver."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{runs.ROOT}:{tmp_path}")
    Path("net.prototxt").write_text(NET % "")
    Path("solver.prototxt").write_text(SOLVER)
    Path("slow.py").write_text(SLOW_MODULE)
    return tmp_path


@pytest.fixture
def train(monkeypatch):
    """The tool's main(), called with options."""
    module = runs.module("train")

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["train.py", "--solver", "solver.prototxt", *options])
        return module.main()

    return call


def start(*options):
    return subprocess.Popen(
        [sys.executable, str(TOOL), "--solver", "solver.prototxt", *options],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path):
    """Wait until a file has something in it."""
    deadline = time.monotonic() + 30
    while not (Path(path).exists() and Path(path).stat().st_size):
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def iterations(phase="train", log="snap/tiny.jsonl"):
    records = [json.loads(line) for line in Path(log).read_text().splitlines()]
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)
    return [record["iteration"] for record in records if record["phase"] == phase]


def parameters(path):
    return [values for layer in caffemodel.read(path).arrays.values() for values in layer]


def test_a_whole_training_and_its_repetition(train, capsys):
    Path("solver.prototxt").write_text(SOLVER + "test_iter: 2 test_interval: 20")
    assert train("--plot", "plots/loss.png", "--log", "logs.jsonl") == 0
    assert "tiny_iter_60.caffemodel" in capsys.readouterr().out
    assert iterations(log="logs.jsonl") == list(range(0, 65, 5))
    assert iterations("test", "logs.jsonl") == [0, 20, 40, 60]
    first = json.loads(Path("logs.jsonl").read_text().splitlines()[1])
    assert first["outputs"].keys() == {"high/loss"} and first["raw"] == first["loss"] and first["average_loss"] == 40
    assert first["learning_rate"] == pytest.approx(0.1)
    assert Path("plots/loss.png").stat().st_size > 1000
    before = {path: path.stat().st_mtime_ns for path in Path(".").rglob("*") if path.is_file()}
    assert train("--log", "logs.jsonl") == 0
    assert "finished already" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in Path(".").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "variable",
    [
        "TQDM_DISABLE=1",
        "TQDM_MININTERVAL=often",
        "TQDM_BAR_FORMAT={nothing}",
        "TQDM_FILE=bars.txt",
        "GLOG_log_prefix=0",
        "GLOG_minloglevel=2",
        "MPLBACKEND=nonsense",
        "MPLCONFIGDIR=/proc/nowhere",
        "PYTHONWARNINGS=error",
    ],
)
def test_no_variable_of_a_library_costs_the_result(monkeypatch, variable):
    monkeypatch.setenv(*variable.split("="))
    Path("solver.prototxt").write_text(SOLVER + "test_iter: 2 test_interval: 20")
    process = start("--plot", "loss.png")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert iterations() == list(range(0, 65, 5)) and iterations("test") == [0, 20, 40, 60]
    assert Path("loss.png").stat().st_size > 1000 and "tiny, iteration 40, test net 0: high/accuracy" in said
    assert ("it/s" in said) == (variable != "TQDM_DISABLE=1")


def test_killed_and_resumed_is_as_undisturbed(train, capsys):
    assert train() == 0
    undisturbed = parameters("snap/tiny_iter_60.caffemodel")
    assert train("--fresh") == 0  # twice the same, so that the comparison below means something
    assert all(map(np.array_equal, undisturbed, parameters("snap/tiny_iter_60.caffemodel")))
    Path("net.prototxt").write_text(NET % SLOW)
    for path in Path("snap").iterdir():
        path.unlink()
    process = start()
    wait_for("snap/tiny_iter_20.solverstate")
    time.sleep(0.25)
    process.kill()
    process.communicate()
    assert not Path("snap/tiny_iter_60.caffemodel").exists()
    Path("net.prototxt").write_text(NET % "")
    capsys.readouterr()
    assert train() == 0
    assert "going on from snap/tiny_iter_20.solverstate" in capsys.readouterr().out
    assert iterations() == list(range(0, 65, 5))
    assert all(map(np.array_equal, undisturbed, parameters("snap/tiny_iter_60.caffemodel")))


def test_caffe_dies_with_a_program_that_is_killed():
    Path("net.prototxt").write_text(NET % SLOW)
    Path("solver.prototxt").write_text(SOLVER.replace("max_iter: 60", "max_iter: 9999999"))
    process = start()
    wait_for("snap/tiny.jsonl")
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert b"caffe\0train" in Path(f"/proc/{child}/cmdline").read_bytes()
    assert is_locked("snap/tiny.caffe.log")
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while is_locked("snap/tiny.caffe.log"):  # caffe holds it too
        assert time.monotonic() < deadline, "caffe lives on"
        time.sleep(0.05)


def is_locked(path):
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_snapshots_and_stops(train, capsys, number):
    Path("net.prototxt").write_text(NET % SLOW)
    Path("solver.prototxt").write_text(SOLVER.replace("snapshot: 20", "snapshot: 1000"))
    process = start()
    wait_for("snap/tiny.jsonl")
    os.killpg(process.pid, number)  # as the terminal does it, to all of the group
    output = process.communicate()[0]
    assert process.returncode == 130 and "run the same command" in output and "Traceback" not in output
    iteration, state = snapshots.newest("snap/tiny")
    assert 0 < iteration < 60
    Path("net.prototxt").write_text(NET % "")
    assert train() == 0
    assert f"going on from {state}" in capsys.readouterr().out
    assert iterations() == list(range(0, 65, 5)) and snapshots.newest("snap/tiny")[0] == 60


def test_a_second_training_of_the_same_snapshots_is_refused(train):
    Path("snap").mkdir()
    with open("snap/tiny.caffe.log", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="a training that writes snap/tiny.caffe.log is running"):
            train("--fresh")


def test_a_broken_newest_snapshot_is_passed_over(train, capsys):
    train()
    whole = {path: path.read_bytes() for path in Path("snap").glob("tiny_iter_[46]0*")}
    model, state = Path("snap/tiny_iter_60.caffemodel"), Path("snap/tiny_iter_60.solverstate")

    def nan():
        message = caffe_pb2.NetParameter.FromString(whole[model])
        message.layer[1].blobs[0].data[1] = float("nan")
        model.write_bytes(message.SerializeToString())

    for damage in (
        lambda: state.write_bytes(whole[state][:-1]),
        lambda: state.write_bytes(whole[state][:-2]),
        lambda: state.write_bytes(b""),
        lambda: model.write_bytes(whole[model][:-7]),
        lambda: model.write_bytes(b""),
        model.unlink,
        nan,
    ):
        damage()
        said = []
        assert snapshots.newest("snap/tiny", said.append) == (40, Path("snap/tiny_iter_40.solverstate"))
        assert len(said) == 1 and "tiny_iter_60.solverstate" in said[0]
        for path, content in whole.items():
            path.write_bytes(content)
    assert snapshots.newest("snap/tiny")[0] == 60
    state.write_bytes(whole[state][:-1])
    capsys.readouterr()
    assert train() == 0
    assert "passing over" in capsys.readouterr().out
    assert state.read_bytes() == whole[state] and iterations() == list(range(0, 65, 5))
    assert snapshots.newest("snap/none") == (0, None) and snapshots.newest("nowhere/none") == (0, None)


@pytest.mark.parametrize("left_behind", ["nothing", "its folder", "another training"])
def test_a_training_whose_folder_was_renamed_or_copied_goes_on(train, capsys, monkeypatch, tmp_path, left_behind):
    """From the weights beside the state, even where those that it names are there, and not the same any more."""
    (one := tmp_path / "one").mkdir()
    for name in ("net.prototxt", "solver.prototxt"):
        (one / name).write_text(Path(name).read_text().replace('"snap/', f'"{one}/snap/'))
    monkeypatch.chdir(one)
    train()
    undisturbed = parameters("snap/tiny_iter_60.caffemodel")
    for path in Path("snap").glob("tiny_iter_60*"):
        path.unlink()
    (one.rename if left_behind == "nothing" else functools.partial(shutil.copytree, one))(tmp_path / "two")
    if left_behind == "another training":
        for path in Path("snap").glob("*.caffemodel"):
            path.write_bytes(b"")
    monkeypatch.chdir(tmp_path / "two")
    Path("solver.prototxt").write_text(Path("solver.prototxt").read_text().replace(str(one), str(tmp_path / "two")))
    there = files_of(one)
    capsys.readouterr()
    assert train() == 0
    assert f"going on from {tmp_path}/two/snap/tiny_iter_40.solverstate" in capsys.readouterr().out
    assert not list(Path("snap").glob("*.unusable")) and iterations() == list(range(0, 65, 5))
    assert all(map(np.array_equal, undisturbed, parameters("snap/tiny_iter_60.caffemodel")))
    assert files_of(one) == there


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-7])])
def test_a_training_whose_weights_are_lost_stops_and_keeps_what_there_is(train, damage):
    train()
    for path in Path("snap").glob("*.caffemodel"):
        damage(path)
    before = files_of("snap")
    with pytest.raises(InputError, match=r"from snap/tiny_iter_60.solverstate, .* or start over with --fresh") as error:
        train()
    assert "\n" not in str(error.value) and files_of("snap") == before
    assert train("--fresh") == 0


def test_a_first_snapshot_that_was_being_written_is_no_reason_to_stop(train, capsys):
    train()
    whole = Path("snap/tiny_iter_20.solverstate").read_bytes()
    for path in Path("snap").glob("tiny_iter_[46]0*"):
        path.unlink()
    Path("snap/tiny_iter_20.solverstate").write_bytes(whole[:-1])
    assert train() == 0 and "starting from fresh weights" in capsys.readouterr().out


def test_fresh_starts_over(train, capsys):
    train()
    Path("snap/other_iter_60.caffemodel").touch()
    Path("solver.prototxt").write_text(SOLVER.replace("max_iter: 60", "max_iter: 30"))
    assert train("--fresh") == 0
    assert "removed 6 snapshot files" in capsys.readouterr().out
    assert list(snapshots.of("snap/tiny")) == [30, 20] and iterations() == list(range(0, 35, 5))
    assert Path("snap/other_iter_60.caffemodel").exists()


def files_of(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "options, prepare, said",
    [
        ([], lambda _: Path("net.prototxt").unlink(), "net: no such file"),
        ([], lambda _: Path("net.prototxt").write_text(lmdb_net("gone.lmdb")), "there is no LMDB"),
        (["--weights", "gone.caffemodel"], lambda _: None, "weights: no such file"),
        (["--weights", "snap/tiny_iter_60.caffemodel"], lambda _: None, "a name that this training writes; move it to"),
        ([], lambda patch: patch.setattr("shutil.which", lambda *_, **__: None), "no caffe program"),
    ],
)
def test_fresh_removes_nothing_where_the_new_training_cannot_start(train, monkeypatch, options, prepare, said):
    train()
    before = files_of("snap")
    prepare(monkeypatch)
    with pytest.raises(InputError, match=said):
        train("--fresh", *options)
    assert files_of("snap") == before


@pytest.mark.parametrize("option", ["--log", "--plot"])
@pytest.mark.parametrize(
    "place, reason", [("precious.png", "Is a directory"), ("solver.prototxt/x.png", "Not a directory")]
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_lost(train, option, place, reason):
    Path("precious.png").mkdir()
    Path("precious.png/file").write_text("x")
    Path("snap").mkdir()
    Path("snap/tiny_iter_20.caffemodel").touch()
    for fresh in ([], ["--fresh"]):
        with pytest.raises(ProgramError, match=f"cannot write {place}: {reason}"):
            train(option, place, *fresh)
    assert Path("precious.png/file").exists() and not Path("snap/tiny_iter_20.caffemodel").read_bytes()


@pytest.mark.parametrize(
    "options, said",
    [
        ("--log pairs.lmdb/x.jsonl", "--log: pairs.lmdb/x.jsonl lies in pairs.lmdb, which the solver reads"),
        ("--plot pairs.lmdb/x.png", "--plot: pairs.lmdb/x.png lies in pairs.lmdb, which the solver reads"),
        ("--log net.prototxt", "--log: net.prototxt is what the solver reads"),
        ("--weights a.caffemodel,start.png --plot start.png", "--plot: start.png is what the solver reads"),
        ("--log x.png --plot x.png", "--plot: x.png is the file of --log too"),
    ],
)
def test_an_output_that_is_read_is_refused(train, folder, options, said):
    lmdb.open("pairs.lmdb").close()
    Path("net.prototxt").write_text(lmdb_net("pairs.lmdb"))
    before = files_of(folder)
    with pytest.raises(InputError, match=said):
        train(*options.split())
    assert files_of(folder) == before


def test_snapshots_beyond_the_one_it_goes_on_from_are_set_aside(train, capsys):
    train()
    for path in Path("snap").glob("tiny_iter_60*"):
        path.write_bytes(b"")
    Path("snap/tiny_iter_50.caffemodel").write_bytes(b"")
    Path("solver.prototxt").write_text(SOLVER.replace("max_iter: 60", "max_iter: 55"))
    assert train() == 0
    assert "weights of iteration 55: snap/tiny_iter_55.caffemodel" in capsys.readouterr().out
    assert list(snapshots.of("snap/tiny", "caffemodel")) == [55, 40, 20]
    assert {path.name for path in Path("snap").glob("*.unusable")} == {
        "tiny_iter_60.caffemodel.unusable",
        "tiny_iter_60.solverstate.unusable",
        "tiny_iter_50.caffemodel.unusable",
    }


def test_only_weights_of_this_run_are_reported(train, capsys, monkeypatch):
    monkeypatch.setattr(snapshots, "set_aside", lambda *_: Path("snap/tiny_iter_99.caffemodel").write_bytes(b"bad"))
    Path("snap").mkdir()
    assert train() == 0
    assert "weights of iteration 60" in capsys.readouterr().out


def test_weights_are_used(train):
    train()
    Path("solver.prototxt").write_text(SOLVER.replace("snap/tiny", "two/tiny").replace("base_lr: 0.1", "base_lr: 0"))
    assert train("--weights", "snap/tiny_iter_60.caffemodel") == 0
    one, two = (parameters(f"{name}/tiny_iter_60.caffemodel") for name in ("snap", "two"))
    assert all(map(np.array_equal, one, two))


@pytest.mark.parametrize(
    "display, max_iter, complaint",
    [
        (5, 9999999, r"at iteration \d+ are not finite \(loss, high/loss\)"),
        (1000, 60, "tiny_iter_60.caffemodel has numbers in layer fc that are not finite"),
    ],
)
def test_a_training_that_diverges_ends_also_after_the_last_display(train, display, max_iter, complaint):
    euclidean = (NET % "").replace("num_output: 3", "num_output: 4")
    softmax, loss = '"SoftmaxWithLoss" bottom: "fc" bottom: "label"', '"EuclideanLoss" bottom: "fc" bottom: "data"'
    Path("net.prototxt").write_text(euclidean.replace(softmax, loss))
    changed = SOLVER.replace("base_lr: 0.1", "base_lr: 1e9").replace("display: 5", f"display: {display}")
    Path("solver.prototxt").write_text(changed.replace("max_iter: 60", f"max_iter: {max_iter}"))
    with pytest.raises(TrainingError, match=complaint):
        train()
    assert iterations() in ([0], [0, 5], [0, 5, 10]) and snapshots.newest("snap/tiny", print) == (0, None)


def test_caffe_failing_is_one_line_with_its_log(train):
    Path("net.prototxt").write_text(NET % 'layer { name: "x" type: "NoSuch" bottom: "data" top: "x" }')
    with pytest.raises(TrainingError, match="Unknown layer type: NoSuch") as error:
        train()
    assert "\n" not in str(error.value) and "(all it said: snap/tiny.caffe.log)" in str(error.value)
    assert "Check failure stack trace" in Path("snap/tiny.caffe.log").read_text()


def test_without_caffe_it_says_what_is_missing():
    code = (
        "import sys; sys.modules['caffe'] = None; sys.argv = ['train.py', '--solver', 'solver.prototxt']\n"
        "from rcnn.__main__ import start\nstart('train')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "train.py: caffe is not installed; tools/install_caffe.sh brings it\n"


def lmdb_net(path, include=""):
    return NET % (
        f'layer {{ name: "pairs" type: "Data" top: "pairs" data_param {{ source: "{path}" backend: LMDB '
        f"batch_size: 1 }} {include} }}"
    )


OLD = 'layers { name: "data" type: DUMMY_DATA top: "data" }'
INLINE = SOLVER.replace('net: "net.prototxt"', "net_param { %s }")
OLDEST = 'layers { layer { name: "data" type: "data" } top: "data" }'
IN_TEST = {"net.prototxt": lmdb_net("gone.lmdb", "include { phase: TEST }")}


@pytest.mark.parametrize(
    "weights, files, said",
    [
        ("", {"solver.prototxt": None}, "solver: no such file"),
        ("", {"solver.prototxt": "net: 3"}, "solver: solver.prototxt does not parse: 1:6"),
        ("", {"solver.prototxt": SOLVER.replace("display: 5", "")}, "display 0"),
        ("", {"solver.prototxt": SOLVER.replace("max_iter: 60", "")}, "max_iter 0"),
        ("", {"solver.prototxt": SOLVER.replace('net: "net.prototxt"', "")}, "names 0 training nets"),
        ("", {"solver.prototxt": SOLVER + "snapshot_format: HDF5"}, "HDF5"),
        ("", {"solver.prototxt": SOLVER + 'weights: "gone.caffemodel"'}, "weights: no such file: gone.caffemodel"),
        ("", {"snap": ""}, "cannot write snap/tiny.caffe.log: File exists"),
        ("", {"net.prototxt": "name: 'empty'"}, "has no layer"),
        ("", {"net.prototxt": OLD}, "net: net.prototxt is in Caffe's old format, .* program upgrade_net_proto_text"),
        ("", {"net.prototxt": OLDEST}, "net.prototxt is in Caffe's old format"),
        ("", {"solver.prototxt": INLINE % OLD}, "solver: its net_param is in Caffe's old format"),
        ("", {"net.prototxt": lmdb_net("gone.lmdb")}, "pairs of the training net reads gone.lmdb, but there is no"),
        ("", {"net.prototxt": lmdb_net("bad.lmdb"), "bad.lmdb/data.mdb": "no"}, "bad.lmdb, which is not an LMDB"),
        ("", {"net.prototxt": lmdb_net("empty.lmdb")}, "empty.lmdb, which is empty"),
        ("", {**IN_TEST, "solver.prototxt": SOLVER + "test_iter: 1 test_interval: 5"}, "the test net reads gone.lmdb"),
        ("unlike.caffemodel,bad.caffemodel", {"bad.caffemodel": "garbage"}, "no layer of unlike.caffemodel"),
        ("bad.caffemodel", {"bad.caffemodel": "garbage"}, "not Caffe's binary format"),
        ("bad.caffemodel", {"bad.caffemodel": ""}, "holds no parameters"),
    ],
)
def test_bad_input_is_said_before_caffe_starts(train, weights, files, said):
    message = caffe_pb2.NetParameter()
    message.layer.add(name="elsewhere").blobs.add(data=[1.0])
    Path("unlike.caffemodel").write_bytes(message.SerializeToString())
    lmdb.open("empty.lmdb").close()
    for name, text in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).unlink() if text is None else Path(name).write_text(text)
    with pytest.raises(ProgramError, match=said) as error:
        train(*(["--weights", weights] if weights else []))
    assert "\n" not in str(error.value)
    assert not Path("snap/tiny.caffe.log").exists() or not Path("snap/tiny.caffe.log").read_text()


@pytest.mark.parametrize("lock", ["read-only", "none", "writable"])
def test_pairs_that_may_be_read_and_not_written(lock):
    """Somebody else's, as of a shared data set: LMDB by itself wants to write its lock file."""
    with lmdb.open("pairs.lmdb") as store, store.begin(write=True) as records:
        for number in range(4):
            datum = caffe_pb2.Datum(channels=1, height=1, width=4, data=bytes([10, 20, 30, number]), label=number % 3)
            records.put(f"{number}".encode(), datum.SerializeToString())
    if lock == "none":
        Path("pairs.lmdb/lock.mdb").unlink()
    data = 'name: "pairs" type: "Data" top: "data" top: "label" data_param { source: "pairs.lmdb" backend: LMDB'
    net = f"layer {{ {data} batch_size: 2 }} }}" + (NET % "").partition("} }\n")[2]
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(SOLVER + "test_iter: 2 test_interval: 20")
    for path in [*Path("pairs.lmdb").iterdir(), Path("pairs.lmdb")]:
        path.chmod(0o555 if path.is_dir() else 0o666 if lock == "writable" and path.name == "lock.mdb" else 0o444)
    before = files_of("pairs.lmdb") if lock != "writable" else None
    rights = "-dac_override,-dac_read_search"
    under = ["setpriv", "--bounding-set", rights, "--inh-caps", rights] if os.geteuid() == 0 else []
    words = [*under, sys.executable, TOOL, "--solver", "solver.prototxt"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert iterations("test") == [0, 20, 40, 60] and (before is None or files_of("pairs.lmdb") == before)
    Path("pairs.lmdb").chmod(0o755)


def test_a_test_net_that_is_not_used_needs_no_lmdb(train):
    Path("net.prototxt").write_text(IN_TEST["net.prototxt"])
    assert train() == 0
