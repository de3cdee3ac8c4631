"""Scores of videos by Caffe's nets: modes, batches, order, memory; tests/test_evaluate.py has the values by NumPy."""

import subprocess
import sys

import numpy as np
import pytest
import runs
from nets import Tiny, images
from random_nets import write_tiny

from rcnn.files import InputError
from rcnn.nets.caffe_net import CaffeNetwork
from rcnn.scoring.score_videos import score_videos

COUNTS = [5, 1, 2, 7, 1, 3]
FRAMES = images(np.random.default_rng(2), sum(COUNTS), 30)
KINDS = pytest.mark.parametrize("kind", ["frame", "pair", "recurrent"])


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("networks"), Tiny(classes=4, size=24))


@pytest.fixture(scope="module")
def networks(paths):
    """{kind: CaffeNetwork}, all with the same weights."""
    return {kind: CaffeNetwork(getattr(paths, kind), paths.rcnn) for kind in ("frame", "pair", "recurrent")}


@pytest.fixture
def score(networks):
    """Score the videos of COUNTS; return {video: frames x crops x signals x classes}, after checking the blocks."""
    start = np.cumsum([0, *COUNTS])

    def call(kind, order=range(len(COUNTS)), crops=5, batch=10, mode=None):
        order, blocks = list(order), {}

        def read(video, frame):
            return FRAMES[start[order[video]] + frame]

        counts = [COUNTS[video] for video in order]
        for video, block in score_videos(networks[kind], counts, read, crops, batch, scale=1 / 64, mode=mode):
            blocks.setdefault(order[video], []).append(block)
        scores = {video: np.concatenate(parts) for video, parts in blocks.items()}
        assert all(scores[video].shape == (COUNTS[video], crops, 2, 4) for video in order)
        return scores

    return call


def largest(one, other, of=np.s_[:]):
    return max(np.abs(one[video][of] - other[video][of]).max() for video in one)


@pytest.mark.parametrize("kind, mode", [("frame", None), ("pair", None), ("recurrent", None), ("recurrent", "pair")])
def test_scores_depend_neither_on_the_batch_nor_on_the_order(score, kind, mode):
    alone = score(kind, batch=1, mode=mode)
    for batch in (5, 11, 1000):
        assert largest(score(kind, batch=batch, mode=mode), alone) < 1e-5
    assert largest(score(kind, order=[3, 0, 5, 1, 4, 2], mode=mode), alone) < 1e-5


@KINDS
def test_ten_crops_hold_the_smaller_protocols(score, kind):
    ten, five, one = (score(kind, crops=crops) for crops in (10, 5, 1))
    assert largest(five, ten, np.s_[:, :5]) < 1e-6 and largest(one, ten, np.s_[:, :1]) < 1e-6
    assert all(np.ptp(values, axis=1).max() > 1e-3 for values in ten.values())


def test_pairs_and_true_state_agree_until_the_second_frame(score):
    cnn, pair, true = (score(kind) for kind in ("frame", "pair", "recurrent"))
    assert largest(score("recurrent", mode="pair"), pair) < 1e-6
    assert largest(pair, cnn, 0) < 1e-6 and largest(true, cnn, 0) < 1e-6 and largest(pair, true, np.s_[:2]) < 1e-6
    assert all(np.abs(pair[video][2:] - true[video][2:]).max() > 1e-3 for video in (0, 3, 5))


@KINDS
def test_frames_are_asked_for_once_in_order_and_few_are_kept(networks, kind):
    asked = []

    def read(video, frame):
        asked.append((video, frame))
        return np.zeros((24, 24, 3), np.uint8)

    results = score_videos(networks[kind], COUNTS, read, 5, 10)
    assert next(results)[0] == 0
    expected = {"frame": [(0, 0), (0, 1)], "pair": [(0, 0), (0, 1), (0, 2)], "recurrent": [(0, 0), (1, 0)]}
    assert asked == expected[kind]  # two frames a pass, or two pairs, and no more read than that
    blocks = [(video, len(block)) for video, block in results]
    assert kind != "pair" or blocks == [(0, 2), (1, 1), (2, 2), (3, 3), (3, 2), (3, 2), (4, 1), (5, 2), (5, 1)]
    assert sorted(asked) == [(video, frame) for video, count in enumerate(COUNTS) for frame in range(count)]
    assert sorted(asked, key=lambda place: place[0]) == sorted(asked)


@pytest.mark.parametrize("kind, mode", [("pair", "recurrent"), ("frame", "pair"), ("frame", "recurrent")])
def test_a_mode_that_the_net_does_not_know(networks, kind, mode):
    with pytest.raises(InputError, match=f"--mode {mode}: the net is of kind {kind}, for {kind}"):
        score_videos(networks[kind], [1], None, 1, 1, mode=mode)


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


@KINDS
def test_memory_does_not_grow_with_a_video(paths, kind):
    """5,000 frames: the resident size (kB) after a tenth of them, and the largest of all."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, getattr(paths, kind), paths.rcnn],
        env={"PYTHONPATH": str(runs.ROOT), "GLOG_minloglevel": "2", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    samples, early, late = map(int, done.stdout.split())
    assert samples >= 10 and late - early < 5 * 1024 < early
