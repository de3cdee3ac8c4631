"""rcnn/data/sequences.py over real frames LMDBs, whose pixels say what they are."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import frames
import lmdb
import numpy as np
import pytest

from rcnn.data import records
from rcnn.data.builds import Build
from rcnn.data.lists import Video
from rcnn.data.sequences import listed_videos, open_frames, rows
from rcnn.files import InputError

CLASSES = ["Left", "Right", "Still"]
VIDEOS = {"v_Right_g01_c01": (1, 3), "v_Left_g01_c01": (0, 1), "v_Still_g01_c01": (2, 2)}


@pytest.fixture
def source(tmp_path):
    return frames.write(tmp_path / "f.lmdb", VIDEOS, CLASSES)


def rows_of(source, steps, streams, seed=None):
    """Return [[((number of the video, t), label, first) of each row] of each step]; checks the images."""
    opened = open_frames(source)
    videos, _ = listed_videos(opened, source.with_suffix(".txt"))
    made = []
    with ThreadPoolExecutor(2) as executor:
        for step in islice(rows(opened, videos, streams, seed, executor), steps):
            made.append([])
            for image, label, first in step:
                video, t = divmod(int(image[0, 0, 2]), 16)
                np.testing.assert_array_equal(image, frames.image(video, t))
                assert image.dtype == np.uint8
                made[-1].append(((video, t), label, first))
    return made


def test_images_labels_and_marks(source):
    assert rows_of(source, 4, 2) == [
        [((0, 0), 1, True), ((1, 0), 0, True)],
        [((0, 1), 1, False), ((2, 0), 2, True)],
        [((0, 2), 1, False), ((2, 1), 2, False)],
        [((0, 0), 1, True), ((1, 0), 0, True)],
    ]


def test_the_list_says_which_videos_and_in_which_order(source):
    source.with_suffix(".txt").write_text("Still/v_Still_g01_c01.avi\nRight/v_Right_g01_c01.avi 2\n")
    assert [row[0][0] for row in rows_of(source, 6, 1)] == [(2, 0), (2, 1), (0, 0), (0, 1), (0, 2), (2, 0)]


def test_a_seed_shuffles_alike(source):
    assert rows_of(source, 20, 2, 1) == rows_of(source, 20, 2, 1) != rows_of(source, 20, 2, 2)
    assert rows_of(source, 20, 2, 1) != rows_of(source, 20, 2)


def test_videos_with_their_times_and_those_that_were_skipped(tmp_path):
    source = frames.write(tmp_path / "f.lmdb", {**VIDEOS, "v_Left_g02_c01": (0, 0)}, CLASSES)
    opened = open_frames(source)
    videos, skipped = listed_videos(opened, source.with_suffix(".txt"))
    assert [(video.name, video.label, times) for video, times in videos] == [
        ("v_Right_g01_c01", 1, [0, 0.2, 0.4]),
        ("v_Left_g01_c01", 0, [0]),
        ("v_Still_g01_c01", 2, [0, 0.2]),
    ]
    assert skipped == [(Video("v_Left_g02_c01", "Left/v_Left_g02_c01.avi", 0), "broken")]
    assert [row[0][0] for row in rows_of(source, 7, 1)] == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (0, 0)]


def test_one_database_for_all_who_hold_it_and_closed_after(source, monkeypatch):
    one = open_frames(source)
    monkeypatch.chdir(source.parent)
    assert open_frames("f.lmdb") is one is open_frames(str(source))
    alive = weakref.ref(one)
    del one
    gc.collect()
    assert alive() is None
    lmdb.open(str(source)).close()  # newer releases of lmdb refuse a database that is still open in this process


LIST = "Right/v_Right_g01_c01.avi\n"
LACKING = "Left/v_Left_g09_c01.avi\nLeft/v_Left_g08_c01.avi"


@pytest.mark.parametrize(
    "text, said",
    [
        (LIST + LACKING, "f.lmdb lacks 2 of the 3 videos of .*f.txt, the first is v_Left_g09_c01; build the frames"),
        ("Left/v_Right_g01_c01.avi", "v_Right_g01_c01 has label 1 in .*f.lmdb, but 0 by .*f.txt and the class list"),
        ("Left/v_Left_g02_c01.avi", "f.txt has no video with frames in .*f.lmdb"),
        ("Up/v_Up_g01_c01.avi", "f.txt, line 1: class Up is not in the class list"),
    ],
)
def test_a_list_that_the_lmdb_cannot_give(tmp_path, text, said):
    source = frames.write(tmp_path / "f.lmdb", {**VIDEOS, "v_Left_g02_c01": (0, 0)}, CLASSES)
    path = source.with_suffix(".txt")
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        listed_videos(open_frames(source), path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "lacking, said",
    [
        (["classes"], "f.lmdb/manifest.json does not say the classes of the frames; build them anew with"),
        (["size", "classes"], "does not say the classes and size of"),
    ],
)
def test_a_manifest_that_lacks_something(tmp_path, lacking, said):
    source = frames.write(tmp_path / "f.lmdb", VIDEOS, CLASSES, lacking=lacking)
    for _ in range(2):
        with pytest.raises(InputError, match=said):
            open_frames(source)


def test_pairs_are_no_frames(tmp_path):
    with Build(tmp_path / "p.lmdb", "pairs", {"classes": CLASSES, "size": 12}, print) as build:
        build.finish(counts={"pairs": 0})
    with pytest.raises(InputError, match="p.lmdb holds pairs, not frames"):
        open_frames(tmp_path / "p.lmdb")


def test_a_damaged_record(tmp_path):
    with Build(tmp_path / "f.lmdb", "frames", {"classes": CLASSES, "size": 12}, print) as build:
        build.put([(records.frame_key("v_Left_g01_c01", 0), records.Datum(data=b"no").SerializeToString())])
        video = {"name": "v_Left_g01_c01", "label": 0, "frames": 1, "times": [0.0]}
        build.finish(counts={"frames": 1}, skipped=[], videos=[video])
    (tmp_path / "f.txt").write_text("Left/v_Left_g01_c01.avi")
    with pytest.raises(InputError, match="JPEG cannot be decoded"):
        rows_of(tmp_path / "f.lmdb", 1, 1)
