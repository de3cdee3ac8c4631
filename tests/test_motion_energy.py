"""rcnn/experiments/motion_energy.py and tools/motion_energy.py: the moving region, and shares of energy, by NumPy."""

import json
from pathlib import Path

import caffe
import numpy as np
import pytest
import runs
import test_figures
from calls import caller, refused, words
from nets import Tiny
from random_nets import write_tiny
from test_figures import MEAN, SCALE, SIDE, SIZE, centre, eq3, write_pairs

from rcnn.experiments import motion_energy

nets = test_figures.nets  # of both combinations in the current folder, and LMDBs
PLACES = SIZE // 2  # of one/5x5, whose stride is 2
NAMES = ("motion", "without motion")


def block(position):
    """Return a grey SIDE x SIDE image with a bright square at a position, both noisy."""
    generator = np.random.default_rng(position)
    image = generator.integers(90, 110, (SIDE, SIDE, 3))
    image[position : position + 7, position : position + 7] += generator.integers(50, 140, (7, 7, 3))
    return image.astype(np.uint8)


PAIRS = [tuple(map(block, positions)) for positions in ((1, 5), (12, 9), (3, 3), (8, 15))]


def write(path, pairs):
    write_pairs(path, [("v_A_g01_c01", place + 1, pair) for place, pair in enumerate(pairs)])


def region_of(previous, frame, height, width):
    """Return the moving region by loops; the image's sides must be multiples of height and width."""
    rows, columns = len(previous) // height, previous.shape[1] // width
    means = {}
    for row, column in np.ndindex(height, width):
        square = np.s_[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
        difference = np.abs(previous[square].astype(float) - frame[square].astype(float))
        means[row, column] = sum(max(pixel) for pixel in difference.reshape(-1, 3)) / (rows * columns)
    region = np.zeros((height, width), bool)
    for place in sorted(means, key=lambda place: (-means[place], place))[: round(0.1 * height * width)]:
        region[place] = True
    return region


def test_the_moving_region():
    previous, frame = np.random.default_rng(6).integers(0, 256, (2, 24, 40, 3), np.uint8)
    for height, width in ((6, 10), (24, 40)):
        region = motion_energy.moving_region(previous, frame, height, width)
        assert region.dtype == bool and np.array_equal(region, region_of(previous, frame, height, width))
    assert motion_energy.moving_region(previous, frame, 2, 2).sum() == 1
    still = motion_energy.moving_region(frame, frame, 6, 10)
    assert still[0, :6].all() and still.sum() == 6


def test_a_share_of_energy():
    values = np.random.default_rng(7).normal(size=(3, 4, 5)).astype(np.float32)
    region = np.zeros((4, 5), bool)
    region[1, 2] = region[3] = True
    inside = sum(float(value) ** 2 for maps in values for place, value in np.ndenumerate(maps) if region[place])
    assert motion_energy.share(values, region) == pytest.approx(inside / (values.astype(float) ** 2).sum(), rel=1e-12)
    assert motion_energy.share(0 * values, region) is None


def expected(nets, combine, pair):
    """Return one/5x5's shares of a pair by NumPy, with motion and without; the region is the pair's in both."""
    previous, frame = map(centre, pair)
    region, shares = region_of(previous, frame, PLACES, PLACES), []
    for before in (previous, frame):
        spatial, temporal = eq3(nets[combine].parameters, combine, "one/5x5", before, frame)
        energies = {"spatial": spatial**2, "temporal": temporal**2, "sum": (spatial + temporal) ** 2}
        shares.append({part: energy[:, region].sum() / energy.sum() for part, energy in energies.items()})
    return shares


@pytest.fixture
def measure(nets, monkeypatch):
    """Run main() with options on PAIRS; return what it wrote."""
    write("moving.lmdb", PAIRS)
    usual = dict(net=nets["sum"].pair, weights=nets["sum"].rcnn, pairs="moving.lmdb", layer="one/5x5", scale=SCALE)
    main = caller(monkeypatch, "motion_energy", **usual, out="new/out.json")

    def call(**options):
        main(**options)
        return json.loads(Path("new/out.json").read_text())

    return call


@pytest.mark.parametrize("combine, number", [("average", 1), ("sum", 2), ("sum", 100)])
def test_means_over_pairs_are_numpys(nets, measure, capsys, combine, number):
    paths = nets[combine]
    measured = measure(net=paths.pair, weights=paths.rcnn, number=number)
    some = [expected(nets, combine, pair) for pair in PAIRS[:number]]
    for place, name in enumerate(NAMES):
        means = {part: np.mean([pair[place][part] for pair in some]) for part in ("spatial", "temporal", "sum")}
        assert measured.pop(name) == pytest.approx(means, rel=1e-4)
    assert abs(some[0][0]["temporal"] - some[0][1]["temporal"]) > 1e-3
    net, weights = f"{combine}-pair.prototxt", f"{combine}-rcnn.caffemodel"
    assert measured == {"pairs": len(some), "layer": "one/5x5", "region": 0.1, "net": net, "weights": weights}
    assert capsys.readouterr().out.startswith("motion: spatial ")


def test_the_mean_is_taken_off(measure):
    assert measure()["motion"] == measure(mean="104 117 123")["motion"] != measure(mean="0 0 0")["motion"]


def changed(path, change):
    """Write the weights of the net of sums with its blobs changed."""
    made = caffe.Net("sum-pair.prototxt", caffe.TEST, weights="sum-rcnn.caffemodel")
    change(made.params)
    made.save(path)


def silence(params):
    for blob in (blob for blobs in params.values() for blob in blobs):
        blob.data[...] = 0


@pytest.mark.parametrize(
    "prepare, options, said",
    [
        (None, {"pairs": "frames.lmdb"}, "frames.lmdb holds frames, not pairs"),
        (
            lambda: write_pairs("flow.lmdb", [], flow={"bound": 20.0}),
            {"pairs": "flow.lmdb"},
            "flow.lmdb holds optical flow; give an LMDB of images",
        ),
        (
            lambda: write("small.lmdb", [[image[:20, :20] for image in PAIRS[0]]]),
            {"pairs": "small.lmdb"},
            "a 22 x 22 crop does not fit an image of 20 x 20",
        ),
        (lambda: write("empty.lmdb", []), {"pairs": "empty.lmdb"}, "empty.lmdb has no pairs"),
        (None, {"net": "sum-frame.prototxt"}, "sum-frame.prototxt sees single frames; give deploy_rcnn_r.prototxt"),
        (
            lambda: write_tiny(Path("."), Tiny(size=SIZE, classes=3, channels=2), prefix="flow-"),
            {"net": "flow-pair.prototxt", "weights": "flow-rcnn.caffemodel"},
            "flow-pair.prototxt takes frames of 2 channels, not 3",
        ),
        (None, {"mean": "1 2"}, "--mean: 2 values for the 3 channels of sum-pair.prototxt"),
        (None, {"gpu": 99}, "--gpu 99: "),
        (
            lambda: changed("silent.caffemodel", silence),
            {"weights": "silent.caffemodel"},
            "a part of the layer is 0 on every pair",
        ),
        (None, {"layer": "one/pool"}, "one/pool is no convolution with a temporal part"),
        (None, {"out": "frames.lmdb"}, "cannot write frames.lmdb: Is a directory"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(measure, prepare, options, said):
    if prepare:
        prepare()
    refused(measure, said, **options)


def test_a_pair_that_is_all_alike_counts_for_nothing(measure):
    """Without a bias, images of the mean give no energy at all; such a pair has no share."""
    grey = np.broadcast_to(np.uint8(MEAN), (SIDE, SIDE, 3))
    write("grey.lmdb", [PAIRS[0], (grey, grey)])
    changed("unbiased.caffemodel", lambda params: params["one/5x5"][1].data.fill(0))
    both, one = (measure(pairs="grey.lmdb", weights="unbiased.caffemodel", number=number) for number in (2, 1))
    assert both["pairs"] == 2 and all(both[name] == one[name] for name in NAMES)


def test_as_a_program(measure, nets):
    options = dict(net=nets["sum"].pair, weights=nets["sum"].rcnn, layer="two/3x3", scale=SCALE, out="out.json")
    status, out, _ = runs.run("motion_energy", *words(**options, pairs="moving.lmdb"))
    assert status == 0 and out.splitlines()[-1] == "4 pairs, two/3x3, the 10 % of places that change most: out.json"
    status, out, error = runs.run("motion_energy", *words(**options, pairs="gone.lmdb"))
    assert (status, out, error.count("\n")) == (2, "", 1)
