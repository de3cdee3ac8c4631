"""rcnn/data/crops.py: where crops lie, what they hold, and what a net is fed."""

from collections import Counter

import numpy as np
import pytest

from rcnn.data import crops
from rcnn.files import InputError


def numbered(height, width):
    """Return an int64 image whose values say their own row, column and channel."""
    rows, columns, channels = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return 10000 * rows + 10 * columns + channels


def place(crop):
    """Return (top, left, mirror) of a crop of `numbered`."""
    mirror = bool(crop[0, 0, 0] > crop[0, -1, 0])
    corner = crop[0, -1 if mirror else 0, 0]
    return int(corner // 10000), int(corner % 10000 // 10), mirror


def test_positions_are_the_centre_and_the_four_corners():
    assert crops.positions(256, 340, 224) == [(16, 58), (0, 0), (0, 116), (32, 0), (32, 116)]
    assert crops.positions(225, 224, 224) == [(0, 0), (0, 0), (0, 0), (1, 0), (1, 0)]
    assert set(crops.positions(224, 224, 224)) == {(0, 0)}


@pytest.mark.parametrize("height, width", [(223, 300), (300, 223)])
def test_an_image_smaller_than_the_crop_and_another_number_of_crops_are_refused(height, width):
    for cut in (
        lambda: crops.positions(height, width, 224),
        lambda: crops.oversample(np.zeros((height, width, 3)), 224, 1),
        lambda: crops.draw(np.random.default_rng(0), height, width, 224),
    ):
        with pytest.raises(InputError, match=f"224 x 224 crop does not fit an image of {width} x {height}"):
            cut()
    with pytest.raises(InputError, match="1, 5 and 10"):
        crops.oversample(numbered(8, 8), 4, 2)


@pytest.mark.parametrize("number", crops.PROTOCOLS)
def test_oversample_gives_the_first_of_ten_crops(number):
    image = numbered(10, 13)
    five = [(*position, False) for position in crops.positions(10, 13, 6)]
    ten = five + [(top, left, True) for top, left, _ in five]
    views = crops.oversample(image, 6, number)
    assert views.shape == (number, 6, 6, 3) and views.dtype == image.dtype
    assert [place(crop) for crop in views] == ten[:number]
    for crop, (top, left, mirror) in zip(views, ten):
        expected = image[top : top + 6, left : left + 6]
        np.testing.assert_array_equal(crop, np.fliplr(expected) if mirror else expected)


def test_drawn_crops_are_everywhere_and_mirrored_half_the_time():
    generator, image, draws = np.random.default_rng(4), numbered(8, 9), 6000
    drawn = Counter()
    for _ in range(draws):
        drawn_place = crops.draw(generator, 8, 9, 6)
        top, left, side, mirror = drawn_place
        assert side == 6 and place(crops.cut(image, drawn_place, 6)) == (top, left, mirror)
        drawn[top, left, mirror] += 1
    assert set(drawn) == {(top, left, mirror) for top in range(3) for left in range(4) for mirror in (False, True)}
    expected = draws / len(drawn)
    # Chi-square with 23 degrees of freedom is above 53 with chance 4e-4.
    assert sum((number - expected) ** 2 / expected for number in drawn.values()) < 53


def test_corner_crops_are_five_places_in_four_sizes_scaled_to_one():
    generator, image, draws = np.random.default_rng(4), numbered(256, 300), 8000
    drawn = Counter(crops.draw(generator, 256, 300, 224, corners=True) for _ in range(draws))
    places = [
        (top, left, side, mirror)
        for side in (256, 224, 192, 168)
        for top, left in crops.positions(256, 300, side)
        for mirror in (False, True)
    ]
    expected = Counter(places)  # where the side is 256, rows begin at the top alone
    assert set(drawn) == set(expected)
    for chosen, share in expected.items():
        assert abs(drawn[chosen] / draws * 40 - share) < 0.35
    top, left, *_ = chosen = crops.Place(64, 66, 168)
    crop = crops.cut(image.astype(np.float64), chosen, 224)
    assert crop.shape == (224, 224, 3) and crop.dtype == np.float32
    inside = np.arange(1, 223) * 0.75 + 0.75 / 2 - 0.5  # of the crop's pixels, in pixels of the square
    expected = 10000 * (top + inside[:, None]) + 10 * (left + inside)
    np.testing.assert_allclose(crop[1:-1, 1:-1, 0], expected, atol=1)
    np.testing.assert_array_equal(crops.cut(image.astype(np.float64), chosen._replace(mirror=True), 224), crop[:, ::-1])


def test_network_input_takes_off_the_mean_then_scales_channels_first():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    values = crops.network_input(image, mean=(1, 2, 3), scale=0.5)
    assert values.shape == (2, 3, 4, 5) and values.dtype == np.float32 and values.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(values[:, channel], (image[..., channel].astype(float) - channel - 1) / 2)
    np.testing.assert_array_equal(crops.network_input(image), crops.network_input(image, (104, 117, 123), 1.0))


@pytest.mark.parametrize("height, width", [(11, 9), (10, 12)])
def test_ten_crops_are_those_of_pycaffe(height, width):
    """caffe.io.oversample gives the corners, the centre, and then their mirrors."""
    caffe_io = pytest.importorskip("caffe").io
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    theirs = caffe_io.oversample([image], (6, 6))
    centre_first = [4, 0, 1, 2, 3]
    np.testing.assert_array_equal(crops.oversample(image, 6, 10), theirs[centre_first + [5 + n for n in centre_first]])
