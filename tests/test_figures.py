"""tools/figures.py: its parts are those of Eq. 3 by NumPy, and what it draws is what it was asked for."""

import json
from pathlib import Path

import cv2
import frames
import numpy as np
import pytest
import reference
import runs
from calls import caller, refused, words
from nets import Tiny, images, largest_difference
from random_nets import TORCH, write_exports, write_tiny
from test_plots import pixels

from rcnn.data import records
from rcnn.data.builds import Build
from rcnn.experiments import motion_energy, plots
from rcnn.nets.backends import open_network
from rcnn.nets.model import NetModel

SIZE, SIDE, MEAN, SCALE = 22, 25, (104, 117, 123), 0.02


def write_pairs(path, pairs, **recipe):
    """Build a pairs LMDB of [(video, t, (frame t - 1, frame t))]."""
    with Build(path, "pairs", {"classes": ["A", "B"], "encoding": "raw", **recipe}, print) as build:
        build.put(
            (records.pair_key(place, video, t), records.encode_pair(*pair, 0, "raw"))
            for place, (video, t, pair) in enumerate(pairs)
        )
        build.finish(counts={"pairs": len(pairs)})


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """{combine: paths of `write_tiny`} in the current folder, with a frames LMDB and a pairs LMDB."""
    monkeypatch.chdir(tmp_path)
    frames.write(
        Path("frames.lmdb"), {f"v_{name}_g01_c01": (label, 4) for label, name in enumerate("AB")}, ["A", "B"], SIDE
    )
    places = [("v_B_g01_c01", 1, 2), ("v_A_g01_c01", 0, 1)]
    write_pairs("pairs.lmdb", [(name, t, [frames.image(v, i, SIDE) for i in (t - 1, t)]) for name, v, t in places])
    return {
        combine: write_tiny(Path("."), Tiny(size=SIZE, classes=3, combine=combine), prefix=f"{combine}-")
        for combine in ("average", "sum")
    }


@pytest.fixture
def draw(nets, monkeypatch):
    """Run main() with options; return what it gave to rcnn.experiments.plots.feature_maps."""
    drawn = []
    monkeypatch.setattr(plots, "feature_maps", lambda *arguments: drawn.append(arguments))
    main = caller(monkeypatch, "figures", scale=SCALE, layer="one/5x5", out="out.png")

    def call(combine="sum", **options):
        main(**{"net": nets[combine].pair, "weights": nets[combine].rcnn, **options})
        return drawn.pop()

    return call


def centre(image):
    """Return the SIZE x SIZE middle of a SIDE x SIDE image; the odd row and column stay at the end."""
    start = (SIDE - SIZE) // 2
    return image[start : start + SIZE, start : start + SIZE]


def eq3(parameters, combine, layer, previous, frame):
    """Return by NumPy, in float64, what the two parts of a layer add to its sum, for uint8 SIZE x SIZE x 3 images."""
    x = [((image.astype(float) - MEAN) * SCALE).transpose(2, 0, 1)[None] for image in (previous, frame)]
    before = reference.tower(parameters, x[0])
    below = x[1] if layer == "one/5x5" else reference.tower(parameters, x[1], before, combine)["one/pool"]
    spatial = reference.linear(below, parameters[layer + "/weight"], reference.KERNELS[layer])
    spatial += parameters[layer + "/bias"].reshape(1, -1, 1, 1)
    temporal = reference.linear(before[layer], parameters[layer + "/temporal"], dict(stride=1, pad=1))
    share = 0.5 if combine == "average" else 1.0
    return share * spatial[0], share * temporal[0]


@pytest.mark.parametrize("combine", ["average", "sum"])
@pytest.mark.parametrize("layer, maps", [("one/5x5", [3, 0]), ("two/3x3", [4])])
def test_the_parts_are_numpys(draw, nets, combine, layer, maps):
    _, seen, heads, rows, title = draw(combine, layer=layer, pairs="pairs.lmdb", maps=" ".join(map(str, maps)))
    previous, frame = (centre(frames.image(1, t, SIDE)) for t in (1, 2))
    assert list(seen) == ["frame t-1\nv_B_g01_c01, 1", "frame t\nv_B_g01_c01, 2"] and title == layer
    assert [np.array_equal(*two) for two in zip(seen.values(), (previous, frame))] == [True, True]
    spatial, temporal = eq3(nets[combine].parameters, combine, layer, previous, frame)
    assert list(rows) == [f"map {number}" for number in maps] and ("halved" in heads[0]) == (combine == "average")
    for number, drawn in zip(maps, rows.values()):
        wanted = spatial[number], temporal[number], spatial[number] + temporal[number]
        assert all(largest_difference(*two) < 1e-5 for two in zip(drawn, wanted))
    network, _ = open_network("caffe", nets[combine].pair, nets[combine].rcnn)
    x = np.random.default_rng(0).normal(size=(2, 1, 3, SIZE, SIZE)).astype(np.float32)
    spatial, temporal = motion_energy.parts(network, layer, *x)  # their sum is what the net's ReLU sees
    assert np.allclose(np.maximum(spatial + temporal, 0), network.pair_outputs(x[1], x[0])[layer][0], atol=1e-5)
    assert np.abs(temporal).max() > 0.1


def test_the_maps_with_the_most_energy(draw, nets):
    """Also: frames of an LMDB are counted from 0."""
    _, seen, _, rows, _ = draw(frames="frames.lmdb", video="v_A_g01_c01", frame=3, number=2)
    assert list(seen) == ["frame t-1\nv_A_g01_c01, 2", "frame t\nv_A_g01_c01, 3"]
    wanted = [centre(frames.image(0, t, SIDE)) for t in (2, 3)]
    assert np.array_equal(list(seen.values()), wanted)
    energy = (eq3(nets["sum"].parameters, "sum", "one/5x5", *wanted)[1] ** 2).sum(axis=(1, 2))
    assert list(rows) == [f"map {number}" for number in np.argsort(energy)[::-1][:2]]


def test_image_files_are_made_square_and_cut(draw):
    image = np.zeros((50, 80, 3), np.uint8)
    image[:, 40:] = 200
    cv2.imwrite("a.png", image)
    cv2.imwrite("b.png", image[:, ::-1])
    before, now = draw(images="a.png b.png")[1].values()
    assert before.shape == now.shape == (SIZE, SIZE, 3)
    assert before[:, :10].max() == 0 and before[:, 12:].min() == 200
    assert now[:, :10].min() == 200 and now[:, 12:].max() == 0


def test_the_picture_has_one_scale_a_row(tmp_path):
    """RdBu's ends are where a row's largest magnitude is; half of it is no end."""
    ones, paths = np.ones((6, 6)), [tmp_path / "a.png", tmp_path / "b.png"]
    frame = np.full((8, 8, 3), (0, 255, 0), np.uint8)
    plots.feature_maps(paths[0], {"a $": frame, "b": frame}, "abc", {"map 1": (ones, -ones / 2, -ones / 2)}, "t")
    rows = {"map 1": (ones, ones, -ones), "map 2": (ones / 9, 0 * ones, 0 * ones)}
    plots.feature_maps(paths[1], {"a": frame, "b": frame}, "abc", rows, "t")
    red, blue = ([pixels(path, colour) for path in paths] for colour in ("#67001F", "#053061"))
    assert 2.5 * red[0] < red[1] and red[0] > 5000 and blue[0] < 2000 < blue[1]
    assert pixels(paths[0], "#00FF00") > 20000
    plots.feature_maps(tmp_path / "zero.png", {"a": frame, "b": frame}, ["a"], {"m": (0 * ones,)}, "t")
    assert pixels(tmp_path / "zero.png", "#00FF00") > 20000


FRAME = {"frames": "frames.lmdb", "frame": 1}


@pytest.mark.parametrize(
    "options, said",
    [
        ({"pairs": "frames.lmdb"}, "frames.lmdb holds frames, not pairs"),
        ({"pairs": "flow.lmdb"}, "flow.lmdb holds optical flow; give an LMDB of images"),
        ({"pair": 2}, "has the pairs 0 to 1, not 2"),
        ({"pair": -1}, "has the pairs 0 to 1, not -1"),
        ({**FRAME, "video": "v_C"}, "has no video v_C"),
        ({**FRAME, "video": "v_A_g01_c01", "frame": 4}, "has frames 0 to 3 in frames.lmdb, not 4"),
        ({**FRAME, "video": "v_A_g01_c01", "frame": 0}, "not 0 with one before; the first is 1"),
        ({"layer": "one/pool"}, "one/pool is no convolution with a temporal part; the net has 2"),
        ({"layer": "three/fc"}, "three/fc is no convolution with a temporal part"),
        ({"maps": "0 4"}, "one/5x5 has the maps 0 to 3, not 4"),
        ({"maps": "-1"}, "has the maps 0 to 3, not -1"),
        ({"net": "average-pair.prototxt"}, "made with --combine sum, the net has average"),
        ({"scale": 1e38}, "the values of one/5x5 are not finite"),
        ({"images": "gone.png sum-pair.prototxt"}, "--images: no such file: gone.png"),
        ({"images": "sum-pair.prototxt sum-pair.prototxt"}, "--images: sum-pair.prototxt is damaged or not an image"),
        ({"images": "empty.png empty.png"}, "empty.png is damaged or not an image"),
        ({"out": "empty.png/out.png"}, "cannot write empty.png/out.png: Not a directory"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_input_is_one_line(draw, options, said):
    Path("empty.png").touch()
    write_pairs("flow.lmdb", [], flow={"bound": 20.0})
    refused(draw, said, **{"pairs": None if {"images", "frames"} & options.keys() else "pairs.lmdb", **options})


def test_as_a_program(nets):
    usual = dict(net=nets["sum"].pair, weights=nets["sum"].rcnn, frames="frames.lmdb", layer="two/3x3", scale=SCALE)
    status, out, error = runs.run("figures", *words(**usual, video="v_B_g01_c01", frame=1, out="new/figure.png"))
    assert status == 0 and error == "" and out.startswith("two/3x3, maps ")
    assert cv2.imread("new/figure.png").shape[2] == 3
    status, out, error = runs.run("figures", *words(**usual, out="other.png"))
    assert status == 2 and out == "" and error.count("\n") == 1 and "--frames takes --video and --frame" in error


@pytest.mark.parametrize("combine", ["average", "sum"])
def test_every_net_of_pairs_gives_caffes_parts_and_shares(draw, monkeypatch, tmp_path, combine):
    """In pictures, and in what tools/motion_energy.py writes."""
    write_exports(tmp_path, NetModel(classes=3, width=0.1, size=64, combine=combine))
    pictures = [images(np.random.default_rng(seed), 1, 73)[0] for seed in range(2)]
    for name, picture in zip("ab", pictures):
        cv2.imwrite(f"{name}.png", picture)
    write_pairs("large.lmdb", [("v_A", 1, pictures)])
    usual = dict(net=None, scale=SCALE, layer="inception_3a/3x3")
    measure = caller(monkeypatch, "motion_energy", pairs="large.lmdb", out="out.json", **usual)

    def results(**options):
        measure(**options)
        measured = json.loads(Path("out.json").read_text())
        _, _, heads, rows, _ = draw(**{**usual, **options}, images="a.png b.png", maps="0 3")
        return heads, rows, [measured[name] for name in ("motion", "without motion")]

    heads, rows, shares = results(net="pair.prototxt", weights="rcnn.caffemodel")
    assert ("halved" in heads[0]) == (combine == "average") and np.abs(rows["map 0"][1]).max() > 1e-3
    others = [dict(net="recurrent.prototxt", weights="rcnn.caffemodel"), {"weights": "pair.onnx"}]
    for options in [*others, {"weights": "recurrent.onnx"}, *([] if TORCH.args[0] else [{"weights": "rcnn.pt"}])]:
        names, drawn, measured = results(**options)
        assert names == heads and drawn.keys() == rows.keys()
        for name, parts in rows.items():
            assert all(largest_difference(*two) < 1e-4 for two in zip(drawn[name], parts)), options
        assert all(one == pytest.approx(other, abs=1e-4) for one, other in zip(measured, shares))
