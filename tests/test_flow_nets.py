"""The flow stream from videos to scores: records, pairs, Caffe's own training, and what the deploy nets give."""

import os
import subprocess
import sys
from pathlib import Path

import caffe
import frames
import numpy as np
import pytest
from google.protobuf import text_format
from runs import ROOT, contents, module, run
from videos import flow_set

from rcnn.data import crops, flow, records
from rcnn.files import InputError
from rcnn.nets import prototxt as net
from rcnn.nets.caffe_net import CaffeNetwork
from rcnn.scoring import score_files, scores
from rcnn.scoring.score_videos import score_videos
from rcnn.stream import Classifier

DEPLOY = {"frame": net.deploy_cnn, "pair": net.deploy_rcnn_r, "recurrent": net.deploy_rcnn_s}


def smooth(seed, side=64):
    """Return smooth 8-bit flow, uint8 side x side x 2."""
    rows, columns = np.mgrid[:side, :side] / side
    return flow.quantise(np.dstack([9 * np.sin(4 * rows + 3 * columns + seed), 5 * np.cos(2 * rows - columns * seed)]))


# Records


def test_a_frame_of_flow_is_a_grey_jpeg_of_x_above_y():
    stored = smooth(1)
    record = records.encode_frame(stored, 7)
    datum = records.Datum.FromString(record)
    assert (datum.channels, datum.height, datum.width, datum.encoded, datum.label) == (1, 128, 64, True, 7)
    found, label = records.decode_frame(record)
    assert found.shape == (64, 64, 2) and found.dtype == np.uint8 and label == 7
    error = np.abs(found.astype(int) - stored)
    assert error.max() <= 2 and error.mean() < 0.5, "in grey levels of 20 / 127 pixels"
    still = np.full((64, 64, 2), 128, np.uint8)
    assert (records.decode_frame(records.encode_frame(still, 0))[0] == 128).all()


@pytest.mark.parametrize("encoding, shape, most", [("jpeg", (1, 256, 64), 2), ("raw", (4, 64, 64), 0)])
def test_a_pair_of_flow(encoding, shape, most):
    record = records.encode_pair(smooth(1), smooth(2), 5, encoding)
    datum = records.Datum.FromString(record)
    assert (datum.channels, datum.height, datum.width) == shape and datum.encoded == (encoding == "jpeg")
    previous, frame, label = records.decode_pair(record)
    assert label == 5
    for found, stored in ((previous, smooth(1)), (frame, smooth(2))):
        assert found.shape == (64, 64, 2) and np.abs(found.astype(int) - stored).max() <= most


# From videos to trained nets


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_pairs_of_flow(tmp_path, encoding):
    arguments = flow_set(tmp_path, one={}, two={"shift": (-1, 0)})
    assert run("build_frames", *arguments, "--out", tmp_path / "f.lmdb")[0] == 0
    status, _, error = run(
        "build_pairs",
        "--frames",
        tmp_path / "f.lmdb",
        "--list",
        tmp_path / "list.txt",
        "--classes",
        tmp_path / "classInd.txt",
        "--encoding",
        encoding,
        "--out",
        tmp_path / "p.lmdb",
    )
    assert status == 0, error
    stored, manifest = contents(tmp_path / "p.lmdb")
    assert len(stored) == manifest["counts"]["pairs"] == 4
    assert manifest["recipe"]["flow"] == records.read_manifest(tmp_path / "f.lmdb")["recipe"]["flow"]
    with records.open_records(tmp_path / "f.lmdb") as built, records.open_records(tmp_path / "p.lmdb") as pairs:
        assert built.channels == pairs.channels == 2
        for key, record in stored.items():
            _, name, t = records.parse_pair_key(key)
            for found, index in zip(records.decode_pair(record), (t - 1, t)):
                error = np.abs(found.astype(int) - built.frame(name, index)[0])
                assert error.max() <= (4 if encoding == "jpeg" else 0)


def test_caffe_trains_every_net_of_flow(tmp_path):
    arguments = flow_set(tmp_path, one={}, two={"shift": (-1, 0)})
    assert run("build_frames", *arguments, "--out", tmp_path / "f.lmdb")[0] == 0
    lists = tmp_path / "list.txt"
    assert (
        run(
            "build_pairs",
            "--frames",
            tmp_path / "f.lmdb",
            "--list",
            lists,
            "--classes",
            tmp_path / "classInd.txt",
            "--out",
            tmp_path / "p.lmdb",
        )[0]
        == 0
    )
    assert (
        run(
            "make_prototxt",
            "--out",
            tmp_path / "nets",
            "--channels",
            2,
            "--train-pairs",
            tmp_path / "p.lmdb",
            "--test-pairs",
            tmp_path / "p.lmdb",
            "--frames",
            tmp_path / "f.lmdb",
            "--train-list",
            lists,
            "--test-list",
            lists,
            "--classes",
            1,
            "--width",
            0.0625,
            "--size",
            48,
            "--batch",
            2,
            "--seed",
            1,
            "--iterations",
            2,
            "--cnn-iterations",
            2,
            "--test-iterations",
            1,
            "--snapshot",
            2,
        )[0]
        == 0
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "GLOG_minloglevel": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for name in ("cnn", "rcnn_r", "rcnn_s"):
        done = subprocess.run(
            ["caffe", "train", "-solver", tmp_path / f"nets/solver_{name}_flow.prototxt"],
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        weights = tmp_path / f"nets/snapshots/{name}_flow_iter_2.caffemodel"
        assert CaffeNetwork(tmp_path / f"nets/deploy_{name}_flow.prototxt", weights).channels == 2


# Scores


@pytest.fixture
def flow_lmdb(tmp_path, monkeypatch):
    """A working folder with a frames LMDB of flow and its list, and deploy nets of flow and of images by kind."""
    monkeypatch.chdir(tmp_path)
    frames.write(Path("f.lmdb"), {"v_Up_g01_c01": (0, 3), "v_Down_g01_c01": (1, 2)}, ["Up", "Down"], 25, channels=2)
    frames.write(Path("images.lmdb"), {"v_Up_g01_c01": (0, 3), "v_Down_g01_c01": (1, 2)}, ["Up", "Down"], 25)
    Path("classes.txt").write_text("1 Up\n2 Down\n")


def made(kind, channels=2):
    """Write a narrow deploy net for 48 x 48 input and random weights; return their paths."""
    message = DEPLOY[kind](net.Model(classes=2, width=0.0625, size=48, channels=channels))
    path, weights = Path(f"{kind}{channels}.prototxt"), Path(f"{kind}{channels}.caffemodel")
    path.write_text(text_format.MessageToString(message))
    caffe.set_random_seed(3)
    caffe.Net(str(path), caffe.TEST).save(str(weights))
    return path, weights


def scored(network, video, views):
    """Return the scores of one video's frames, frames x crops x signals x classes."""
    return np.concatenate([block for _, block in score_videos(network, [len(video)], lambda _, t: video[t], views, 99)])


def test_mirrored_crops_of_flow_reach_the_net(flow_lmdb):
    """Scores of ten crops are those of one crop of the frames and of their mirror, made here by hand."""
    network = CaffeNetwork(*made("pair"))
    stored = [np.kron(smooth(t, 26), np.ones((2, 2, 1), np.uint8)).astype(np.uint8) for t in range(3)]
    stored = [np.maximum(frame, 1) for frame in stored]
    found = scored(network, stored, 10)
    mirrored = [
        np.dstack([256 - frame[:, ::-1, 0].astype(int), frame[:, ::-1, 1]]).astype(np.uint8) for frame in stored
    ]
    other = scored(network, mirrored, 5)
    # A corner's mirror is the mirror's other corner: centre, right, left, right, left.
    np.testing.assert_allclose(found[:, 5:], other[:, [0, 2, 1, 4, 3]], atol=1e-6)
    assert np.abs(found[:, :5] - found[:, 5:]).max() > 1e-4


@pytest.mark.parametrize("kind", DEPLOY)
def test_evaluate_scores_flow(flow_lmdb, monkeypatch, kind):
    path, weights = made(kind)
    with records.open_records("f.lmdb") as built:
        big = {
            (name, t): np.kron(built.frame(name, t)[0], np.ones((2, 2, 1), np.uint8)).astype(np.uint8)
            for name, count in (("v_Up_g01_c01", 3), ("v_Down_g01_c01", 2))
            for t in range(count)
        }
    monkeypatch.setattr(records.Records, "frame", lambda self, name, t: (big[name, t], 0))
    words = [
        "--net",
        path,
        "--weights",
        weights,
        "--frames",
        "f.lmdb",
        "--list",
        "f.txt",
        "--classes",
        "classes.txt",
        "--crops",
        "5",
        "--out",
        "s.h5",
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words)])
    module("evaluate").main()
    network = CaffeNetwork(path, weights)
    with score_files.Scores("s.h5") as file:
        for index, name in enumerate(file.names):
            wanted = scored(network, [big[name, t] for t in range(len(file.times(index)))], 5)
            np.testing.assert_allclose(file.frames(index, "high"), wanted[:, :, 2], atol=1e-5)
        assert len(scores.predictions(file.fused("high")["log-mean"])) == 2


@pytest.mark.parametrize(
    "channels, lmdb, more, words",
    [
        (2, "images.lmdb", [], "--frames: images.lmdb has frames of 3 channels, frame2.prototxt takes 2"),
        (3, "f.lmdb", [], "--frames: f.lmdb has frames of 2 channels, frame3.prototxt takes 3"),
        (2, "f.lmdb", ["--mean", "1", "2", "3"], "--mean: 3 values for the 2 channels of frame2.prototxt"),
    ],
)
def test_frames_that_do_not_fit_the_net(flow_lmdb, monkeypatch, channels, lmdb, more, words):
    path, weights = made("frame", channels)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "evaluate.py",
            "--net",
            str(path),
            "--weights",
            str(weights),
            "--frames",
            lmdb,
            "--list",
            "f.txt",
            "--classes",
            "classes.txt",
            "--out",
            "s.h5",
            *more,
        ],
    )
    with pytest.raises(InputError, match=words):
        module("evaluate").main()
    assert not Path("s.h5").exists()


def test_a_stream_of_images_has_no_net_of_flow(flow_lmdb):
    with pytest.raises(InputError, match="recurrent2.prototxt takes optical flow"):
        Classifier(*made("recurrent"))


def test_the_means_of_both_kinds():
    assert crops.MEANS == {3: (104, 117, 123), 2: (128, 128)}
