"""Score files as they are read: whole, matched, and fused as NumPy fuses them."""

import re

import h5py
import numpy as np
import pytest
from made_scores import CLASSES, made_videos, softmax, write

from rcnn.files import InputError
from rcnn.googlenet import SIGNALS
from rcnn.scoring.score_files import Scores, matched


@pytest.fixture
def videos():
    return made_videos()


@pytest.fixture
def triple():
    """Videos of ten crops and three signals, some of their scores zero."""
    generator = np.random.default_rng(2)
    videos = [(f"v_{index}", index, softmax(generator, frames, 10, 3, 3)) for index, frames in enumerate((70, 1, 4))]
    videos[0][2][::7, :, :, 1] = 0
    return videos


def by_numpy(values, places, crops, how):
    """Return the fused score of one video, each step as a sum, in float64."""
    frames = sum(values[:, crop, place].astype(float) for crop in range(crops) for place in places)
    frames = frames / (crops * len(places))
    if how == "max":
        return np.array([max(column) for column in frames.T])
    terms = frames if how == "mean" else np.log(np.where(frames < 1e-12, 1e-12, frames))
    return sum(terms[index] for index in range(len(terms))) / len(terms)


@pytest.mark.parametrize("crops", [1, 5, None])
@pytest.mark.parametrize("signal_name, places", [("low", [0]), ("high", [2]), ("all", [0, 1, 2])])
def test_fused_scores_are_numpys(tmp_path, triple, crops, signal_name, places):
    write(tmp_path / "s.h5", triple, crops=10, signals=SIGNALS)
    with Scores(tmp_path / "s.h5") as file:
        fused = file.fused(signal_name, crops=crops)
        assert list(fused) == ["log-mean", "mean", "max"]
        for how, scores in fused.items():
            expected = [by_numpy(values, places, crops or 10, how) for _, _, values in triple]
            assert scores.dtype == np.float64 and np.allclose(scores, expected, rtol=1e-12, atol=0)
            assert np.isfinite(scores).all()
            assert np.array_equal(file.videos(signal_name, how, crops), scores)


def test_signals_and_crops_that_are_not_there(tmp_path, videos):
    with Scores(write(tmp_path / "s.h5", videos)) as file:
        with pytest.raises(InputError, match="has no signal low; it has medium, high"):
            file.fused("all")
        with pytest.raises(InputError, match="s.h5 has 5 crops a frame, 10 are asked for"):
            file.videos("high", crops=10)


def test_the_order_of_videos_does_not_matter(tmp_path, videos):
    order = [2, 0, 1]
    with (
        Scores(write(tmp_path / "a.h5", videos)) as one,
        Scores(write(tmp_path / "b.h5", [videos[index] for index in order])) as two,
    ):
        assert matched(two, one).tolist() == order and matched(one, two).tolist() == [1, 2, 0]
        for how in ("mean", "max", "log-mean"):
            assert np.array_equal(one.videos("high", how), two.videos("high", how)[matched(one, two)])


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda videos: {"videos": videos[:2]}, "video v_2 is in .*a.h5, but not in .*b.h5"),
        (lambda videos: {"videos": [*videos, ("v_9", 0, videos[0][2])]}, "video v_9 is in .*b.h5, but not in .*a.h5"),
        (
            lambda videos: {"videos": [videos[0], ("v_1", 2, videos[1][2]), videos[2]]},
            "video v_1 is of class Down in .*a.h5, but of Épée in .*b.h5",
        ),
        (
            lambda videos: {"videos": videos, "classes": ["Up", "Left", "Épée"]},
            "class 2 is Down in .*a.h5, but Left in",
        ),
        (
            lambda videos: {
                "videos": [(*video[:2], np.pad(video[2], [(0, 0)] * 3 + [(0, 1)])) for video in videos],
                "classes": [*CLASSES, "More"],
            },
            "a.h5 has 3 classes, but .*b.h5 4",
        ),
    ],
)
def test_files_that_do_not_match(tmp_path, videos, change, said):
    with Scores(write(tmp_path / "a.h5", videos)) as one, Scores(write(tmp_path / "b.h5", **change(videos))) as two:
        with pytest.raises(InputError, match=said):
            matched(one, two)


def test_a_file_cut_short(tmp_path, videos):
    whole = write(tmp_path / "s.h5", videos).read_bytes()
    for length in [*range(0, len(whole), max(1, len(whole) // 20)), len(whole) - 1]:
        (tmp_path / "cut.h5").write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut.h5 is cut short or not an HDF5 file") as error:
            Scores(tmp_path / "cut.h5")
        assert "\n" not in str(error.value)


def test_other_files(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["scores"] = 1
    for name, said in (("none.h5", "no such file"), ("text.h5", "not an HDF5"), ("other.h5", "has no classes")):
        with pytest.raises(InputError, match=said):
            Scores(tmp_path / name)


@pytest.mark.parametrize(
    "part, value",
    [
        ("scores", np.zeros((94, 5, 2), np.float32)),
        ("scores", np.zeros((94, 5, 2, 4), np.float32)),
        ("scores", np.zeros((93, 5, 2, 3), np.float32)),
        ("scores", np.zeros((94, 5, 2, 3), np.int64)),
        ("first", [0, 3, 94]),
        ("first", [0, 3, 3, 94]),
        ("first", [1, 3, 4, 94]),
        ("first", [0, 3, 4, 93]),
        ("times", np.zeros(93)),
        ("labels", [0, 1]),
        ("labels", [0, 1, 3]),
        ("labels", [0, -1, 2]),
        ("labels", [0.5, 1, 2]),
        ("names", ["a", "b"]),
        ("names", ["a", "b", "a"]),
        ("names", [1, 2, 3]),
        ("classes", ["a", "b"]),
        ("signals", ["high"]),
        ("first", None),
    ],
)
def test_a_file_whose_parts_disagree(tmp_path, videos, part, value):
    write(tmp_path / "s.h5", videos)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        del file[part]
        file.create_group(part) if value is None else file.create_dataset(part, data=value)
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 's.h5'} is damaged (")) as error:
        Scores(tmp_path / "s.h5")
    assert "\n" not in str(error.value)
