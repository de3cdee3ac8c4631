import json
import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import in_process
import numpy as np
import pytest
from runs import contents, kill_ten_times, options, run, start
from videos import flow_set, make_set, number_of, numbered, write_avi, write_motion, write_packets, write_stamped

from rcnn.command import progress
from rcnn.data import flow, flow_frames, frames_lmdb, records, sequences, workers
from rcnn.data.builds import Build
from rcnn.data.lists import Video
from rcnn.files import InputError

SETTINGS = frames_lmdb.Settings(size=64)
UNREADABLE = "the file is damaged or not a video: FFmpeg cannot open it"


def test_frames_are_those_of_the_videos(tmp_path):
    arguments = make_set(tmp_path)
    status, out, error = run("build_frames", *arguments, "--strict", "--out", tmp_path / "f.lmdb")
    assert status == 0 and "frames of 4 videos; 0 videos skipped" in out and "100%" in error
    stored, manifest = contents(tmp_path / "f.lmdb")
    names = ["v_Archery_g01_c01", "v_Archery_g02_c01", "v_Biking_g01_c01", "v_Biking_g02_c01"]
    assert list(stored) == [records.frame_key(name, index) for name in names for index in range(6)]
    for key, record in stored.items():
        name, index = records.parse_frame_key(key)
        image, label = records.decode_frame(record)
        assert image.shape == (256, 256, 3) and number_of(image) == 5 * index and label == ("Biking" in name)
        assert np.abs(image.astype(int) - numbered(5 * index, 256, 256)).mean() < 4
    assert manifest["counts"] == {"videos": 4, "frames": 24, "skipped": 0}
    assert manifest["recipe"]["classes"] == ["Archery", "Biking"] and manifest["recipe"]["fps"] == 5
    assert [source["name"] for source in manifest["recipe"]["lists"]] == ["trainlist01.txt", "testlist01.txt"]
    assert manifest["videos"][3] == {
        **{"name": "v_Biking_g02_c01", "label": 1, "frames": 6},
        "times": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
    }


def test_fps_size_and_quality(tmp_path):
    arguments = make_set(tmp_path, 2, 12)
    settings = frames_lmdb.Settings(12.5, 64, 30)
    assert run("build_frames", *arguments, *options(fps=12.5, size=64, quality=30, out=tmp_path / "f.lmdb"))[0] == 0
    stored, manifest = contents(tmp_path / "f.lmdb")
    video = Video("v_Archery_g01_c01", "Archery/v_Archery_g01_c01.avi", 0)
    note, entries = frames_lmdb.decode(frames_lmdb.Job(video, tmp_path / "videos" / video.file, settings))
    assert manifest["counts"]["frames"] == 12 and note["times"] == [0, 0.08, 0.16, 0.24, 0.32, 0.4]
    assert entries == list(stored.items())[:6] and records.decode_frame(entries[0][1])[0].shape == (64, 64, 3)
    fine = frames_lmdb.decode(frames_lmdb.Job(video, tmp_path / "videos" / video.file, settings._replace(quality=95)))
    assert len(fine[1][0][1]) > len(entries[0][1])


def test_bad_videos_are_skipped_and_named(tmp_path):
    """When they are built and when they are there already; with --strict that decides the exit status."""
    arguments = make_set(tmp_path, 6)
    videos = tmp_path / "videos"
    whole = (videos / "Archery/v_Archery_g03_c01.avi").read_bytes()
    (videos / "Archery/v_Archery_g01_c01.avi").write_bytes(b"")
    (videos / "Archery/v_Archery_g02_c01.avi").write_bytes(os.urandom(20000))
    (videos / "Archery/v_Archery_g03_c01.avi").write_bytes(whole[: len(whole) * 6 // 10])
    write_avi(videos / "Biking/v_Biking_g01_c01.avi", 0)
    write_avi(videos / "Biking/v_Biking_g02_c01.avi", 4)
    for strict, expected in (((), 0), (("--strict",), 1)):
        status, out, error = run("build_frames", *arguments, *strict, "--out", tmp_path / "f.lmdb")
        assert status == expected and "of 2 videos; 4 videos skipped" in out
        _, manifest = contents(tmp_path / "f.lmdb")
        assert {entry["video"]: entry["reason"] for entry in manifest["skipped"]} == {
            "v_Archery_g01_c01": "the file is empty",
            "v_Archery_g02_c01": UNREADABLE,
            "v_Biking_g01_c01": "it has no frame that can be decoded",
            "v_Biking_g02_c01": "a single frame at 5 frames a second, and a pair needs two",
        }
        assert manifest["counts"]["skipped"] == 4 and manifest["counts"]["videos"] == 2
        assert [entry["video"] for entry in manifest["warnings"]] == ["v_Archery_g03_c01"] * 2
        assert manifest["warnings"][0]["reason"].startswith("broken off: it ends at ")
        assert manifest["warnings"][1]["reason"].startswith("damaged: FFmpeg reports errors in 1 of ")
        assert manifest["recipe"]["decoder"] == f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
        assert all(f"skipped {entry['video']}: {entry['reason']}" in error for entry in manifest["skipped"])
        assert "v_Archery_g03_c01: broken off" in error


def test_nothing_but_bad_videos(tmp_path):
    arguments = make_set(tmp_path, 2)
    for file in (tmp_path / "videos").glob("*/*.avi"):
        file.write_bytes(b"")
    status, _, error = run("build_frames", *arguments, "--out", tmp_path / "f.lmdb")
    assert status == 2 and "none of 2 videos gives frames; the first, v_Archery_g01_c01: the file is empty" in error
    assert not list(tmp_path.glob("f.lmdb*"))


def test_missing_file_ends_it_before_any_work(tmp_path):
    arguments = make_set(tmp_path)
    (tmp_path / "videos/Biking/v_Biking_g02_c01.avi").unlink()
    status, _, error = run("build_frames", *arguments, "--out", tmp_path / "f.lmdb")
    assert status == 2 and not list(tmp_path.glob("f.lmdb*")) and len(error.splitlines()) == 1
    assert "lacks 1 of the 4 listed videos, the first is Biking/v_Biking_g02_c01.avi" in error


def test_missing_files_are_counted_and_named_where_asked(tmp_path):
    """And only then is it another LMDB; where the folder has changed since, it is not taken for the same."""
    arguments = [*make_set(tmp_path, 24, 12), "--fps", 10, "--out", tmp_path / "f.lmdb"]
    gone = [tmp_path / f"videos/Biking/v_Biking_g{group:02d}_c01.avi" for group in range(1, 13)]
    whole = gone[0].read_bytes()
    for path in gone:
        path.unlink()
    status, _, error = run("build_frames", *arguments)
    assert status == 2 and "; give the folder" in error and ", or --missing skip to do without them" in error
    for _ in range(2):
        status, out, error = run("build_frames", *arguments, "--missing", "skip", "--strict")
        assert status == 0 and "of 12 videos; 0 videos skipped; 12 listed videos have no file" in out
        assert "skipped 12 videos, the first is v_Biking_g01_c01: the folder of videos lacks it" in error
    _, manifest = contents(tmp_path / "f.lmdb")
    names = [path.stem for path in gone]
    assert manifest["recipe"]["missing"] == [entry["video"] for entry in manifest["skipped"]] == names
    assert manifest["counts"]["missing"] == 12
    gone[0].write_bytes(whole)
    status, _, error = run("build_frames", *arguments, "--missing", "skip")
    assert status == 2 and "(missing); give another --out, or --force" in error
    pairs = options(frames=tmp_path / "f.lmdb", classes=tmp_path / "classInd.txt", list=tmp_path / "trainlist01.txt")
    status, out, error = run("build_pairs", *pairs, "--out", tmp_path / "p.lmdb")
    assert status == 0 and "11 videos, the first is v_Biking_g02_c01: the folder of videos lacks it" in error
    assert contents(tmp_path / "p.lmdb")[1]["counts"] == {
        **{"pairs": 44, "videos": 11, "skipped": 0, "missing": 11, "neighbours_of_one_video": 0}
    }


def test_nothing_missing_is_the_same_as_before(tmp_path):
    arguments = [*make_set(tmp_path, 2, 12), "--fps", 10]
    for name, more in (("a", ()), ("b", ("--missing", "skip", "--only-classes", "Biking", "Archery"))):
        assert run("build_frames", *arguments, *more, "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()


def test_some_classes(tmp_path):
    """In frames, in pairs and in what RCNN-s reads: labels of their own, numbers of the whole class list."""
    arguments = [*make_set(tmp_path, 4, 12), "--fps", 10, "--out", tmp_path / "f.lmdb"]
    status, _, error = run("build_frames", *arguments, "--only-classes", "Biking", "Judo")
    assert (status, error) == (2, "build_frames.py: only-classes: Judo is not in the class list\n")
    assert run("build_frames", *arguments, "--only-classes", "Biking")[0] == 0
    stored, manifest = contents(tmp_path / "f.lmdb")
    assert {records.parse_frame_key(key)[0] for key in stored} == {"v_Biking_g01_c01", "v_Biking_g02_c01"}
    assert {records.decode_frame(record)[1] for record in stored.values()} == {0}
    assert manifest["recipe"]["classes"] == ["Biking"] and manifest["recipe"]["class_list"] == ["Archery", "Biking"]
    with records.open_records(tmp_path / "f.lmdb", "frames") as frames:
        videos, skipped = sequences.listed_videos(frames, tmp_path / "trainlist01.txt")
        assert [(video.name, video.label) for video, _ in videos] == [("v_Biking_g02_c01", 0)] and not skipped
    pairs = options(frames=tmp_path / "f.lmdb", classes=tmp_path / "classInd.txt", list=tmp_path / "trainlist01.txt")
    status, _, error = run("build_pairs", *pairs, "--out", tmp_path / "p.lmdb")
    assert status == 2 and "the list differs from the class list" in error and "(--only-classes too)" in error
    assert run("build_pairs", *pairs, "--only-classes", "Biking", "--out", tmp_path / "p.lmdb")[0] == 0
    stored, manifest = contents(tmp_path / "p.lmdb")
    assert len(stored) == manifest["counts"]["pairs"] == 4
    assert {records.decode_pair(record)[2] for record in stored.values()} == {0}


def test_genuine_clips_and_a_broken_one(tmp_path, real_data):
    """Official lists as they are; a clip that is cut off gives its frames until there, one of no video is skipped."""
    lists, clips = real_data / "ucfTrainTestlist", sorted((real_data / "UCF-101/Punch").glob("*_g0[1-4]_*.avi"))
    (tmp_path / "videos/Punch").mkdir(parents=True)
    for path in clips:
        shutil.copy(path, tmp_path / "videos/Punch")
    whole = clips[1].read_bytes()
    (tmp_path / "videos/Punch" / clips[1].name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "videos/Punch" / clips[2].name).write_bytes(b"no video")
    words = options(videos=tmp_path / "videos", list=lists / "testlist01.txt", classes=lists / "classInd.txt", size=32)
    only = ["--only-classes", "Punch", "--missing", "skip"]
    status, out, error = run("build_frames", *words, *only, "--out", tmp_path / "f.lmdb")
    assert status == 0 and "of 3 videos; 1 videos skipped; 35 listed videos have no file" in out
    assert f"skipped {clips[2].stem}: the file is damaged or not a video" in error
    assert f"{clips[1].stem}: broken off" in error
    assert [video["label"] for video in contents(tmp_path / "f.lmdb")[1]["videos"]] == [0, 0, 0]
    status, _, error = run("build_frames", *words, *only[:2], "--out", tmp_path / "g.lmdb")
    assert status == 2 and "lacks 35 of the 39 listed videos" in error and not list(tmp_path.glob("g.lmdb*"))


def test_without_dask_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    arguments = [*make_set(tmp_path), "--out", tmp_path / "f.lmdb"]
    assert in_process.run("build_frames", *arguments, "--dask", "tcp://127.0.0.1:9") == 2
    said = "build_frames.py: --dask needs dask.distributed: pip install '.[dask]'\n"
    assert capsys.readouterr().err == said and not list(tmp_path.glob("f.lmdb*"))


def test_done_already_and_other_settings(tmp_path):
    arguments = [*make_set(tmp_path), "--out", tmp_path / "f.lmdb"]
    assert run("build_frames", *arguments)[0] == 0
    before = contents(tmp_path / "f.lmdb")
    status, out, _ = run("build_frames", *arguments)
    assert status == 0 and "is there already" in out
    status, _, error = run("build_frames", *arguments, "--fps", 10)
    assert status == 2 and "(fps); give another --out, or --force" in error and contents(tmp_path / "f.lmdb") == before
    assert run("build_frames", *arguments, "--fps", 10, "--force")[0] == 0
    assert contents(tmp_path / "f.lmdb")[1]["recipe"]["fps"] == 10


def test_frames_of_the_decoder_before_still_serve(tmp_path):
    """They say which it was; pairs are made of them, and the same command does not take them for its own."""
    arguments = [*make_set(tmp_path, 4, 12), "--out", tmp_path / "f.lmdb"]
    assert run("build_frames", *arguments)[0] == 0
    manifest = json.loads((tmp_path / "f.lmdb/manifest.json").read_text())
    manifest["recipe"]["decoder"] = "OpenCV 4.11.0, FFMPEG"
    (tmp_path / "f.lmdb/manifest.json").write_text(json.dumps(manifest))
    pairs = options(frames=tmp_path / "f.lmdb", list=tmp_path / "trainlist01.txt", classes=tmp_path / "classInd.txt")
    assert run("build_pairs", *pairs, "--out", tmp_path / "p.lmdb")[0] == 0
    made_of = json.loads((tmp_path / "p.lmdb/manifest.json").read_text())["recipe"]["frames"]
    assert made_of["decoder"] == "OpenCV 4.11.0, FFMPEG"
    status, _, error = run("build_frames", *arguments)
    assert status == 2 and "(decoder); give another --out, or --force" in error and len(error.splitlines()) == 1


def test_going_on_decodes_only_what_is_lacking(tmp_path, monkeypatch):
    make_set(tmp_path, 6)
    names = [f"v_Archery_g0{group}_c01" for group in (1, 2, 3)]
    videos = [Video(name, f"Archery/{name}.avi", 0) for name in names]
    decoded, decode = [], frames_lmdb.decode

    def watched(job):
        decoded.append(job[0].name)
        if decoded == names[:2]:
            raise KeyboardInterrupt
        return decode(job)

    monkeypatch.setattr(frames_lmdb, "decode", watched)
    for out, executors in (("a", 2), ("b", 1)):
        for _ in range(executors):
            try:
                with Build(tmp_path / out, "frames", {}, print) as build, ThreadPoolExecutor(1) as executor:
                    frames_lmdb.store(build, videos, tmp_path / "videos", SETTINGS, executor, 1, progress)
            except KeyboardInterrupt:
                continue
        if out == "a":
            assert decoded == [names[0], names[1], names[1], names[2]]
            decoded.append("none")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_killed_at_ten_random_moments(tmp_path):
    arguments = [*make_set(tmp_path, 40, 60), "--fps", 25]
    write_stamped(tmp_path / "videos/Biking/v_Biking_g02_c01.avi", [0])
    assert run("build_frames", *arguments, "--out", tmp_path / "undisturbed.lmdb")[0] == 0
    wanted = contents(tmp_path / "undisturbed.lmdb")
    assert wanted[1]["counts"] == {"videos": 39, "frames": 39 * 60, "skipped": 1}
    for built in kill_ten_times("build_frames", tmp_path / "f.lmdb", *arguments, seed=1):
        assert built == wanted


@pytest.mark.parametrize("children", [2, 3])
def test_interrupted_by_the_keyboard(tmp_path, children):
    """The terminal sends Ctrl-C to all, also to a worker that is starting; the first child is the resource tracker."""
    arguments = [*make_set(tmp_path, 40, 60), "--fps", 25, "--out", tmp_path / "f.lmdb"]
    process = start("build_frames", *arguments)
    while len(children_of(process.pid)) < children:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in error and "run the same command again to go on" in error
    assert (tmp_path / "f.lmdb.partial").is_dir() and not (tmp_path / "f.lmdb").exists()


def test_workers_end_with_a_killed_parent(tmp_path):
    arguments = [*make_set(tmp_path, 40, 60), "--fps", 25, "--out", tmp_path / "f.lmdb"]
    process = start("build_frames", *arguments)
    while len(children := children_of(process.pid)) < 3:
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(state(child)[0] != "Z" for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert run("build_frames", *arguments)[0] == 0


def children_of(parent):
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if state(folder.name)[1] == parent]


def state(pid):
    """Return (state letter, parent's id) of a process; a dead one's are Z and 0."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "Z", 0
    letter, parent = text.rsplit(")", 1)[1].split()[:2]
    return letter, int(parent)


def killing(job):
    """Decode a video; one of group 2 kills its worker with SIGKILL, group 3's once."""
    mark = job[1].with_suffix(".killed")
    if "_g02_" in job[0].name or "_g03_" in job[0].name and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return frames_lmdb.decode(job)


def test_a_video_that_kills_its_worker_is_skipped_and_the_rest_built(tmp_path, monkeypatch):
    make_set(tmp_path, 8)
    names = [f"v_Archery_g0{group}_c01" for group in (1, 2, 3, 4)]
    videos = [Video(name, f"Archery/{name}.avi", 0) for name in names]
    source = (tmp_path / "videos", SETTINGS)
    with Build(tmp_path / "plain", "frames", {}, print) as build, ThreadPoolExecutor(1) as executor:
        plain = frames_lmdb.store(build, [videos[index] for index in (0, 2, 3)], *source, executor, 1, progress)
    monkeypatch.setattr(frames_lmdb, "decode", killing)
    with Build(tmp_path / "killed", "frames", {}, print) as build, workers.Pool(2) as executor:
        manifest = frames_lmdb.store(build, videos, *source, executor, 4, progress)
    assert manifest["skipped"] == [
        {"video": names[1], "reason": "it killed its worker process 3 times, by a crash or for want of memory"}
    ]
    assert manifest["videos"] == plain["videos"] and contents(tmp_path / "killed")[0] == contents(tmp_path / "plain")[0]


# Flow


def middle(stored, bound=20.0):
    """Return the mean flow (x, y) of the inside of a record's frame."""
    frame, _ = records.decode_frame(stored)
    assert frame.shape == (64, 64, 2)
    return flow.dequantise(frame[12:-12, 12:-12], bound).mean(axis=(0, 1))


@pytest.mark.parametrize("between, frames", [("neighbours", 1), ("samples", 5)])
def test_flow_is_scaled_with_the_frame(tmp_path, between, frames):
    """1 and 1 pixels a frame at 128 x 96 are 1/2 and 2/3 at 64 x 64; samples are 5 frames apart."""
    arguments = flow_set(tmp_path, one={"frames": 13, "shift": (1, 1)})
    status, out, _ = run("build_frames", *arguments, "--flow-between", between, "--out", tmp_path / "f.lmdb")
    assert status == 0 and "0.00 % of the pixels move by more than 20 pixels and were clipped" in out
    stored, manifest = contents(tmp_path / "f.lmdb")
    assert manifest["videos"][0]["times"] == [0.0, 0.2, 0.4] and manifest["clipped"] == 0
    for record in stored.values():
        np.testing.assert_allclose(middle(record), [frames / 2, frames * 2 / 3], atol=0.1)
    recipe = manifest["recipe"]["flow"]
    assert recipe["method"] == "farneback" and recipe["bound"] == 20 and recipe["between"] == between
    assert recipe["parameters"] == flow.PARAMETERS["farneback"] and manifest["kind"] == "frames"


def test_the_last_frame_has_the_flow_before_it(tmp_path):
    """At 25 frames a second 4 frames have flow 0-1, 1-2, 2-3 and 2-3 again."""
    path = write_motion(tmp_path / "v.avi", 4)
    settings = flow_frames.recipe("farneback")
    for between in flow_frames.BETWEEN:
        frames = list(flow_frames.sample(path, 25, 64, {**settings, "between": between}, []))
        assert [time for time, *_ in frames] == pytest.approx([0, 0.04, 0.08, 0.12])
        assert (frames[2][1] == frames[3][1]).all() and (frames[1][1] != frames[2][1]).any()


def test_share_of_clipped_pixels(tmp_path):
    arguments = flow_set(tmp_path, fast={}, still={"shift": (0, 0)})
    status, out, _ = run("build_frames", *arguments, "--flow-bound", 0.5, "--out", tmp_path / "f.lmdb")
    stored, manifest = contents(tmp_path / "f.lmdb")
    assert manifest["videos"][0]["clipped"] > 0.9 and manifest["videos"][1]["clipped"] == 0
    assert manifest["clipped"] == pytest.approx(manifest["videos"][0]["clipped"] / 2, abs=1e-5)
    assert f"{100 * manifest['clipped']:.2f} % of the pixels move by more than 0.5 pixels and were clipped" in out
    assert np.abs(records.decode_frame(stored[b"v_still/000000"])[0] - 128.0).mean() < 1
    np.testing.assert_allclose(middle(stored[b"v_fast/000000"], 0.5), [0.5, 0.5], atol=0.02)


def test_flow_of_videos_of_other_kinds(tmp_path):
    """Grey, of two sizes, cut short, tiny, of one frame and broken: named where they must be, and the rest is built."""
    kinds = {"cut": {"frames": 30}, "good": {}, "grey": {"grey": True}, "single": {"frames": 1}}
    arguments = flow_set(tmp_path, **kinds, small={"height": 12, "width": 12}, sizes={}, torn={})
    folder = tmp_path / "videos/Archery"
    whole = (folder / "v_cut.avi").read_bytes()
    (folder / "v_cut.avi").write_bytes(whole[: len(whole) // 2])
    (folder / "v_torn.avi").write_bytes(os.urandom(5000))
    pictures = [numbered(t, *size) for t, size in enumerate([(96, 128)] * 6 + [(48, 64)] * 7)]
    write_packets(folder / "v_sizes.avi", [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures])
    status, out, error = run("build_frames", *arguments, "--out", tmp_path / "f.lmdb")
    assert status == 0, error
    stored, manifest = contents(tmp_path / "f.lmdb")
    assert [video["name"] for video in manifest["videos"]] == ["v_cut", "v_good", "v_grey", "v_sizes"]
    assert [entry["reason"].split(":")[0] for entry in manifest["warnings"]] == ["broken off", "damaged"]
    assert {entry["video"] for entry in manifest["warnings"]} == {"v_cut"}
    assert {entry["video"]: entry["reason"] for entry in manifest["skipped"]} == {
        "v_single": "a single frame at 5 frames a second, and a pair needs two",
        "v_small": "its frames are smaller than 16 x 16, too small for flow",
        "v_torn": "the file is damaged or not a video: FFmpeg cannot open it",
    }
    for name in ("good", "grey"):
        np.testing.assert_allclose(middle(stored[f"v_{name}/000001".encode()]), [1, 2 / 3], atol=0.1)


def test_other_flow_is_another_set(tmp_path):
    (tmp_path / "list.txt").touch()
    settings = [("farneback",), ("farneback", "neighbours", 10), ("farneback", "samples"), ("dis",)]
    made = [SETTINGS._replace(flow=flow_frames.recipe(*words)) for words in settings]
    recipes = [frames_lmdb.recipe([tmp_path / "list.txt"], [], each) for each in [SETTINGS, *made]]
    assert all(one != two for place, one in enumerate(recipes) for two in recipes[:place])


def test_a_worker_with_another_opencv_is_refused(tmp_path):
    settings = {**flow_frames.recipe("farneback"), "by": "OpenCV 4.0.0"}
    with pytest.raises(InputError, match="is of OpenCV 4.0.0 where the build was started"):
        next(flow_frames.sample(write_motion(tmp_path / "v.avi"), 5, 64, settings, []))
