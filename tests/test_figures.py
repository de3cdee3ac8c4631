"""tools/figures.py: its parts are those of Eq. 3 by NumPy, and what it draws is what it was asked for."""

import sys
from pathlib import Path

import caffe
import cv2
import frames
import numpy as np
import pytest
import reference
import runs
from nets import Tiny, by_name, images, largest_difference, randomize
from random_nets import TORCH
from test_plots import pixels

from rcnn.data import records
from rcnn.data.builds import Build
from rcnn.experiments import motion_energy, plots
from rcnn.files import InputError, ProgramError
from rcnn.nets import compare
from rcnn.nets import prototxt as net
from rcnn.nets import weight_files as files
from rcnn.nets.backends import open_network
from rcnn.nets.caffe_net import DEPLOY_NETS
from rcnn.nets.model import NetModel

SIZE, SIDE, MEAN, SCALE = 22, 25, (104, 117, 123), 0.02


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Nets of both combinations with random weights, a frames LMDB and a pairs LMDB, in the current folder."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(3)
    for combine in ("average", "sum"):
        Path(f"{combine}.prototxt").write_text(str(net.deploy_rcnn_r(Tiny(size=SIZE, classes=3, combine=combine), 4)))
        caffe_net = caffe.Net(f"{combine}.prototxt", caffe.TEST)
        randomize(caffe_net, generator)
        caffe_net.save(f"{combine}.caffemodel")
    Path("cnn.prototxt").write_text(str(net.deploy_cnn(Tiny(size=SIZE, classes=3))))
    with Build("pairs.lmdb", "pairs", {"classes": ["A", "B"], "encoding": "raw"}, print) as build:
        build.put(
            (
                records.pair_key(place, f"v_{name}_g01_c01", t),
                records.encode_pair(frames.image(video, t - 1, SIDE), frames.image(video, t, SIDE), video, "raw"),
            )
            for place, (name, video, t) in enumerate([("B", 1, 2), ("A", 0, 1)])
        )
        build.finish(counts={"pairs": 2})
    return frames.write(
        tmp_path / "frames.lmdb", {f"v_{name}_g01_c01": (label, 4) for label, name in enumerate("AB")}, ["A", "B"], SIDE
    )


@pytest.fixture
def draw(monkeypatch):
    """Run main() with options; return what it gave to rcnn.experiments.plots.feature_maps."""
    drawn = []
    monkeypatch.setattr(plots, "feature_maps", lambda *given: drawn.append(given))

    def call(combine="sum", **options):
        options = {
            "net": f"{combine}.prototxt",
            "weights": f"{combine}.caffemodel",
            "scale": SCALE,
            "layer": "one/5x5",
            "out": "out.png",
            **options,
        }
        words = [[f"--{name}", *str(value).split()] for name, value in options.items() if value is not None]
        monkeypatch.setattr(sys, "argv", ["figures.py", *sum(words, [])])
        runs.module("figures").main()
        return drawn.pop()

    return call


def centre(image):
    """Return the SIZE x SIZE middle of a SIDE x SIDE image; the odd row and column stay at the end."""
    start = (SIDE - SIZE) // 2
    return image[start : start + SIZE, start : start + SIZE]


def eq3(combine, layer, previous, frame):
    """Return by NumPy, in float64, what the two parts of a layer add to its sum, for uint8 SIZE x SIZE x 3 images."""
    weights = by_name(caffe.Net(f"{combine}.prototxt", caffe.TEST, weights=f"{combine}.caffemodel"))
    weights = {name: values.astype(float) for name, values in weights.items()}
    share = 0.5 if combine == "average" else 1.0

    def parts(name, below, before, stride, pad):
        spatial = reference.linear(below, weights[name + "/weight"], dict(stride=stride, pad=pad))
        spatial += weights[name + "/bias"].reshape(1, -1, 1, 1)
        if before is None:
            return spatial, 0 * spatial
        temporal = reference.linear(before, weights[name + "/temporal"], dict(stride=1, pad=1))
        return share * spatial, share * temporal

    relu = lambda two: np.maximum(sum(two), 0)
    x = [((image.astype(float) - MEAN) * SCALE).transpose(2, 0, 1)[None] for image in (previous, frame)]
    before = relu(parts("one/5x5", x[0], None, 2, 2))
    one = parts("one/5x5", x[1], before, 2, 2)
    if layer == "one/5x5":
        return one
    below = [reference.max_pool(value)[0] for value in (before, relu(one))]
    return parts(layer, below[1], relu(parts(layer, below[0], None, 1, 1)), 1, 1)


@pytest.mark.parametrize("combine", ["average", "sum"])
@pytest.mark.parametrize("layer, maps", [("one/5x5", [3, 0]), ("two/3x3", [4])])
def test_the_parts_are_numpys(draw, combine, layer, maps):
    _, seen, heads, rows, title = draw(combine, layer=layer, pairs="pairs.lmdb", pair=0, maps=" ".join(map(str, maps)))
    previous, frame = (centre(frames.image(1, t, SIDE)) for t in (1, 2))
    assert list(seen) == ["frame t-1\nv_B_g01_c01, 1", "frame t\nv_B_g01_c01, 2"] and title == layer
    assert [np.array_equal(*two) for two in zip(seen.values(), (previous, frame))] == [True, True]
    spatial, temporal = (part[0] for part in eq3(combine, layer, previous, frame))
    assert list(rows) == [f"map {number}" for number in maps] and ("halved" in heads[0]) == (combine == "average")
    for number, drawn in zip(maps, rows.values()):
        wanted = spatial[number], temporal[number], spatial[number] + temporal[number]
        assert all(largest_difference(*two) < 1e-5 for two in zip(drawn, wanted))


@pytest.mark.parametrize("combine", ["average", "sum"])
def test_the_sum_is_what_the_nets_relu_sees(combine):
    network, _ = open_network("caffe", f"{combine}.prototxt", f"{combine}.caffemodel")
    x = np.random.default_rng(0).normal(size=(2, 1, 3, SIZE, SIZE)).astype(np.float32)
    for layer in ("one/5x5", "two/3x3"):
        spatial, temporal = motion_energy.parts(network, layer, *x)
        assert np.allclose(np.maximum(spatial + temporal, 0), network.pair_outputs(x[1], x[0])[layer][0], atol=1e-5)
        assert np.abs(temporal).max() > 0.1


def test_the_maps_with_the_most_energy(draw):
    """Also: frames of an LMDB are counted from 0."""
    _, seen, _, rows, _ = draw(frames="frames.lmdb", video="v_A_g01_c01", frame=3, number=2)
    assert list(seen) == ["frame t-1\nv_A_g01_c01, 2", "frame t\nv_A_g01_c01, 3"]
    previous, frame = seen.values()
    assert np.array_equal(previous, centre(frames.image(0, 2, SIDE)))
    assert np.array_equal(frame, centre(frames.image(0, 3, SIDE)))
    energy = (eq3("sum", "one/5x5", previous, frame)[1][0] ** 2).sum(axis=(1, 2))
    assert list(rows) == [f"map {number}" for number in np.argsort(energy)[::-1][:2]]


def test_image_files_are_made_square_and_cut(draw):
    image = np.zeros((50, 80, 3), np.uint8)
    image[:, 40:] = 200
    cv2.imwrite("a.png", image)
    cv2.imwrite("b.png", image[:, ::-1])
    ((before, now),) = [draw(images="a.png b.png")[1].values()]
    assert before.shape == now.shape == (SIZE, SIZE, 3)
    assert before[:, :10].max() == 0 and before[:, 12:].min() == 200
    assert now[:, :10].min() == 200 and now[:, 12:].max() == 0


def test_the_picture_has_one_scale_a_row(tmp_path):
    """RdBu's ends are where a row's largest magnitude is; half of it is no end."""
    ones = np.ones((6, 6))
    frame = np.full((8, 8, 3), (0, 255, 0), np.uint8)
    plots.feature_maps(
        tmp_path / "a.png", {"a $": frame, "b": frame}, "abc", {"map 1": (ones, -ones / 2, -ones / 2)}, "t"
    )
    plots.feature_maps(
        tmp_path / "b.png",
        {"a": frame, "b": frame},
        "abc",
        {"map 1": (ones, ones, -ones), "map 2": (ones / 9, 0 * ones, 0 * ones)},
        "t",
    )
    red = [pixels(tmp_path / name, "#67001F") for name in ("a.png", "b.png")]
    blue = [pixels(tmp_path / name, "#053061") for name in ("a.png", "b.png")]
    assert 2.5 * red[0] < red[1] and red[0] > 5000 and blue[0] < 2000 < blue[1]
    assert pixels(tmp_path / "a.png", "#00FF00") > 20000


def test_no_temporal_part_draws_too(tmp_path):
    frame = np.zeros((8, 8, 3), np.uint8)
    plots.feature_maps(tmp_path / "a.png", {"a": frame, "b": frame}, ["a"], {"m": (np.zeros((3, 3)),)}, "t")
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "options, said",
    [
        ({"pairs": "gone.lmdb"}, "no such LMDB: gone.lmdb"),
        ({"pairs": "frames.lmdb"}, "frames.lmdb holds frames, not pairs"),
        ({"pairs": "pairs.lmdb", "pair": 2}, "has the pairs 0 to 1, not 2"),
        ({"pairs": "pairs.lmdb", "pair": -1}, "has the pairs 0 to 1, not -1"),
        ({"frames": "frames.lmdb", "video": "v_C", "frame": 1}, "has no video v_C"),
        ({"frames": "frames.lmdb", "video": "v_A_g01_c01", "frame": 4}, "has frames 0 to 3 in frames.lmdb, not 4"),
        (
            {"pairs": "pairs.lmdb", "layer": "one/pool"},
            "one/pool is no convolution with a temporal part; the net has 2",
        ),
        ({"pairs": "pairs.lmdb", "layer": "three/fc"}, "three/fc is no convolution with a temporal part"),
        ({"pairs": "pairs.lmdb", "maps": "0 4"}, "one/5x5 has the maps 0 to 3, not 4"),
        ({"pairs": "pairs.lmdb", "maps": "-1"}, "has the maps 0 to 3, not -1"),
        (
            {"pairs": "pairs.lmdb", "net": "cnn.prototxt"},
            "cnn.prototxt sees single frames; give deploy_rcnn_r.prototxt",
        ),
        ({"pairs": "pairs.lmdb", "net": "average.prototxt"}, "made with --combine sum, the net has average"),
        ({"pairs": "pairs.lmdb", "weights": "gone"}, "weights: no such file: gone"),
        ({"pairs": "pairs.lmdb", "scale": 1e38}, "the values of one/5x5 are not finite"),
        ({"images": "gone.png sum.prototxt"}, "--images: no such file: gone.png"),
        ({"images": "sum.prototxt sum.prototxt"}, "sum.prototxt is not an image"),
        ({"pairs": "pairs.lmdb", "out": "frames.lmdb"}, "cannot write frames.lmdb: Is a directory"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_input_is_one_line(draw, options, said):
    with pytest.raises(ProgramError, match=said) as error:
        draw(**options)
    assert "\n" not in str(error.value) and not Path("out.png").exists()


def test_an_empty_image_file(draw):
    Path("empty.png").touch()
    with pytest.raises(InputError, match="empty.png is not an image"):
        draw(images="empty.png empty.png")


def test_the_program_draws():
    status, out, error = runs.run(
        "figures",
        "--net",
        "sum.prototxt",
        "--weights",
        "sum.caffemodel",
        "--frames",
        "frames.lmdb",
        "--video",
        "v_B_g01_c01",
        "--frame",
        "1",
        "--layer",
        "two/3x3",
        "--scale",
        SCALE,
        "--out",
        "new/figure.png",
    )
    assert status == 0 and error == "" and out.startswith("two/3x3, maps ")
    assert cv2.imread("new/figure.png").shape[2] == 3
    status, out, error = runs.run(
        "figures",
        "--net",
        "sum.prototxt",
        "--weights",
        "sum.caffemodel",
        "--frames",
        "frames.lmdb",
        "--out",
        "other.png",
    )
    assert status == 2 and out == "" and error.count("\n") == 1 and "--frames takes --video and --frame" in error


@pytest.mark.parametrize("combine", ["average", "sum"])
@pytest.mark.parametrize(
    "net_name, weights",
    [
        ("recurrent.prototxt", "rcnn.caffemodel"),
        (None, "pair.onnx"),
        (None, "recurrent.onnx"),
        pytest.param(None, "rcnn.pt", marks=TORCH),
    ],
)
def test_every_net_of_pairs_gives_caffes_parts(draw, combine, net_name, weights):
    model = NetModel(classes=3, width=0.1, size=64, combine=combine)
    arrays = compare.random_arrays(model)
    for kind in ("pair", "recurrent"):
        Path(f"{kind}.prototxt").write_text(str(DEPLOY_NETS[kind](model)))
    for name in ("rcnn.caffemodel", weights):
        files.save(name, arrays, model, Path(name).stem)
    for name in "ab":
        cv2.imwrite(f"{name}.png", images(np.random.default_rng(ord(name)), 1, 73)[0])
    usual = dict(images="a.png b.png", layer="inception_3a/3x3", maps="0 3")
    _, _, columns, expected, _ = draw(net="pair.prototxt", weights="rcnn.caffemodel", **usual)
    _, _, names, found, _ = draw(net=net_name, weights=weights, **usual)
    assert names == columns and ("halved" in names[0]) == (combine == "average")
    for name, parts in expected.items():
        assert np.abs(parts[1]).max() > 1e-3
        assert all(largest_difference(*two) < 1e-4 for two in zip(found[name], parts))
