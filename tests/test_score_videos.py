"""Scores of videos by Caffe's nets: modes, batches, order, memory; tests/test_evaluate.py has the values by NumPy."""

import subprocess
import sys

import caffe
import nets
import numpy as np
import pytest
import runs

from rcnn.files import InputError
from rcnn.nets import prototxt as net
from rcnn.nets.caffe_net import DEPLOY_NETS, CaffeNetwork
from rcnn.scoring.score_videos import score_videos

MODEL = nets.Tiny(classes=4, size=24)
COUNTS = [5, 1, 2, 7, 1, 3]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """{kind: CaffeNetwork}, all with the same weights."""
    folder = tmp_path_factory.mktemp("networks")
    made = nets.build(net.deploy_rcnn_s(MODEL), folder, caffe.TEST)
    nets.randomize(made, np.random.default_rng(1))
    made.save(str(folder / "weights.caffemodel"))
    for kind, make in DEPLOY_NETS.items():
        nets.build(make(MODEL), folder)
        (folder / "net.prototxt").rename(folder / f"{kind}.prototxt")
    return {kind: CaffeNetwork(folder / f"{kind}.prototxt", folder / "weights.caffemodel") for kind in DEPLOY_NETS}


@pytest.fixture(scope="module")
def images():
    return nets.images(np.random.default_rng(2), sum(COUNTS), 30)


@pytest.fixture
def score(networks, images):
    """Score the videos of COUNTS; return {video: frames x crops x signals x classes}, after checking the blocks."""
    first = np.cumsum([0, *COUNTS])

    def call(kind, order=range(len(COUNTS)), crops=5, batch=10, mode=None):
        order, blocks = list(order), {}
        results = score_videos(
            networks[kind],
            [COUNTS[video] for video in order],
            lambda video, frame: images[first[order[video]] + frame],
            crops,
            batch,
            scale=1 / 64,
            mode=mode,
        )
        for video, block in results:
            blocks.setdefault(order[video], []).append(block)
        found = {video: np.concatenate(parts) for video, parts in blocks.items()}
        assert {video: values.shape for video, values in found.items()} == {
            video: (COUNTS[video], crops, 2, 4) for video in order
        }
        return found

    return call


def largest(one, other):
    return max(np.abs(one[video] - other[video]).max() for video in one)


def test_the_kinds(networks):
    for kind, network in networks.items():
        assert (network.kind, network.size, network.signals, network.classes) == (kind, 24, ["low", "high"], 4)


@pytest.mark.parametrize("kind, mode", [("frame", None), ("pair", None), ("recurrent", None), ("recurrent", "pair")])
def test_scores_do_not_depend_on_the_batch(score, kind, mode):
    alone = score(kind, batch=1, mode=mode)
    for batch in (5, 11, 32, 1000):
        assert largest(score(kind, batch=batch, mode=mode), alone) < 1e-5


@pytest.mark.parametrize("kind", DEPLOY_NETS)
def test_scores_do_not_depend_on_the_order_of_the_videos(score, kind):
    assert largest(score(kind), score(kind, order=[3, 0, 5, 1, 4, 2])) < 1e-5


@pytest.mark.parametrize("kind", DEPLOY_NETS)
def test_ten_crops_hold_the_smaller_protocols(score, kind):
    ten, five, one = (score(kind, crops=crops) for crops in (10, 5, 1))
    assert largest({video: values[:, :5] for video, values in ten.items()}, five) < 1e-6
    assert largest({video: values[:, :1] for video, values in ten.items()}, one) < 1e-6
    assert all(np.ptp(values, axis=1).max() > 1e-3 for values in ten.values())


def test_the_recurrent_net_stands_in_for_the_pair_net(score):
    assert largest(score("recurrent", mode="pair"), score("pair")) < 1e-6


def test_pairs_and_true_state_agree_until_the_second_frame(score):
    pair, true = score("pair"), score("recurrent")
    assert (
        largest(
            {video: values[:2] for video, values in pair.items()}, {video: values[:2] for video, values in true.items()}
        )
        < 1e-6
    )
    assert all(np.abs(pair[video][2:] - true[video][2:]).max() > 1e-3 for video in (0, 3, 5))


def test_first_frames_are_the_cnns(score):
    cnn = score("frame")
    for kind in ("pair", "recurrent"):
        found = score(kind)
        assert max(np.abs(found[video][0] - cnn[video][0]).max() for video in found) < 1e-6


def test_frames_are_asked_for_once_and_in_order(networks):
    for kind, network in networks.items():
        asked = []

        def read(video, frame):
            asked.append((video, frame))
            return np.zeros((24, 24, 3), np.uint8)

        assert sum(len(block) for _, block in score_videos(network, COUNTS, read, 1, 3)) == sum(COUNTS)
        assert sorted(asked) == [(video, frame) for video, count in enumerate(COUNTS) for frame in range(count)]
        for video in range(len(COUNTS)):
            frames = [frame for other, frame in asked if other == video]
            assert frames == sorted(frames), kind


def test_a_mode_that_the_net_does_not_know(networks):
    with pytest.raises(InputError, match="--mode recurrent: the net is of kind pair, for pair"):
        score_videos(networks["pair"], [1], None, 1, 1, mode="recurrent")
    with pytest.raises(InputError, match="--mode pair: the net is of kind frame, for frame"):
        score_videos(networks["frame"], [1], None, 1, 1, mode="pair")


MEMORY = r"""
import re, sys
from pathlib import Path
import numpy as np
from rcnn.nets.caffe_net import CaffeNetwork
from rcnn.scoring.score_videos import score_videos
network = CaffeNetwork(sys.argv[1], sys.argv[2])
image, seen = np.zeros((30, 30, 3), np.uint8), []
for number, (_, block) in enumerate(score_videos(network, [5000], lambda video, frame: image, 1, 20)):
    if number % 25 == 0:
        seen.append(int(re.search(r"VmRSS:\s*(\d+)", Path("/proc/self/status").read_text())[1]))
print(len(seen), seen[len(seen) // 10], max(seen))
"""


@pytest.mark.parametrize("kind", DEPLOY_NETS)
def test_memory_does_not_grow_with_a_video(networks, kind, tmp_path):
    """5,000 frames: the resident size (kB) after a tenth of them, and the largest of all."""
    nets.build(DEPLOY_NETS[kind](MODEL), tmp_path).save(str(tmp_path / "weights.caffemodel"))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "net.prototxt", tmp_path / "weights.caffemodel"],
        env={"PYTHONPATH": str(runs.ROOT), "GLOG_minloglevel": "2", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    samples, early, late = map(int, done.stdout.split())
    assert samples >= 10 and late - early < 5 * 1024 < early
