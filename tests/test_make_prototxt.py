"""tools/make_prototxt.py, rcnn/nets/prototxt_set.py: what is committed, what options change, what Caffe makes of it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import frames
import numpy as np
import pytest
import runs
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from nets import caffe_program, write_pairs

from rcnn import recipe
from rcnn.files import InputError, ProgramError
from rcnn.nets import caffemodel, compare, protos, prototxt_set
from rcnn.nets import prototxt as net
from rcnn.nets.model import NetModel
from rcnn.recipe import Recipe
from rcnn.training import caffe_inputs

STAGE1, STAGE2 = {"solver_rcnn_r_stage1", "solver_rcnn_s_stage1"}, {"solver_rcnn_r", "solver_rcnn_s"}
SOLVERS = {"solver_cnn"} | STAGE1 | STAGE2
LEARNT = {"rcnn_r_stage1_train_val", "rcnn_r_train_val"}
PAIRS, IN_ORDER = {"cnn_train_val"} | LEARNT, {"rcnn_s_stage1_train_val", "rcnn_s_train_val"}
FED = PAIRS | IN_ORDER
NETS = FED | {"deploy_cnn", "deploy_rcnn_r", "deploy_rcnn_s"}
RECURRENT = LEARNT | IN_ORDER | {"deploy_rcnn_r", "deploy_rcnn_s"}
FLOW = {f"{name}_flow" for name in NETS | SOLVERS if "stage1" not in name}
SMALL = {
    **{"classes": 12, "width": 0.25, "size": 64, "combine": "sum", "filler": "msra", "temporal-filler": "constant"},
    **{"bias": 0, "batch": 16, "scale": 1 / 64, "seed": 1},
}
SETS = {"images": {}, "flow": {"channels": 2}, "small": SMALL}

# option, value, the files it changes, what each of them then has, and what it then lacks
OPTIONS = [
    ("--train-pairs", "my-own/pairs.lmdb", PAIRS, 'source: "my-own/pairs.lmdb"', "pairs_train01"),
    ("--test-pairs", "my-own/pairs.lmdb", PAIRS, 'source: "my-own/pairs.lmdb"', "pairs_test01"),
    ("--frames", "my-own/frames.lmdb", IN_ORDER, r'\\"my-own/frames.lmdb\\"', "frames_5fps"),
    ("--train-list", "my-own/list.txt", IN_ORDER, r'\\"my-own/list.txt\\"', "trainlist01"),
    ("--test-list", "my-own/list.txt", IN_ORDER, r'\\"my-own/list.txt\\"', "testlist01"),
    ("--encoding", "raw", PAIRS, "crop_size: 224", "pair_augment"),
    ("--snapshots", "kept", SOLVERS, 'snapshot_prefix: "kept/', '"mine/snapshots/'),
    ("--classes", "7", NETS, "num_output: 7\n", "num_output: 101\n"),
    ("--width", "0.125", NETS, "num_output: 8\n", "num_output: 64\n"),
    ("--size", "80", NETS, r'size\\": 80,|dim: 80\n', r'size\\": 224,|dim: 224\n'),
    (
        "--batch",
        "3",
        FED | SOLVERS,
        r'batch_size: 3\n|\\"batch\\": 3,|test_iter: 1280\n',
        r'batch_size: 64|\\"batch\\": 64|test_iter: 60',
    ),
    ("--iter-size", "2", SOLVERS, "iter_size: 2\n", "iter_size: 1\n"),
    ("--cnn-iterations", "5", {"solver_cnn"}, "max_iter: 5\n", None),
    ("--stage1-iterations", "5", STAGE1, "max_iter: 5\n", None),
    ("--iterations", "5", STAGE2, "max_iter: 5\n", None),
    ("--rate", "0.5", SOLVERS, "base_lr: 0.5\n", None),
    ("--final-rate", "1", SOLVERS, "gamma: 1.0\n", None),
    ("--momentum", "0.5", SOLVERS, "momentum: 0.5\n", None),
    ("--weight-decay", "0.5", SOLVERS, "weight_decay: 0.5\n", None),
    ("--clip-gradients", "5", SOLVERS, "clip_gradients: 5.0\n", None),
    ("--test-iterations", "9", SOLVERS, "test_iter: 9\n", None),
    ("--test-interval", "9", SOLVERS, "test_interval: 9\n", None),
    ("--display", "9", SOLVERS, "display: 9\n", None),
    ("--snapshot", "9", SOLVERS, "snapshot: 9\n", None),
    ("--seed", "9", SOLVERS | FED, r'random_seed: 9\n|\\"seed\\": 9}', None),
    ("--scale", "0.5", FED, r'\\"scale\\": 0.5', None),
    ("--combine", "sum", RECURRENT, "operation: SUM", "coeff"),
    ("--previous-loss", "yes", LEARNT, 'top: "previous/high/loss"', None),
    ("--cut-gradient", "no", LEARNT, "/temporal", "propagate_down"),
    ("--temporal-bias", "yes", RECURRENT, "/temporal", "bias_term"),
    ("--high-rnn", "no", NETS, "loss3/classifier_video", "loss3/fc"),
    ("--conv1-temporal-kernel", "9", RECURRENT, "kernel_size: 9\n", None),
    ("--together", "no", PAIRS, r'\\"together\\": false', r'\\"together\\": true'),
    ("--crop", "corners", FED, r'\\"crop\\": \\"corners\\"', None),
    ("--spatial-rate", "0.25", {"rcnn_r_train_val", "rcnn_s_train_val"}, "lr_mult: 0.25\n", None),
    ("--filler", "msra", NETS, '"msra"', None),
    ("--temporal-filler", "constant", RECURRENT, "/temporal", None),
    ("--bias", "0.75", NETS, "value: 0.75\n", r"value: 0\.2\n"),
]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """The tool's main(), called with the words of a text in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(words=""):
        monkeypatch.setattr(sys, "argv", ["make_prototxt.py", *shlex.split(words)])
        return runs.module("make_prototxt").main()

    return call


@pytest.fixture(scope="module")
def base():
    """{name: text} of a set of one's own that no option changes."""
    files = prototxt_set.files(Recipe(), "mine", prototxt_set.default_paths(Recipe(), "mine"))
    return bodies({Path(path): text for path, text in files.items()})


def bodies(texts):
    """Return {name: text without its head} of {path: text}."""
    return {path.stem: re.sub("^#.*\n", "", text, flags=re.MULTILINE) for path, text in texts.items()}


def texts(folder):
    """Return {path in the folder: text} of every file below it."""
    return {
        path.relative_to(folder): path.read_bytes().decode(errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_committed_is_what_it_writes(make, monkeypatch, tmp_path, capsys):
    make()
    committed = texts(runs.ROOT / "prototxt")
    assert set(committed) == {Path(f"{name}.prototxt") for name in NETS | SOLVERS}
    assert texts(tmp_path / "prototxt") == committed and sum(text.count("\n") for text in committed.values()) <= 44000
    monkeypatch.chdir(runs.ROOT)
    capsys.readouterr()
    assert make("--check") == 0
    assert capsys.readouterr() == ("", "")


def replaced(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))


HARMS = {
    "solver_cnn": lambda path: replaced(path, b"0.0002", b"0.0005"),
    "solver_rcnn_r": lambda path: replaced(path, b"# Made", b"# made"),
    "rcnn_r_train_val": lambda path: replaced(path, b"\n", b"\r\n"),
    "cnn_train_val": lambda path: path.write_bytes(path.read_bytes() + b"\xff"),
    "deploy_cnn": lambda path: path.unlink(),
    "stray": lambda path: path.write_text("name: 'made by hand'"),
}


def test_check_names_what_differs(make, tmp_path, capsys):
    make()
    for name, harm in HARMS.items():
        harm(tmp_path / f"prototxt/{name}.prototxt")
    before = texts(tmp_path)
    capsys.readouterr()
    assert make("--check") == 1
    out, error = capsys.readouterr()
    said = {
        f"prototxt/{name}.prototxt is "
        + ("made by nothing; remove it" if "stray" in name else "not what tools/make_prototxt.py writes; run it again")
        for name in HARMS
    }
    assert not out and set(error.splitlines()) == said and error.count("\n") == len(said)
    assert before == texts(tmp_path)


def test_as_a_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, error = runs.run("make_prototxt", "--check")
    assert status == 1 and error.count("\n") == len(NETS | SOLVERS)
    status, _, error = runs.run("make_prototxt", "--out", "mine", "--conv1-temporal-kernel", 2)
    assert status == 2 and error.count("\n") == 1 and error.startswith("make_prototxt.py: no network")
    assert not texts(tmp_path)


OWN = "a-folder-whose-name-is-long-and has-blanks-in-it/" * 2


@pytest.mark.parametrize(
    "words",
    [
        "",
        f"--out '{OWN}set' --snapshots '{OWN}snapshots' --train-pairs '{OWN}pairs.lmdb' --seed 7 --previous-loss yes "
        "--clip-gradients 0.1 --size 64 --bias -0.25 --mean 1 2 3",
        "--out flow --channels 2",
    ],
    ids=["the paper's", "many", "flow"],
)
def test_each_head_names_the_command_that_makes_the_file(make, tmp_path, words):
    make(words)
    written = texts(tmp_path)
    (head,) = {text.split("\n\n", 1)[0] for text in written.values()}
    lines = [line[2:] for line in head.splitlines()]
    assert lines[0] == "Made by this command; do not edit."
    assert all(len(line) <= 118 for line in lines if OWN[:9] not in line)
    program, command = " ".join(line.strip() for line in lines[1:]).split("make_prototxt.py")
    assert program == "python tools/"
    for path in written:
        (tmp_path / path).unlink()
    make(command)
    assert texts(tmp_path) == written


def in_phase(message, phase):
    """Return copies of the layers of a net in a phase, without their rules."""
    layers = list(caffe_inputs.of_phase("net", message, phase).net.layer)
    for layer in layers:
        layer.ClearField("include")
    return layers


@pytest.mark.parametrize("settings", SETS.values(), ids=SETS)
def test_each_phase_has_the_layers_of_its_own_net(settings):
    """One net of both phases is, in each, what the functions of a single phase return, layer by layer."""
    chosen = recipe.parse(settings)
    paths = prototxt_set.default_paths(chosen, "mine")
    files = prototxt_set.files(chosen, "mine", paths)
    for run, (kind, stage, _) in prototxt_set.runs(chosen).items():
        text = files[f"mine/{prototxt_set.names(chosen)[run + '_train_val']}"]
        message = text_format.Parse(text, caffe_pb2.NetParameter())
        ruled = [layer.name for layer in message.layer if layer.include]
        assert 4 <= len(ruled) < 8 and len(message.layer) - len(ruled) > 100
        for phase, pairs, videos in (
            (net.TRAIN, paths.train_pairs, paths.train_list),
            (net.TEST, paths.test_pairs, paths.test_list),
        ):
            alone = {
                "cnn": lambda: net.cnn(chosen, pairs, phase, stage),
                "rcnn_r": lambda: net.rcnn_r(chosen, pairs, phase, stage),
                "rcnn_s": lambda: net.rcnn_s(chosen, paths.frames, videos, phase, stage),
            }[kind]()
            # From text, as a filler's value is written with fewer digits than a message holds.
            expected = text_format.Parse(text_format.MessageToString(alone), caffe_pb2.NetParameter())
            assert in_phase(message, phase) == list(expected.layer) and message.name == expected.name


@pytest.mark.parametrize("option, value, changed, has, lacks", OPTIONS, ids=[row[0] for row in OPTIONS])
def test_each_option_reaches_its_files(make, base, tmp_path, option, value, changed, has, lacks):
    for check in ("", "--check"):
        with pytest.raises(InputError, match=f"^{option} makes another set: say where with --out$"):
            make(f"{option} {value} {check}")
    assert make(f"--out mine {option} {value}") is None
    written = bodies(texts(tmp_path / "mine"))
    assert set(written) == NETS | SOLVERS
    assert {name for name in written if written[name] != base[name]} == changed
    for name in changed:
        assert re.search(has, written[name]), name
        assert lacks is None or re.search(lacks, base[name]) and not re.search(lacks, written[name]), name


def test_check_of_a_set_of_ones_own(make, capsys):
    make("--out mine --classes 7")
    assert make("--out mine --classes 7 --check") == 0
    assert make("--out mine --check") == 1
    assert capsys.readouterr().err.count("\n") == len(NETS | SOLVERS)  # each head names the options


def test_every_option_is_tested_here(make, capsys):
    with pytest.raises(SystemExit):
        make("--help")
    usage = set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out.split("\n\n")[0]))
    elsewhere = {"--channels", "--mean", "--weights", "--cnn-stage1-iterations"}
    assert usage - {"--out", "--check", "--version"} - elsewhere == {row[0] for row in OPTIONS}


def weights_of(**settings):
    """Write g.caffemodel, of a CNN for input of 224 x 224."""
    model = NetModel(temporal=False, **{"width": 0.05, "classifier": "classifier", "high_rnn": False, **settings})
    caffemodel.write("g.caffemodel", compare.random_arrays(model), model)


def learning(path, phase=net.TRAIN):
    """Return the names of the layers of a net whose W learns, without "previous/"."""
    layers = [layer for layer in in_phase(protos.read_net(path), phase) if layer.param and layer.param[0].lr_mult]
    return {caffemodel.plain_name(layer.name) for layer in layers}


HEADS = {f"loss{number}/classifier_video" for number in (1, 2, 3)}
SIDES = {"loss1/conv", "loss1/fc", "loss2/conv", "loss2/fc"}


@pytest.mark.parametrize(
    "weights, size, fresh",
    [
        ({}, 224, {"loss3/fc", *HEADS}),
        ({}, 96, {"loss1/fc", "loss2/fc", "loss3/fc", *HEADS}),
        ({"side_heads": False}, 96, {"loss3/fc", *HEADS, *SIDES}),
        ({"classifier": "classifier_video", "high_rnn": True, "classes": 7}, 224, HEADS),
        ({"classifier": "classifier_video", "high_rnn": True, "classes": 101}, 224, set()),
    ],
    ids=["whole", "of another input size", "deploy alone", "tuned on other classes", "a CNN of ours"],
)
def test_what_the_weights_lack_learns_in_stage_1(make, tmp_path, capsys, weights, size, fresh):
    weights_of(**weights)
    stage1 = "--cnn-stage1-iterations 7" if fresh else ""
    make(f"--out mine --weights g.caffemodel --width 0.05 --size {size} {stage1}")
    said = capsys.readouterr().out.splitlines()[1].split(": ")[1]
    assert set(said.split(", ")) == (fresh or {"nothing"})
    for name in ("rcnn_r_stage1", "rcnn_s_stage1"):
        found = learning(tmp_path / f"mine/{name}_train_val.prototxt")
        assert {layer for layer in found if not layer.endswith("/temporal")} == fresh
        assert len(found) == len(fresh) + 62
    names = {path.stem for path in tmp_path.glob("mine/*.prototxt")}
    assert names == NETS | SOLVERS | ({"cnn_stage1_train_val", "solver_cnn_stage1"} if fresh else set())
    if fresh:
        assert learning(tmp_path / "mine/cnn_stage1_train_val.prototxt") == fresh
        solver = protos.read_solver(tmp_path / "mine/solver_cnn_stage1.prototxt")
        assert solver.max_iter == 7 and solver.snapshot_prefix == "mine/snapshots/cnn_stage1"
    assert len(learning(tmp_path / "mine/cnn_train_val.prototxt")) == 65
    head = (tmp_path / "mine/solver_cnn.prototxt").read_text()
    assert "--out mine --weights g.caffemodel" in head


@pytest.mark.parametrize(
    "weights, words, said",
    [
        ({"width": 0.1}, "", "layer conv1/7x7_s2: W is 6 x 3 x 7 x 7 in the weights and 3 x 3 x 7 x 7 in the net"),
        ({"channels": 2}, "", "layer conv1/7x7_s2: W is 3 x 2 x 7 x 7 in the weights and 3 x 3 x 7 x 7 in the net"),
        (
            {"classifier": "classifier_video", "high_rnn": True, "classes": 101},
            "--cnn-stage1-iterations 7",
            "--cnn-stage1-iterations: g.caffemodel has every layer of the CNN, so that nothing would learn",
        ),
    ],
)
def test_weights_that_make_no_set(make, tmp_path, weights, words, said):
    weights_of(**weights)
    with pytest.raises(InputError, match=said) as error:
        make(f"--out mine --weights g.caffemodel --width 0.05 {words}")
    assert "\n" not in str(error.value) and not (tmp_path / "mine").exists()
    with pytest.raises(InputError, match="--weights makes another set: say where with --out"):
        make("--weights g.caffemodel")


def test_frames_of_other_channels(make, tmp_path):
    make("--out mine --channels 4 --mean 128 127 2 1 --encoding raw")
    data, split, *_ = in_phase(protos.read_net(tmp_path / "mine/rcnn_r_train_val.prototxt"), net.TRAIN)
    assert data.transform_param.mean_value == [128, 127, 2, 1] * 2 and split.slice_param.slice_point == [4]
    written = bodies(texts(tmp_path / "mine"))
    assert "dim: 4\n" in written["deploy_rcnn_r"] and "dim: 4\n" in written["deploy_rcnn_s"]
    trained = {name for name in NETS | SOLVERS if "rcnn_s" not in name and "stage1" not in name}
    assert set(written) == trained | {"deploy_rcnn_s"}


def test_nets_of_flow(make, tmp_path):
    make("--out mine --channels 2 --train-pairs my-own/flow.lmdb --classes 7")
    assert set(bodies(texts(tmp_path / "mine"))) == FLOW
    data, augment, *layers = in_phase(protos.read_net(tmp_path / "mine/rcnn_r_train_val_flow.prototxt"), net.TRAIN)
    assert data.data_param.source == "my-own/flow.lmdb" and not data.HasField("transform_param")
    assert json.loads(augment.python_param.param_str)["mean"] == [128, 128]
    assert all(param.lr_mult > 0 for layer in layers for param in layer.param)
    solver = protos.read_solver(tmp_path / "mine/solver_rcnn_s_flow.prototxt")
    assert solver.snapshot_prefix == "mine/snapshots/rcnn_s_flow"
    for phase, videos in ((net.TRAIN, "train"), (net.TEST, "test")):
        options = json.loads(in_phase(protos.read_net(tmp_path / solver.net), phase)[0].python_param.param_str)
        assert options["source"] == "data/ucf101/flow_5fps.lmdb" and options["mean"] == [128, 128]
        assert options["list"].endswith(f"{videos}list01.txt")


@pytest.mark.parametrize(
    "words, said",
    [
        ("--channels 4", "channels"),
        ("--channels 4 --mean 1 2", "channels"),
        ("--channels 4 --encoding raw", "channels"),
        ("--encoding raw --together no", "raw pairs have one crop for both frames"),
        ("--mean 1 2", "mean: frames of 3 channels take 3 numbers, not 2"),
        ("--out file/mine", "--out: file is a file, not a folder; give another --out"),
        ("--out file", "--out: file is a file, not a folder; give another --out"),
    ],
)
def test_what_makes_no_set_is_refused(make, tmp_path, words, said):
    Path("file").write_text("kept")
    with pytest.raises(ProgramError, match=said) as error:
        make(f"--out mine {words}")
    assert "\n" not in str(error.value) and texts(tmp_path) == {Path("file"): "kept"}


def test_a_bad_value_is_refused(make, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        make("--out mine --batch 0")
    assert stopped.value.code == 2 and not texts(tmp_path)
    assert capsys.readouterr().err.splitlines()[-1].startswith("make_prototxt.py: error: argument --batch: ")


BUILD = """
import sys
import caffe
for path in sys.argv[1:]:
    made = caffe.SGDSolver(path).net if "solver" in path else caffe.Net(path, caffe.TEST)
    print(path, made.blobs["frame"].data.shape[1:], flush=True)
"""


def write_set(settings):
    """Write a set and the data that it reads, a pair and a video of two frames, into this folder; return its recipe."""
    chosen = recipe.parse(settings)
    paths = prototxt_set.default_paths(chosen, "set")
    files = {Path(path): text for path, text in prototxt_set.files(chosen, "set", paths).items()}
    side, channels = chosen.model.size, chosen.model.channels
    for path in (*files, *(Path(path) for path in (paths.train_pairs, paths.train_list, f"{paths.snapshots}/any"))):
        path.parent.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text)
    frame = np.full((1, side, side, channels), 99, np.uint8)
    for pairs in (paths.train_pairs, paths.test_pairs):
        write_pairs(pairs, frame, frame, [0], "jpeg")
    listed = frames.write(Path(paths.frames), {"v_Up_g01_c01": (0, 2)}, ["Up"], side, channels=channels)
    for videos in (paths.train_list, paths.test_list):
        Path(videos).write_bytes(listed.with_suffix(".txt").read_bytes())
    return chosen


@pytest.mark.parametrize("settings", SETS.values(), ids=SETS)
def test_caffe_builds_every_file(tmp_path, monkeypatch, settings):
    """The small set as it is; the full-size ones with a batch of 1, for their memory.  A solver builds two nets."""
    monkeypatch.chdir(tmp_path)
    chosen = write_set({"batch": 1, **settings})
    names = prototxt_set.names(chosen)
    built = [f"set/{name}" for key, name in sorted(names.items()) if "train_val" not in key]
    trained = {f"set/{name}" for key, name in names.items() if "train_val" in key}
    assert {protos.read_solver(path).net for path in built if "solver" in path} == trained
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *built],
        text=True,
        capture_output=True,
        env={"PYTHONPATH": str(runs.ROOT), "GLOG_minloglevel": "2"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    size = chosen.model.size
    assert done.stdout.splitlines() == [f"{path} ({chosen.model.channels}, {size}, {size})" for path in built]


def test_a_set_of_the_older_form_trains(tmp_path, monkeypatch):
    """A net a phase, and train_net and test_net in the solver, as sets had them that people have: by both programs."""
    monkeypatch.chdir(tmp_path)
    counts = {"iterations": 2, "test-iterations": 1, "test-interval": 1, "display": 1, "snapshot": 2}
    write_set({"width": 0.05, "size": 33, "classes": 2, "batch": 1, **counts})
    for kind in ("rcnn_r", "rcnn_s"):
        path = Path(f"set/solver_{kind}.prototxt")
        solver = protos.read_solver(path)
        message = protos.read_net(solver.net)
        for phase, name in ((net.TRAIN, "train"), (net.TEST, "test")):
            alone = caffe_pb2.NetParameter(name=message.name, layer=in_phase(message, phase))
            Path(f"set/{kind}_{name}.prototxt").write_text(text_format.MessageToString(alone))
        solver.ClearField("net")
        solver.train_net, solver.snapshot_prefix = f"set/{kind}_train.prototxt", f"set/snapshots/{kind}"
        solver.test_net.append(f"set/{kind}_test.prototxt")
        path.write_text(text_format.MessageToString(solver))
        done = caffe_program("train", "-solver", path)
        assert done.returncode == 0, done.stderr
        caffemodel.read(f"set/snapshots/{kind}_iter_2.caffemodel")
        status, _, error = runs.run("train", "--fresh", "--solver", path)
        assert status == 0, error
        caffemodel.read(f"set/snapshots/{kind}_iter_2.caffemodel")
