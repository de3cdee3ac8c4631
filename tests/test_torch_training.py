"""Training in PyTorch against Caffe's solver on the same weights and pairs, and against itself in several processes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import frames
import numpy as np
import pytest
import random_nets
from nets import assign, build, fed, images, recipe, solver, write_pairs
from random_nets import parameters
from runs import ROOT, module

from rcnn.files import InputError, TrainingError
from rcnn.googlenet import RECURRENT
from rcnn.nets import caffemodel, compare
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.model import NetModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")
torch.set_num_threads(1)

from rcnn.nets import torch_net  # noqa: E402
from rcnn.training import torch_solver  # noqa: E402
from rcnn.training.torch_batches import Batch, Pairs, Sequences  # noqa: E402

MODEL = NetModel(classes=4, width=0.05, size=39)
PAIRS, BATCH, SIDE = 14, 4, 46


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A pairs LMDB of tall JPEGs, of no whole number of batches."""
    made = images(np.random.default_rng(4), 2 * PAIRS, SIDE)
    path = tmp_path_factory.mktemp("pairs") / "pairs.lmdb"
    return write_pairs(path, made[::2], made[1::2], np.arange(PAIRS) % 4, "jpeg")


def without_dropout(message):
    """Set the ratio of a training net's dropout to 0: which values it drops is each framework's own chance."""
    for layer in message.layer:
        if layer.type == "Dropout":
            layer.dropout_param.dropout_ratio = 0
    return message


MODELS = {name: model for name, model in random_nets.MODELS.items() if model.channels == 3}


@pytest.mark.parametrize(
    "cut, previous_loss", [(True, False), (False, False), (True, True)], ids=["cut", "uncut", "cut, two losses"]
)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_gradients_are_caffes(tmp_path, model, cut, previous_loss):
    arrays, _ = parameters(model, "pair")
    settings = recipe(model, batch=2, cut_gradient=cut, previous_loss=previous_loss)
    made = build(without_dropout(fed(net.rcnn_r(settings, "none.lmdb", net.TRAIN), model, 2)), tmp_path)
    assign(made, arrays)
    (previous, frames), labels = compare.real_frames(model, 2), np.array([2, 0])
    for name, values in (("previous/frame", previous), ("frame", frames), ("label", labels)):
        made.blobs[name].data[...] = values
    made.clear_param_diffs()
    made.forward()
    made.backward()

    port = torch_net.build(arrays, model)
    frames, labels, previous = map(torch.from_numpy, (frames, labels, previous))
    loss, outputs, state = torch_solver.losses(port, settings, Batch(frames, labels, previous, None, ""))
    loss.backward()
    assert len(outputs) == 3 * (1 + previous_loss) and state is None
    for name, value in outputs.items():
        assert value.item() == pytest.approx(float(made.blobs[name].data), rel=1e-5)
    gradients, moved = {name: value.grad.numpy() for name, value in port.named_parameters()}, 0
    for layer in arrays:  # the scale is the layer's: a bias sums over all places what may cancel
        expected = [blob.diff for blob in made.params[layer]]
        scale = max(np.abs(values).max() for values in expected)
        for part, values in zip(("weight", "bias"), expected):
            assert np.abs(gradients[f"{layer}.{part}"] - values).max() <= 1e-4 * scale, (layer, part)
        moved += scale > 1e-6
    assert moved > 0.9 * len(arrays)


def follow(made, port, mine, batches, updates):
    """Make updates in Caffe and in PyTorch; assert that each has the same losses."""
    for iteration in range(updates):
        made.step(1)
        _, outputs, _ = torch_solver.step(port, mine, batches)
        for name, value in outputs.items():
            assert value == pytest.approx(float(made.net.blobs[name].data), rel=1e-4, abs=1e-5), (iteration, name)


OPTIONS = dict(spatial_rate=0.2, previous_loss=True, cut_gradient=False, together=False, crop="corners", iter_size=2)


@pytest.mark.parametrize(
    "model, stage, settings",
    [
        (MODEL, 1, dict(rate=1.0)),
        (replace(MODEL, combine="sum", high_rnn=False), 2, dict(rate=0.01)),
        (replace(MODEL, temporal_bias=True), 2, dict(clip_gradients=0.3, rate=1.0, **OPTIONS)),
    ],
    ids=["stage 1", "stage 2", "every option"],
)
def test_ten_updates_are_caffes(tmp_path, pairs, model, stage, settings):
    arrays, model = parameters(model, "pair")
    settings = {"iterations": 10, "final_rate": 0.1, **settings}
    chosen = recipe(model, dropout=False, batch=BATCH, seed=3, scale=1 / 16, **settings)
    made = solver(tmp_path, without_dropout(net.rcnn_r(chosen, pairs, net.TRAIN, stage)), **settings)
    assign(made.net, arrays)
    port = torch_net.build(arrays, model)
    mine = torch_solver.Solver(port, chosen, stage)
    with Pairs(pairs, chosen) as source:
        follow(made, port, mine, source.batches(0), 10)
    state, changes = {name: value.detach().numpy() for name, value in port.named_parameters()}, {}
    for name, values in arrays.items():
        for part, blob in zip(("weight", "bias"), made.net.params[name]):
            after = state[f"{name}.{part}"]
            assert np.abs(after - blob.data).max() <= 1e-4 * np.abs(blob.data).max(), (name, part)
        change = np.abs(state[f"{name}.weight"] - values[0]).max() / np.abs(values[0]).max()
        if change:
            changes[name] = change
    pretrained = {layer.name for layer in model.layers() if isinstance(layer, RECURRENT) and layer.pretrained}
    assert bool(changes.keys() & pretrained) == (stage == 2)
    assert {"conv1/7x7_s2/temporal", "loss3/classifier_video"} <= changes.keys()
    assert np.median(list(changes.values())) > 1e-3  # ten times the tolerance


LOW = ["loss1/conv", "loss1/fc", "loss1/classifier_video"]


@pytest.mark.parametrize("stage, temporal", [(1, True), (1, False), (2, True), (2, False)])
@pytest.mark.parametrize("fresh", [None, LOW])
def test_rates_are_those_of_caffes_net(stage, temporal, fresh):
    model = replace(MODEL, temporal_bias=True)
    make = net.rcnn_r if temporal else net.cnn
    message = make(recipe(model, spatial_rate=0.25), "a.lmdb", net.TRAIN, stage, fresh)
    expected = {layer.name: [(param.lr_mult, param.decay_mult) for param in layer.param] for layer in message.layer}
    for name, rates in torch_solver.rates(replace(model, temporal=temporal), stage, 0.25, fresh).items():
        layer, part = name.rsplit(".", 1)
        assert rates == expected[layer][part == "bias"], name


def test_bfloat16_is_near_float32(pairs):
    """Losses to the 8 bits of its fractions, and gradients that point the same way."""
    arrays, model = parameters(replace(MODEL, width=0.125), "pair")
    port = torch_net.build(arrays, model)
    found = {}
    for precision in ("float32", "bfloat16"):
        settings = recipe(model, batch=BATCH, seed=3, precision=precision)
        with Pairs(pairs, settings) as source:
            loss, _, _ = torch_solver.losses(port, settings, next(source.batches(0)))
        loss.backward()
        found[precision] = loss.item(), torch.cat([value.grad.flatten() for value in port.parameters()])
        port.zero_grad()
    (exact, direction), (rounded, other) = found.values()
    assert exact != rounded and rounded == pytest.approx(exact, rel=2e-2)
    assert torch.nn.functional.cosine_similarity(direction, other, dim=0) > 0.99


def test_fifteen_updates_on_frames_in_order_are_caffes(tmp_path):
    """RCNN-s over videos of several lengths, whose crops move where a video begins."""
    classes = ["Left", "Right", "Still", "Turn"]
    videos = {f"v_{classes[n % 4]}_g{n:02d}": (n % 4, 2 + n) for n in range(5)}
    path = frames.write(tmp_path / "frames.lmdb", videos, classes, 45)
    videos = tmp_path / "frames.txt"
    arrays, model = parameters(MODEL, "recurrent")
    settings = dict(iterations=15, final_rate=0.1, rate=0.001)
    chosen = recipe(model, dropout=False, batch=3, seed=3, scale=1 / 16, **settings)
    made = solver(tmp_path, without_dropout(net.rcnn_s(chosen, path, videos, net.TRAIN)), **settings)
    assign(made.net, arrays)
    port = torch_net.build(arrays, model)
    mine = torch_solver.Solver(port, chosen)
    with Sequences(path, videos, chosen) as source:
        follow(made, port, mine, source.batches(0), 15)
    for name, blobs in made.net.params.items():
        after = port.state_dict()[f"{name}.weight"].numpy()
        assert np.abs(after - blobs[0].data).max() <= 1e-4 * np.abs(blobs[0].data).max(), name


# The program


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with weights to start from; their dropout is as ever."""
    monkeypatch.chdir(tmp_path)
    caffemodel.write(tmp_path / "start.caffemodel", *parameters(MODEL, "pair"))
    return tmp_path


def words(pairs, text):
    """Return the words of a command; those of the text count before the others."""
    data = "" if "--frames" in text else f"--pairs {pairs} "
    common = (
        f"{data}--weights start.caffemodel --batch {BATCH} --iterations 6 --display 1 --snapshot 2 "
        f"--scale 0.015625 --size {MODEL.size} --device cpu"
    )
    return [*common.split(), *text.split()]


@pytest.fixture
def train(pairs, folder, monkeypatch, capsys):
    """Train in this process; return what was said."""

    def call(text):
        monkeypatch.setattr(sys, "argv", ["train_torch.py", *words(pairs, text)])
        module("train_torch").main()
        return capsys.readouterr().err

    return call


def start(pairs, text, processes=1):
    """Start the program, with torchrun if there are several processes."""
    torchrun = f"-m torch.distributed.run --nproc-per-node {processes} --master-port {29500 + os.getpid() % 1000}"
    return subprocess.Popen(
        [sys.executable, *(torchrun.split() if processes > 1 else []), ROOT / "tools/train_torch.py"]
        + words(pairs, text),
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def weights(path):
    arrays, _ = files.read(path)
    return {f"{name}/{part}": value for name, values in arrays.items() for part, value in enumerate(values)}


def logged(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def same(one, other):
    return all(np.array_equal(value, other[name]) for name, value in one.items())


def test_killed_and_resumed_goes_on_as_if_it_had_not_been(pairs, folder, train):
    train("--out whole")
    process = start(pairs, "--out killed")
    while process.poll() is None and not (folder / "killed_iter_2.solver.pt").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "killed_iter_6.pt").exists()
    assert "going on from killed_iter_" in train("--out killed")
    assert same(weights(folder / "whole_iter_6.pt"), weights(folder / "killed_iter_6.pt"))
    whole, killed = (logged(folder / f"{name}.jsonl") for name in ("whole", "killed"))
    assert [record["iteration"] for record in whole] == [record["iteration"] for record in killed] == list(range(6))
    assert [record["raw"] for record in whole] == [record["raw"] for record in killed]
    assert "finished already" in train("--out killed")
    with pytest.raises(InputError, match=r"training with other options \(rate 0.01, not 0.5\)"):
        train("--out killed --rate 0.5")


def test_frames_in_order_go_on_where_they_stopped(folder, train):
    """With the crops and the state of the videos that had begun."""
    frames.write(folder / "f.lmdb", {f"v_{n}": (n % 2, 5 + n) for n in range(5)}, ["a", "b"], 45)
    caffemodel.write(folder / "start.caffemodel", *parameters(MODEL, "recurrent"))
    words = "--frames f.lmdb --list f.txt --batch 2 --out"
    train(f"{words} whole")
    expected = weights(folder / "whole_iter_6.pt")
    for path in folder.glob("whole_iter_[46].pt"):
        path.unlink()
    assert "going on from whole_iter_2.pt" in train(f"{words} whole")
    assert same(expected, weights(folder / "whole_iter_6.pt"))


def test_in_order_temporal_parts_alone_begin_with_nothing_to_learn(folder, train):
    """In stage 1 from weights of which no layer is fresh, where all videos begin at once: as Caffe, it goes on."""
    frames.write(folder / "f.lmdb", {f"v_{n}": (n % 2, 5) for n in range(4)}, ["a", "b"], 45)
    arrays, model = parameters(MODEL, "recurrent")
    caffemodel.write(folder / "start.caffemodel", arrays, model)
    caffemodel.mark_fresh("start.caffemodel", [])
    train(
        "--frames f.lmdb --list f.txt --batch 2 --stage 1 --rate 1 --momentum 0 --weight-decay 0 --snapshot 1 --out s"
    )
    before = {f"{name}/{part}": value for name, values in arrays.items() for part, value in enumerate(values)}
    first, last = (weights(folder / f"s_iter_{iteration}.pt") for iteration in (1, 6))
    assert same(before, first) and all("/temporal" in name for name in moved(before, last)) and moved(before, last)


def moved(before, after):
    """Return the layers whose W is not bit for bit what it was."""
    return {name[:-2] for name in before if name.endswith("/0") and not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize("temporal", [True, False], ids=["RCNN", "CNN"])
@pytest.mark.parametrize("fresh", [LOW, None], ids=["said", "not said"])
def test_stage_1_lets_learn_what_the_weights_say_is_fresh(folder, train, temporal, fresh):
    """Resumed too, where the snapshot alone is left; weights that say nothing are taken for BVLC's whole file."""
    caffemodel.write("start.caffemodel", *parameters(MODEL, "pair" if temporal else "frame"))
    if fresh:
        caffemodel.mark_fresh("start.caffemodel", fresh)
    before = {
        f"{name}/{part}": value
        for name, values in caffemodel.read("start.caffemodel").arrays.items()
        for part, value in enumerate(values)
    }
    expected = set(fresh or ["loss3/fc", *(f"loss{number}/classifier_video" for number in (1, 2, 3))])
    train("--out made --stage 1 --rate 1")
    found = moved(before, weights(folder / "made_iter_6.pt"))
    assert {name for name in found if not name.endswith("/temporal")} == expected
    assert temporal == any(name.endswith("/temporal") for name in found)
    last = weights(folder / "made_iter_6.pt")
    for path in [*folder.glob("made_iter_[46].*"), folder / "start.caffemodel"]:
        path.unlink()
    assert "going on from made_iter_2.pt" in train("--out made --stage 1 --rate 1")
    assert same(last, weights(folder / "made_iter_6.pt"))


def test_a_cnn_of_which_nothing_is_fresh_has_no_stage_1(folder, train):
    caffemodel.write("start.caffemodel", *parameters(MODEL, "frame"))
    caffemodel.mark_fresh("start.caffemodel", [])
    with pytest.raises(InputError, match="stage 1: the weights have every layer of this net, so nothing would learn"):
        train("--out made --stage 1")
    assert not list(folder.glob("made*"))


def test_googlenets_own_weights_are_refused(folder, train):
    """Whose classifiers are not of videos: labels would be taken for ImageNet's."""
    model = replace(MODEL, temporal=False, high_rnn=False, side_heads=False, classifier="classifier")
    caffemodel.write("start.caffemodel", compare.random_arrays(model), model)
    with pytest.raises(
        InputError, match="start.caffemodel has GoogLeNet's own classifiers, classifier, and none .*init"
    ):
        train("--out made")
    assert not list(folder.glob("made*"))


def test_a_training_that_diverges_ends(folder, train):
    with pytest.raises(TrainingError, match="not finite"):
        train("--out hot --rate 1e9")


OLD = (
    "{{'iterations': 6, 'batch': 4, 'iter_size': 1, 'rate': {rate}, 'final_rate': 0.01, 'momentum': 0.9, "
    "'weight_decay': 0.0002, 'clip_gradients': None, 'stage': 2, 'spatial_rate': 1.0, 'previous_loss': False, "
    "'cut_gradient': True, 'together': True, 'dropout': True, 'mean': (104.0, 117.0, 123.0), 'scale': 0.015625, "
    "'seed': 1}}"
)  # as versions before this one wrote the recipe into a .solver.pt


def test_an_older_snapshot_goes_on(folder, train):
    train("--out whole")
    expected = weights(folder / "whole_iter_6.pt")
    for path in folder.glob("whole_iter_[46].pt"):  # their momentum alone is no snapshot
        path.unlink()
    saved = torch.load(folder / "whole_iter_2.solver.pt", weights_only=True)
    torch.save({**saved, "recipe": OLD.format(rate=0.02)}, folder / "whole_iter_2.solver.pt")
    with pytest.raises(InputError, match=r"training with other options \(rate 0.02, not 0.01\); give those"):
        train("--out whole")
    torch.save({**saved, "recipe": OLD.format(rate=0.01)}, folder / "whole_iter_2.solver.pt")
    assert "going on from whole_iter_2.pt" in train("--out whole")
    assert same(expected, weights(folder / "whole_iter_6.pt"))


def test_two_processes_are_one(pairs, folder, train):
    """Without dropout, whose random numbers are each process's own."""
    options = "--batch 5 --clip-gradients 1 --dropout no --out"
    train(f"{options} one")
    process = start(pairs, f"{options} two", processes=2)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    one, two = (weights(folder / f"{name}_iter_6.pt") for name in ("one", "two"))
    for name, value in one.items():
        assert np.abs(value - two[name]).max() <= 1e-5 * np.abs(value).max(), name
    one, two = ([record["loss"] for record in logged(folder / f"{name}.jsonl")] for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-5) and len(set(one)) == 6


@pytest.mark.parametrize(
    "text, message",
    [
        ("--weights gone.pt", "no such file: gone.pt"),
        ("--pairs gone", "no such LMDB"),
        ("--pairs bad.jsonl", "--out: bad.jsonl is what --pairs reads"),
        ("--frames gone --list gone", "no such LMDB: gone"),
        ("--mean 1 2", "mean: frames of 3 channels take 3 numbers, not 2"),
    ],
)
def test_bad_input(folder, train, text, message):
    with pytest.raises(InputError, match=message):
        train(f"--out bad {text}")
    assert [path.name for path in folder.iterdir()] == ["start.caffemodel"]


def test_weights_with_a_name_of_its_own_snapshots_are_refused(folder, train):
    """Where it does not go on from them, it would write over them."""
    (folder / "bad_iter_6.pt").write_bytes(b"weights")
    with pytest.raises(InputError, match="bad_iter_6.pt has a name that this training writes; move it to another fol"):
        train(f"--weights {folder / 'bad_iter_6.pt'} --out {folder / 'bad'}")
    assert (folder / "bad_iter_6.pt").read_bytes() == b"weights"


def test_bad_input_is_one_line_as_a_program(pairs, folder):
    process = start(pairs, "--out bad --batch 0")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2 and error.count("\n") == 1 and "--batch: 0: it should be at least 1" in error
