"""The processor that Caffe computes on: what is asked for, and what Caffe can do."""

import argparse
import subprocess

import caffe
import numpy as np
import pytest
import runs
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from rcnn.files import InputError
from rcnn.nets import device

PLAIN = 'layer { name: "fc" type: "InnerProduct" }'
PYTHON = PLAIN + ' layer { name: "augment" type: "Python" }'


def net(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def gpu_at_hand():
    try:
        device.check(0)
    except InputError:
        return False
    return True


def answering(monkeypatch, status, text=""):
    """Let the process that tries a GPU end with a status, and words on standard error; return what it was asked."""
    asked = []

    def run(command, **_):
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, status, "", text)

    monkeypatch.setattr(device.subprocess, "run", run)
    return asked


def test_numbers_of_gpus():
    assert [device.numbers(text) for text in ("0", "1,0", "0, 2")] == [(0,), (1, 0), (0, 2)]
    for text in ("", "0,", "-1", "0,0", "0.5"):
        with pytest.raises(argparse.ArgumentTypeError, match="such as 0 or 0,1"):
            device.numbers(text)


def test_the_cpu_needs_no_check(monkeypatch):
    asked = answering(monkeypatch, 1)
    device.use(None)
    device.check()
    assert not asked


@pytest.mark.parametrize(
    "status, text, words",
    [
        (-6, "F1 common.hpp:1] Cannot use GPU in CPU-only Caffe: check mode.", "built without CUDA.*--cuda"),
        (3, "", "built without NCCL.*--nccl"),
        (
            -6,
            "F1 common.cpp:1] Check failed: error == cudaSuccess (100 vs. 0)  no CUDA-capable device is detected\n"
            "*** Check failure stack trace: ***",
            r"cannot use it \(Check failed.*no CUDA-capable.*\); nvidia-smi",
        ),
        (1, "", "cannot use it .it says no more"),
    ],
)
def test_what_caffe_cannot_do_is_said_in_a_line(monkeypatch, status, text, words):
    asked = answering(monkeypatch, status, text)
    with pytest.raises(InputError, match="^--gpu 2,0: .*" + words) as error:
        device.check(2, 0)
    assert "\n" not in str(error.value)
    assert asked == ["2,0"]


def test_a_gpu_that_answers_is_used(monkeypatch):
    answering(monkeypatch, 0)
    calls = []
    monkeypatch.setattr(caffe, "set_device", lambda gpu: calls.append(gpu))
    monkeypatch.setattr(caffe, "set_mode_gpu", lambda: calls.append("gpu"))
    device.use(3)
    assert calls == [3, "gpu"]


def test_several_gpus_and_a_python_layer_are_refused_before_anything_is_tried(monkeypatch):
    asked = answering(monkeypatch, 0)
    with pytest.raises(InputError, match="--gpu 0,1: layer augment of test.prototxt is a Python layer.*raw"):
        device.check_training((0, 1), [("train.prototxt", net(PLAIN)), ("test.prototxt", net(PYTHON))])
    assert not asked
    device.check_training((0, 1), [("train.prototxt", net(PLAIN))])
    device.check_training((0,), [("train.prototxt", net(PYTHON))])
    assert asked == ["0,1", "0"]


def test_the_real_caffe_answers():
    """Either it can use GPU 0, or it says in one line why not; number 99 is never there."""
    with pytest.raises(InputError, match="^--gpu 99: [^\n]*$"):
        device.check(99)
    if not gpu_at_hand():
        with pytest.raises(InputError, match="^--gpu 0: [^\n]*$"):
            device.use(0)
        device.use(None)


SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" display: 1 max_iter: 2 snapshot_prefix: "snap/tiny" %s'
NET = (
    'layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 4 } } } '
    'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 1 } } '
    'layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "fc" top: "loss" } %s'
)


@pytest.mark.parametrize(
    "mode, options, layer, words",
    [
        ("", ["--gpu", "0,1"], 'layer { name: "own" type: "Python" bottom: "fc" }', "--gpu 0,1: layer own of net is"),
        ("", ["--gpu", "one"], "", "such as 0 or 0,1"),
        ("solver_mode: GPU device_id: 99", [], "", "the solver has solver_mode GPU and device_id 99: "),
    ],
)
def test_train_says_it_before_caffe_starts(tmp_path, monkeypatch, mode, options, layer, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET % layer)
    (tmp_path / "solver.prototxt").write_text(SOLVER % mode)
    status, _, error = runs.run("train", "--solver", "solver.prototxt", *options)
    assert status == 2 and words in error and error.count("\n") == 1, error
    assert not list(tmp_path.glob("snap/*.jsonl"))


@pytest.mark.skipif(not gpu_at_hand(), reason="there is no GPU, or Caffe was built without CUDA")
def test_a_net_gives_the_same_on_both_processors(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } } } '
        'layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { '
        'num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }'
    )
    x = np.random.default_rng(1).normal(size=(2, 3, 9, 9))
    caffe.set_mode_gpu()
    made = caffe.Net(str(path), caffe.TEST)
    made.blobs["x"].data[...] = x
    on_gpu = made.forward()["conv"].copy()
    weights, bias = (blob.data.astype(np.float64) for blob in made.params["conv"])
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float32), (3, 3), axis=(2, 3))
    expected = np.einsum("nchwij,kcij->nkhw", windows, weights) + bias[:, None, None]
    caffe.set_mode_cpu()
    assert np.abs(on_gpu - expected).max() < 1e-5 * np.abs(expected).max()
