"""Classifier: frames in one by one, several streams side by side, against nets of one row and NumPy."""

import re

import caffe
import cv2
import nets
import numpy as np
import pytest

from rcnn.files import InputError
from rcnn.nets import prototxt as net
from rcnn.scoring.scores import FLOOR
from rcnn.stream import Classifier

MODEL = nets.Tiny(classes=4, size=24)
FRAMES = 9


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """(net, weights) of a recurrent net whose parameters are random."""
    folder = tmp_path_factory.mktemp("stream")
    made = nets.build(net.deploy_rcnn_s(MODEL), folder, caffe.TEST)
    nets.randomize(made, np.random.default_rng(1))
    made.save(str(folder / "weights.caffemodel"))
    return folder / "net.prototxt", folder / "weights.caffemodel"


@pytest.fixture(scope="module")
def pair_paths(paths, tmp_path_factory):
    """(net, weights) of the pair net with the same parameters."""
    folder = tmp_path_factory.mktemp("pair")
    nets.build(net.deploy_rcnn_r(MODEL), folder, caffe.TEST)
    return folder / "net.prototxt", paths[1]


@pytest.fixture(params=["recurrent", "pair", "recurrent net in pairs"])
def given(request, paths, pair_paths):
    """(what a Classifier takes, the function that gives its scores by hand)."""
    if request.param == "recurrent":
        return dict(net_path=paths[0], weights_path=paths[1], scale=1 / 64), lambda *args: by_hand(paths, *args)
    options = dict(zip(("net_path", "weights_path"), paths), mode="pair", scale=1 / 64)
    if request.param == "pair":
        options.update(net_path=pair_paths[0], mode=None)
    return options, lambda *args: pairs_by_hand(pair_paths, *args)


@pytest.fixture
def images():
    return nets.images(np.random.default_rng(2), FRAMES, 40)


def network_input(image):
    inner = cv2.resize(image, (27, 27), interpolation=cv2.INTER_LINEAR)[1:25, 1:25].astype(float)  # 27 = 24 x 8 / 7
    return ((inner - (104, 117, 123)) / 64).transpose(2, 0, 1)


def by_hand(paths, images, marks=(0,)):
    """Return the probabilities of each frame, frames x signals x classes, from caffe alone; marks: its first frames."""
    made, scores = caffe.Net(str(paths[0]), str(paths[1]), caffe.TEST), []
    for index, image in enumerate(images):
        made.blobs["frame"].data[0] = network_input(image)
        made.blobs["first"].data[...] = index in marks
        made.forward()
        scores.append([made.blobs[signal].data[0].copy() for signal in ("low", "high")])
    return np.array(scores)


def pairs_by_hand(paths, images, marks=(0,)):
    """Return the same of the pair net; a first frame has the scores that the net gives to the earlier one of a pair."""
    made, scores = caffe.Net(str(paths[0]), str(paths[1]), caffe.TEST), []
    for index, image in enumerate(images):
        earlier = index if index in marks else index - 1
        made.blobs["previous/frame"].data[0] = network_input(images[earlier])
        made.blobs["frame"].data[0] = network_input(image)
        made.forward()
        prefix = "previous/" if index in marks else ""
        scores.append([made.blobs[prefix + signal].data[0].copy() for signal in ("low", "high")])
    return np.array(scores)


def log_mean(scores):
    fused = np.exp(np.log(np.maximum(scores.astype(float), FLOOR)).mean(axis=0))
    return fused / fused.sum(axis=-1, keepdims=True)


def test_one_stream(given, images):
    classifier, expected = Classifier(**given[0]), given[1](images)
    assert (classifier.signals, classifier.classes, classifier.streams) == (["low", "high"], 4, 1)
    for index, image in enumerate(images):
        result = classifier.push(image)
        assert np.allclose(result.frame, expected[index], atol=1e-5)
        assert np.allclose(result.so_far, log_mean(expected[: index + 1]), atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.01  # the frames differ


def test_reset(given, images):
    classifier, expected = Classifier(**given[0]), given[1](images, (0, 4))
    for index, image in enumerate(images):
        if index == 4:
            classifier.reset()
        result = classifier.push(image)
        assert np.allclose(result.frame, expected[index], atol=1e-5)
    assert np.allclose(result.so_far, log_mean(expected[4:]), atol=1e-5)


def test_streams_that_pause_start_late_and_begin_anew(given, images):
    """Each stream gives what it would give alone, whatever the others do."""
    classifier, generator = Classifier(**given[0], streams=3), np.random.default_rng(5)
    plan = [given[1](images), given[1](images, (0, 6)), given[1](images)]
    taken, results = [0, 0, 0], [[], [], []]
    for step in range(60):
        going = [step >= 3 * row and taken[row] < FRAMES and generator.random() < 0.6 for row in range(3)]
        if going[1] and taken[1] == 6:
            classifier.reset(1)
        pushed = classifier.push([images[taken[row]] if going[row] else None for row in range(3)])
        for row in range(3):
            assert (pushed[row] is not None) == going[row]
            if going[row]:
                results[row].append(pushed[row])
                taken[row] += 1
    assert taken == [FRAMES] * 3
    for row in range(3):
        assert np.allclose([result.frame for result in results[row]], plan[row], atol=1e-5)
        assert np.allclose(results[row][-1].so_far, log_mean(plan[row][6 * (row == 1) :]), atol=1e-5)


def test_a_list_of_one(paths, images):
    classifier = Classifier(*paths)
    (one,), two = classifier.push([images[0]]), classifier.push(images[0])
    assert one.frame.shape == two.frame.shape == (2, 4)


def test_frame_size(paths, images):
    whole, cut = (Classifier(*paths, scale=1 / 64, frame_size=size).push(images[0]).frame for size in (24, 40))
    assert not np.allclose(whole, cut, atol=1e-4)
    with pytest.raises(InputError, match="24 x 24 crop does not fit an image of 20 x 20"):
        Classifier(*paths, frame_size=20)


@pytest.mark.parametrize(
    "frames, said",
    [
        ([np.zeros((9, 9, 3), np.uint8)], "1 frames for 2 streams"),
        ([np.zeros((9, 9, 3))] * 2, "a frame is uint8, height x width x 3, not float64, 9 x 9 x 3"),
        ([np.zeros((9, 9), np.uint8)] * 2, "not uint8, 9 x 9"),
    ],
)
def test_what_is_no_frame(paths, frames, said):
    with pytest.raises(InputError, match=said):
        Classifier(*paths, streams=2).push(frames)


def test_scores_that_are_not_finite(paths, images):
    with np.errstate(over="ignore"), pytest.raises(InputError, match="the scores are not finite"):
        Classifier(*paths, scale=1e38).push(images[0])


def test_a_pair_is_not_the_state_of_all_frames(paths, pair_paths, images):
    ways = by_hand(paths, images), pairs_by_hand(pair_paths, images)
    assert np.allclose(ways[0][:2], ways[1][:2], atol=1e-5) and np.abs(ways[0] - ways[1])[2:].max() > 1e-3


def test_modes(paths, pair_paths):
    assert Classifier(*paths).mode == "recurrent" and Classifier(*pair_paths).mode == "pair"
    with pytest.raises(InputError, match="--mode recurrent: the net is of kind pair, for pair"):
        Classifier(*pair_paths, mode="recurrent")


def test_an_error_in_one_stream_leaves_the_others_as_they_were(paths, images):
    classifier = Classifier(*paths, streams=2, scale=1 / 64)
    for index in range(2):
        classifier.push([images[index]] * 2)
    forward = classifier._network.forward

    def spoilt(*arrays, **named):
        scores = forward(*arrays, **named)
        scores[1] = np.nan
        return scores

    classifier._network.forward = spoilt
    with pytest.raises(InputError, match="video of stream 1, frame 3 of 3: the scores are not finite"):
        classifier.push([images[2]] * 2)
    classifier._network.forward = forward
    classifier.reset()
    expected = by_hand(paths, images[:2])
    for index in range(2):
        result = classifier.push([images[index]] * 2)[0]
    assert np.allclose(result.so_far, log_mean(expected), atol=1e-5)


@pytest.mark.parametrize("stream", [-1, 2])
def test_a_stream_that_is_not_there(paths, stream):
    with pytest.raises(InputError, match=f"no stream {stream}; there are 2, counted from 0"):
        Classifier(*paths, streams=2).reset(stream)


def test_a_net_of_single_frames(paths, tmp_path):
    nets.build(net.deploy_cnn(MODEL), tmp_path)
    with pytest.raises(InputError, match="sees single frames; give deploy_rcnn_r.prototxt or deploy_rcnn_s.prototxt"):
        Classifier(tmp_path / "net.prototxt", paths[1])


def test_weights_without_temporal_parts(paths, tmp_path):
    nets.build(net.deploy_cnn(MODEL), tmp_path).save(str(tmp_path / "cnn.caffemodel"))
    with pytest.raises(InputError, match=re.escape("lacks 3 of the net's layers, the first is one/5x5/temporal")):
        Classifier(paths[0], tmp_path / "cnn.caffemodel")
