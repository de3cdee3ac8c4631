"""tools/export.py: every way through it, and that nothing is left where it refuses."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from calls import caller
from nets import build, randomize
from random_nets import TORCH, old_format, parameters

from rcnn import command
from rcnn.files import InputError
from rcnn.nets import caffemodel, compare
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.backends import check_choices, open_network
from rcnn.nets.model import NetModel

MODEL = NetModel(classes=4, width=0.05, size=39)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a pair net's snapshot by Caffe."""
    monkeypatch.chdir(tmp_path)
    made = build(net.deploy_rcnn_r(MODEL), tmp_path)
    randomize(made, np.random.default_rng(1), 0.05)
    made.save("rcnn.caffemodel")
    return tmp_path


@pytest.fixture
def export(monkeypatch, capsys):
    """A function that runs the tool; it returns (status, standard output, standard error)."""
    if files.installed("torch"):
        import torch

        torch.set_num_threads(1)

    main = caller(monkeypatch, "export", command.run, size=39)

    def call(weights, out, **options):
        with pytest.raises(SystemExit) as end:
            main(weights=weights, out=out, **options)
        text, error = capsys.readouterr()
        assert "Traceback" not in error
        return end.value.code or 0, text, error

    return call


def same(one, other):
    """Assert that two files hold the same parameters, bit for bit, of the same net."""
    (arrays, model), (others, other_model) = (files.read(path, size=39) for path in (one, other))
    assert arrays.keys() == others.keys() and model == other_model
    for name in arrays:
        assert [value.tobytes() for value in arrays[name]] == [value.tobytes() for value in others[name]]


@pytest.mark.parametrize(
    "suffix", ["onnx", "caffemodel", *(pytest.param(name, marks=TORCH) for name in ("pt", "safetensors"))]
)
def test_out_and_back(folder, export, suffix):
    status, text, error = export("rcnn.caffemodel", f"out.{suffix}")
    assert status == 0, error
    for kind in ["recurrent"] if suffix == "onnx" else ["frame", "pair", "recurrent"]:
        assert f"{kind} net, Caffe and " in text
    assert ("recurrent net, its own outputs alone, frames of videos" in text) == (suffix == "onnx")
    assert "4 classes, width 0.05, 39 x 39 x 3 input, temporal parts (average)" in text
    layers = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert {"conv1/7x7_s2", "inception_4c/pool_proj", "loss3/fc", "high"} <= set(layers)
    same("rcnn.caffemodel", f"out.{suffix}")
    status, text, error = export(f"out.{suffix}", "back.caffemodel", size=39 if suffix == "caffemodel" else None)
    assert status == 0, error
    same("rcnn.caffemodel", "back.caffemodel")
    export("rcnn.caffemodel", "direct.caffemodel")
    assert (folder / "back.caffemodel").read_bytes() == (folder / "direct.caffemodel").read_bytes()


@pytest.mark.parametrize("mode", ["frame", "pair", "recurrent"])
def test_each_mode_of_onnx(folder, export, mode):
    import onnxruntime

    status, text, error = export("rcnn.caffemodel", "out.onnx", mode=mode)
    assert status == 0, error
    session = onnxruntime.InferenceSession("out.onnx", providers=["CPUExecutionProvider"])
    inputs = {value.name: value.shape for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]
    assert inputs["frame"] == ["N", 3, 39, 39] and outputs[0:1] == (["previous/low"] if mode == "pair" else ["low"])
    assert len(inputs) == {"frame": 1, "pair": 2, "recurrent": 64}[mode]
    assert len(outputs) == {"frame": 3, "pair": 6, "recurrent": 65}[mode]
    assert json.loads(session.get_modelmeta().custom_metadata_map["model"])["size"] == 39
    if mode == "recurrent":
        assert inputs["previous/conv1/7x7_s2"] == ["N", 3, 20, 20] and inputs["first"] == ["N"]


def test_bvlc_googlenet(tmp_path, monkeypatch, export):
    """Its old format, its classifiers' names, no layer of 1024 under the high one."""
    monkeypatch.chdir(tmp_path)
    arrays, _ = parameters(NetModel(classes=10, width=0.05, size=39, high_rnn=False), "frame")
    arrays = {name.replace("classifier_video", "classifier"): values for name, values in arrays.items()}
    (tmp_path / "old.caffemodel").write_bytes(old_format(arrays).SerializeToString())
    status, text, error = export("old.caffemodel", "out.onnx")
    assert status == 0, error
    assert "frame net, Caffe and ONNX Runtime, random frames" in text and "loss3/classifier " in text
    status, _, error = export("old.caffemodel", "other.onnx", mode="pair")
    assert status == 2 and "CNN without temporal parts" in error


@pytest.mark.parametrize("suffix", ["onnx", "caffemodel", pytest.param("pt", marks=TORCH)])
def test_side_heads_that_are_not_there_are_left_out(tmp_path, monkeypatch, export, suffix):
    """As in most GoogLeNets that people have, which are of deploy nets."""
    monkeypatch.chdir(tmp_path)
    model = replace(MODEL, temporal=False, high_rnn=False, side_heads=False, classifier="classifier")
    caffemodel.write("deploy.caffemodel", compare.random_arrays(model), model)
    out = f"out.{suffix}"
    status, text, error = export("deploy.caffemodel", out)
    assert (
        status == 0 and "deploy.caffemodel has no side heads (loss1, loss2): the net has only the signal high" in error
    )
    assert error.count("has no side heads") == 1 and "loss3/classifier " in text and "loss1" not in text
    same("deploy.caffemodel", out)
    network, _ = open_network("auto", None, out, mode="frame") if suffix != "caffemodel" else (None, None)
    if network:
        frames = compare.random_frames(model)[0]
        assert network.forward(frames).shape == (len(frames), 1, 4)
        with pytest.raises(InputError, match=f"--signal: {out} has no output low, only high"):
            check_choices(network, out, "low", "classes.txt", ["a", "b", "c", "d"])


def test_it_says_where_what_is_fresh_is_not_kept(folder, export):
    caffemodel.mark_fresh("rcnn.caffemodel", ["loss1/conv"])
    status, _, error = export("rcnn.caffemodel", "out.onnx")
    assert status == 0 and "out.onnx does not say which layers are fresh, as rcnn.caffemodel does; begin" in error
    status, _, error = export("rcnn.caffemodel", "out.caffemodel")
    assert status == 0 and "fresh" not in error and caffemodel.read("out.caffemodel").fresh == {"loss1/conv"}


@pytest.mark.parametrize("suffix", ["onnx", pytest.param("pt", marks=TORCH)])
def test_beyond_the_tolerance_nothing_is_saved(folder, export, suffix):
    status, _, error = export("rcnn.caffemodel", f"out.{suffix}", tolerance="1e-12")
    assert status == 2 and "beyond the tolerance of 1e-12; nothing is saved" in error and error.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["net.prototxt", "rcnn.caffemodel"]


def test_a_wrong_net_is_found_out(folder, export, monkeypatch):
    """Whose normalization takes alpha for each of its 5 channels, as some do."""
    from rcnn.nets import onnx_net as onnx

    made = onnx._Graph.node

    def wrong(self, kind, bottoms, top, **attributes):
        if kind == "LRN":
            attributes["alpha"] *= 5
        return made(self, kind, bottoms, top, **attributes)

    monkeypatch.setattr(onnx._Graph, "node", wrong)
    status, text, error = export("rcnn.caffemodel", "out.onnx")
    assert status == 2 and "beyond the tolerance" in error and "pool1/norm1  " in text
    assert not (folder / "out.onnx").exists()


@pytest.mark.parametrize("suffix", ["onnx", pytest.param("pt", marks=TORCH)])
def test_without_caffe_it_is_held_against_stored_outputs_and_says_so(folder, export, monkeypatch, suffix):
    monkeypatch.setattr(files, "installed", lambda module, real=files.installed: module != "caffe" and real(module))
    monkeypatch.setitem(sys.modules, "caffe", None)
    monkeypatch.delitem(sys.modules, "rcnn.nets.caffe_net", raising=False)
    out = f"out.{suffix}"
    status, text, error = export("rcnn.caffemodel", out)
    assert status == 0, error
    assert "Caffe is not installed" in error and "bit for bit" in error
    assert "Caffe's stored outputs and" in text and "Caffe and" not in text
    same("rcnn.caffemodel", out)
    monkeypatch.setattr(compare, "random_arrays", lambda model, real=compare.random_arrays: real(model, 5))
    status, _, error = export("rcnn.caffemodel", "other" + out)
    assert status == 2 and "nothing is saved" in error and not (folder / ("other" + out)).exists()


def test_bad_input_leaves_no_file(folder, export):
    (folder / "cut.caffemodel").write_bytes((folder / "rcnn.caffemodel").read_bytes()[:20000])
    (folder / "text.onnx").write_text("no graph\n")
    arrays, model = files.read("rcnn.caffemodel", size=39)
    files.save("pair.onnx", arrays, model, "pair")
    del arrays["inception_5b/1x1"]
    caffemodel.write("lacking.caffemodel", arrays, model)
    for weights, out, words, options in (
        ("cut.caffemodel", "out.onnx", "cut short", {}),
        ("text.onnx", "out.caffemodel", "cut short or no ONNX file", {}),
        ("none.caffemodel", "out.onnx", "no such file", {}),
        ("lacking.caffemodel", "out.onnx", "lacks 1 layers, the first is inception_5b/1x1", {}),
        ("rcnn.caffemodel", "out.onnx", "export it with --size N", {"size": None}),
        ("rcnn.caffemodel", "out.onnx", "layer loss1/fc has shapes", {"size": 224}),
        ("rcnn.caffemodel", "out.onnx", "is of a net of combine average", {"combine": "sum"}),
        ("pair.onnx", "out.pt", "--mode frame: pair.onnx is a pair net", {"mode": "frame"}),
        ("pair.onnx", "out.pt", "--size 224: pair.onnx is of a net of size 39", {"size": 224}),
        ("rcnn.caffemodel", "out.h5", "is none of", {}),
        ("rcnn.caffemodel", "rcnn.caffemodel", "--out: rcnn.caffemodel is what --weights reads", {}),
        ("rcnn.caffemodel", "net.prototxt/out.onnx", "cannot write", {}),
    ):
        before = sorted(folder.iterdir())
        status, _, error = export(weights, out, **options)
        assert status == 2 and words in error and error.count("\n") == 1, (words, error)
        assert sorted(folder.iterdir()) == before
