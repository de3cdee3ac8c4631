"""rcnn/nets/backends.py and Classifier on each backend: the same scores, and what does not go together."""

import os
import subprocess
import sys

import numpy as np
import pytest
from nets import images
from random_nets import TORCH, write_exports
from runs import ROOT

from rcnn.files import InputError
from rcnn.nets import caffemodel, compare
from rcnn.nets import weight_files as files
from rcnn.nets.backends import open_network
from rcnn.nets.model import NetModel, without_temporal
from rcnn.stream import Classifier

MODEL = NetModel(classes=6, width=0.1, size=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if files.installed("torch"):
        import torch

        torch.set_num_threads(1)
    return write_exports(tmp_path_factory.mktemp("backends"), MODEL)


def pushed(classifier, streams):
    """Push frames into streams, of which some pause, and one begins anew; return all that came out."""
    scores = []
    for step in range(6):
        results = classifier.push(
            [None if (step, row) in ((2, 0), (3, 0), (0, 2)) else images[step] for row, images in enumerate(streams)]
        )
        scores += [(result.frame, result.so_far) for result in results if result]
        if step == 3:
            classifier.reset(1)
    return np.array(scores)


@pytest.mark.parametrize(
    "backend, weights, mode",
    [
        ("onnx", "recurrent.onnx", None),
        ("auto", "recurrent.onnx", "pair"),
        ("auto", "pair.onnx", None),
        pytest.param("torch", "rcnn.pt", None, marks=TORCH),
        pytest.param("torch", "rcnn.pt", "pair", marks=TORCH),
        pytest.param("onnx", "rcnn.pt", "pair", marks=TORCH),
        pytest.param("auto", "rcnn.safetensors", None, marks=TORCH),
    ],
)
def test_every_backend_gives_caffes_scores(folder, backend, weights, mode):
    streams = [images(np.random.default_rng(seed), 6, 80) for seed in range(3)]
    kind = "pair" if "pair" in (mode, weights[:4]) else "recurrent"
    expected = pushed(Classifier(folder / f"{kind}.prototxt", folder / "rcnn.caffemodel", 3), streams)
    scores = pushed(Classifier(None, folder / weights, 3, backend=backend, mode=mode), streams)
    assert expected.shape == (15, 2, 3, 6) and np.ptp(expected[:, 0], axis=0).max() > 1e-3
    assert np.abs(scores - expected).max() < 1e-5


@pytest.mark.parametrize(
    "backend, net, weights, options, said",
    [
        ("onnx", None, "frame.onnx", {}, "frame.onnx sees single frames; export it with --mode recurrent"),
        ("auto", None, "none.onnx", {}, "no such file"),
        ("caffe", "none.prototxt", "rcnn.caffemodel", {}, "net: no such file"),
        ("onnx", "pair.prototxt", "pair.onnx", {}, "only Caffe runs a prototxt"),
        ("caffe", None, "rcnn.caffemodel", {}, "cannot run .* without"),
        ("caffe", "pair.prototxt", "pair.onnx", {}, "cannot run .* with one"),
        ("onnx", None, "rcnn.caffemodel", {}, "export it with --size N"),
        pytest.param("torch", None, "pair.onnx", {}, "is for --backend onnx", marks=TORCH),
        pytest.param("torch", None, "rcnn.pt", {"gpu": 99}, "--gpu 99: PyTorch sees ", marks=TORCH),
        ("onnx", None, "pair.prototxt", {}, "is none of"),
        ("onnx", None, "pair.onnx", {"gpu": 0}, "--gpu 0: ONNX Runtime runs on the CPU"),
        ("onnx", None, "pair.onnx", {"mode": "recurrent"}, "--mode recurrent: the net is of kind pair, for pair"),
    ],
)
def test_what_does_not_go_together(folder, backend, net, weights, options, said):
    with pytest.raises(InputError, match=said) as error:
        open_network(backend, net and folder / net, folder / weights, pairs=True, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "backend, net, weights, said",
    [
        ("torch", None, "rcnn.caffemodel", "torch is not installed; pip install"),
        ("auto", None, "rcnn.caffemodel", "needs onnx or torch: pip install"),
        ("onnx", None, "pair.onnx", "onnx is not installed; pip install"),
        ("caffe", "pair.prototxt", "rcnn.caffemodel", "caffe is not installed; tools/install_caffe.sh"),
    ],
)
def test_what_is_not_installed(folder, monkeypatch, backend, net, weights, said):
    monkeypatch.setattr(files, "installed", lambda module: False)
    with pytest.raises(InputError, match=said):
        open_network(backend, net and folder / net, folder / weights)


@pytest.mark.parametrize("backend", ["onnx", pytest.param("torch", marks=TORCH)])
def test_a_cnn_keeps_no_state(tmp_path, backend):
    model = NetModel(classes=6, width=0.1)
    caffemodel.write(tmp_path / "cnn.caffemodel", *without_temporal(compare.random_arrays(model), model))
    for options in ({"pairs": True}, {"mode": "pair"}):
        with pytest.raises(InputError, match="a CNN's, which have none"):
            open_network(backend, None, tmp_path / "cnn.caffemodel", **options)
    network, mode = open_network(backend, None, tmp_path / "cnn.caffemodel")
    assert network.kind == mode == "frame" and network.combine is None


def test_what_runs_an_exported_net_imports_no_caffe():
    """Though Caffe is there."""
    code = (
        "import sys; import rcnn.stream, rcnn.nets.equality, rcnn.nets.onnx_net, rcnn.nets.device; "
        "from rcnn.programs import classify_video, evaluate, export, figures, fuse, init_weights, motion_energy; "
        "print([name for name in sys.modules if name.split('.')[0] == 'caffe'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
