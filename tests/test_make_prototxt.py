"""tools/make_prototxt.py, rcnn/nets/prototxt_set.py: what is committed, what options change, what Caffe makes of it."""

import json
import os
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
from nets import write_pairs

from rcnn import recipe
from rcnn.files import InputError, ProgramError
from rcnn.nets import caffemodel, protos, prototxt_set
from rcnn.nets import prototxt as net
from rcnn.recipe import Recipe

TOOL = runs.ROOT / "tools" / "make_prototxt.py"
STAGE1, STAGE2 = {"solver_rcnn_r_stage1", "solver_rcnn_s_stage1"}, {"solver_rcnn_r", "solver_rcnn_s"}
SOLVERS = {"solver_cnn"} | STAGE1 | STAGE2
LEARNT = {"rcnn_r_stage1_train_val", "rcnn_r_train_val"}
PAIRS, IN_ORDER = {"cnn_train_val"} | LEARNT, {"rcnn_s_stage1_train_val", "rcnn_s_train_val"}
FED = PAIRS | IN_ORDER
DEPLOY = {"deploy_cnn", "deploy_rcnn_r", "deploy_rcnn_s"}
NETS = FED | DEPLOY
RECURRENT = LEARNT | IN_ORDER | {"deploy_rcnn_r", "deploy_rcnn_s"}
FLOW = {f"{name}_flow" for name in NETS | SOLVERS if "stage1" not in name}
SMALL = [
    "--classes",
    "12",
    "--width",
    "0.25",
    "--size",
    "64",
    "--combine",
    "sum",
    "--filler",
    "msra",
    "--temporal-filler",
    "constant",
    "--bias",
    "0",
    "--batch",
    "16",
    "--scale",
    "0.015625",
    "--seed",
    "1",
]
SETS = {"images": [], "flow": ["--channels", "2"], "small": SMALL}

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
    ("--spatial-rate", "0.25", {"rcnn_r_train_val", "rcnn_s_train_val"}, "lr_mult: 0.25\n", None),
    ("--filler", "msra", NETS, '"msra"', None),
    ("--temporal-filler", "constant", RECURRENT, "/temporal", None),
    ("--bias", "0.75", NETS, "value: 0.75\n", r"value: 0\.2\n"),
]


@pytest.fixture(scope="module")
def tool():
    return runs.module("make_prototxt")


@pytest.fixture
def make(tool, tmp_path, monkeypatch):
    """The tool's main(), called with options in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["make_prototxt.py", *options])
        return tool.main()

    return call


@pytest.fixture(scope="module")
def base():
    """{name: text} of a set of one's own that no option changes."""
    files = prototxt_set.files(Recipe(), "mine", prototxt_set.default_paths(Recipe(), "mine"))
    return bodies({Path(path).stem: text for path, text in files.items()})


def bodies(texts):
    """Return {name: text} without the heads."""
    return {name: re.sub("^#.*\n", "", text, flags=re.MULTILINE) for name, text in texts.items()}


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_committed_is_what_it_writes(make, monkeypatch, tmp_path, capsys):
    make()
    written = {path.relative_to(tmp_path): path.read_bytes() for path in files_below(tmp_path)}
    committed = {path.relative_to(runs.ROOT): path.read_bytes() for path in files_below(runs.ROOT / "prototxt")}
    assert set(committed) == {Path("prototxt") / f"{name}.prototxt" for name in NETS | SOLVERS}
    assert written == committed and sum(text.count(b"\n") for text in committed.values()) <= 44000
    monkeypatch.chdir(runs.ROOT)
    capsys.readouterr()
    assert make("--check") == 0
    assert capsys.readouterr() == ("", "")


def replaced(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))


HARMS = {
    "prototxt/solver_cnn": lambda path: replaced(path, b"0.0002", b"0.0005"),
    "prototxt/solver_rcnn_r": lambda path: replaced(path, b"# Made", b"# made"),
    "prototxt/rcnn_r_train_val": lambda path: replaced(path, b"\n", b"\r\n"),
    "prototxt/cnn_train_val": lambda path: path.write_bytes(path.read_bytes() + b"\xff"),
    "prototxt/deploy_cnn": lambda path: path.unlink(),
    "prototxt/stray": lambda path: path.write_text("name: 'made by hand'"),
}


@pytest.mark.parametrize("harmed", [*([name] for name in HARMS), list(HARMS)], ids=[*HARMS, "all"])
def test_check_names_what_differs(make, tmp_path, capsys, harmed):
    make()
    for name in harmed:
        HARMS[name](tmp_path / f"{name}.prototxt")
    before = {path: path.read_bytes() for path in files_below(tmp_path)}
    capsys.readouterr()
    assert make("--check") == 1
    out, error = capsys.readouterr()
    said = {
        f"{name}.prototxt is "
        + ("made by nothing; remove it" if "stray" in name else "not what tools/make_prototxt.py writes; run it again")
        for name in harmed
    }
    assert not out and set(error.splitlines()) == said and error.count("\n") == len(said)
    assert before == {path: path.read_bytes() for path in files_below(tmp_path)}


def test_check_ends_with_status_1_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, TOOL, "--check"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == len(NETS | SOLVERS)
    assert "Traceback" not in done.stderr
    assert not files_below(tmp_path)


def test_each_head_names_the_command_that_makes_the_file(make, tmp_path):
    own = "a-folder-whose-name-is-long-and has-blanks-in-it/" * 2
    for options in (
        [],
        [
            "--out",
            f"{own}set",
            "--snapshots",
            f"{own}snapshots",
            "--train-pairs",
            f"{own}pairs.lmdb",
            "--seed",
            "7",
            "--previous-loss",
            "yes",
            "--clip-gradients",
            "0.1",
            "--size",
            "64",
            "--bias",
            "-0.25",
            "--mean",
            "1",
            "2",
            "3",
        ],
        ["--out", "flow", "--channels", "2"],
    ):
        make(*options)
        written = {path: path.read_text() for path in files_below(tmp_path)}
        heads = {text.split("\n\n", 1)[0] for text in written.values()}
        lines = [line[2:] for line in heads.pop().splitlines()]
        assert not heads and lines[0] == "Made by this command; do not edit."
        assert all(len(line) <= 118 for line in lines if own[:9] not in line)
        words = shlex.split(" ".join(line.strip() for line in lines[1:]))
        assert words[:2] == ["python", "tools/make_prototxt.py"]
        for path in written:
            path.unlink()
        make(*words[2:])
        assert {path: path.read_text() for path in files_below(tmp_path)} == written
        for path in written:
            path.unlink()


def in_phase(message, phase):
    """Return the layers of a net in a phase, without their rules."""
    layers = [layer for layer in message.layer if protos.used_in(layer, phase)]
    for layer in layers:
        layer.ClearField("include")
    return layers


@pytest.mark.parametrize("options", SETS.values(), ids=SETS)
def test_each_phase_has_the_layers_of_its_own_net(options):
    """One net of both phases is, in each, what the functions of a single phase return, layer by layer."""
    given = recipe.parse(
        {
            name[2:]: json.loads(value) if re.match("[0-9]", value) else value
            for name, value in zip(options[::2], options[1::2])
        }
    )
    paths = prototxt_set.default_paths(given, "mine")
    files = prototxt_set.files(given, "mine", paths)
    for run, (kind, stage, _) in prototxt_set.runs(given).items():
        message = text_format.Parse(
            files[f"mine/{prototxt_set.names(given)[run + '_train_val']}"], caffe_pb2.NetParameter()
        )
        ruled = [layer.name for layer in message.layer if layer.include]
        assert 4 <= len(ruled) < 8 and len(message.layer) - len(ruled) > 100
        for phase, pairs, videos in (
            (net.TRAIN, paths.train_pairs, paths.train_list),
            (net.TEST, paths.test_pairs, paths.test_list),
        ):
            alone = {
                "cnn": lambda: net.cnn(given, pairs, phase),
                "rcnn_r": lambda: net.rcnn_r(given, pairs, phase, stage),
                "rcnn_s": lambda: net.rcnn_s(given, paths.frames, videos, phase, stage),
            }[kind]()
            # From text, as a filler's value is written with fewer digits than a message holds.
            expected = text_format.Parse(text_format.MessageToString(alone), caffe_pb2.NetParameter())
            copy = caffe_pb2.NetParameter()
            copy.CopyFrom(message)
            assert in_phase(copy, phase) == list(expected.layer) and message.name == expected.name


@pytest.mark.parametrize("option, value, changed, has, lacks", OPTIONS, ids=[row[0] for row in OPTIONS])
def test_each_option_reaches_its_files(make, base, tmp_path, option, value, changed, has, lacks):
    assert make("--out", "mine", option, value) is None
    assert files_below(tmp_path) == sorted(tmp_path / "mine" / f"{name}.prototxt" for name in NETS | SOLVERS)
    made = bodies({path.stem: path.read_text() for path in files_below(tmp_path)})
    assert {name for name in made if made[name] != base[name]} == changed
    for name in changed:
        assert re.search(has, made[name]), name
        assert lacks is None or re.search(lacks, base[name]) and not re.search(lacks, made[name]), name


def test_check_of_a_set_of_ones_own(make, tmp_path, capsys):
    options = ["--out", "mine", "--classes", "7"]
    make(*options)
    assert make(*options, "--check") == 0
    assert make(*options[:2], "--check") == 1
    assert capsys.readouterr().err.count("\n") == len(NETS | SOLVERS)  # each head names the options


def test_every_option_is_tested_here(make, capsys):
    with pytest.raises(SystemExit):
        make("--help")
    usage = capsys.readouterr().out.split("\n\n")[0]
    together = {"--channels", "--mean"}  # below
    assert set(re.findall(r"--[a-z0-9-]+", usage)) - {"--out", "--check", "--version"} - together == {
        row[0] for row in OPTIONS
    }


def test_frames_of_other_channels(make, tmp_path):
    make("--out", "mine", "--channels", "4", "--mean", "128", "127", "2", "1", "--encoding", "raw")
    data, split, *_ = in_phase(protos.read_net(tmp_path / "mine" / "rcnn_r_train_val.prototxt"), net.TRAIN)
    assert data.transform_param.mean_value == [128, 127, 2, 1] * 2 and split.slice_param.slice_point == [4]
    for name in ("deploy_rcnn_r", "deploy_rcnn_s"):
        assert "dim: 4\n" in (tmp_path / "mine" / f"{name}.prototxt").read_text()
    assert {path.stem for path in files_below(tmp_path)} == {
        name for name in NETS | SOLVERS if "rcnn_s" not in name and "stage1" not in name
    } | {"deploy_rcnn_s"}


def test_nets_of_flow(make, tmp_path):
    make("--out", "mine", "--channels", "2", "--train-pairs", "my-own/flow.lmdb", "--classes", "7")
    assert {path.stem for path in files_below(tmp_path)} == FLOW
    data, augment, *layers = in_phase(protos.read_net(tmp_path / "mine" / "rcnn_r_train_val_flow.prototxt"), net.TRAIN)
    assert data.data_param.source == "my-own/flow.lmdb" and not data.HasField("transform_param")
    assert json.loads(augment.python_param.param_str)["mean"] == [128, 128]
    assert all(param.lr_mult > 0 for layer in layers for param in layer.param)
    solver = protos.read_solver(tmp_path / "mine" / "solver_rcnn_s_flow.prototxt")
    assert solver.snapshot_prefix == "mine/snapshots/rcnn_s_flow"
    for phase, videos in ((net.TRAIN, "train"), (net.TEST, "test")):
        options = json.loads(in_phase(protos.read_net(tmp_path / solver.net), phase)[0].python_param.param_str)
        assert options["source"] == "data/ucf101/flow_5fps.lmdb" and options["mean"] == [128, 128]
        assert options["list"].endswith(f"{videos}list01.txt")


@pytest.mark.parametrize(
    "options",
    [
        ["--channels", "4"],
        ["--mean", "1", "2"],
        ["--channels", "4", "--mean", "1", "2"],
        ["--channels", "2", "--mean", "1"],
        ["--channels", "4", "--encoding", "raw"],
    ],
)
def test_channels_that_do_not_fit_are_refused(make, tmp_path, options):
    with pytest.raises(InputError, match="channels"):
        make("--out", "mine", *options)
    assert not files_below(tmp_path)


@pytest.mark.parametrize("option, value", [row[:2] for row in OPTIONS], ids=[row[0] for row in OPTIONS])
def test_an_option_without_out_is_refused(make, tmp_path, option, value):
    for check in ([], ["--check"]):
        with pytest.raises(InputError, match=f"^{option} makes another set: say where with --out$"):
            make(option, value, *check)
    assert not files_below(tmp_path)


@pytest.mark.parametrize(
    "option, values",
    [
        ("--classes", ("0", "-1", "2.5", "many", "99999999999")),
        ("--batch", ("0", "99999999999")),
        ("--size", ("0", "32", "x")),
        ("--momentum", ("1", "-0.1")),
        ("--mean", ("x", "nan")),
        ("--width", ("0", "-1", "nan", "inf")),
        ("--rate", ("0", "-0.1", "nan")),
        ("--final-rate", ("0", "1.5", "nan")),
        ("--seed", ("-1", "4294967296", "1.5")),
        ("--bias", ("nan", "inf", "x")),
        ("--scale", ("0", "inf")),
        ("--encoding", ("png",)),
        ("--combine", ("product",)),
        ("--previous-loss", ("true", "1", "")),
        ("--together", ("maybe",)),
        ("--filler", ("gaussian",)),
        ("--temporal-filler", ("none",)),
        ("--spatial-rate", ("0", "-1")),
    ],
)
def test_a_bad_value_is_refused(make, tmp_path, capsys, option, values):
    for value in values:
        with pytest.raises(SystemExit) as stopped:
            make("--out", "mine", f"{option}={value}")
        assert stopped.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"make_prototxt.py: error: argument {option}: ")
    assert not files_below(tmp_path)


@pytest.mark.parametrize(
    "options, said",
    [
        (["--conv1-temporal-kernel", "4"], "the kernel odd"),
        (["--encoding", "raw", "--together", "no"], "raw pairs have one crop for both frames"),
        (["--out", "file/mine"], "cannot write file/mine/.*: Not a directory"),
        (["--out", "file"], "cannot write file/.*: File exists"),
    ],
)
def test_what_makes_no_set_is_refused(make, tmp_path, options, said):
    Path("file").write_text("kept")
    with pytest.raises(ProgramError, match=said) as error:
        make("--out", "mine", *options)
    assert "\n" not in str(error.value)
    assert files_below(tmp_path) == [tmp_path / "file"] and Path("file").read_text() == "kept"


def test_a_bad_value_is_one_line_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, TOOL, "--out", "mine", "--conv1-temporal-kernel", "2"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("make_prototxt.py: no network")


def test_the_papers_sets_update_with_64_pairs(make, tmp_path):
    make()
    make("--out", "mine", "--batch", "16", "--iter-size", "4")
    for name in SOLVERS:
        for folder in ("prototxt", "mine"):
            solver = protos.read_solver(tmp_path / folder / f"{name}.prototxt")
            message = protos.read_net(tmp_path / solver.net)
            (train, batch), (test, _) = (source(message, phase) for phase in (net.TRAIN, net.TEST))
            assert batch * solver.iter_size == 64
            assert (solver.base_lr, solver.momentum) == (np.float32(0.01), np.float32(0.9))
            if "rcnn_s" in name:
                lists = "data/ucf101/ucfTrainTestlist"
                assert train == ("data/ucf101/frames_5fps.lmdb", f"{lists}/trainlist01.txt")
                assert test == ("data/ucf101/frames_5fps.lmdb", f"{lists}/testlist01.txt")
            else:
                assert (train, test) == ("data/ucf101/pairs_train01.lmdb", "data/ucf101/pairs_test01.lmdb")


def source(message, phase):
    """Return (what the first layer of a net reads in a phase, its batch)."""
    layer = next(layer for layer in message.layer if protos.used_in(layer, phase))
    if layer.type == "Data":
        return layer.data_param.source, layer.data_param.batch_size
    options = json.loads(layer.python_param.param_str)
    return (options["source"], options["list"]), options["batch"]


BUILD = """
import sys
import caffe
for path in sys.argv[1:]:
    made = caffe.SGDSolver(path).net if "solver" in path else caffe.Net(path, caffe.TEST)
    print(path, made.blobs["frame"].data.shape[1:], flush=True)
"""


def written(folder, options, settings):
    """Write a set and the data that it reads: a pair, and a video of two frames; return what it is of."""
    given = recipe.parse(settings, recipe.parse({"channels": 2} if "--channels" in options else {}))
    paths = prototxt_set.default_paths(given, "set")
    for path, text in prototxt_set.files(given, "set", paths).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for path in (paths.train_pairs, paths.frames, paths.train_list):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    shape, channels = given.model.size, given.model.channels
    for pairs in (paths.train_pairs, paths.test_pairs):
        frame = np.full((1, shape, shape, channels), 99, np.uint8)
        write_pairs(folder / pairs, frame, frame, [0], "jpeg")
    listed = frames.write(folder / paths.frames, {"v_Up_g01_c01": (0, 2)}, ["Up"], shape, channels=channels)
    for videos in (paths.train_list, paths.test_list):
        (folder / videos).write_bytes(listed.with_suffix(".txt").read_bytes())
    (folder / paths.snapshots).mkdir(parents=True)
    return given


@pytest.mark.parametrize("options", SETS.values(), ids=SETS)
def test_caffe_builds_every_file(tmp_path, options):
    """The small set as it is; the full-size ones with a batch of 1, for their memory.  A solver builds two nets."""
    small = {"classes": 12, "width": 0.25, "size": 64, "combine": "sum", "batch": 16} if "--width" in options else {}
    given = written(tmp_path, options, small or {"batch": 1})
    built = [f"set/{name}" for key, name in sorted(prototxt_set.names(given).items()) if "train_val" not in key]
    assert {protos.read_solver(tmp_path / path).net for path in built if "solver" in path} == {
        f"set/{name}" for key, name in prototxt_set.names(given).items() if "train_val" in key
    }
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *built],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        env={"PYTHONPATH": str(runs.ROOT), "GLOG_minloglevel": "2"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    size = given.model.size
    assert done.stdout.splitlines() == [f"{path} ({given.model.channels}, {size}, {size})" for path in built]


def test_a_set_of_the_older_form_trains(tmp_path):
    """A net a phase, and train_net and test_net in the solver, as sets had them that people have: by both programs."""
    settings = {
        "width": 0.05,
        "size": 33,
        "classes": 2,
        "batch": 1,
        "iterations": 2,
        "test-iterations": 1,
        "test-interval": 1,
        "display": 1,
        "snapshot": 2,
    }
    written(tmp_path, [], settings)
    environment = {
        **os.environ,
        "PYTHONPATH": str(runs.ROOT),
        "GLOG_minloglevel": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for kind in ("rcnn_r", "rcnn_s"):
        path = tmp_path / f"set/solver_{kind}.prototxt"
        solver = protos.read_solver(path)
        for phase, name in ((net.TRAIN, "train"), (net.TEST, "test")):
            message = protos.read_net(tmp_path / solver.net)
            alone = caffe_pb2.NetParameter(name=message.name, layer=in_phase(message, phase))
            (tmp_path / f"set/{kind}_{name}.prototxt").write_text(text_format.MessageToString(alone))
        solver.ClearField("net")
        solver.train_net, solver.snapshot_prefix = f"set/{kind}_train.prototxt", f"set/snapshots/{kind}"
        solver.test_net.append(f"set/{kind}_test.prototxt")
        path.write_text(text_format.MessageToString(solver))
        for command in (
            ["caffe", "train", "-solver", path],
            [sys.executable, runs.ROOT / "tools/train.py", "--fresh", "--solver", path],
        ):
            done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=120)
            assert done.returncode == 0, done.stderr
            caffemodel.read(tmp_path / f"set/snapshots/{kind}_iter_2.caffemodel")
