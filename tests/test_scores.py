"""Score files, fusion and accuracy."""
import subprocess
import sys

import h5py
import numpy as np
import pytest
from runs import ROOT

from rcnn import score_files, scores
from rcnn.files import InputError

SIGNALS, CLASSES = ["medium", "high"], ["Up", "Down", "Épée"]


def softmax(generator, *shape):
    values = np.exp(generator.normal(size=shape)).astype(np.float32)
    return values / values.sum(axis=-1, keepdims=True)


def write(path, videos, **attributes):
    with score_files.writing(path, 5, SIGNALS, CLASSES, attributes) as writer:
        for name, label, values in videos:
            writer.add(name, label, np.arange(len(values)) / 5, values)


@pytest.fixture
def videos():
    generator = np.random.default_rng(1)
    return [(f"v_{index}", index % 3, softmax(generator, frames, 5, 2, 3)) for index, frames in enumerate((3, 1, 90))]


def test_a_file_gives_back_what_was_written(tmp_path, videos):
    write(tmp_path / "s.h5", videos, fps="5.0", crops=5, mean=[1.0, 2.0, 3.0])
    with score_files.Scores(tmp_path / "s.h5") as file:
        assert (file.names, file.signals, file.classes) == (["v_0", "v_1", "v_2"], SIGNALS, CLASSES)
        assert file.first.tolist() == [0, 3, 4, 94] and file.labels.tolist() == [0, 1, 2] and len(file) == 3
        assert file.attributes["fps"] == "5.0" and file.attributes["mean"].tolist() == [1.0, 2.0, 3.0]
        for index, (_, _, values) in enumerate(videos):
            assert np.array_equal(file.frames(index, "high"), values[:, :, 1])
            assert np.array_equal(file.times(index), np.arange(len(values)) / 5)
        expected = [np.log(values[:, :, 0].astype(float).mean(axis=1)).mean(axis=0) for _, _, values in videos]
        assert np.allclose(file.videos("medium"), expected, atol=1e-12)
        with pytest.raises(InputError, match="no signal low"):
            file.frames(0, "low")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["scores"].shape == (94, 5, 2, 3) and file["scores"].dtype == np.float32
        assert (file["first"].dtype, file["labels"].dtype, file["times"].dtype) == (np.int64, np.int64, np.float64)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_write_nothing(tmp_path, videos, value):
    (tmp_path / "s.h5").write_text("old")
    videos[2][2][41, 3, 0, 1] = value
    with pytest.raises(InputError, match="v_2, frame 42 of 90"):
        write(tmp_path / "s.h5", videos)
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"] and (tmp_path / "s.h5").read_text() == "old"


def test_wrong_shapes_and_labels(tmp_path, videos):
    for bad in (("v", 3, videos[0][2]), ("v", 0, videos[0][2][:, :4]), ("v", 0, videos[0][2][:0])):
        with pytest.raises(InputError, match="scores of v"):
            write(tmp_path / "s.h5", [bad])


FULL = """
import resource, signal, sys
import numpy as np
from rcnn import command, score_files

def main():
    with score_files.writing("s.h5", 5, ["high"], ["a", "b"], {}) as writer:
        for video in range(40):
            writer.add(f"v{video}", 0, range(30), np.zeros((30, 5, 1, 2)))

limit = int(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the system ends a program that writes more
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
command.run(main)
"""


@pytest.mark.parametrize("limit", [100, 3000, 30000, 50000])
def test_a_full_disk_is_one_line(tmp_path, limit):
    done = subprocess.run([sys.executable, "-c", FULL, str(limit)], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "-c: cannot write s.h5: File too large\n")
    assert not list(tmp_path.iterdir())


def test_other_files(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["scores"] = 1
    for name, said in (("none.h5", "no such file"), ("text.h5", "not an HDF5"), ("other.h5", "has no classes")):
        with pytest.raises(InputError, match=said):
            score_files.Scores(tmp_path / name)


def test_average_crops_is_over_crops():
    values = softmax(np.random.default_rng(2), 4, 5, 3)
    assert np.allclose(scores.average_crops(values), sum(values[:, crop] for crop in range(5)) / 5)


def test_each_fusion_by_hand():
    frames = np.array([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.0, 0.9, 0.1]])
    assert np.allclose(scores.fuse(frames, "mean"), [1 / 3, 1.7 / 3, 0.1])
    assert np.allclose(scores.fuse(frames, "max"), [0.5, 0.9, 0.1])
    assert np.allclose(scores.fuse(frames), [(2 * np.log(0.5) + np.log(1e-12)) / 3, (2 * np.log(0.4) + np.log(0.9)) / 3,
                                             np.log(0.1)])
    assert scores.fuse(frames, floor=0.1)[0] == pytest.approx((2 * np.log(0.5) + np.log(0.1)) / 3)
    with pytest.raises(InputError, match="median"):
        scores.fuse(frames, "median")
    with pytest.raises(InputError, match="at least one frame"):
        scores.fuse(frames[:0])


def test_the_fusions_may_disagree():
    frames = np.array([[0.10, 0.30, 0.6], [0.10, 0.30, 0.6], [0.899, 0.1, 0.001]])
    assert [int(scores.fuse(frames, how).argmax()) for how in scores.FUSIONS] == [1, 2, 0]


def test_predictions_refuse_nan():
    with pytest.raises(InputError, match="not finite"):
        scores.predictions([[0.1, np.nan]])


def test_accuracy_and_confusion():
    predicted, labels = [0, 1, 1, 2, 1], [0, 1, 2, 2, 2]
    assert scores.accuracy(predicted, labels) == 0.6
    assert scores.confusion(predicted, labels, 4).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0]]
    with pytest.raises(InputError):
        scores.accuracy([], [])
    with pytest.raises(InputError):
        scores.accuracy([0], [0, 1])
