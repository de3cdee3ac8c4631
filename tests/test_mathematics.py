"""Eq. 3-9 as Caffe computes them from generated nets, against float64 NumPy (reference.py)."""

import numpy as np
import pytest
import reference
from nets import Tiny, blob_of, build, by_name, fed, largest_difference, randomize, recipe

from rcnn.nets import prototxt as net

BATCH, CLASSES, SIZE = 3, 4, 13
LAYERS = tuple(reference.KERNELS)
TOLERANCE = 2e-5  # float32 against float64, relative to the largest number
COMBINES = pytest.mark.parametrize("combine", ["average", "sum"])


class Step:
    """The same step of RCNN-r by Caffe (`net`, after forward and backward) and by NumPy (`expected`)."""

    def __init__(self, folder, combine="average", seed=0, temporal_bias=False, force_backward=False, **learning):
        self.model = Tiny(classes=CLASSES, size=SIZE, combine=combine, temporal_bias=temporal_bias)
        settings = recipe(self.model, encoding="raw", **learning)
        self.learning = settings.learning
        message = net.rcnn_r(settings, "none.lmdb", net.TRAIN)
        self.net = build(fed(message, self.model, BATCH, force_backward=force_backward), folder)
        generator = np.random.default_rng(seed)
        randomize(self.net, generator)
        self.previous, self.frame = generator.normal(0, 1, (2, BATCH, 3, SIZE, SIZE)).astype(np.float32)
        self.labels = np.array([2, 0, 3])
        self.net.blobs["previous/frame"].data[...] = self.previous
        self.net.blobs["frame"].data[...] = self.frame
        self.net.blobs["label"].data[...] = self.labels
        self.parameters = {name: value.astype(np.float64) for name, value in by_name(self.net).items()}
        self.expected = self.reference(self.parameters)
        self.outputs = self.net.forward()

    def reference(self, parameters, **options):
        learning = dict(cut=self.learning.cut_gradient, previous_loss=self.learning.previous_loss)
        frames = (values.astype(np.float64) for values in (self.previous, self.frame))
        return reference.step(parameters, *frames, self.labels, combine=self.model.combine, **{**learning, **options})

    def backward(self):
        self.net.clear_param_diffs()
        self.net.backward()
        return by_name(self.net, diff=True)

    def loss(self):
        """Return Caffe's loss."""
        return sum(float(value) * (0.3 if "low" in name else 1) for name, value in self.outputs.items())

    def check_gradients(self):
        gradients, expected = self.backward(), self.expected["gradients"]
        assert gradients.keys() == expected.keys()
        for name, value in gradients.items():
            assert np.abs(expected[name]).max() > 1e-3, name
            assert largest_difference(value, expected[name]) < TOLERANCE, name


@pytest.fixture
def step(tmp_path):
    return lambda *arguments, **options: Step(tmp_path, *arguments, **options)


def check_tower(caffe_net, prefix, expected):
    for name in (*LAYERS, "one/pool", *reference.HEADS):
        if name in reference.HEADS and prefix + name not in caffe_net.blobs:
            continue
        assert np.abs(expected[name]).max() > 0.1, name
        assert largest_difference(caffe_net.blobs[prefix + name].data, expected[name]) < TOLERANCE, prefix + name


# Forward


@COMBINES
def test_forward_is_equations_3_and_4(step, combine):
    made = step(combine)
    assert made.parameters["one/5x5/weight"].shape[2:] != made.parameters["one/5x5/temporal"].shape[2:]  # as conv1's
    check_tower(made.net, "", made.expected["now"])
    check_tower(made.net, "previous/", made.expected["before"])  # t = 1, the temporal term absent and nothing halved
    assert set(made.outputs) == {"low/loss", "high/loss"}
    assert made.loss() == pytest.approx(made.expected["loss"], rel=1e-5)


@pytest.mark.parametrize("temporal_bias", [False, True])
def test_temporal_bias(step, temporal_bias):
    made = step(temporal_bias=temporal_bias)
    assert all((name + "/temporal_bias" in made.parameters) == temporal_bias for name in LAYERS)
    check_tower(made.net, "", made.expected["now"])
    made.check_gradients()


def test_average_is_sum_of_halves(tmp_path):
    """For t > 1 and the same v^{t-1}, average(W, What, b) = sum(W/2, What/2, b/2)."""
    values = {}
    for combine in ("average", "sum"):
        made = build(net.deploy_rcnn_r(Tiny(classes=CLASSES, size=SIZE, combine=combine), BATCH), tmp_path)
        generator = np.random.default_rng(2)
        randomize(made, generator)
        for name in ("previous/frame", "frame"):
            made.blobs[name].data[...] = generator.normal(0, 1, made.blobs[name].data.shape)
        made.forward()  # the tower of frame t-1 keeps what the pretrained weights give
        if combine == "sum":
            for name in LAYERS:
                for part in ("/weight", "/bias", "/temporal"):
                    blob_of(made, name + part).data[...] /= 2
        made.forward(start="one/5x5")
        values[combine] = {name: made.blobs[name].data.copy() for name in (*LAYERS, "low", "high")}
    for name, value in values["average"].items():
        assert np.ptp(value) > 0.1
        assert largest_difference(values["sum"][name], value) < TOLERANCE, name


# Backward


@COMBINES
def test_gradients_are_equations_5_and_7_to_9(step, combine):
    made = step(combine)
    made.check_gradients()
    expected, now = made.expected["d_now"], made.expected["now"]
    assert largest_difference(made.net.blobs["one/pool"].diff, expected["one/pool"]) < TOLERANCE
    for name in LAYERS:  # the ReLU is in place, so what is left is f'(a) dL/dv
        masked = expected[name] * (now[name] > 0)
        assert largest_difference(made.net.blobs[name].diff, masked) < TOLERANCE, name


def test_nothing_goes_back_into_the_frame_before(step):
    """Eq. 6: what was in every gradient of the frame before is still there after a backward pass, zero or not."""
    made = step()
    tower = [blob for name, blob in made.net.blobs.items() if name.startswith("previous/")]
    for mark in (0, 7):
        for blob in tower:
            blob.diff[...] = mark
        made.check_gradients()
        assert len(tower) > 5 and all((blob.diff == mark).all() for blob in tower)


@COMBINES
def test_uncut_gradient(step, combine):
    """With cut_gradient=False it goes back into frame t-1, and both towers add to the W and b that they share."""
    made = step(combine, cut_gradient=False, force_backward=True)
    made.check_gradients()
    for name in ("frame", "one/pool"):
        for prefix, expected in (("", made.expected["d_now"]), ("previous/", made.expected["d_before"])):
            assert largest_difference(made.net.blobs[prefix + name].diff, expected[name]) < TOLERANCE
    cut = made.reference(made.parameters, cut=True)["gradients"]
    for name in ("one/5x5/weight", "two/3x3/bias", "three/fc/weight"):
        assert largest_difference(cut[name], made.expected["gradients"][name]) > 0.01


@pytest.mark.parametrize("cut_gradient", [True, False])
def test_loss_on_the_frame_before(step, cut_gradient):
    made = step(previous_loss=True, cut_gradient=cut_gradient)
    assert set(made.outputs) == {f"{prefix}{signal}/loss" for prefix in ("", "previous/") for signal in ("low", "high")}
    assert made.loss() == pytest.approx(made.expected["loss"], rel=1e-5)
    made.check_gradients()


@COMBINES
def test_finite_differences_of_the_reference(step, combine):
    """The reference itself, in float64, with the whole gradient (and with the cut, v^{t-1} held)."""
    made, generator, small = step(combine), np.random.default_rng(5), 1e-6
    full = made.reference(made.parameters, cut=False, previous_loss=True)
    cut = made.reference(made.parameters)
    frame = made.frame.astype(np.float64)

    def whole_loss(parameters):
        return made.reference(parameters, cut=False, previous_loss=True)["loss"]

    def loss(parameters):
        return reference.tower_loss(reference.tower(parameters, frame, cut["before"], combine), made.labels)

    for name, value in made.parameters.items():
        direction = generator.normal(0, 1, value.shape)
        above, below = ({**made.parameters, name: value + sign * small * direction} for sign in (1, -1))
        for function, gradients in ((whole_loss, full["gradients"]), (loss, cut["gradients"])):
            slope = (function(above) - function(below)) / (2 * small)
            assert slope == pytest.approx((gradients[name] * direction).sum(), rel=1e-5)
