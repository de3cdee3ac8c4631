"""layers/sequential_frames.py in real Caffe nets, over frames whose pixels say which they are and where they stand."""

import json
from collections import Counter
from itertools import product
from pathlib import Path

import caffe
import cv2
import frames
import numpy as np
import pytest
from nets import caffe_program

from rcnn.data import builds, crops, records

CLASSES = ["Left", "Right", "Still"]
VIDEOS = {"v_Right_g01_c01": (1, 5), "v_Left_g01_c01": (0, 1), "v_Still_g01_c01": (2, 3), "v_Still_g02_c01": (2, 4)}
LABELS, COUNTS = zip(*VIDEOS.values())
SIDE, SIZE = 12, 9
PLACES = list(product(range(SIDE - SIZE + 1), range(SIDE - SIZE + 1), (False, True)))
TOPS = ("frame", "label", "first")

LAYER = """
layer {{ name: "frame" type: "Python" {tops}
  python_param {{ module: "layers.sequential_frames" layer: "SequentialFrames" param_str: '{options}' }} }}
"""
LEARNING = """
layer { name: "unused" type: "Silence" bottom: "first" }
layer { name: "fc" type: "InnerProduct" bottom: "frame" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "high/loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "high/loss" }
"""
SOLVER = """
train_net: "train.prototxt" test_net: "test.prototxt" test_iter: 3 test_interval: 10 base_lr: 0.01 lr_policy: "fixed"
momentum: 0.9 solver_mode: CPU random_seed: 3 display: 1 max_iter: 20 snapshot: 20 snapshot_prefix: "tiny"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a frames LMDB, f.lmdb, and its list."""
    monkeypatch.chdir(tmp_path)
    frames.write(Path("f.lmdb"), VIDEOS, CLASSES, SIDE)


def text(options, tops=TOPS):
    return LAYER.format(options=options, tops=" ".join(f'top: "{top}"' for top in tops))


def options(**changes):
    """Return a param_str; the mean is 0 unless said otherwise."""
    return json.dumps({"source": "f.lmdb", "list": "f.txt", "batch": 3, "size": SIZE, "mean": [0, 0, 0], **changes})


def net(phase, **changes):
    Path("net.prototxt").write_text(text(options(**changes)))
    return caffe.Net("net.prototxt", phase)


def seen(crop):
    """Return (video, t, (top, left, mirror)) of a crop without mean, after checking every value of it."""
    mirror = bool(crop[1, 0, 0] > crop[1, 0, -1])
    straight = crop[:, :, ::-1] if mirror else crop
    top, left = int(straight[0, 0, 0]) // 10, int(straight[1, 0, 0]) // 10
    video, t = divmod(int(crop[2, 0, 0]), 16)
    whole = frames.image(video, t, SIDE).transpose(2, 0, 1)
    np.testing.assert_array_equal(straight, whole[:, top : top + SIZE, left : left + SIZE])
    return video, t, (top, left, mirror)


def steps(made, times):
    """Return [[(video, t, place) of each row] of each forward pass], after checking labels and marks."""
    shown = []
    for _ in range(times):
        made.forward()
        shown.append([seen(crop) for crop in made.blobs["frame"].data])
        np.testing.assert_array_equal(made.blobs["label"].data, [LABELS[video] for video, _, _ in shown[-1]])
        np.testing.assert_array_equal(made.blobs["first"].data, [float(t == 0) for _, t, _ in shown[-1]])
    return shown


def runs_of(shown):
    """Return, for each whole video of each row, (video, the places of its frames), after checking their order."""
    runs = []
    for row in zip(*shown):
        begins = [step for step, (_, t, _) in enumerate(row) if t == 0]
        assert begins[0] == 0
        for begin, end in zip(begins, begins[1:]):
            videos, ts, places = zip(*row[begin:end])
            assert len(set(videos)) == 1 and list(ts) == list(range(COUNTS[videos[0]]))
            runs.append((videos[0], places))
    return runs


def test_at_test_one_order_the_centre_and_no_mirror():
    made = net(caffe.TEST, batch=2)
    assert [tuple(made.blobs[top].data.shape) for top in TOPS] == [(2, 3, SIZE, SIZE), (2,), (2,)]
    shown = steps(made, 60)
    assert {place for step in shown for _, _, place in step} == {(1, 1, False)}
    assert shown == steps(net(caffe.TEST, batch=2), 60) == steps(net(caffe.TEST, batch=2, seed=0), 60)
    assert shown != steps(net(caffe.TEST, batch=2, seed=5), 60)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_one_crop_and_mirror_for_a_whole_video(batch):
    runs = runs_of(steps(net(caffe.TRAIN, batch=batch, seed=1), 150))
    assert len(runs) > 30
    assert all(len(set(places)) == 1 for _, places in runs)


def test_every_place_and_both_mirrors_are_equally_likely():
    """By chi-square (31 degrees of freedom, chance 1e-3)."""
    drawn = Counter(places[0] for _, places in runs_of(steps(net(caffe.TRAIN, batch=30, seed=1), 300)))
    expected = sum(drawn.values()) / len(PLACES)
    assert expected > 50 and set(drawn) == set(PLACES)
    assert sum((number - expected) ** 2 / expected for number in drawn.values()) < 61


def test_rows_and_returns_of_a_video_are_drawn_for_themselves():
    shown = steps(net(caffe.TRAIN, batch=30, seed=1), 40)
    assert len({place for _, _, place in shown[0]}) > 10
    assert all(len({places[0] for other, places in runs_of(shown) if other == video}) > 10 for video in range(4))


def test_one_seed_gives_one_sequence_and_no_seed_a_fresh_one():
    def drawn(**changes):
        return steps(net(caffe.TRAIN, **changes), 20)

    def order(shown):
        return [row[:2] for step in shown for row in step]

    assert drawn(seed=2**40) == drawn(seed=2**40)
    assert order(drawn(seed=1)) != order(drawn(seed=2))
    assert order(drawn()) != order(drawn(seed=None))


def test_nets_of_one_process_do_not_disturb_each_other():
    train, test = net(caffe.TRAIN, seed=1), net(caffe.TEST)
    shown = []
    for _ in range(5):
        shown += steps(train, 2)
        assert steps(test, 1)
    assert shown == steps(net(caffe.TRAIN, seed=1), 10)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_the_mean_is_taken_off_and_the_rest_scaled(phase):
    plain, other = net(phase, seed=1), net(phase, seed=1, mean=[1, 20, 300.5], scale=0.3)
    for _ in range(3):
        plain.forward()
        other.forward()
        expected = (plain.blobs["frame"].data.astype(np.float64) - np.reshape([1, 20, 300.5], (3, 1, 1))) * 0.3
        np.testing.assert_allclose(other.blobs["frame"].data, expected, rtol=1e-6, atol=1e-5)


def test_the_mean_of_imagenet_and_no_scale_are_the_defaults():
    Path("net.prototxt").write_text(text(options().replace(', "mean": [0, 0, 0]', "")))
    made, plain = caffe.Net("net.prototxt", caffe.TEST), net(caffe.TEST)
    made.forward()
    plain.forward()
    mean = np.float32(crops.MEAN).reshape(3, 1, 1)
    np.testing.assert_array_equal(made.blobs["frame"].data, plain.blobs["frame"].data - mean)


def write_one(record):
    """Write a frames LMDB of one video of one record, one.lmdb, and its list."""
    with builds.Build(Path("one.lmdb"), "frames", {"classes": CLASSES, "size": SIDE}, print) as build:
        build.put([(records.frame_key("v_Still_g01_c01", 0), record)])
        videos = [{"name": "v_Still_g01_c01", "label": 2, "frames": 1, "times": [0.0]}]
        build.finish(counts={"frames": 1}, skipped=[], videos=videos)
    Path("one.txt").write_text("Still/v_Still_g01_c01.avi 3\n")
    return dict(source="one.lmdb", list="one.txt")


def test_jpegs_as_build_frames_stores_them():
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    made = net(caffe.TEST, **write_one(records.encode_frame(picture, 2)), batch=2)
    made.forward()
    stored = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(made.blobs["frame"].data, [stored[1:10, 1:10].transpose(2, 0, 1)] * 2)
    assert made.blobs["label"].data.tolist() == [2, 2] and made.blobs["first"].data.tolist() == [1, 1]


def test_videos_without_frames_are_left_out_and_counted(capfd):
    frames.write(Path("g.lmdb"), {**VIDEOS, "v_Left_g02_c01": (0, 0), "v_Left_g03_c01": (0, 0)}, CLASSES, SIDE)
    shown = steps(net(caffe.TEST, source="g.lmdb", list="g.txt", batch=1), sum(COUNTS))
    assert sorted(row[0][0] for row in shown) == [video for video, count in enumerate(COUNTS) for _ in range(count)]
    assert "2 of the 6 videos of g.txt are left out, as g.lmdb has no frames of them" in capfd.readouterr().err


def refused(capfd, param_str, tops=TOPS):
    """Return the line on standard error that says what is wrong with a layer."""
    Path("net.prototxt").write_text(text(param_str, tops))
    with pytest.raises(Exception):
        caffe.Net("net.prototxt", caffe.TRAIN)
    lines = capfd.readouterr().err.splitlines()
    said = [line for line in lines if not line.startswith(("Traceback", " ", "rcnn.files.InputError"))]
    assert len(said) == 1, lines
    return said[0]


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"source": ""}, 'SequentialFrames: param_str needs "source"'),
        ({"list": ["a"]}, 'needs "list"'),
        ({"batch": 0}, 'needs "batch"'),
        (
            {"together": True},
            "SequentialFrames: param_str knows size, mean, scale, crop, seed, source, list, batch; it says",
        ),
        ({"source": "gone.lmdb"}, "no such LMDB: gone.lmdb"),
        ({"list": "other.txt"}, "f.lmdb lacks 1 of the 1 videos of other.txt"),
        ({"size": SIDE + 1}, "a 13 x 13 crop does not fit an image of 12 x 12"),
    ],
)
def test_what_is_wrong_is_said_on_one_line(changes, said, capfd):
    Path("other.txt").write_text("Left/v_Left_g09_c01.avi\n")
    assert said in refused(capfd, options(**changes))


def test_other_tops_are_refused(capfd):
    assert "takes no bottom and three tops, frame, label and first, not 0 and 2" in refused(capfd, options(), TOPS[:2])


def caffe_train(param_str):
    """Train a classifier on the layer by the `caffe` program, with tests in between; return what became of it."""
    for phase in ("train", "test"):
        Path(f"{phase}.prototxt").write_text(text(param_str) + LEARNING)
    Path("solver.prototxt").write_text(SOLVER)
    return caffe_program("train", "-solver", "solver.prototxt")


def test_the_caffe_program_learns_from_it():
    done = caffe_train(options(mean=[55, 55, 32], scale=0.02, seed=1))
    assert done.returncode == 0, done.stderr
    losses = [float(line.split()[-2]) for line in done.stderr.splitlines() if "Train net output" in line]
    assert len(losses) == 20 and np.isfinite(losses).all() and Path("tiny_iter_20.caffemodel").exists()
    assert done.stderr.count("Test net output") == 3


def test_the_caffe_program_says_a_wrong_option_on_one_line():
    done = caffe_train(options(size=SIDE + 1))
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith("a 13 x 13 crop does not fit")], done.stderr


def test_the_caffe_program_says_that_a_record_is_damaged():
    done = caffe_train(options(**write_one(records.Datum(data=b"no").SerializeToString())))
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith("a record is damaged")], done.stderr


def test_flow_goes_the_other_way_in_a_mirror():
    frames.write(Path("flow.lmdb"), VIDEOS, CLASSES, SIDE, channels=2)
    made = net(caffe.TRAIN, source="flow.lmdb", list="flow.txt", batch=40, mean=[0, 0], seed=1)
    made.forward()
    assert made.blobs["frame"].data.shape == (40, 2, SIZE, SIZE)
    mirrors = set()
    for x, y in made.blobs["frame"].data:
        mirror = bool(y[0, 0] > y[0, -1])
        mirrors.add(mirror)
        top, left = (int(value) // 10 for value in ((256 - x[-1, 0]) - 10 * (SIZE - 1) if mirror else x[0, 0], y.min()))
        stored = frames.image(0, 0, SIDE)[top : top + SIZE, left : left + SIZE].astype(float)
        if mirror:  # 0 of x would be 256, which 8 bits do not hold
            stored = np.dstack([np.minimum(256 - stored[:, ::-1, 0], 255), stored[:, ::-1, 1]])
        np.testing.assert_array_equal(np.stack([x, y]), stored[..., :2].transpose(2, 0, 1))
    assert mirrors == {True, False}


def test_means_of_other_frames_are_refused(capfd):
    said = refused(capfd, options(mean=[0, 0]))
    assert said.startswith('SequentialFrames: f.lmdb has frames of 3 channels, and "mean" 2 numbers')
