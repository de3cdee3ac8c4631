"""Training in PyTorch against Caffe's solver on the same weights and pairs, and against itself in several processes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nets import images, recipe, solver
from random_nets import parameters
from runs import ROOT
from test_torch_gradients import without_dropout

from rcnn.data import builds, records
from rcnn.googlenet import RECURRENT
from rcnn.nets import caffemodel
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.model import NetModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[torch]'")
torch.set_num_threads(1)

MODEL = NetModel(classes=4, width=0.05, size=39)
PAIRS, BATCH, SIDE = 14, 4, 46


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A pairs LMDB of tall JPEGs, of no whole number of batches."""
    path, generator = tmp_path_factory.mktemp("pairs") / "pairs.lmdb", np.random.default_rng(4)
    made = images(generator, 2 * PAIRS, SIDE)
    with builds.Build(path, "pairs", {"encoding": "jpeg", "size": SIDE, "classes": list("ABCD")}, print) as build:
        build.put(
            [
                (records.pair_key(place, "v", 1), records.encode_pair(*made[2 * place : 2 * place + 2], place % 4))
                for place in range(PAIRS)
            ]
        )
        build.finish(counts={"pairs": PAIRS})
    return path


SETTINGS = {
    "stage 1": dict(rate=1.0),
    "stage 2": dict(rate=0.01),
    "every option": dict(
        spatial_rate=0.2,
        previous_loss=True,
        cut_gradient=False,
        together=False,
        iter_size=2,
        clip_gradients=0.3,
        rate=1.0,
    ),
}
STAGES = {"stage 1": 1, "stage 2": 2, "every option": 2}
MODELS = {
    "stage 1": MODEL,
    "stage 2": replace(MODEL, combine="sum", high_rnn=False),
    "every option": replace(MODEL, temporal_bias=True),
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_ten_updates_are_caffes(tmp_path, pairs, settings):
    from rcnn.nets import torch_net as port
    from rcnn.training import torch_solver as training

    arrays, model = parameters(MODELS[settings], "pair")
    stage, chosen = STAGES[settings], {"iterations": 10, "final_rate": 0.1, **SETTINGS[settings]}
    given = recipe(model, dropout=False, batch=BATCH, seed=3, scale=1 / 16, **chosen)
    made = solver(tmp_path, without_dropout(net.rcnn_r(given, pairs, net.TRAIN, stage)), **chosen)
    for name, values in arrays.items():
        for blob, value in zip(made.net.params[name], values):
            blob.data[...] = value
    ported = port.build(arrays, model)
    mine = training.Solver(ported, given, stage)
    moved = set()
    with training.Pairs(pairs, given) as source:
        batches = source.batches(0)
        for iteration in range(10):
            made.step(1)
            _, outputs, _ = training.step(ported, mine, batches)
            for name, value in outputs.items():
                assert value == pytest.approx(float(made.net.blobs[name].data), rel=1e-4, abs=1e-5), (iteration, name)
    state = dict(ported.named_parameters())
    for name, values in arrays.items():
        for part, value, blob in zip(("weight", "bias"), values, made.net.params[name]):
            found = state[f"{name}.{part}"].detach().numpy()
            assert np.abs(found - blob.data).max() <= 1e-4 * np.abs(blob.data).max(), (name, part)
            if not np.array_equal(found, value):
                moved.add(name)
    pretrained = {layer.name for layer in model.layers() if isinstance(layer, RECURRENT) and layer.pretrained}
    assert bool(moved & pretrained) == (stage == 2)
    assert "conv1/7x7_s2/temporal" in moved and "loss3/classifier_video" in moved
    changes = [
        np.abs(state[f"{name}.weight"].detach().numpy() - values[0]).max() / np.abs(values[0]).max()
        for name, values in arrays.items()
        if name in moved
    ]
    assert np.median(changes) > 1e-3  # ten times the tolerance


@pytest.mark.parametrize("stage", [1, 2])
def test_rates_are_those_of_caffes_net(stage):
    from rcnn.training import torch_solver as training

    model = replace(MODEL, temporal_bias=True)
    message = net.rcnn_r(recipe(model, spatial_rate=0.25), "none.lmdb", net.TRAIN, stage)
    given = {layer.name: [(param.lr_mult, param.decay_mult) for param in layer.param] for layer in message.layer}
    for name, rates in training.rates(model, stage, 0.25).items():
        layer, part = name.rsplit(".", 1)
        assert rates == given[layer][part == "bias"], name
    plain, single = replace(model, temporal=False), net.cnn(recipe(model), "none.lmdb", net.TRAIN)
    given = {layer.name: [(param.lr_mult, param.decay_mult) for param in layer.param] for layer in single.layer}
    for name, rates in training.rates(plain).items():
        layer, part = name.rsplit(".", 1)
        assert rates == given[layer][part == "bias"], name


def test_each_process_reads_its_own_share(pairs, monkeypatch):
    from rcnn.training import torch_solver as training

    given, read = recipe(MODEL, batch=5, seed=2), []
    monkeypatch.setattr(
        records.Records, "get", lambda self, key, real=records.Records.get: (read.append(key), real(self, key))[1]
    )
    with training.Pairs(pairs, given) as source:
        whole = [next(source.batches(number)) for number in (0, 1)][0]
    shares, keys = [], []
    for rank in range(2):
        del read[:]
        with training.Pairs(pairs, given, rank, 2) as source:
            shares.append(source._batch(0))
            keys.append(read[1:])  # the first tells the frames' size
    assert [len(share[2]) for share in shares] == [3, 2] and not set(keys[0]) & set(keys[1])
    for part in range(3):
        together = torch.stack([shares[row % 2][part][row // 2] for row in range(5)])
        assert torch.equal(together, whole[part])
    assert shares[0][3] == shares[1][3] == whole[3]


# The program


def started(pairs, folder, *options, processes=1):
    """Start the program in a folder, with torchrun if there are several processes."""
    words = ["-m", "torch.distributed.run", "--nproc-per-node", processes, "--master-port", 29500 + os.getpid() % 1000]
    command = [
        sys.executable,
        *(words if processes > 1 else []),
        ROOT / "tools/train_torch.py",
        "--pairs",
        pairs,
        "--weights",
        "start.caffemodel",
        "--batch",
        BATCH,
        "--iterations",
        6,
        "--display",
        1,
        "--snapshot",
        2,
        "--scale",
        1 / 64,
        "--size",
        MODEL.size,
        "--device",
        "cpu",
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def trained(pairs, folder, *options, processes=1):
    process = started(pairs, folder, *options, processes=processes)
    _, error = process.communicate(timeout=300)
    return process.returncode, error


@pytest.fixture
def folder(tmp_path):
    """A folder with weights to start from; their dropout is as ever."""
    caffemodel.write(tmp_path / "start.caffemodel", *parameters(MODEL, "pair"))
    return tmp_path


def weights(path):
    arrays, _ = files.read(path)
    return {f"{name}/{part}": value for name, values in arrays.items() for part, value in enumerate(values)}


def test_killed_and_resumed_goes_on_as_if_it_had_not_been(pairs, folder):
    status, error = trained(pairs, folder, "--out", "whole")
    assert status == 0, error
    process = started(pairs, folder, "--out", "killed")
    while process.poll() is None and not (folder / "killed_iter_2.solver.pt").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "killed_iter_6.pt").exists()
    status, error = trained(pairs, folder, "--out", "killed")
    assert status == 0 and "going on from killed_iter_" in error, error
    one, other = (weights(folder / f"{name}_iter_6.pt") for name in ("whole", "killed"))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    logs = [
        [json.loads(text) for text in Path(folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("whole", "killed")
    ]
    assert [[record["iteration"] for record in log] for log in logs] == [list(range(6))] * 2
    assert [record["raw"] for record in logs[0]] == [record["raw"] for record in logs[1]]
    status, error = trained(pairs, folder, "--out", "killed")
    assert status == 0 and "finished already" in error
    status, error = trained(pairs, folder, "--out", "killed", "--rate", 0.5)
    assert status == 2 and "training with other options (rate 0.01, not 0.5)" in error
    status, error = trained(pairs, folder, "--out", "hot", "--rate", 1e9)
    assert status == 2 and "not finite" in error and "Traceback" not in error


OLD = (
    "{{'iterations': 6, 'batch': 4, 'iter_size': 1, 'rate': {rate}, 'final_rate': 0.01, 'momentum': 0.9, "
    "'weight_decay': 0.0002, 'clip_gradients': None, 'stage': 2, 'spatial_rate': 1.0, 'previous_loss': False, "
    "'cut_gradient': True, 'together': True, 'dropout': True, 'mean': (104.0, 117.0, 123.0), 'scale': 0.015625, "
    "'seed': 1}}"
)  # as versions before this one wrote the recipe into a .solver.pt


def test_an_older_snapshot_goes_on(pairs, folder):
    status, error = trained(pairs, folder, "--out", "whole")
    assert status == 0, error
    expected = weights(folder / "whole_iter_6.pt")
    for path in folder.glob("whole_iter_[46]*"):
        path.unlink()
    saved = torch.load(folder / "whole_iter_2.solver.pt", weights_only=True)
    torch.save({**saved, "recipe": OLD.format(rate=0.02)}, folder / "whole_iter_2.solver.pt")
    status, error = trained(pairs, folder, "--out", "whole")
    assert status == 2 and "training with other options (rate 0.02, not 0.01); give those" in error
    torch.save({**saved, "recipe": OLD.format(rate=0.01)}, folder / "whole_iter_2.solver.pt")
    status, error = trained(pairs, folder, "--out", "whole")
    assert status == 0 and "going on from whole_iter_2.pt" in error, error
    found = weights(folder / "whole_iter_6.pt")
    assert all(np.array_equal(found[name], value) for name, value in expected.items())


def test_two_processes_are_one(pairs, folder):
    """Without dropout, whose random numbers are each process's own."""
    for name, processes in (("one", 1), ("two", 2)):
        status, error = trained(
            pairs, folder, "--out", name, "--batch", 5, "--clip-gradients", 1, "--dropout", "no", processes=processes
        )
        assert status == 0, error
    one, two = (weights(folder / f"{name}_iter_6.pt") for name in ("one", "two"))
    for name, value in one.items():
        assert np.abs(value - two[name]).max() <= 1e-5 * np.abs(value).max(), name
    losses = [
        [json.loads(text)["loss"] for text in Path(folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and len(set(losses[0])) == 6


def test_bad_input(pairs, folder):
    for options, words in (
        (("--weights", "gone.pt"), "no such file: gone.pt"),
        (("--pairs", "gone"), "no such LMDB"),
        (("--mean", 1, 2), "mean: frames of 3 channels take as many numbers, not 2"),
        (("--batch", 0), "--batch: 0: it should be at least 1"),
        (("--cut-gradient", "maybe"), "choose from"),
        (("--size", 64), "crop does not fit"),
    ):
        status, error = trained(pairs, folder, "--out", "bad", *options)
        assert status == 2 and words in error and "Traceback" not in error, error
    assert sorted(path.name for path in folder.iterdir()) == ["start.caffemodel"]
