"""RCNN-s and the recurrent deploy net: what they compute from frames in order, against NumPy and the other nets."""

import caffe
import frames as recorded
import numpy as np
import pytest
import reference
from nets import SLIM, Tiny, blob_of, build, by_name, fed, largest_difference, randomize, recipe, solver

from rcnn.nets import prototxt as net

CLASSES, SIZE = 4, 25
LAYERS = tuple(reference.KERNELS)
KINDS = {
    combine + " with a bias" * bias: Tiny(classes=CLASSES, size=SIZE, combine=combine, temporal_bias=bias)
    for combine in ("average", "sum")
    for bias in (False, True)
}
MODELS = pytest.mark.parametrize("model", KINDS.values(), ids=KINDS)
COMBINES = pytest.mark.parametrize("combine", ["average", "sum"])


class Nets:
    """The three deploy nets of a model with the same parameters, in a batch of `batch`."""

    def __init__(self, folder, model, batch, scale=0.3, seed=1):
        self.recurrent, self.pair, self.single = (
            build(make(model, batch), folder, caffe.TEST)
            for make in (net.deploy_rcnn_s, net.deploy_rcnn_r, net.deploy_cnn)
        )
        if scale:
            randomize(self.recurrent, np.random.default_rng(seed), scale)
        self.parameters = by_name(self.recurrent)
        for other in (self.pair, self.single):
            for name in by_name(other):
                blob_of(other, name).data[...] = self.parameters[name]

    def push(self, images, first):
        """Give the recurrent net the next frame of each row; return copies of all its blobs."""
        return forward(self.recurrent, frame=images, first=first)


def forward(caffe_net, **inputs):
    for name, values in inputs.items():
        caffe_net.blobs[name].data[...] = values
    caffe_net.forward()
    return {name: blob.data.copy() for name, blob in caffe_net.blobs.items()}


def videos(number, rows, model, seed=3):
    """Return `number` steps of random input of `rows` rows, float32."""
    return np.random.default_rng(seed).normal(0, 1, (number, rows, 3, model.size, model.size)).astype(np.float32)


@MODELS
def test_every_row_is_equations_3_and_4_of_its_own_video(tmp_path, model):
    """Marks at different times in each row: at t = 1 a row is Phi(x), unscaled, while its neighbours are at t > 1."""
    nets = Nets(tmp_path, model, 3)
    parameters = {name: value.astype(np.float64) for name, value in nets.parameters.items()}
    marks = [(1, 1, 1), (0, 0, 1), (0, 1, 0), (0, 0, 0), (1, 0, 0), (0, 0, 0)]
    before = [None] * 3
    for images, first in zip(videos(len(marks), 3, model), marks):
        blobs = nets.push(images, first)
        for row in range(3):
            before[row] = reference.tower(
                parameters, images[row : row + 1].astype(np.float64), None if first[row] else before[row], model.combine
            )
            for name in LAYERS:
                assert largest_difference(blobs[name][row : row + 1], before[row][name]) < 1e-5
            for head, signal in (("one/classifier", "low"), ("three/classifier", "high")):
                expected = reference.softmax(before[row][head])
                assert largest_difference(blobs[signal][row : row + 1], expected) < 1e-5


@COMBINES
def test_a_mark_leaves_the_other_rows_bit_identical(tmp_path, combine):
    model = Tiny(classes=CLASSES, size=SIZE, combine=combine)
    steps = videos(4, 3, model)
    runs = []
    for mark in (0, 1):
        nets = Nets(tmp_path, model, 3)
        marks = [(1, 1, 1), (0, 0, 0), (0, mark, 0), (0, 0, 0)]
        runs.append([nets.push(images, first) for images, first in zip(steps, marks)])
    for step, (without, with_mark) in enumerate(zip(*runs)):
        for name in (*LAYERS, "low", "high"):
            assert np.array_equal(without[name][[0, 2]], with_mark[name][[0, 2]])
            assert np.array_equal(without[name][1], with_mark[name][1]) == (step < 2)


@COMBINES
def test_a_thousand_frames_are_numpys(tmp_path, combine):
    """The recurrence does not drift from one in float64.  Weights of this size neither die out nor grow without end."""
    model = Tiny(classes=CLASSES, size=SIZE, combine=combine)
    nets = Nets(tmp_path, model, 1, scale=0.12)
    parameters = {name: value.astype(np.float64) for name, value in nets.parameters.items()}
    before, worst = None, 0.0
    for step, images in enumerate(videos(1000, 1, model)):
        blobs = nets.push(images, step == 0)
        before = reference.tower(parameters, images.astype(np.float64), before, combine)
        worst = max(worst, *(largest_difference(blobs[name], before[name]) for name in LAYERS))
        assert largest_difference(blobs["high"], reference.softmax(before["three/classifier"])) < 1e-4
    alone = reference.tower(parameters, images.astype(np.float64), None, combine)
    assert worst < 1e-4
    assert largest_difference(before["two/3x3"], alone["two/3x3"]) > 0.01


@COMBINES
def test_in_googlenet(tmp_path, combine):
    """As in the small net: t = 1 the CNN, two frames the pair net."""
    model = net.Model(**SLIM, combine=combine)
    nets = Nets(tmp_path, model, 2, scale=None)
    names = ("conv1/7x7_s2", "conv2/3x3", "inception_4d/output", "inception_5b/5x5", "loss2/fc", "loss3/fc", "high")
    one, two = videos(2, 2, model) * 50
    pair = forward(nets.pair, **{"previous/frame": one, "frame": two})
    single = forward(nets.single, frame=two)
    first, second = nets.push(one, 1), nets.push(two, (0, 1))
    for name in names:
        assert largest_difference(first[name], pair["previous/" + name]) < 1e-5
        assert largest_difference(second[name][0], pair[name][0]) < 1e-5
        assert largest_difference(second[name][1], single[name][1]) < 1e-5
        assert name == "high" or largest_difference(second[name][0], single[name][0]) > 1e-3


# Learning


@MODELS
@pytest.mark.parametrize("first", [(1, 1, 1), (0, 0, 0), (0, 1, 0)], ids=str)
def test_gradients_take_the_state_for_a_constant(tmp_path, model, first):
    """Eq. 6-9: those of the parameters are NumPy's, row by row, with v^{t-1} given; and nothing goes into it."""
    made = build(fed(net.rcnn_s(recipe(model, batch=3), "none.lmdb", "none.txt", net.TRAIN), model, 3), tmp_path)
    randomize(made, np.random.default_rng(1))
    parameters = {name: value.astype(np.float64) for name, value in by_name(made).items()}
    labels, (one, two) = np.array([2, 0, 3]), videos(2, 3, model)
    forward(made, frame=one, label=labels, first=(1, 1, 1))
    for name in LAYERS:
        made.blobs["previous/" + name].diff[...] = 7
    made.clear_param_diffs()
    forward(made, frame=two, label=labels, first=first)
    made.backward()
    expected = {name: 0.0 for name in parameters}
    for row in range(3):
        frame = [images[row : row + 1].astype(np.float64) for images in (one, two)]
        before = None if first[row] else reference.tower(parameters, frame[0])
        now = reference.tower(parameters, frame[1], before, model.combine)
        _, gradients, _ = reference.tower_gradients(parameters, now, before, model.combine, labels[row : row + 1])
        for name, value in gradients.items():
            expected[name] = expected[name] + value / 3
    for name, value in by_name(made, diff=True).items():
        assert largest_difference(value, expected[name]) < 1e-5 if np.any(expected[name]) else not value.any(), name
    assert all((made.blobs["previous/" + name].diff == 7).all() for name in LAYERS)


@pytest.fixture
def data(tmp_path):
    """Frames of six videos; side 40."""
    path = recorded.write(
        tmp_path / "frames.lmdb",
        {f"v_{name}_g0{group}_c01": (label, 3 + group) for label, name in enumerate("ABC") for group in (1, 2)},
        list("ABC"),
        side=40,
    )
    return path, path.with_suffix(".txt")


def sequential(model, data, phase=net.TRAIN, stage=2):
    """Return the RCNN-s net of a model on the frames and list of `data`."""
    return net.rcnn_s(recipe(model, batch=4, scale=1 / 64, seed=1), *data, phase, stage)


@pytest.mark.parametrize("stage", [1, 2])
def test_what_a_stage_moves(tmp_path, data, stage):
    model = Tiny(classes=3, size=SIZE)
    made = solver(tmp_path, sequential(model, data, stage=stage))
    before = by_name(made.net)
    made.step(3)
    for name, value in by_name(made.net).items():
        frozen = stage == 1 and name.rsplit("/", 1)[0] in ("one/5x5", "two/3x3") and not name.endswith("/temporal")
        assert np.array_equal(value, before[name]) == frozen, name


def test_the_state_survives_a_test_pass(tmp_path, data):
    """A training with test passes in its middle goes the same way as one without."""
    model = Tiny(classes=3, size=SIZE)
    message, runs = sequential(model, data), []
    for tests in (0, 2):
        made = solver(tmp_path, message, test=sequential(model, data, net.TEST), seed=5)
        made.test_nets[0].share_with(made.net)
        losses, states = [], []
        for _ in range(5):
            made.step(1)
            losses.append(float(made.net.blobs["high/loss"].data))
            states.append(made.net.blobs["previous/two/3x3"].data.copy())
            for _ in range(tests):
                made.test_nets[0].forward()
        runs.append((losses, states))
    (losses, states), (others, after) = runs
    assert losses == others and len(set(losses)) == 5
    assert np.array_equal(states, after) and states[1].any()


def test_weights_go_from_one_training_to_the_other(tmp_path, data):
    """Every parameter of a snapshot of either finds its place in the nets of the other."""
    model = net.Model(**{**SLIM, "classes": 3})
    in_order = fed(sequential(model, data), model, 2)
    random = fed(net.rcnn_r(recipe(model), "none.lmdb", net.TRAIN), model, 2)
    for message, others in (
        (in_order, (random, net.deploy_rcnn_s(model), net.deploy_rcnn_r(model))),
        (random, (in_order, net.deploy_rcnn_s(model))),
    ):
        made = build(message, tmp_path)
        randomize(made, np.random.default_rng(2))
        made.save(str(tmp_path / "trained.caffemodel"))
        for other in others:
            loaded = by_name(build(other, tmp_path, caffe.TEST, tmp_path / "trained.caffemodel"))
            assert loaded.keys() == by_name(made).keys()
            assert all(np.array_equal(value, by_name(made)[name]) for name, value in loaded.items())
