"""rcnn/experiments/motion_energy.py and tools/motion_energy.py: the moving region, and shares of energy, by NumPy."""

import json
import sys
from pathlib import Path

import caffe
import numpy as np
import pytest
import runs
import test_figures
from nets import Tiny
from test_figures import MEAN, SCALE, SIDE, SIZE, centre, eq3

from rcnn.data import records
from rcnn.data.builds import Build
from rcnn.experiments import motion_energy
from rcnn.files import InputError
from rcnn.nets import compare
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.model import NetModel

folder = test_figures.folder  # nets of both combinations in the current folder, and LMDBs
PLACES = SIZE // 2  # of one/5x5, whose stride is 2


def block(position):
    """Return a grey SIDE x SIDE image with a bright square at a position, both noisy."""
    generator = np.random.default_rng(position)
    image = generator.integers(90, 110, (SIDE, SIDE, 3))
    image[position : position + 7, position : position + 7] += generator.integers(50, 140, (7, 7, 3))
    return image.astype(np.uint8)


@pytest.fixture
def pairs(folder):
    """Build moving.lmdb; return its pairs of images."""
    made = [tuple(block(position) for position in positions) for positions in ((1, 5), (12, 9), (3, 3), (8, 15))]
    write("moving.lmdb", made)
    return made


def write(path, pairs):
    with Build(path, "pairs", {"classes": ["A"], "encoding": "raw"}, print) as build:
        build.put(
            (records.pair_key(place, "v_A_g01_c01", place + 1), records.encode_pair(*pair, 0, "raw"))
            for place, pair in enumerate(pairs)
        )
        build.finish(counts={"pairs": len(pairs)})


def region_of(previous, frame, height, width):
    """Return the moving region by loops; the image's sides must be multiples of height and width."""
    rows, columns = len(previous) // height, previous.shape[1] // width
    means = {}
    for row in range(height):
        for column in range(width):
            square = np.s_[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
            difference = np.abs(previous[square].astype(float) - frame[square].astype(float))
            means[row, column] = sum(max(pixel) for pixel in difference.reshape(-1, 3)) / (rows * columns)
    region = np.zeros((height, width), bool)
    for place in sorted(means, key=lambda place: (-means[place], place))[: round(0.1 * height * width)]:
        region[place] = True
    return region


def test_the_moving_region():
    generator = np.random.default_rng(6)
    previous, frame = generator.integers(0, 256, (2, 24, 40, 3), np.uint8)
    for height, width in ((6, 10), (12, 8), (24, 40)):
        found = motion_energy.moving_region(previous, frame, height, width)
        assert found.dtype == bool and np.array_equal(found, region_of(previous, frame, height, width))
        assert found.sum() == round(height * width / 10)
    assert motion_energy.moving_region(previous, frame, 2, 2).sum() == 1
    still = motion_energy.moving_region(frame, frame, 6, 10)
    assert still[0, :6].all() and still.sum() == 6


def test_a_share_of_energy():
    values = np.random.default_rng(7).normal(size=(3, 4, 5)).astype(np.float32)
    region = np.zeros((4, 5), bool)
    region[1, 2] = region[3] = True
    inside = sum(float(value) ** 2 for maps in values for place, value in np.ndenumerate(maps) if region[place])
    assert motion_energy.share(values, region) == pytest.approx(inside / (values.astype(float) ** 2).sum(), rel=1e-12)
    assert motion_energy.share(values, ~region) + motion_energy.share(values, region) == pytest.approx(1)
    assert motion_energy.share(0 * values, region) is None


def expected(combine, pair):
    """Return one/5x5's shares of a pair by NumPy, with motion and without; the region is the pair's in both."""
    previous, frame = map(centre, pair)
    region, found = region_of(previous, frame, PLACES, PLACES), []
    for before in (previous, frame):
        spatial, temporal = (part[0] for part in eq3(combine, "one/5x5", before, frame))
        energies = {"spatial": spatial**2, "temporal": temporal**2, "sum": (spatial + temporal) ** 2}
        found.append({part: energy[:, region].sum() / energy.sum() for part, energy in energies.items()})
    return found


@pytest.mark.parametrize("combine", ["average", "sum"])
def test_the_shares_are_numpys(pairs, combine):
    network, _ = motion_energy.open_watched("caffe", f"{combine}.prototxt", f"{combine}.caffemodel")
    for pair in pairs:
        found = motion_energy.shares(network, "one/5x5", *map(centre, pair), MEAN, SCALE)
        assert len(found) == 2
        for ours, numpys in zip(found, expected(combine, pair)):
            assert ours == pytest.approx(numpys, rel=1e-4)
    assert abs(found[0]["temporal"] - found[1]["temporal"]) > 1e-3


@pytest.fixture
def measure(folder, monkeypatch):
    """Run main() with options; return what it wrote."""

    def call(**options):
        options = {
            "net": "sum.prototxt",
            "weights": "sum.caffemodel",
            "pairs": "moving.lmdb",
            "layer": "one/5x5",
            "scale": SCALE,
            "out": "new/out.json",
            **options,
        }
        words = [[f"--{name}", *str(value).split()] for name, value in options.items() if value is not None]
        monkeypatch.setattr(sys, "argv", ["motion_energy.py", *sum(words, [])])
        runs.module("motion_energy").main()
        return json.loads(Path(options["out"]).read_text())

    return call


@pytest.mark.parametrize("number", [2, 100])
def test_the_program_gives_means_over_pairs(pairs, measure, capsys, number):
    found = measure(number=number)
    some = [expected("sum", pair) for pair in pairs[:number]]
    for place, name in enumerate(("motion", "without motion")):
        means = {part: np.mean([pair[place][part] for pair in some]) for part in ("spatial", "temporal", "sum")}
        assert found.pop(name) == pytest.approx(means, rel=1e-4)
    assert found == {
        "pairs": len(some),
        "layer": "one/5x5",
        "region": 0.1,
        "net": "sum.prototxt",
        "weights": "sum.caffemodel",
    }
    assert capsys.readouterr().out.startswith("motion: spatial ")


def test_the_mean_is_taken_off(pairs, measure):
    assert measure()["motion"] == measure(mean="104 117 123")["motion"] != measure(mean="0 0 0")["motion"]


def flow_pairs(path):
    with Build(path, "pairs", {"classes": ["A"], "encoding": "raw", "flow": {"bound": 20.0}}, print) as build:
        build.finish(counts={"pairs": 0})


def silent(path):
    """Write weights for the net of sums that are all 0."""
    made = caffe.Net("sum.prototxt", caffe.TEST)
    for blobs in made.params.values():
        for blob in blobs:
            blob.data[...] = 0
    made.save(path)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"pairs": "gone.lmdb"}, "no such LMDB: gone.lmdb"),
        ({"pairs": "frames.lmdb"}, "frames.lmdb holds frames, not pairs"),
        ({"pairs": "flow.lmdb"}, "flow.lmdb holds optical flow; give an LMDB of images"),
        ({"pairs": "small.lmdb"}, "a 22 x 22 crop does not fit an image of 20 x 20"),
        ({"pairs": "empty.lmdb"}, "empty.lmdb has no pairs"),
        ({"net": "cnn.prototxt"}, "cnn.prototxt sees single frames; give deploy_rcnn_r.prototxt"),
        ({"net": "average.prototxt"}, "made with --combine sum, the net has average"),
        ({"net": "gone.prototxt"}, "net: no such file: gone.prototxt"),
        ({"net": "flow.prototxt", "weights": "flow.caffemodel"}, "flow.prototxt takes frames of 2 channels, not 3"),
        ({"mean": "1 2"}, "--mean: 2 values for the 3 channels of sum.prototxt"),
        ({"gpu": 99}, "--gpu 99: "),
        ({"backend": "onnx"}, "--net: only Caffe runs a prototxt"),
        ({"weights": "gone"}, "weights: no such file: gone"),
        ({"weights": "silent.caffemodel"}, "a part of the layer is 0 on every pair"),
        ({"layer": "one/pool"}, "one/pool is no convolution with a temporal part"),
        ({"scale": 1e38}, "the values of one/5x5 are not finite"),
        ({"out": "frames.lmdb"}, "cannot write frames.lmdb: Is a directory"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_input_is_one_line_and_nothing_is_written(pairs, measure, options, said):
    flow_pairs("flow.lmdb")
    write("small.lmdb", [tuple(image[:20, :20] for image in pairs[0])])
    write("empty.lmdb", [])
    silent("silent.caffemodel")
    Path("flow.prototxt").write_text(str(net.deploy_rcnn_r(Tiny(size=SIZE, classes=3, channels=2))))
    caffe.Net("flow.prototxt", caffe.TEST).save("flow.caffemodel")
    with pytest.raises(InputError, match=said) as error:
        measure(**options)
    assert "\n" not in str(error.value) and not Path("new").exists()


def test_a_pair_that_is_all_alike_counts_for_nothing(pairs, measure):
    """Without a bias, images of the mean give no energy at all; such a pair has no share."""
    grey = np.broadcast_to(np.uint8(MEAN), (SIDE, SIDE, 3))
    write("grey.lmdb", [pairs[0], (grey, grey)])
    made = caffe.Net("sum.prototxt", caffe.TEST, weights="sum.caffemodel")
    made.params["one/5x5"][1].data[...] = 0
    made.save("unbiased.caffemodel")
    both, one = (measure(pairs="grey.lmdb", weights="unbiased.caffemodel", number=number) for number in (2, 1))
    assert both["pairs"] == 2 and both["motion"] == one["motion"] and both["without motion"] == one["without motion"]


def test_the_program(pairs):
    words = (
        "--net",
        "sum.prototxt",
        "--weights",
        "sum.caffemodel",
        "--layer",
        "two/3x3",
        "--scale",
        SCALE,
        "--out",
        "out.json",
    )
    status, out, _ = runs.run("motion_energy", "--pairs", "moving.lmdb", *words)
    assert status == 0 and out.splitlines()[-1] == "4 pairs, two/3x3, the 10 % of places that change most: out.json"
    status, out, error = runs.run("motion_energy", "--pairs", "gone.lmdb", *words)
    assert (status, out, error.count("\n")) == (2, "", 1)


def test_onnx_runtime_gives_caffes_shares(pairs, measure):
    model = NetModel(classes=3, width=0.1, size=48)
    arrays = compare.random_arrays(model)
    Path("pair.prototxt").write_text(str(net.deploy_rcnn_r(model)))
    for name in ("rcnn.caffemodel", "rcnn.onnx"):
        files.save(name, arrays, model, "pair")
    write("large.lmdb", [[np.kron(image, np.ones((2, 2, 1), np.uint8)) for image in pair] for pair in pairs])
    usual = dict(pairs="large.lmdb", layer="conv2/3x3")
    expected, found = (
        measure(net="pair.prototxt", weights="rcnn.caffemodel", **usual),
        measure(net=None, weights="rcnn.onnx", **usual),
    )
    assert found["net"] is None
    for name in ("motion", "without motion"):
        assert found[name] == pytest.approx(expected[name], abs=1e-4)
