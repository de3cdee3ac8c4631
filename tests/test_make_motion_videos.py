"""tools/make_motion_videos.py: the files and lists it makes, made again, interrupted, and what it refuses."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from runs import ROOT, options, run, start

from rcnn.data import lists, video
from rcnn.data.synthetic import motion, scenes

SMALL = ("--appearances", "Flowers", "--movements", "Up", "Still", "--groups", 4, "--clips", 1, "--seconds", 0.4)
SCENES = ("--set", "scenes", "--groups", 3, "--clips", 1, "--seconds", 0.2, 0.6, "--splits", 3, "--workers", 2)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """{kind: (folder, what making it printed)}: eight videos, and three of each of the twelve classes of scenes."""
    made = {}
    for kind, arguments in (("motion", [*SMALL, "--splits", 4]), ("scenes", SCENES)):
        folder = tmp_path_factory.mktemp(kind) / "videos"
        status, out, error = run("make_motion_videos", "--out", folder, *arguments)
        assert status == 0, error
        made[kind] = folder, out
    return made


@pytest.mark.parametrize(
    "kind, expected, splits, said",
    [
        (
            "motion",
            ["FlowersStill", "FlowersUp"],
            (4, 3, 2, 1),
            "8 videos of 2 classes, 0.4 s each, XVID; each split has 6 to train on and 2 to test on",
        ),
        (
            "scenes",
            sorted(scenes.CLASSES),
            (3, 2, 1),
            "36 videos of 12 classes, 0.2 to 0.6 s each, XVID; each split has 24 to train on and 12 to test on",
        ),
    ],
)
def test_it_is_laid_out_as_ucf101(sets, kind, expected, splits, said):
    """splits: the group that each tests on."""
    folder, out = sets[kind]
    classes = lists.read_classes(folder / "lists/classInd.txt")
    assert classes == expected and said in out
    names = [f"{name}/v_{name}_g{group:02d}_c01.avi" for name in classes for group in sorted(splits)]
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.avi")) == sorted(names)
    for split, group in enumerate(splits, 1):
        train, test = (
            lists.read_list(folder / f"lists/{kind}list{split:02d}.txt", classes) for kind in ("train", "test")
        )
        assert sorted(listed.file for listed in train + test) == sorted(names)
        assert [listed.name.split("_")[1:3] for listed in test] == [[name, f"g{group:02d}"] for name in classes]
        assert lists.find_files(train + test, folder) == (train + test, [])
    first = f"{classes[0]}/v_{classes[0]}_g01_c01.avi 1\n"
    assert (folder / "lists/trainlist01.txt").read_text().startswith(first)


def test_the_files_are_mpeg4_avi_of_the_drawn_frames(sets):
    path = sets["motion"][0] / "FlowersUp/v_FlowersUp_g02_c01.avi"
    assert path.read_bytes()[:4] == b"RIFF" and b"XVID" in path.read_bytes()[:4096]
    decoded = list(video.sample(path))
    drawn = list(motion.frames("Flowers", "Up", 0.4, np.random.default_rng([1, 2, 1, *b"FlowersUp"])))
    np.testing.assert_allclose([time for time, _ in decoded], np.arange(10) / 25, atol=1e-6)
    for (_, image), frame in zip(decoded, drawn):
        assert image.shape == (240, 320, 3)
        assert cv2.PSNR(image, frame) > 30


def test_videos_depend_on_seed_and_name_alone(sets, tmp_path):
    """Not on the number of workers, nor on which others are made."""
    arguments = options(appearances=("Flowers", "Crates"), movements="Up", groups=2, clips=2, seconds=0.4, workers=1)
    assert run("make_motion_videos", "--out", tmp_path / "one", *arguments)[0] == 0
    first, other = files(sets["motion"][0]), files(tmp_path / "one")
    common = {path for path in first if path.suffix == ".avi"} & set(other)
    assert len(common) == 2
    assert all(first[path] == other[path] for path in common)
    videos = [content for path, content in other.items() if path.suffix == ".avi"]
    assert len(videos) == len(set(videos)) == 8
    assert run("make_motion_videos", "--out", tmp_path / "two", *arguments, "--seed", 2)[0] == 0
    assert not set(videos) & set(files(tmp_path / "two").values())


def test_made_again_it_keeps_what_is_there_and_adds_what_is_missing(sets, tmp_path):
    folder = tmp_path / "videos"
    assert run("make_motion_videos", "--out", folder, *SMALL)[0] == 0
    content = files(folder)
    lost, kept = folder / "FlowersUp/v_FlowersUp_g01_c01.avi", folder / "FlowersUp/v_FlowersUp_g02_c01.avi"
    lost.unlink()
    (folder / "FlowersUp/.v_FlowersUp_g01_c01.half.avi").write_bytes(b"left by a run that was killed")
    before = kept.stat().st_mtime_ns
    assert run("make_motion_videos", "--out", folder, *SMALL)[0] == 0
    assert kept.stat().st_mtime_ns == before
    assert files(folder) == content


def test_killed_it_leaves_whole_files_and_goes_on(sets, tmp_path):
    folder, arguments, expected = tmp_path / "videos", SCENES, files(sets["scenes"][0])
    process = start("make_motion_videos", "--out", folder, *arguments)
    deadline = time.monotonic() + 60
    while not list(folder.glob("*/v_*.avi")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    left = list(folder.glob("*/v_*.avi"))
    assert len(left) < sum(path.suffix == ".avi" for path in expected)
    assert all(path.read_bytes() == expected[path.relative_to(folder)] for path in left)
    assert not (folder / "lists").exists()
    assert run("make_motion_videos", "--out", folder, *arguments)[0] == 0
    assert files(folder) == expected


def test_scenes_differ_in_length(sets):
    lengths = [len(list(video.sample(path))) for path in sets["scenes"][0].rglob("*.avi")]
    assert min(lengths) >= 5 and max(lengths) <= 15
    assert len(set(lengths)) > 5


def test_the_classes_of_a_group_share_its_place_and_groups_have_others(sets):
    places = [scenes.place(np.random.default_rng([1, group])) for group in (1, 2, 3)]
    for name, group in (("PebbleUp", 1), ("Flower", 1), ("PebbleUp", 2), ("CrossDown", 3)):
        _, image = next(iter(video.sample(sets["scenes"][0] / f"{name}/v_{name}_g{group:02d}_c01.avi")))
        likeness = []
        for background in places:
            generator = np.random.default_rng([1, group, 1, *name.encode()])
            number = scenes.draw_length(generator, 0.2, 0.6)
            likeness.append(cv2.PSNR(image, next(scenes.frames(name, number, background, generator))))
        assert likeness.pop(group - 1) > 28
        assert max(likeness) < 25


def refused(*arguments):
    """Return the last line of standard error of a run that fails with a message."""
    status, out, error = run("make_motion_videos", *arguments)
    assert status == 2 and out == ""
    return error.splitlines()[-1]


@pytest.mark.parametrize(
    "kind, arguments, words",
    [
        ("motion", [*SMALL, "--seed", 2], "(seed)"),
        ("motion", [*SMALL, "--groups", 5], "(groups)"),
        ("scenes", SMALL, "(classes, groups, seconds)"),
    ],
)
def test_a_folder_of_other_settings_is_refused(sets, kind, arguments, words):
    folder, before = sets[kind][0], files(sets[kind][0])
    assert f"was made with other settings {words}" in refused("--out", folder, *arguments)
    assert files(folder) == before


@pytest.mark.parametrize(
    "kind, arguments, words",
    [
        (SMALL, ("--groups", 1), "2 to 99 groups"),
        (SMALL, ("--clips", 100), "at most 99 clips"),
        (SMALL, ("--seed", -1), "argument --seed: -1 is not"),
        (SMALL, ("--splits", 5), "4 quarters"),
        (SMALL, ("--seconds", 0.04), "two frames (0.08 s) at least"),
        (SMALL, ("--seconds", 1e9), "600 s at most"),
        (SCENES, ("--seconds", 3), "--seconds: the set scenes takes the shortest length and the longest"),
        (SCENES, ("--seconds", 3, 1), "--seconds: the set scenes takes the shortest length and the longest"),
        (SCENES, ("--seconds", 0.04, 1), "two frames (0.08 s) at least"),
        (SCENES, ("--set", "motion"), "--seconds: the set motion takes one length"),
        (SCENES, ("--appearances", "Flowers"), "--appearances and --movements are of the set motion"),
        (SCENES, ("--movements", "Up"), "--appearances and --movements are of the set motion"),
    ],
)
def test_arguments_that_make_no_set_are_refused(kind, arguments, words, tmp_path):
    assert words in refused("--out", tmp_path / "videos", *kind, *arguments)
    assert not (tmp_path / "videos").exists()


def program(out, **options):
    """Run the program with options of subprocess.run."""
    return subprocess.run(
        [sys.executable, ROOT / "tools/make_motion_videos.py", "--out", out, *map(str, SMALL)],
        text=True,
        capture_output=True,
        timeout=120,
        **options,
    )


def test_a_disk_that_is_full_leaves_no_short_video(tmp_path):
    """A limit on the size of files stands in for it; OpenCV's writer reports neither."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    done = program(tmp_path / "videos", env={**os.environ, "PYTHONPATH": str(ROOT)}, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert "is the disk full?" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "videos").rglob("*.avi"))


def test_without_an_mpeg4_encoder_it_writes_motion_jpeg_and_says_so(tmp_path):
    """The program is run with a VideoWriter that knows no XVID."""
    (tmp_path / "sitecustomize.py").write_text(
        "import cv2\n"
        "Writer, xvid = cv2.VideoWriter, cv2.VideoWriter_fourcc(*'XVID')\n"
        "cv2.VideoWriter = lambda path, fourcc, *rest: Writer() if fourcc == xvid else Writer(path, fourcc, *rest)\n"
    )
    done = program(tmp_path / "videos", env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert done.returncode == 0, done.stderr
    assert "MJPG" in done.stdout and "cannot write XVID" in done.stderr
    assert json.loads((tmp_path / "videos/recipe.json").read_text())["codec"] == "MJPG"
    assert b"MJPG" in (tmp_path / "videos/FlowersUp/v_FlowersUp_g01_c01.avi").read_bytes()[:4096]
