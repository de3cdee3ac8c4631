"""Score files as they are written: an interrupted writer goes on, and nothing but a whole file is there."""

import errno
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import tracemalloc

import h5py
import numpy as np
import pytest
from made_scores import CLASSES, begin, fill, made_videos, write
from runs import ROOT

from rcnn.files import InputError, WriteError, locked, remove
from rcnn.scoring import score_writing
from rcnn.scoring.score_files import Scores
from rcnn.scoring.score_writing import writing


@pytest.fixture
def videos():
    return made_videos()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def check_same(path, videos, signals=("medium", "high")):
    with Scores(path) as file:
        assert file.names == [name for name, _, _ in videos] and file.signals == list(signals)
        assert file.labels.tolist() == [label for _, label, _ in videos]
        for index, (_, _, values) in enumerate(videos):
            assert np.array_equal(file.times(index), np.arange(len(values)) / 5)
            for place, name in enumerate(signals):
                assert np.array_equal(file.frames(index, name), values[:, :, place])


def test_a_file_gives_back_what_was_written(tmp_path, videos):
    write(tmp_path / "new/s.h5", videos, fps="5.0", crops_seen=5, mean=[1.0, 2.0, 3.0])
    check_same(tmp_path / "new/s.h5", videos)
    with Scores(tmp_path / "new/s.h5") as file:
        assert (len(file), file.crops, file.classes, file.first.tolist()) == (3, 5, CLASSES, [0, 3, 4, 94])
        assert file.attributes["fps"] == "5.0" and file.attributes["mean"].tolist() == [1.0, 2.0, 3.0]
        with pytest.raises(InputError, match="no signal low; it has medium, high"):
            file.frames(0, "low")
    assert names(tmp_path / "new") == ["s.h5"]
    with h5py.File(tmp_path / "new/s.h5") as file:
        assert file["scores"].shape == (94, 5, 2, 3) and file["scores"].dtype == np.float32
        assert (file["first"].dtype, file["labels"].dtype, file["times"].dtype) == (np.int64, np.int64, np.float64)


def test_blocks_of_several_videos_may_alternate(tmp_path, videos):
    """An old file is replaced at the end only."""
    (tmp_path / "s.h5").write_text("old")
    places = [0, 0, 0]
    with begin(tmp_path / "s.h5", videos) as writer:
        for index, count in ((2, 50), (0, 1), (2, 39), (1, 1), (0, 2), (2, 1)):
            writer.add(index, videos[index][2][places[index] : places[index] + count])
            places[index] += count
        assert writer.done == {0, 1, 2} and (tmp_path / "s.h5").read_text() == "old"
    check_same(tmp_path / "s.h5", videos)


def test_a_failure_keeps_the_finished_videos(tmp_path, videos):
    """But not rows that were cut short."""
    with pytest.raises(KeyboardInterrupt), begin(tmp_path / "s.h5", videos) as writer:
        writer.add(2, videos[2][2])
        writer.add(1, videos[1][2])
        writer.add(0, videos[0][2][:2])
        raise KeyboardInterrupt
    assert names(tmp_path) == ["s.h5.partial"]
    os.truncate(tmp_path / "s.h5.partial/000001.f32", 100)
    with begin(tmp_path / "s.h5", videos) as writer:
        assert writer.done == {2}
        writer.add(0, videos[0][2])
        writer.add(1, videos[1][2])
    check_same(tmp_path / "s.h5", videos)
    assert names(tmp_path) == ["s.h5"]


def test_a_video_that_is_missing_or_there_already(tmp_path, videos):
    with pytest.raises(InputError, match="scores of v_1: 0 of its 1 frames came"):
        with begin(tmp_path / "s.h5", videos) as writer:
            writer.add(0, videos[0][2])
            with pytest.raises(InputError, match="scores of v_0: .* 0 of its 3 frames are due"):
                writer.add(0, videos[0][2][:1])
    assert names(tmp_path) == ["s.h5.partial"]


def test_what_is_left_of_a_folder_being_removed_is_not_taken(tmp_path, videos):
    (tmp_path / "s.h5.partial").mkdir()
    (tmp_path / "s.h5.partial/000000.f32").write_bytes(bytes(videos[0][2].nbytes))
    write(tmp_path / "s.h5", videos)
    check_same(tmp_path / "s.h5", videos)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"weights": "b"}, 'its weights is "a", now it is "b"'),
        ({"weights": None}, "its weights is .*, now it is null"),
        ({"crops": 10}, "its crops is 5, now it is 10"),
        ({"classes": ["Up", "Left", "Épée"]}, 'its classes is .*"Down".*, now it is .*"Left"'),
        ({"video": ("v_1", 2, 1)}, "its video 2 is v_1 with label 1, now it is v_1 with label 2"),
        ({"video": ("v_x", 1, 1)}, "its video 2 is v_1 with label 1, now it is v_x with label 1"),
        ({"video": ("v_1", 1, 2)}, "its video 2, v_1, has other frame times"),
        ({"count": 2}, "it is of 3 videos, now there are 2"),
    ],
)
def test_the_folder_of_another_run_is_left_alone(tmp_path, videos, change, said):
    with pytest.raises(KeyboardInterrupt), begin(tmp_path / "s.h5", videos, weights="a") as writer:
        writer.add(1, videos[1][2])
        raise KeyboardInterrupt
    before = {path: path.read_bytes() for path in (tmp_path / "s.h5.partial").iterdir()}
    options = {"weights": "a", **change}
    name, label, count = options.pop("video", ("v_1", 1, 1))
    others = [videos[0], (name, label, videos[2][2][:count]), videos[2]][: options.pop("count", None)]
    with pytest.raises(InputError, match=r"s.h5.partial was made with other settings \(" + said) as error:
        with begin(tmp_path / "s.h5", others, **options):
            pass
    assert "name another" in str(error.value) and "\n" not in str(error.value)
    assert before == {path: path.read_bytes() for path in (tmp_path / "s.h5.partial").iterdir()}
    assert names(tmp_path) == ["s.h5.partial"]


def test_folders_that_are_no_unfinished_run(tmp_path, videos):
    folder = tmp_path / "s.h5.partial"
    folder.mkdir()
    with locked(folder, beside=True), pytest.raises(InputError, match="another program is at work"):
        write(tmp_path / "s.h5", videos)
    (folder / "thesis.txt").touch()
    with pytest.raises(InputError, match="holds something else than unfinished scores"):
        write(tmp_path / "s.h5", videos)
    (folder / "run.json").write_text("{")
    with pytest.raises(InputError, match="run.json is damaged"):
        write(tmp_path / "s.h5", videos)
    assert names(folder) == ["run.json", "thesis.txt"]
    (tmp_path / "t.h5.partial").touch()
    with pytest.raises(WriteError, match="cannot make the folder .*t.h5.partial: File exists"):
        write(tmp_path / "t.h5", videos)


def test_scores_that_are_not_finite_write_nothing(tmp_path, videos):
    (tmp_path / "s.h5").write_text("old")
    videos[2][2][41, 3, 0, 1] = np.inf
    with pytest.raises(InputError, match="v_2, frame 42 of 90"):
        with begin(tmp_path / "s.h5", videos) as writer:
            writer.add(2, videos[2][2][:40])
            writer.add(2, videos[2][2][40:60])
    assert names(tmp_path) == ["s.h5"] and (tmp_path / "s.h5").read_text() == "old"


def test_wrong_shapes_and_labels(tmp_path, videos):
    values = videos[0][2]
    for bad in (("v", 3, values), ("v", -1, values), ("v", 0, values[:, :4]), ("v", 0, values[:0])):
        with pytest.raises(InputError, match="scores of v"):
            write(tmp_path / "s.h5", [bad])
    with pytest.raises(InputError, match="scores of v_1: the video is there twice"):
        write(tmp_path / "s.h5", [videos[1], videos[0], videos[1]])
    with pytest.raises(InputError, match="no videos"):
        write(tmp_path / "s.h5", [])
    with pytest.raises(InputError, match="scores of v_0"), begin(tmp_path / "s.h5", videos) as writer:
        writer.add(0, np.concatenate([values, values]))
    assert not names(tmp_path)


def killed(path, videos, moment):
    """Write in a process of its own, which kills itself at the moment-th call of any function; return its exit code."""

    def work():
        calls = iter(range(moment))
        sys.setprofile(lambda *_: next(calls, None) is None and os.kill(os.getpid(), signal.SIGKILL))
        write(path, videos, weights="w")
        sys.setprofile(None)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def test_killed_at_any_moment_it_goes_on(tmp_path, videos):
    path, seen = tmp_path / "s.h5", set()
    low, high = 1, 1 << 20  # how many calls it takes: killed at `low`, not at `high`
    while high - low > 1:
        middle = (low + high) // 2
        if killed(path, videos, middle) == 0:
            high = middle
        else:
            low = middle
        remove(path)
        remove(tmp_path / "s.h5.partial")
    for moment in np.unique([*np.linspace(1, low, 30, dtype=int), *range(low - 40, low + 1, 4)]):
        assert killed(path, videos, int(moment)) == -signal.SIGKILL
        assert not path.exists() or Scores(path).__exit__() is None
        killed(path, videos, int(moment) // 2)
        with begin(path, videos, weights="w") as writer:
            seen.add(len(writer.done))
            fill(writer, videos)
        check_same(path, videos)
        assert names(tmp_path) == ["s.h5"]
        path.unlink()
    assert seen == {0, 1, 2, 3}


FULL = """
import resource, signal, sys
import numpy as np
from rcnn import command
from rcnn.scoring import score_writing

def main():
    videos = [(f"v{video}", 0, range(30)) for video in range(40)]
    with score_writing.writing("s.h5", videos, 5, ["high"], ["a", "b"], {}) as writer:
        for video in sorted(set(range(40)) - writer.done):
            writer.add(video, np.zeros((30, 5, 1, 2)))

limit = int(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the system ends a program that writes more
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
command.run(main)
"""


def full(folder, limit):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(limit)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("limit, what, left", [(100, "run.json", 0), (10000, "whole.h5", 40), (45000, "whole.h5", 40)])
def test_a_full_disk_is_one_line(tmp_path, limit, what, left):
    assert full(tmp_path, limit) == (2, "", f"-c: cannot write s.h5.partial/{what}: File too large\n")
    assert len(list(tmp_path.glob("s.h5.partial/*.f32"))) == left and not (tmp_path / "s.h5").exists()
    assert names(tmp_path) == (["s.h5.partial"] if left else [])
    assert full(tmp_path, 1 << 20) == (0, "", "") and names(tmp_path) == ["s.h5"]


def test_a_disk_that_fills_while_a_video_is_added(tmp_path, videos, monkeypatch):
    usual = open

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(
        score_writing, "open", lambda path, mode: Full(path, mode) if mode == "ab" else usual(path, mode), raising=False
    )
    with pytest.raises(WriteError, match="cannot write .*s.h5.partial: No space left on device"):
        write(tmp_path / "s.h5", videos)
    assert not names(tmp_path)


def test_a_disk_that_fills_as_the_file_is_closed(tmp_path, videos, monkeypatch):
    class Full(score_writing._Disk):
        def truncate(self, size=None):
            self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return size

    with monkeypatch.context() as patch, pytest.raises(WriteError, match="whole.h5: No space left on device"):
        patch.setattr(score_writing, "_Disk", Full)
        write(tmp_path / "s.h5", videos)
    assert names(tmp_path) == ["s.h5.partial"]
    with begin(tmp_path / "s.h5", videos) as writer:
        assert writer.done == {0, 1, 2}
    check_same(tmp_path / "s.h5", videos)


def test_memory_does_not_grow_with_a_video(tmp_path):
    frames, block, classes = 30000, np.full((100, 10, 1, 20), 0.05, np.float32), list("abcdefghijklmnopqrst")
    tracemalloc.start()
    try:
        with writing(tmp_path / "s.h5", [("v", 0, np.arange(frames) / 5)], 10, ["high"], classes, {}) as writer:
            started = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(frames // 100):
                writer.add(0, block)
        assert (tracemalloc.get_traced_memory()[1] - started) < 0.1 * frames // 100 * block.nbytes
    finally:
        tracemalloc.stop()
    with Scores(tmp_path / "s.h5") as file:
        assert file.times(0)[-1] == (frames - 1) / 5 and np.allclose(file.videos("high"), np.log(0.05))
