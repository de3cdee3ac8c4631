"""BVLC GoogLeNet's own weights, of its deploy net alone: pictures of ImageNet's classes, and trainings that start here.

The pictures are scikit-image's (requirements.txt), in its wheel: chelsea.png, CC0 by S. van der Walt, and coffee.png,
CC0 by R. Michetti.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
from caffe.proto import caffe_pb2
from calls import caller
from nets import images, recipe, solver, write_pairs
from random_nets import TORCH

from rcnn.data import crops
from rcnn.files import InputError
from rcnn.nets import caffemodel, prototxt_set
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.backends import check_choices, open_network
from rcnn.nets.caffe_net import of_model
from rcnn.training.caffe_inputs import check_weights, of_phase

EXPECTED = {  # the probabilities of the most likely classes
    "chelsea": {"Egyptian cat": 0.504, "tiger cat": 0.306, "tabby, tabby cat": 0.141},
    "coffee": {"espresso": 0.959},
}
HEADS = {f"loss{number}/classifier_video" for number in (1, 2, 3)}
FRESH = {"loss1/conv", "loss1/fc", "loss2/conv", "loss2/fc", "loss3/fc", *HEADS}
UPDATES = 1


@pytest.fixture
def googlenet(real_data):
    """The path of the weights."""
    return real_data / "weights/bvlc_googlenet_deploy.caffemodel"


def network_input():
    """Return the pictures as the net takes them: 256 x 256, the 224 x 224 in the middle, BGR less the mean."""
    folder = Path(skimage.__file__).parent / "data"
    made = [cv2.resize(cv2.imread(str(folder / f"{name}.png")), (256, 256)) for name in EXPECTED]
    return np.concatenate([crops.network_input(crops.oversample(image, 224, 1)) for image in made])


def test_pictures_get_their_classes_by_every_backend(real_data, googlenet, tmp_path):
    names = [line.split(" ", 1)[1] for line in (real_data / "weights/synset_words.txt").read_text().splitlines()]
    arrays, model = files.read(googlenet)
    assert not model.side_heads and model.classes == len(names) == 1000
    networks = [of_model("frame", model, googlenet)]
    for backend, suffix in (("onnx", "onnx"), ("torch", "pt")):
        if files.installed(backend):
            files.save(tmp_path / f"g.{suffix}", arrays, model, "frame")
            networks.append(open_network(backend, None, tmp_path / f"g.{suffix}")[0])
    frames = network_input()
    found = [network.forward(frames) for network in networks]
    for values in found:
        assert values.shape == (2, 1, 1000) and np.abs(values - found[0]).max() < 1e-5
        for picture, expected in zip(values[:, 0], EXPECTED.values()):
            assert [names[index] for index in np.argsort(-picture)[: len(expected)]] == list(expected)
            for name, probability in expected.items():
                assert picture[names.index(name)] == pytest.approx(probability, abs=0.005)
    for network in networks:
        with pytest.raises(InputError, match="--signal: g has no output low, only high"):
            check_choices(network, "g", "low", "names.txt", names)


@pytest.fixture
def start(googlenet, tmp_path, monkeypatch):
    """A function that writes the starting weights of a net for 64 x 64, and pairs; it returns (settings, fresh)."""
    monkeypatch.chdir(tmp_path)

    def call(kind):
        chosen = recipe(classes=16, size=64, batch=2, seed=1, cnn_stage1_iterations=UPDATES)
        Path("deploy.prototxt").write_text(str(getattr(net, f"deploy_{kind}")(chosen.model)))
        caller(monkeypatch, "init_weights")(net="deploy.prototxt", weights=googlenet, out="start.caffemodel")
        made = images(np.random.default_rng(1), 8, 70)
        write_pairs("pairs.lmdb", made[::2], made[1::2], np.arange(4) * 5, "jpeg")
        return chosen, prototxt_set.fresh_layers(chosen, googlenet)

    return call


def assert_learnt(kind, before, after):
    """Assert that what the weights lack has learnt, and that what they have is what it was, bit for bit."""
    for name, values in before.items():
        learnt = name in FRESH or name.endswith("/temporal")
        assert caffemodel.same(values, after[name]) != learnt, name
    assert any(name.endswith("/temporal") for name in before) == (kind != "cnn")


@pytest.mark.parametrize("kind", ["rcnn_r", "cnn"])
def test_side_heads_learn_in_stage_1_in_caffe(start, tmp_path, kind):
    chosen, fresh = start(kind)
    assert set(fresh) == FRESH
    message = getattr(net, kind)(chosen, "pairs.lmdb", net.TRAIN, 1, fresh)
    made = solver(tmp_path, message, UPDATES)
    made.net.copy_from("start.caffemodel")
    before = {name: [blob.data.copy() for blob in blobs] for name, blobs in made.net.params.items()}
    made.step(UPDATES)
    after = {name: [blob.data.copy() for blob in blobs] for name, blobs in made.net.params.items()}
    own = {name for name in before if not name.startswith(net.PREVIOUS)}  # the other tower has the same blobs
    assert_learnt(kind, {name: before[name] for name in own}, after)
    check_weights(["start.caffemodel"], of_phase("net", message, caffe_pb2.TRAIN), tmp_path / "own")
    held = getattr(net, kind)(chosen, "pairs.lmdb", net.TRAIN, 1)
    with pytest.raises(InputError, match="no trained values for 4 layers .* holds still .* the first is loss1/conv"):
        check_weights(["start.caffemodel"], of_phase("net", held, caffe_pb2.TRAIN), tmp_path / "own")


@TORCH
@pytest.mark.parametrize("kind", ["rcnn_r", "cnn"])
def test_side_heads_learn_in_stage_1_in_pytorch(start, monkeypatch, kind):
    start(kind)
    options = {"pairs": "pairs.lmdb", "weights": "start.caffemodel", "size": 64, "batch": 2, "iterations": UPDATES}
    caller(monkeypatch, "train_torch", **options)(stage=1, device="cpu", out="torch")
    assert_learnt(kind, caffemodel.read("start.caffemodel").arrays, files.read(f"torch_iter_{UPDATES}.pt")[0])


@TORCH
def test_the_file_itself_is_no_start(googlenet, start, monkeypatch):
    start("cnn")
    with pytest.raises(InputError, match="GoogLeNet's own classifiers, classifier, and none for videos; make starting"):
        caller(monkeypatch, "train_torch")(pairs="pairs.lmdb", weights=googlenet, out="torch", device="cpu")
