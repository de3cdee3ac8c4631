"""rcnn/scoring/display.py: annotated frames, videos that are whole or absent, and a history that is bounded."""

import resource
import subprocess
import sys

import cv2
import numpy as np
import pytest
from runs import ROOT
from videos import number_of, numbered

from rcnn.files import InputError, ProgramError
from rcnn.scoring import display
from rcnn.scoring.display import BLUE, Canvas, History, best, writing_video


def test_best():
    assert best([0.1, 0.4, 0.2, 0.4], "abcd", 3) == [("b", 0.4), ("d", 0.4), ("c", 0.2)]
    assert best(np.float32([0.25, 0.75]), "ab") == [("b", 0.75), ("a", 0.25)]
    assert len(best(np.arange(9), range(9))) == 5


def columns(canvas, colour):
    """Return how many pixels of a colour each row has."""
    return (canvas == np.uint8(colour)).all(axis=2).sum(axis=1)


@pytest.mark.parametrize("height, width", [(240, 320), (1080, 1920), (33, 41), (16, 900), (900, 64)])
def test_a_canvas_is_fit_for_a_video_and_shows_the_frame(height, width):
    canvas = Canvas(height, width)
    drawn = canvas.draw(numbered(77, height, width), 1.0, ("a", 0.5), [("a", 0.5)])
    assert drawn.shape == (*canvas.shape, 3) and drawn.dtype == np.uint8
    assert canvas.shape[0] % 2 == canvas.shape[1] % 2 == 0
    assert 240 <= canvas.shape[0] <= 720 and canvas.shape[1] <= 2000
    panel = round(display.PANEL * canvas.shape[0] / 240)
    view = drawn[:, : canvas.shape[1] - panel]
    middle = view[view.shape[0] // 2 - 3 : view.shape[0] // 2 + 3]
    assert number_of(middle) == 77


def test_a_bar_is_as_long_as_its_score():
    canvas = Canvas(240, 320)
    whole = columns(canvas.draw(numbered(0), 0, ("a", 1), [("a", 1.0)]), BLUE).max()
    assert 180 < whole <= display.PANEL
    drawn = canvas.draw(numbered(0), 0, ("a", 1), [("a", 0.5), ("b", 0.25), ("c", 0.0)])
    lengths = columns(drawn, BLUE)
    assert sorted(set(lengths)) == [0, round(whole / 4), round(whole / 2)]
    assert (lengths == round(whole / 2)).sum() == (lengths == round(whole / 4)).sum() == 6


def test_names_stay_within_the_panel():
    canvas = Canvas(240, 320)
    rows = [("W" * length, 0.1) for length in (8, 20, 200, 1, 3)]
    drawn = canvas.draw(numbered(0), 1e6, ("Überholen" * 9, 0.9), rows)
    shown = (drawn[:, 320:] > 100).any(axis=2)
    assert not shown[:, :8].any() and not shown[:, -8:].any() and (drawn[:, 320:] > 200).sum() > 3000
    # a score is as legible beside a name that is too long as beside a short one
    short = canvas.draw(numbered(0), 1e6, ("W", 0.9), rows)
    assert np.array_equal(drawn[30:45, -40:], short[30:45, -40:])


def test_frames_of_another_size_are_shown_whole():
    canvas = Canvas(240, 320)
    for height, width in ((480, 640), (60, 80), (240, 640), (700, 100)):
        drawn = canvas.draw(numbered(201, height, width), 0, ("a", 1), [("a", 1)])
        assert drawn.shape == (*canvas.shape, 3)
        view = drawn[:, :320]
        seen = (view != np.uint8(display.BACKGROUND)).any(axis=2)
        rows, sides = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        view = view[rows[0] : rows[-1] + 1, sides[0] : sides[-1] + 1]
        assert number_of(view) == 201 and view.shape[1] / view.shape[0] == pytest.approx(width / height, rel=0.03)


@pytest.mark.parametrize(
    "name, count, fps", [("a.mp4", 1, 5), ("a.MP4", 23, 5), ("a.mkv", 10, 29.97), ("a.avi", 10, 7.3), ("a.mp4", 3, 0.5)]
)
def test_a_video_holds_every_frame(tmp_path, name, count, fps):
    path = tmp_path / "out" / name
    with writing_video(path, fps) as write:
        for number in range(count):
            write(numbered(number))
        assert not path.exists()
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=0.01) and path.stat().st_mode & 0o777 == 0o644
    assert [number_of(video.read()[1]) for _ in range(count)] == list(range(count)) and not video.grab()
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_a_video_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "a.mp4").write_text("old")
    with pytest.raises(ZeroDivisionError), writing_video(tmp_path / "a.mp4", 5) as write:
        write(numbered(1))
        raise ZeroDivisionError
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    "name, fps, said",
    [
        ("a.txt", 5, "must end in .mp4, .mkv, .avi"),
        ("a.mp4", 100000, "100000 frames a second"),
        ("file/a.mp4", 5, "Not a directory"),
    ],
)
def test_a_video_that_cannot_be_written(tmp_path, capfd, name, fps, said):
    (tmp_path / "file").touch()
    with pytest.raises(ProgramError, match=said) as error, writing_video(tmp_path / name, fps) as write:
        write(numbered(1))
    assert "\n" not in str(error.value) and capfd.readouterr().err == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_full_disk_leaves_nothing(tmp_path, name):
    """A limit on the size of files stands for the disk: to FFmpeg, both are a write that fails."""
    code = (
        "import sys, numpy as np\nfrom rcnn.scoring import display\nfrom rcnn.command import run\n"
        "noise = np.random.default_rng(0).integers(0, 256, (20, 120, 160, 3), np.uint8)\n"
        "def main():\n    with display.writing_video(sys.argv[1], 5) as write:\n"
        "        for image in noise: write(image)\nrun(main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY)),
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert f"{name}: the video is not whole" in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit, count", [(10, 7), (10, 10), (10, 1003), (2000, 4100)])
def test_a_history_is_the_means_of_neighbours(limit, count):
    values = np.random.default_rng(0).random((count, 2, 3))
    history = History(limit)
    for number, value in enumerate(values):
        history.add(number / 5, value)
        assert len(history.points()[0]) <= limit
    times, means = history.points()
    stride = history.stride
    parts = [slice(start, start + stride) for start in range(0, count, stride)]
    assert len(times) == len(parts) and (stride == 1 or len(times) >= limit // 2) and stride & stride - 1 == 0
    assert np.allclose(times, [np.mean(np.arange(count)[part]) / 5 for part in parts])
    assert np.allclose(means, [values[part].mean(axis=0) for part in parts])


def test_an_empty_history():
    with pytest.raises(InputError, match="no scores"):
        History().points()
