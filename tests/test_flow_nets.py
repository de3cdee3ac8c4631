"""The flow stream from videos to scores: records, pairs, Caffe's own training, and what the deploy nets give."""

import sys
from pathlib import Path

import caffe
import frames
import numpy as np
import pytest
from google.protobuf import text_format
from nets import caffe_program, tool
from runs import contents, module, run
from videos import flow_set

from rcnn.data import crops, flow, records
from rcnn.files import InputError
from rcnn.nets import prototxt as net
from rcnn.nets.caffe_net import CaffeNetwork
from rcnn.scoring import score_files
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
    decoded, label = records.decode_frame(record)
    assert decoded.shape == (64, 64, 2) and decoded.dtype == np.uint8 and label == 7
    error = np.abs(decoded.astype(int) - stored)
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
    for decoded, stored in ((previous, smooth(1)), (frame, smooth(2))):
        assert decoded.shape == (64, 64, 2) and np.abs(decoded.astype(int) - stored).max() <= most


# From videos to trained nets


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with a frames LMDB of flow of two videos, and pairs of both encodings."""
    folder = tmp_path_factory.mktemp("flow")
    status, _, error = run(
        "build_frames", *flow_set(folder, one={}, two={"shift": (-1, 0)}), "--out", folder / "f.lmdb"
    )
    assert status == 0, error
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for encoding in ("jpeg", "raw"):
            lists = "--list list.txt --classes classInd.txt"
            tool("build_pairs", f"--frames f.lmdb {lists} --encoding {encoding} --out {encoding}.lmdb")
    return folder


@pytest.mark.parametrize("encoding, most", [("jpeg", 4), ("raw", 0)])
def test_pairs_of_flow(built, encoding, most):
    stored, manifest = contents(built / f"{encoding}.lmdb")
    assert len(stored) == manifest["counts"]["pairs"] == 4
    assert manifest["recipe"]["flow"] == records.read_manifest(built / "f.lmdb")["recipe"]["flow"]
    with (
        records.open_records(built / "f.lmdb") as one_by_one,
        records.open_records(built / f"{encoding}.lmdb") as pairs,
    ):
        assert one_by_one.channels == pairs.channels == 2
        for key, record in stored.items():
            _, name, t = records.parse_pair_key(key)
            for frame, index in zip(records.decode_pair(record), (t - 1, t)):
                assert np.abs(frame.astype(int) - one_by_one.frame(name, index)[0]).max() <= most


def test_caffe_trains_every_net_of_flow(built, monkeypatch):
    monkeypatch.chdir(built)
    tool(
        "make_prototxt",
        "--out nets --channels 2 --train-pairs jpeg.lmdb --test-pairs jpeg.lmdb --frames f.lmdb --train-list list.txt "
        "--test-list list.txt --classes 1 --width 0.0625 --size 48 --batch 2 --seed 1 --iterations 2 "
        "--cnn-iterations 2 --test-iterations 1 --snapshot 2",
    )
    for name in ("cnn", "rcnn_r", "rcnn_s"):
        done = caffe_program("train", "-solver", f"nets/solver_{name}_flow.prototxt")
        assert done.returncode == 0, done.stderr[-2000:]
        weights = f"nets/snapshots/{name}_flow_iter_2.caffemodel"
        assert CaffeNetwork(f"nets/deploy_{name}_flow.prototxt", weights).channels == 2


# Scores


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with frames LMDBs of flow and of images, their lists, and classes."""
    monkeypatch.chdir(tmp_path)
    videos = {"v_Up_g01_c01": (0, 3), "v_Down_g01_c01": (1, 2)}
    for name, channels in (("flow", 2), ("images", 3)):
        frames.write(Path(f"{name}.lmdb"), videos, ["Up", "Down"], 60, channels=channels)
    Path("classes.txt").write_text("1 Up\n2 Down\n")


def narrow(kind, channels=2):
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


def evaluate(monkeypatch, path, weights, lmdb, words=""):
    command = (
        f"--net {path} --weights {weights} --frames {lmdb} --list flow.txt --classes classes.txt --out s.h5 {words}"
    )
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *command.split()])
    module("evaluate").main()


def test_mirrored_crops_of_flow_reach_the_net(folder):
    """Scores of ten crops are those of one crop of the frames and of their mirror, made here by hand."""
    network = CaffeNetwork(*narrow("pair"))
    stored = [np.maximum(smooth(t, 52), 1) for t in range(3)]
    mirrored = [
        np.dstack([256 - frame[:, ::-1, 0].astype(int), frame[:, ::-1, 1]]).astype(np.uint8) for frame in stored
    ]
    ten, other = scored(network, stored, 10), scored(network, mirrored, 5)
    # A corner's mirror is the mirror's other corner: centre, right, left, right, left.
    np.testing.assert_allclose(ten[:, 5:], other[:, [0, 2, 1, 4, 3]], atol=1e-6)
    assert np.abs(ten[:, :5] - ten[:, 5:]).max() > 1e-4


@pytest.mark.parametrize("kind", DEPLOY)
def test_evaluate_scores_flow(folder, monkeypatch, kind):
    path, weights = narrow(kind)
    evaluate(monkeypatch, path, weights, "flow.lmdb", "--crops 5")
    network = CaffeNetwork(path, weights)
    with score_files.Scores("s.h5") as file, records.open_records("flow.lmdb") as stored:
        assert len(file.fused("high")["log-mean"]) == 2
        for index, name in enumerate(file.names):
            video = [stored.frame(name, t)[0] for t in range(len(file.times(index)))]
            expected = scored(network, video, 5)[:, :, 2]
            assert np.ptp(expected) > 1e-3
            np.testing.assert_allclose(file.frames(index, "high"), expected, atol=1e-5)


@pytest.mark.parametrize(
    "channels, lmdb, words, message",
    [
        (2, "images.lmdb", "", "--frames: images.lmdb has frames of 3 channels, frame2.prototxt takes 2"),
        (3, "flow.lmdb", "", "--frames: flow.lmdb has frames of 2 channels, frame3.prototxt takes 3"),
        (2, "flow.lmdb", "--mean 1 2 3", "--mean: 3 values for the 2 channels of frame2.prototxt"),
    ],
)
def test_frames_that_do_not_fit_the_net(folder, monkeypatch, channels, lmdb, words, message):
    with pytest.raises(InputError, match=message):
        evaluate(monkeypatch, *narrow("frame", channels), lmdb, words)
    assert not Path("s.h5").exists()


def test_a_stream_of_images_has_no_net_of_flow(folder):
    with pytest.raises(InputError, match="recurrent2.prototxt takes optical flow"):
        Classifier(*narrow("recurrent"))


def test_the_means_of_both_kinds():
    assert crops.MEANS == {3: (104, 117, 123), 2: (128, 128)}
