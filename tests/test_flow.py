"""rcnn/data/flow.py: flow of synthetic pairs against what it must be, and its 8 bits."""

import json

import cv2
import numpy as np
import pytest

from rcnn.data import crops, flow
from rcnn.data.synthetic.flow_pairs import KINDS, pair
from rcnn.files import InputError

BORDER = 15  # pixels, where what moves out of the picture is near


def error(method, *sequence):
    previous, frame, true = pair(*sequence)
    return flow.end_point_error(flow.compute(method, previous, frame), true, BORDER)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pixels", [1, 9, 15])
def test_brox_on_synthetic_pairs(kind, pixels):
    assert error("brox", kind, pixels) < min(0.1, 1.02 * error("farneback", kind, pixels))


@pytest.mark.parametrize("seed", [0, 2])
def test_brox_is_finer_than_the_steps_that_opencv_warps_in(seed):
    """Steps of 1/32 pixel leave a smooth flow up to 1/64 off along each axis, if it is rounded alike everywhere."""
    assert error("brox", "shift", 10, 96, 96, seed) < 1 / 64 * 0.8


@pytest.mark.parametrize("method, most", [("dis", 0.3), ("farneback", 0.2)])
@pytest.mark.parametrize("kind", KINDS)
def test_other_methods(method, most, kind):
    assert error(method, kind, 4, 120, 160) < most


def test_tvl1():
    if "tvl1" in flow.available():
        assert error("tvl1", "shift", 4) < 0.2
    else:
        with pytest.raises(InputError, match="flow method tvl1 .* install opencv-contrib-python-headless<4.12"):
            error("tvl1", "shift", 4)


@pytest.mark.parametrize("method", flow.available())
def test_what_comes_out(method):
    previous, frame, true = pair("shift", 3, 64, 96)
    motion = flow.compute(method, previous, frame)
    assert motion.shape == (64, 96, 2) and motion.dtype == np.float32
    assert (flow.compute(method, previous, frame) == motion).all(), "the same again"
    colour = [cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) for image in (previous, frame)]
    assert np.abs(flow.compute(method, *colour) - motion).max() < 1e-4
    smallest = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    assert np.isfinite(flow.compute(method, smallest, smallest)).all()
    still = flow.compute(method, previous, previous)
    assert np.abs(still[BORDER:-BORDER, BORDER:-BORDER]).max() < 0.05


@pytest.mark.parametrize("method", flow.available())
@pytest.mark.parametrize("kind", ["shift", "rotation"])
def test_a_mirrored_video_has_the_mirrored_flow(method, kind):
    """With x negated; within 0.02 pixels on average (DIS: 0.06), in 8 bits within one grey level almost everywhere."""
    previous, frame, _ = pair(kind, 4)
    motion = flow.compute(method, previous, frame)
    mirrored = flow.compute(method, *(np.ascontiguousarray(image[:, ::-1]) for image in (previous, frame)))
    expected = motion[:, ::-1] * np.float32([-1, 1])
    assert flow.end_point_error(mirrored, expected, BORDER) < (0.06 if method == "dis" else 0.02)
    inner = (slice(BORDER, -BORDER),) * 2
    grey = np.abs(flow.quantise(mirrored)[inner] - flow.mirror(flow.quantise(motion))[inner].astype(int))
    assert (grey <= 1).mean() > 0.99


@pytest.mark.parametrize("shapes", [((40, 40), (40, 41)), ((15, 40), (15, 40)), ((40, 15), (40, 15))])
def test_images_that_have_no_flow(shapes):
    with pytest.raises(InputError, match="two images of one size, at least 16 x 16"):
        flow.compute("dis", *(np.zeros(shape, np.uint8) for shape in shapes))


def test_methods_are_described_and_none_is_made_up(monkeypatch):
    for method in flow.available():
        settings = flow.describe(method)
        assert settings["method"] == method and json.loads(json.dumps(settings)) == settings
        assert cv2.__version__ in settings["by"]
    with pytest.raises(InputError, match="there are brox, dis, farneback, tvl1"):
        flow.describe("lucas-kanade")
    monkeypatch.delattr(cv2, "optflow", raising=False)
    assert flow.available() == ["brox", "dis", "farneback"]
    with pytest.raises(InputError, match="or take another of brox, dis, farneback"):
        flow.compute("tvl1", *np.zeros((2, 20, 20), np.uint8))


def test_brox_by_cuda_where_opencv_has_it(monkeypatch):
    """No GPU here: a stand-in with OpenCV's interface is called with the parameters and images from 0 to 1."""

    class Gpu:
        def upload(self, image):
            self.image = image

        def download(self):
            return self.image

    class Brox:
        @staticmethod
        def create(**parameters):
            assert parameters == flow.PARAMETERS["brox, CUDA"]
            return Brox()

        def calc(self, previous, frame, out):
            assert previous.image.dtype == frame.image.dtype == np.float32
            motion = Gpu()
            motion.upload(np.dstack([previous.image, frame.image]))
            return motion

    monkeypatch.setattr(cv2, "cuda_BroxOpticalFlow", Brox, raising=False)
    monkeypatch.setattr(cv2, "cuda_GpuMat", Gpu)
    monkeypatch.setattr(cv2.cuda, "getCudaEnabledDeviceCount", lambda: 1)
    images = np.full((20, 20), 255, np.uint8), np.full((20, 20), 51, np.uint8)
    np.testing.assert_allclose(flow.compute("brox", *images), np.full((20, 20, 2), [1, 0.2]), rtol=1e-6)
    assert flow.describe("brox")["by"].endswith("CUDA")
    monkeypatch.setattr(cv2.cuda, "getCudaEnabledDeviceCount", lambda: 0)
    assert flow.describe("brox")["by"].endswith("CPU")


# 8 bits


@pytest.mark.parametrize("bound", [20.0, 7.5])
def test_quantisation(bound):
    values = np.linspace(-bound, bound, 2001).reshape(-1, 1, 1).repeat(2, 2)
    stored = flow.quantise(values, bound)
    assert stored.dtype == np.uint8 and stored.min() == 1 and stored.max() == 255
    assert np.abs(flow.dequantise(stored, bound) - values).max() <= bound / 254 + 1e-5
    np.testing.assert_array_equal(flow.quantise(flow.dequantise(stored, bound), bound), stored)
    assert (flow.quantise(np.zeros((4, 5, 2)), bound) == 128).all()
    assert (flow.dequantise(np.full((4, 5, 2), 128, np.uint8), bound) == 0).all()
    beyond = np.float32([[[2 * bound, 0], [0, -bound - 0.01], [bound, -bound], [1, 1]]])
    assert flow.quantise(beyond, bound)[0, :3].tolist() == [[255, 128], [128, 1], [255, 1]]
    assert flow.clipped(beyond, bound) == 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_opposite_sign(dtype):
    values = np.arange(256).astype(dtype)
    assert flow.negate(values).dtype == dtype
    assert flow.negate(values).tolist() == [255, *range(255, 0, -1)]
    motion = np.random.default_rng(0).uniform(-25, 25, (30, 40, 2)).astype(np.float32)
    expected = flow.quantise(motion[:, ::-1] * np.float32([-1, 1]))
    np.testing.assert_array_equal(flow.mirror(flow.quantise(motion)), expected)
    np.testing.assert_array_equal(flow.mirror(flow.mirror(flow.quantise(motion))), flow.quantise(motion))


def test_crops_of_flow_are_mirrored_with_x_negated():
    stored = flow.quantise(np.random.default_rng(1).uniform(-25, 25, (12, 14, 2)))
    motion = crops.oversample(stored, 8, 10)
    assert motion.shape == (10, 8, 8, 2) and motion.dtype == np.uint8
    np.testing.assert_array_equal(motion[:5], crops.oversample(stored, 8, 5))
    np.testing.assert_array_equal(motion[5:, :, :, 1], motion[:5, :, ::-1, 1])
    np.testing.assert_array_equal(motion[5:, :, :, 0], 256 - motion[:5, :, ::-1, 0].astype(int))


def test_end_point_error():
    true = np.zeros((6, 8, 2))
    motion = true + [3, 4]
    motion[2:4, 2:6] = [0, 1]
    assert flow.end_point_error(motion, true) == pytest.approx((5 * 40 + 8) / 48)
    assert flow.end_point_error(motion, true, 2) == 1
    true[0, 0] = 1.7e9
    assert flow.end_point_error(motion, true) == pytest.approx((5 * 39 + 8) / 47)
