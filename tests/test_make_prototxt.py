"""tools/make_prototxt.py and rcnn/nets/recipes.py: what is committed, what each option changes, what Caffe makes of it."""
import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import frames
import numpy as np
import pytest
import runs
from google.protobuf import text_format
from nets import write_pairs

from rcnn.nets import prototxt as net

from rcnn.nets import protos

from rcnn.nets import recipes
from rcnn.files import InputError, ProgramError

TOOL = runs.ROOT / "tools" / "make_prototxt.py"
STAGE1, STAGE2 = {"solver_rcnn_r_stage1", "solver_rcnn_s_stage1"}, {"solver_rcnn_r", "solver_rcnn_s"}
SOLVERS = {"solver_cnn"} | STAGE1 | STAGE2
TRAINED, TESTED = {"cnn_train", "rcnn_r_stage1_train", "rcnn_r_train"}, {"cnn_test", "rcnn_r_test"}
IN_ORDER = {"rcnn_s_stage1_train", "rcnn_s_train", "rcnn_s_test"}
PAIRS = TRAINED | TESTED
FED = PAIRS | IN_ORDER
DEPLOY = {"deploy_cnn", "deploy_rcnn_r", "deploy_rcnn_s"}
NETS = FED | DEPLOY
LEARNT = {"rcnn_r_stage1_train", "rcnn_r_train", "rcnn_r_test"}
RECURRENT = LEARNT | IN_ORDER | {"deploy_rcnn_r", "deploy_rcnn_s"}
FLOW = {f"{name}_flow" for name in NETS | SOLVERS if "stage1" not in name}
SETS = {"prototxt": recipes.UCF101, "flow": recipes.UCF101_FLOW, "prototxt/demo": recipes.DEMO}
COMMITTED = [("prototxt", NETS | SOLVERS | FLOW), ("prototxt/demo", NETS | SOLVERS)]

# option, value, the files it changes, what each of them then has, and what it then lacks
OPTIONS = [
    ("--train-pairs", "my-own/pairs.lmdb", TRAINED, 'source: "my-own/pairs.lmdb"', "pairs_train01"),
    ("--test-pairs", "my-own/pairs.lmdb", TESTED, 'source: "my-own/pairs.lmdb"', "pairs_test01"),
    ("--frames", "my-own/frames.lmdb", IN_ORDER, r'\\"my-own/frames.lmdb\\"', "frames_5fps"),
    ("--train-list", "my-own/list.txt", IN_ORDER - {"rcnn_s_test"}, r'\\"my-own/list.txt\\"', "trainlist01"),
    ("--test-list", "my-own/list.txt", {"rcnn_s_test"}, r'\\"my-own/list.txt\\"', "testlist01"),
    ("--encoding", "raw", PAIRS, "crop_size: 224", "pair_augment"),
    ("--snapshots", "kept", SOLVERS, 'snapshot_prefix: "kept/', '"mine/snapshots/'),
    ("--classes", "7", NETS, "num_output: 7\n", "num_output: 101\n"),
    ("--width", "0.125", NETS, "num_output: 8\n", "num_output: 64\n"),
    ("--size", "80", NETS, r'size\\": 80,|dim: 80\n', r'size\\": 224,|dim: 224\n'),
    ("--batch", "3", FED | SOLVERS, r'batch_size: 3\n|\\"batch\\": 3,|test_iter: 1280\n',
     r'batch_size: 64|\\"batch\\": 64|test_iter: 60'),
    ("--iter-size", "2", SOLVERS, "iter_size: 2\n", "iter_size: 1\n"),
    ("--cnn-iterations", "5", {"solver_cnn"}, "max_iter: 5\n", None),
    ("--stage1-iterations", "5", STAGE1, "max_iter: 5\n", None),
    ("--iterations", "5", STAGE2, "max_iter: 5\n", None),
    ("--rate", "0.5", SOLVERS, "base_lr: 0.5\n", None),
    ("--final-rate", "1", SOLVERS, "gamma: 1.0\n", None),
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
    ("--spatial-rate", "0.25", {"rcnn_r_train", "rcnn_r_test", "rcnn_s_train", "rcnn_s_test"}, "lr_mult: 0.25\n", None),
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
def sets():
    """{recipe: its files}, made once."""
    return {recipe: recipes.files(recipe) for recipe in SETS.values()}


@pytest.fixture(scope="module")
def base():
    """{name: text} of a set of one's own that no option changes."""
    files = recipes.files(replace(recipes.UCF101, folder="mine", snapshots="mine/snapshots"))
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
    assert set(committed) == {Path(folder) / f"{name}.prototxt" for folder, names in COMMITTED for name in names}
    assert written == committed
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
    "prototxt/demo/rcnn_r_train": lambda path: replaced(path, b"\n", b"\r\n"),
    "prototxt/demo/cnn_test": lambda path: path.write_bytes(path.read_bytes() + b"\xff"),
    "prototxt/demo/deploy_cnn": lambda path: path.unlink(),
    "prototxt/stray": lambda path: path.write_text("name: 'made by hand'"),
}


@pytest.mark.parametrize("harmed", [*([name] for name in HARMS), list(HARMS)], ids=[*HARMS, "all"])
def test_check_names_what_differs(make, monkeypatch, tool, tmp_path, capsys, harmed, sets):
    monkeypatch.setattr(tool.recipes, "files", sets.__getitem__)
    make()
    for name in harmed:
        HARMS[name](tmp_path / f"{name}.prototxt")
    before = {path: path.read_bytes() for path in files_below(tmp_path)}
    capsys.readouterr()
    assert make("--check") == 1
    out, error = capsys.readouterr()
    said = {f"{name}.prototxt is " + ("made by nothing; remove it" if "stray" in name else
                                      "not what tools/make_prototxt.py writes; run it again") for name in harmed}
    assert not out and set(error.splitlines()) == said and error.count("\n") == len(said)
    assert before == {path: path.read_bytes() for path in files_below(tmp_path)}


def test_check_ends_with_status_1_as_a_program(tmp_path):
    done = subprocess.run([sys.executable, TOOL, "--check"], cwd=tmp_path, env={"PYTHONPATH": str(runs.ROOT)},
                          capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == sum(len(names) for _, names in COMMITTED)
    assert "Traceback" not in done.stderr
    assert not files_below(tmp_path)


def called(expression):
    """Return what the call that a head shows returns: literals, and the names of rcnn.nets.prototxt."""
    if isinstance(expression, ast.Call):
        options = {keyword.arg: called(keyword.value) for keyword in expression.keywords}
        return getattr(net, ast.unparse(expression.func).split(".")[-1])(*map(called, expression.args), **options)
    if isinstance(expression, ast.Name):
        return getattr(net, expression.id)
    return ast.literal_eval(expression)


def test_each_head_names_the_call_that_made_the_file(make, tmp_path):
    make()
    own = "a-folder-whose-name-is-long-and-has-hyphens-in-it/" * 2
    make("--out", f"{own}set", "--snapshots", f"{own}snapshots", "--train-pairs", f"{own}pairs.lmdb", "--seed", "7",
         "--previous-loss", "yes", "--clip-gradients", "0.1", "--size", "64", "--bias", "-0.25")
    assert len(files_below(tmp_path)) == sum(len(names) for _, names in COMMITTED) + len(NETS | SOLVERS)
    for path in files_below(tmp_path):
        text = path.read_text()
        head, body = text.split("\n\n", 1)
        lines = [line[2:] for line in head.splitlines()]
        assert all(line.startswith("# ") and len(line) <= 120 for line in head.splitlines() if own[:9] not in line)
        assert lines[0].startswith("Made by tools/make_prototxt.py")
        end = next(number for number, line in enumerate(lines[1:], 1) if not lines[number + 1:number + 2]
                   or not lines[number + 1].startswith("    ")) + 1
        expression = ast.parse(" ".join(line.strip() for line in lines[1:end]), mode="eval").body
        assert text_format.MessageToString(called(expression)) == body
        note = recipes.DEMO.note if path.parent.name == "demo" else ""
        assert " ".join(lines[end:]) == note


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
    assert capsys.readouterr().err.count("\n") == len(NETS)


def test_the_switches_change_what_they_are_for(make, tmp_path):
    """Beyond where an option is written: what the nets of some of them then say."""
    make("--out", "mine", "--combine", "sum", "--temporal-filler", "constant", "--temporal-bias", "yes",
         "--cut-gradient", "no", "--conv1-temporal-kernel", "5", "--spatial-rate", "0.25")
    layers = {layer.name: layer for layer in protos.read_net(tmp_path / "mine" / "rcnn_r_train.prototxt").layer}
    temporal = layers["conv1/7x7_s2/temporal"]
    assert temporal.convolution_param.kernel_size == [5] and temporal.convolution_param.pad == [2]
    assert temporal.convolution_param.weight_filler.type == "constant" and temporal.convolution_param.bias_term
    assert not temporal.propagate_down and len(temporal.param) == 2
    assert not layers["conv1/7x7_s2/sum"].eltwise_param.coeff
    assert [param.lr_mult for param in layers["conv1/7x7_s2"].param] == [0.25, 0.5]
    stage1 = {layer.name: layer for layer in protos.read_net(tmp_path / "mine" / "rcnn_r_stage1_train.prototxt").layer}
    assert [param.lr_mult for param in stage1["conv1/7x7_s2"].param] == [0, 0]
    assert [param.decay_mult for param in stage1["conv1/7x7_s2"].param] == [0, 0]


def test_every_option_is_tested_here(make, capsys):
    with pytest.raises(SystemExit):
        make("--help")
    usage = capsys.readouterr().out.split("\n\n")[0]
    together = {"--channels", "--mean"}  # below
    assert set(re.findall(r"--[a-z0-9-]+", usage)) - {"--out", "--check", "--version"} - together == {row[0] for row in OPTIONS}


def test_frames_of_other_channels(make, tmp_path):
    make("--out", "mine", "--channels", "4", "--mean", "128", "127", "2", "1", "--encoding", "raw")
    data, split, *_ = protos.read_net(tmp_path / "mine" / "rcnn_r_train.prototxt").layer
    assert data.transform_param.mean_value == [128, 127, 2, 1] * 2 and split.slice_param.slice_point == [4]
    for name in ("deploy_rcnn_r", "deploy_rcnn_s"):
        assert "dim: 4\n" in (tmp_path / "mine" / f"{name}.prototxt").read_text()
    assert {path.stem for path in files_below(tmp_path)} == {
        name for name in NETS | SOLVERS if "rcnn_s" not in name and "stage1" not in name} | {"deploy_rcnn_s"}


def test_nets_of_flow(make, tmp_path):
    make("--out", "mine", "--channels", "2", "--train-pairs", "my-own/flow.lmdb", "--classes", "7")
    assert {path.stem for path in files_below(tmp_path)} == FLOW
    data, augment, *layers = protos.read_net(tmp_path / "mine" / "rcnn_r_train_flow.prototxt").layer
    assert data.data_param.source == "my-own/flow.lmdb" and not data.HasField("transform_param")
    assert json.loads(augment.python_param.param_str)["mean"] == [128, 128]
    assert all(param.lr_mult > 0 for layer in layers for param in layer.param)
    solver = protos.read_solver(tmp_path / "mine" / "solver_rcnn_s_flow.prototxt")
    assert solver.snapshot_prefix == "mine/snapshots/rcnn_s_flow"
    train, test = (protos.read_net(tmp_path / path).layer[0] for path in (solver.train_net, solver.test_net[0]))
    for layer, videos in ((train, "train"), (test, "test")):
        told = json.loads(layer.python_param.param_str)
        assert told["source"] == "data/ucf101/flow_5fps.lmdb" and told["mean"] == [128, 128]
        assert told["list"].endswith(f"{videos}list01.txt")


@pytest.mark.parametrize("options", [["--channels", "4"], ["--mean", "1", "2"], ["--channels", "4", "--mean", "1", "2"],
                                     ["--channels", "2", "--mean", "1"], ["--channels", "4", "--encoding", "raw"]])
def test_channels_that_do_not_fit_are_refused(make, tmp_path, options):
    with pytest.raises(InputError, match="channels"):
        make("--out", "mine", *options)
    assert not files_below(tmp_path)


def test_as_many_pairs_a_test_with_another_batch(make, tmp_path):
    make("--out", "mine", "--batch", "25")
    solver = protos.read_solver(tmp_path / "mine" / "solver_rcnn_r.prototxt")
    assert solver.test_iter == [154] and 154 * 25 >= 60 * 64 > 153 * 25


@pytest.mark.parametrize("option, value", [row[:2] for row in OPTIONS], ids=[row[0] for row in OPTIONS])
def test_an_option_without_out_is_refused(make, tmp_path, option, value):
    for check in ([], ["--check"]):
        with pytest.raises(InputError, match=f"^{option} makes another set: say where with --out$"):
            make(option, value, *check)
    assert not files_below(tmp_path)


@pytest.mark.parametrize("option, values", [
    ("--classes", ("0", "-1", "2.5", "many", "99999999999")), ("--batch", ("0", "99999999999")), ("--size", ("0", "x")),
    ("--width", ("0", "-1", "nan", "inf")), ("--rate", ("0", "-0.1", "nan")), ("--final-rate", ("0", "1.5", "nan")),
    ("--seed", ("-1", "4294967296", "1.5")), ("--bias", ("nan", "inf", "x")), ("--scale", ("0", "inf")),
    ("--encoding", ("png",)), ("--combine", ("product",)), ("--previous-loss", ("true", "1", "")),
    ("--together", ("maybe",)), ("--filler", ("gaussian",)), ("--temporal-filler", ("none",)),
    ("--spatial-rate", ("0", "-1"))])
def test_a_bad_value_is_refused(make, tmp_path, capsys, option, values):
    for value in values:
        with pytest.raises(SystemExit) as stopped:
            make("--out", "mine", f"{option}={value}")
        assert stopped.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"make_prototxt.py: error: argument {option}: ")
    assert not files_below(tmp_path)


@pytest.mark.parametrize("options, said", [
    (["--size", "32"], "size at least 33"), (["--conv1-temporal-kernel", "4"], "the kernel odd"),
    (["--encoding", "raw", "--together", "no"], "raw pairs have one crop for both frames"),
    (["--out", "file/mine"], "cannot write file/mine/.*: Not a directory"),
    (["--out", "file"], "cannot write file/.*: File exists")])
def test_what_makes_no_set_is_refused(make, tmp_path, options, said):
    Path("file").write_text("kept")
    with pytest.raises(ProgramError, match=said) as error:
        make("--out", "mine", *options)
    assert "\n" not in str(error.value)
    assert files_below(tmp_path) == [tmp_path / "file"] and Path("file").read_text() == "kept"


def test_a_bad_value_is_one_line_as_a_program(tmp_path):
    done = subprocess.run([sys.executable, TOOL, "--out", "mine", "--size", "32"], cwd=tmp_path,
                          env={"PYTHONPATH": str(runs.ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("make_prototxt.py: no network")


def test_the_papers_sets_update_with_64_pairs(make, tmp_path):
    make()
    make("--out", "mine", "--batch", "16", "--iter-size", "4")
    for name in SOLVERS:
        for folder in ("prototxt", "mine"):
            solver = protos.read_solver(tmp_path / folder / f"{name}.prototxt")
            (train, batch), (test, _) = (source(path) for path in (solver.train_net, solver.test_net[0]))
            assert batch * solver.iter_size == 64
            assert (solver.base_lr, solver.momentum) == (np.float32(0.01), np.float32(0.9))
            if "rcnn_s" in name:
                lists = "data/ucf101/ucfTrainTestlist"
                assert train == ("data/ucf101/frames_5fps.lmdb", f"{lists}/trainlist01.txt")
                assert test == ("data/ucf101/frames_5fps.lmdb", f"{lists}/testlist01.txt")
            else:
                assert (train, test) == ("data/ucf101/pairs_train01.lmdb", "data/ucf101/pairs_test01.lmdb")


def source(path):
    """Return (what the first layer of a net reads, its batch)."""
    layer = protos.read_net(path).layer[0]
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


@pytest.mark.parametrize("folder", SETS)
def test_caffe_builds_every_file(tmp_path, folder):
    """The demo's as they are; the full-size ones with a batch of 1, for their memory.  A solver builds its two nets."""
    recipe = SETS[folder]
    if recipe is not recipes.DEMO:
        recipe = replace(recipe, data=replace(recipe.data, batch=1))
    used = set()
    for path, text in recipes.files(recipe).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for source in (recipe.train_pairs, recipe.test_pairs):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        frame = np.full((1, recipe.model.size, recipe.model.size, recipe.model.channels), 99, np.uint8)
        write_pairs(tmp_path / source, frame, frame, [0], "jpeg")
    (tmp_path / recipe.frames).parent.mkdir(parents=True, exist_ok=True)
    written = frames.write(tmp_path / recipe.frames, {"v_Up_g01_c01": (0, 2)}, ["Up"], recipe.model.size,
                           channels=recipe.model.channels)
    for videos in (recipe.train_list, recipe.test_list):
        (tmp_path / videos).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / videos).write_bytes(written.with_suffix(".txt").read_bytes())
    (tmp_path / recipe.snapshots).mkdir(parents=True)
    names = FLOW if recipe.model.channels == 2 else NETS | SOLVERS
    built = [f"{recipe.folder}/{name}.prototxt" for name in sorted(names) if name.startswith(("solver", "deploy"))]
    for path in built:
        if "solver" in path:
            solver = protos.read_solver(tmp_path / path)
            used |= {Path(solver.train_net).stem, Path(solver.test_net[0]).stem}
    assert used == {name for name in names if not name.startswith(("solver", "deploy"))}
    done = subprocess.run([sys.executable, "-c", BUILD, *built], cwd=tmp_path, text=True, capture_output=True,
                          env={"PYTHONPATH": str(runs.ROOT), "GLOG_minloglevel": "2"}, timeout=120)
    assert done.returncode == 0, done.stderr
    size = recipe.model.size
    assert done.stdout.splitlines() == [f"{path} ({recipe.model.channels}, {size}, {size})" for path in built]
