"""rcnn/nets/backends.py and Classifier on each backend: the same scores, and what does not go together."""

import os
import subprocess
import sys

import numpy as np
import pytest
from nets import images
from random_nets import TORCH
from runs import ROOT

from rcnn.files import InputError
from rcnn.nets import caffemodel, compare
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.backends import open_network
from rcnn.nets.model import NetModel, without_temporal
from rcnn.stream import Classifier

MODEL = NetModel(classes=6, width=0.1, size=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the nets for every backend."""
    folder = tmp_path_factory.mktemp("backends")
    arrays = compare.random_arrays(MODEL)
    (folder / "net.prototxt").write_text(str(net.deploy_rcnn_s(MODEL)))
    (folder / "pair.prototxt").write_text(str(net.deploy_rcnn_r(MODEL)))
    files.save(folder / "rcnn.caffemodel", arrays, MODEL, "recurrent")
    files.save(folder / "rcnn.onnx", arrays, MODEL, "recurrent")
    files.save(folder / "pair.onnx", arrays, MODEL, "pair")
    files.save(folder / "frame.onnx", *without_temporal(arrays, MODEL), "frame")
    if files.installed("torch"):
        import torch

        torch.set_num_threads(1)
        for name in ("rcnn.pt", "rcnn.safetensors"):
            files.save(folder / name, arrays, MODEL, "recurrent")
    return folder


def pushed(classifier, streams):
    """Push frames into streams, of which some pause, and one begins anew; return all that came out."""
    found = []
    for step in range(6):
        results = classifier.push(
            [None if (step, row) in ((2, 0), (3, 0), (0, 2)) else images[step] for row, images in enumerate(streams)]
        )
        found += [(result.frame, result.so_far) for result in results if result]
        if step == 3:
            classifier.reset(1)
    return np.array(found)


@pytest.mark.parametrize(
    "backend, weights, mode",
    [
        ("onnx", "rcnn.onnx", None),
        ("auto", "rcnn.onnx", None),
        ("onnx", "rcnn.onnx", "pair"),
        ("auto", "pair.onnx", None),
        pytest.param("torch", "rcnn.pt", None, marks=TORCH),
        pytest.param("torch", "rcnn.pt", "pair", marks=TORCH),
        pytest.param("onnx", "rcnn.pt", "pair", marks=TORCH),
        pytest.param("auto", "rcnn.safetensors", None, marks=TORCH),
    ],
)
def test_every_backend_gives_caffes_scores(folder, backend, weights, mode):
    streams = [images(np.random.default_rng(seed), 6, 80) for seed in range(3)]
    net_name = "pair.prototxt" if "pair" in (mode, weights[:4]) else "net.prototxt"
    expected = pushed(Classifier(folder / net_name, folder / "rcnn.caffemodel", 3), streams)
    found = pushed(Classifier(None, folder / weights, 3, backend=backend, mode=mode), streams)
    assert expected.shape == (15, 2, 3, 6) and np.ptp(expected[:, 0], axis=0).max() > 1e-3
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(
    "backend, net_name, weights, words",
    [
        ("onnx", None, "frame.onnx", "frame.onnx sees single frames; export it with --mode recurrent"),
        ("auto", None, "none.onnx", "no such file"),
        ("onnx", "net.prototxt", "rcnn.onnx", "only Caffe runs a prototxt"),
        ("caffe", None, "rcnn.caffemodel", "cannot run .* without"),
        ("caffe", "net.prototxt", "rcnn.onnx", "cannot run .* with one"),
        ("onnx", None, "rcnn.caffemodel", "takes --size"),
        pytest.param("torch", None, "rcnn.onnx", "is for --backend onnx", marks=TORCH),
        ("onnx", None, "net.prototxt", "is none of"),
    ],
)
def test_what_does_not_go_together(folder, backend, net_name, weights, words):
    with pytest.raises(InputError, match=words) as error:
        open_network(backend, net_name and folder / net_name, folder / weights, pairs=True)
    assert "\n" not in str(error.value)


def test_the_cpu_and_what_is_not_there(folder, monkeypatch):
    with pytest.raises(InputError, match="--gpu 0: ONNX Runtime runs on the CPU"):
        open_network("onnx", None, folder / "rcnn.onnx", gpu=0)
    monkeypatch.setattr(files, "installed", lambda module: False)
    for backend, weights, words in (
        ("torch", "rcnn.caffemodel", "torch is not installed; pip install"),
        ("auto", "rcnn.caffemodel", "needs onnx or torch: pip install"),
        ("onnx", "rcnn.onnx", "onnx is not installed; pip install"),
    ):
        with pytest.raises(InputError, match=words):
            open_network(backend, None, folder / weights)
    with pytest.raises(InputError, match="caffe is not installed; tools/install_caffe.sh"):
        open_network("caffe", folder / "net.prototxt", folder / "rcnn.caffemodel")


def test_a_cnn_keeps_no_state(folder):
    model = NetModel(classes=6, width=0.1)
    caffemodel.write(folder / "cnn.caffemodel", *without_temporal(compare.random_arrays(model), model))
    for backend in ("onnx", "torch") if files.installed("torch") else ("onnx",):
        for options in ({"pairs": True}, {"mode": "pair"}):
            with pytest.raises(InputError, match="a CNN's, which have none"):
                open_network(backend, None, folder / "cnn.caffemodel", **options)
        network, mode = open_network(backend, None, folder / "cnn.caffemodel")
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
