"""Classifier: frames in one by one, several streams side by side, against NumPy."""

import cv2
import nets
import numpy as np
import pytest
import reference
from random_nets import write_tiny

from rcnn.files import InputError
from rcnn.scoring.scores import FLOOR
from rcnn.stream import Classifier

FRAMES = 9
IMAGES = nets.images(np.random.default_rng(2), FRAMES, 40)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("nets"), nets.Tiny(classes=4, size=21))


@pytest.fixture(params=["recurrent", "pair", "recurrent net in pairs"])
def way(request, paths):
    """(a function that makes a Classifier, a function that returns its scores by NumPy)."""
    kind, mode = request.param.split()[0], "pair" if "pairs" in request.param else None

    def make(**options):
        return Classifier(getattr(paths, kind), paths.rcnn, mode=mode, scale=1 / 64, **options)

    return make, lambda *first: by_numpy(paths, mode or kind, *first)


def by_numpy(paths, mode, *first):
    """Return the probabilities of IMAGES, float64, frames x (low, high) x classes; first: frames that begin a video."""
    scores, now, earlier = [], None, None
    for t, image in enumerate(IMAGES):
        inner = cv2.resize(image, (24, 24), interpolation=cv2.INTER_LINEAR)[1:22, 1:22].astype(float)  # 21 x 8 / 7
        x = ((inner - (104, 117, 123)) / 64).transpose(2, 0, 1)[np.newaxis]
        alone = reference.tower(paths.parameters, x)
        before = earlier if mode == "pair" else now
        now = alone if t in (0, *first) else reference.tower(paths.parameters, x, before, "average")
        earlier = alone
        scores.append([reference.softmax(now[head])[0] for head in ("one/classifier", "three/classifier")])
    return np.array(scores)


def log_mean(scores):
    fused = np.exp(np.log(np.maximum(scores, FLOOR)).mean(axis=0))
    return fused / fused.sum(axis=-1, keepdims=True)


def test_one_stream_and_its_reset(way):
    classifier, expected = way[0](), way[1](4)
    assert (classifier.signals, classifier.classes, classifier.streams) == (["low", "high"], 4, 1)
    for index, image in enumerate(IMAGES):
        if index == 4:
            classifier.reset()
        result = classifier.push(image)
        assert np.allclose(result.frame, expected[index], atol=1e-5)
        assert np.allclose(result.so_far, log_mean(expected[4 * (index >= 4) : index + 1]), atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.01  # the frames differ


def test_streams_that_pause_start_late_and_begin_anew(way):
    """Each stream gives what it would give alone, whatever the others do."""
    classifier, generator = way[0](streams=3), np.random.default_rng(5)
    plan = [way[1](), way[1](6), way[1]()]
    taken, results = [0, 0, 0], [[], [], []]
    for step in range(60):
        going = [step >= 3 * row and taken[row] < FRAMES and generator.random() < 0.6 for row in range(3)]
        if going[1] and taken[1] == 6:
            classifier.reset(1)
        pushed = classifier.push([IMAGES[taken[row]] if going[row] else None for row in range(3)])
        assert [result is not None for result in pushed] == going
        for row in np.flatnonzero(going):
            results[row].append(pushed[row])
            taken[row] += 1
    assert taken == [FRAMES] * 3
    for row in range(3):
        assert np.allclose([result.frame for result in results[row]], plan[row], atol=1e-5)
        assert np.allclose(results[row][-1].so_far, log_mean(plan[row][6 * (row == 1) :]), atol=1e-5)


def test_a_list_of_one(paths):
    classifier = Classifier(paths.recurrent, paths.rcnn)
    (one,), two = classifier.push([IMAGES[0]]), classifier.push(IMAGES[0])
    assert one.frame.shape == two.frame.shape == (2, 4)


def test_frame_size(paths):
    whole, cut = (
        Classifier(paths.pair, paths.rcnn, scale=1 / 64, frame_size=size).push(IMAGES[0]).frame for size in (21, 40)
    )
    assert not np.allclose(whole, cut, atol=1e-4)
    with pytest.raises(InputError, match="21 x 21 crop does not fit an image of 20 x 20"):
        Classifier(paths.pair, paths.rcnn, frame_size=20)


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
        Classifier(paths.pair, paths.rcnn, streams=2).push(frames)


def test_a_pair_is_not_the_state_of_all_frames(paths):
    assert Classifier(paths.recurrent, paths.rcnn).mode == "recurrent"
    assert Classifier(paths.pair, paths.rcnn).mode == "pair"
    true, pair = (by_numpy(paths, mode) for mode in ("recurrent", "pair"))
    assert np.allclose(true[:2], pair[:2]) and np.abs(true - pair)[2:].max() > 1e-3


def test_scores_of_one_stream_that_are_not_finite_leave_all_as_they_were(paths):
    classifier = Classifier(paths.recurrent, paths.rcnn, streams=2, scale=1 / 64)
    for index in range(2):
        classifier.push([IMAGES[index]] * 2)
    forward = classifier._network.forward

    def spoilt(*arrays, **named):
        scores = forward(*arrays, **named)
        scores[1] = np.nan
        return scores

    classifier._network.forward = spoilt
    with pytest.raises(InputError, match="video of stream 1, frame 3 of 3: the scores are not finite"):
        classifier.push([IMAGES[2]] * 2)
    classifier._network.forward = forward
    classifier.reset()
    result = [classifier.push([image] * 2)[0] for image in IMAGES[:2]][-1]
    assert np.allclose(result.so_far, log_mean(by_numpy(paths, "recurrent")[:2]), atol=1e-5)


@pytest.mark.parametrize("stream", [-1, 2])
def test_a_stream_that_is_not_there(paths, stream):
    with pytest.raises(InputError, match=f"no stream {stream}; there are 2, counted from 0"):
        Classifier(paths.pair, paths.rcnn, streams=2).reset(stream)


def test_nets_that_take_no_frames_one_by_one(paths, tmp_path):
    with pytest.raises(InputError, match="sees single frames; give deploy_rcnn_r.prototxt or deploy_rcnn_s.prototxt"):
        Classifier(paths.frame, paths.cnn)
    flow = write_tiny(tmp_path, nets.Tiny(classes=4, size=21, channels=2))
    with pytest.raises(InputError, match="takes optical flow; frames come one by one into nets of images only"):
        Classifier(flow.pair, flow.rcnn)
