"""layers/pair_augment.py in real Caffe nets: its crops, read back from images whose values say where they are."""

import json
from collections import Counter
from itertools import product

import caffe
import numpy as np
import pytest
from nets import caffe_program

from rcnn.data import builds, crops, records

HEIGHT, WIDTH, SIZE = 9, 10, 7
PREVIOUS = 5000  # added to the values of frame t-1
PLACES = list(product(range(HEIGHT - SIZE + 1), range(WIDTH - SIZE + 1), (False, True)))

NET = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}
layer {{ name: "pair" type: "Python" bottom: "data" {tops}
  python_param {{ module: "layers.pair_augment" layer: "PairAugment" param_str: '{options}' }} }}
"""


def net(folder, phase, number=16, tops=("previous/frame", "frame"), **options):
    """Return a net of an Input and the layer under test; the mean is 0 unless said otherwise."""
    return written(folder, phase, (number, 3, 2 * HEIGHT, WIDTH), tops, {"size": SIZE, "mean": [0, 0, 0], **options})


def written(folder, phase, shape, tops, options):
    """Return the net of an Input of a shape with options, a dict or a param_str."""
    options = options if isinstance(options, str) else json.dumps(options)
    shape, tops = (
        " ".join(word % value for value in values) for word, values in (("dim: %d", shape), ('top: "%s"', tops))
    )
    (folder / "net.prototxt").write_text(NET.format(shape=shape, options=options, tops=tops))
    return caffe.Net(str(folder / "net.prototxt"), phase)


def forward(made, values):
    """Run a net on values; return its blobs' values."""
    made.blobs["data"].data[...] = values
    made.forward()
    return {name: blob.data for name, blob in made.blobs.items()}


def pairs(number):
    """Return number x 3 x 2 HEIGHT x WIDTH values: 100 row + 10 column + channel, and PREVIOUS more in frame t-1."""
    rows, columns = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    image = np.stack([100 * rows + 10 * columns + channel for channel in range(3)])
    return np.stack([np.concatenate([image + PREVIOUS, image], axis=1)] * number).astype(np.float32)


def places(blob, offset=0):
    """Return the (top, left, mirror) of each crop of a blob, after checking every value of it."""
    corners = []
    for crop in blob - offset:
        mirror = bool(crop[0, 0, 0] > crop[0, 0, -1])
        straight = crop[:, :, ::-1] if mirror else crop
        top, left = int(straight[0, 0, 0] // 100), int(straight[0, 0, 0] % 100 // 10)
        expected = pairs(1)[0][:, HEIGHT + top : HEIGHT + top + SIZE, left : left + SIZE]
        np.testing.assert_array_equal(straight, expected)
        corners.append((top, left, mirror))
    return corners


def run(made, times=1):
    """Return the places of frame t-1 and of frame t over several batches."""
    previous, now = [], []
    for _ in range(times):
        blobs = forward(made, pairs(made.blobs["data"].shape[0]))
        previous += places(blobs["previous/frame"], PREVIOUS)
        now += places(blobs["frame"])
    return previous, now


def even(drawn):
    """Assert that all places and mirrors occur equally often, by chi-square (23 degrees of freedom, chance 4e-4)."""
    counts, expected = Counter(drawn), len(drawn) / len(PLACES)
    assert set(counts) == set(PLACES)
    assert sum((number - expected) ** 2 / expected for number in counts.values()) < 53


def test_both_frames_of_a_pair_have_one_crop_and_mirror_each_equally_likely(tmp_path):
    previous, now = run(net(tmp_path, caffe.TRAIN, number=400, seed=1), 10)
    assert previous == now
    even(now)


def test_not_together_each_frame_has_its_own(tmp_path):
    previous, now = run(net(tmp_path, caffe.TRAIN, number=400, seed=1, together=False), 10)
    even(previous)
    even(now)
    same = sum(one == two for one, two in zip(previous, now))
    assert abs(same - len(now) / len(PLACES)) < 4 * (len(now) / len(PLACES)) ** 0.5


@pytest.mark.parametrize("together", [True, False])
def test_at_test_it_is_the_centre_without_mirror(tmp_path, together):
    previous, now = run(net(tmp_path, caffe.TEST, together=together))
    assert set(previous) == set(now) == {(*crops.positions(HEIGHT, WIDTH, SIZE)[0], False)} == {(1, 1, False)}


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_with_one_top_it_gives_frame_t(tmp_path, phase):
    alone = forward(net(tmp_path, phase, tops=("frame",), seed=1), pairs(16))
    assert places(alone["frame"]) == run(net(tmp_path, phase, seed=1))[1]


def test_the_mean_is_taken_off_and_the_rest_scaled(tmp_path):
    plain, other = net(tmp_path, caffe.TRAIN, seed=1), net(tmp_path, caffe.TRAIN, seed=1, mean=[1, 20, 300], scale=0.5)
    mean = np.reshape([1, 20, 300], (3, 1, 1))
    before, after = forward(plain, pairs(16)), forward(other, pairs(16))
    for top in ("previous/frame", "frame"):
        np.testing.assert_array_equal(after[top], (before[top] - mean) / 2)
    np.testing.assert_array_equal(after["data"], pairs(16))  # the input is left as it is


def test_the_mean_of_imagenet_is_the_default(tmp_path):
    made = written(tmp_path, caffe.TEST, (1, 3, 2 * HEIGHT, WIDTH), ("frame",), {"size": SIZE})
    assert places(forward(made, pairs(1))["frame"] + np.float32(crops.MEAN).reshape(3, 1, 1)) == [(1, 1, False)]


def test_one_seed_gives_one_sequence_and_no_seed_a_fresh_one(tmp_path):
    def drawn(**options):
        return run(net(tmp_path, caffe.TRAIN, **options), 2)[1]

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    assert drawn() != drawn()
    first, second = (drawn(seed=1)[start : start + 16] for start in (0, 16))
    assert first != second, "each iteration draws anew"


def test_it_follows_another_batch_size(tmp_path):
    made = net(tmp_path, caffe.TRAIN, seed=1)
    made.blobs["data"].reshape(3, 3, 2 * HEIGHT, WIDTH)
    assert len(run(made)[1]) == 3


DATA_NET = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{source}" backend: LMDB batch_size: 2 }} }}
layer {{ name: "pair" type: "Python" bottom: "data" top: "previous/frame" top: "frame"
  python_param {{ module: "layers.pair_augment" layer: "PairAugment" param_str: '{options}' }} }}
layer {{ name: "unused" type: "Silence" bottom: "label" bottom: "previous/frame" bottom: "frame" }}
"""


def in_caffe_program(folder, height, options):
    """Run a net over an LMDB of an image of height x 20 in the `caffe` program; return what became of it."""
    image = np.random.default_rng(0).integers(0, 256, (height, 20, 3), np.uint8)
    with builds.Build(folder / "pairs.lmdb", "pairs", {"encoding": "jpeg"}, print) as build:
        build.put([(records.pair_key(0, "v", 1), records.encode_frame(image, 0))])
        build.finish(counts={"pairs": 1})
    (folder / "net.prototxt").write_text(DATA_NET.format(source=folder / "pairs.lmdb", options=options))
    return caffe_program("time", "-model", folder / "net.prototxt", "-iterations", 2, "-phase", "TRAIN")


def test_it_runs_in_the_caffe_program(tmp_path):
    done = in_caffe_program(tmp_path, 40, '{"size": 16}')
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "height, options, words",
    [
        (41, '{"size": 16}', "PairAugment needs N x 3 x 2H x W, frame t-1 above frame t, not (2, 3, 41, 20)"),
        (30, '{"size": 16}', "a 16 x 16 crop does not fit an image of 20 x 15"),
        (40, "{}", 'PairAugment: param_str needs "size"'),
    ],
)
def test_what_is_wrong_is_said_on_one_line_in_the_caffe_program(tmp_path, height, options, words):
    done = in_caffe_program(tmp_path, height, options)
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith(words)], done.stderr


@pytest.mark.parametrize(
    "options, words",
    [
        ('{"size": 0}', "size"),
        ('{"size": 7.5}', "size"),
        ('{"size": true}', "size"),
        ('{"size": 7, "mean": [1]}', "three numbers"),
        ('{"size": 7, "mean": ["a", "b", "c"]}', "three numbers"),
        ('{"size": 7, "mean": [1, 2]}', "mean of two numbers"),
        ('{"size": 7, "mean": [1, 2, NaN]}', "three numbers"),
        ('{"size": 7, "mean": [1, 2, 3, 4]}', "three numbers"),
        ('{"size": 7, "scale": Infinity}', "scale"),
        ('{"size": 7, "seed": -1}', "seed"),
        ('{"size": 7, "together": "no"}', "together"),
        ('{"size": 7, "mirror": true}', "PairAugment: param_str knows size, mean, scale, crop, seed, together"),
        ("{size: 16}", "PairAugment: param_str is not JSON"),
        ("[7]", "knows size"),
        ("", "needs"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, words, capfd):
    with pytest.raises(Exception):
        written(tmp_path, caffe.TRAIN, (1, 3, 2 * HEIGHT, WIDTH), ("frame",), options)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("PairAugment")]
    assert len(said) == 1 and words in said[0]


def test_three_tops_are_refused(tmp_path, capfd):
    with pytest.raises(Exception):
        net(tmp_path, caffe.TRAIN, tops=("a", "b", "c"))
    assert "one bottom and one or two tops, not 1 and 3" in capfd.readouterr().err


# Flow


def flow_net(folder, phase, shape, tops=("previous/frame", "frame"), **options):
    """Return a net of an Input of a shape and the layer, with a mean of two numbers."""
    return written(folder, phase, shape, tops, {"size": SIZE, "mean": [128, 128], "seed": 3, **options})


def flows(number):
    """Return uint8 number x 2 frames x (x, y) x HEIGHT x WIDTH of 8-bit flow, 0 among it."""
    return np.random.default_rng(5).integers(0, 256, (number, 2, 2, HEIGHT, WIDTH), np.uint8)


def place_of(crop, frame):
    """Return (top, left, mirror) of a crop of a frame of flow; in a mirror, stored x is 256 - x, 255 of 0."""
    for top, left, mirror in PLACES:
        cut = frame[:, top : top + SIZE, left : left + SIZE].astype(int)
        if mirror:
            cut = cut[:, :, ::-1].copy()
            cut[0] = np.minimum(256 - cut[0], 255)
        if (cut == crop).all():
            return top, left, mirror
    raise AssertionError("it is no crop of the frame")


@pytest.mark.parametrize("planes", [1, 4], ids=["jpeg", "raw"])
@pytest.mark.parametrize("together", [True, False])
def test_flow_is_negated_exactly_where_it_is_mirrored(tmp_path, planes, together):
    stored = flows(40)
    shape = 40, planes, 4 * HEIGHT // planes, WIDTH
    blobs = forward(flow_net(tmp_path, caffe.TRAIN, shape, together=together), stored.reshape(shape))
    previous, now = (
        [place_of(crop + 128, frame) for crop, frame in zip(blobs[top], stored[:, index])]
        for index, top in enumerate(("previous/frame", "frame"))
    )
    assert blobs["frame"].shape == (40, 2, SIZE, SIZE)
    assert (previous == now) == together
    assert {mirror for _, _, mirror in now} == {False, True} and len(set(now)) > 12


def test_flow_at_test_and_alone(tmp_path):
    stored = flows(3)
    for tops in (("frame",), ("previous/frame", "frame")):
        made = flow_net(tmp_path, caffe.TEST, (3, 1, 4 * HEIGHT, WIDTH), tops, scale=0.5)
        blobs = forward(made, stored.reshape(3, 1, -1, WIDTH))
        for top, index in zip(tops[::-1], (1, 0)):
            np.testing.assert_array_equal(blobs[top], (stored[:, index, :, 1:8, 1:8] - 128.0) / 2)


@pytest.mark.parametrize("shape", [(2, 1, 4 * HEIGHT - 2, WIDTH), (2, 3, 4 * HEIGHT, WIDTH), (2, 2, HEIGHT, WIDTH)])
def test_what_is_no_pair_of_flow_is_refused(tmp_path, capfd, shape):
    with pytest.raises(Exception):
        flow_net(tmp_path, caffe.TEST, shape)
    assert f"needs flow, N x 1 x 4H x W or N x 4 x H x W, not {shape}" in capfd.readouterr().err
