import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from runs import contents, kill_ten_times, run, start
from videos import number_of, numbered, write_avi, write_stamped

from rcnn import records, workers
from rcnn.builds import Build
from rcnn.files import InputError
from rcnn.lists import Video
from tools import build_frames


def make_set(folder, videos=4, frames=30):
    """Make videos of two classes and their lists (two videos to test, the others to train); return the arguments."""
    names = [f"{kind}/v_{kind}_g{group:02d}_c01.avi"
             for group in range(1, videos // 2 + 1) for kind in ("Archery", "Biking")]
    for name in names:
        write_avi(folder / "videos" / name, frames)
    (folder / "classInd.txt").write_text("1 Archery\r\n2 Biking\r\n")
    (folder / "testlist01.txt").write_text("".join(f"{name}\n" for name in names[:2]))
    arguments = ["--videos", folder / "videos", "--classes", folder / "classInd.txt", "--workers", 2, "--list"]
    if names[2:]:
        (folder / "trainlist01.txt").write_text("".join(f"{name} {1 + name.startswith('B')}\r\n" for name in names[2:]))
        arguments.append(folder / "trainlist01.txt")
    return [*arguments, folder / "testlist01.txt"]


def test_frames_are_those_of_the_videos(tmp_path):
    arguments = make_set(tmp_path)
    status, out, error = run("build_frames", *arguments, "--out", tmp_path / "f.lmdb")
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
    assert manifest["videos"][3] == {"name": "v_Biking_g02_c01", "label": 1, "frames": 6,
                                     "times": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]}


def test_fps_size_and_quality(tmp_path):
    arguments = make_set(tmp_path, 2, 12)
    sizes = []
    for quality in (30, 95):
        out = tmp_path / f"{quality}.lmdb"
        assert run("build_frames", *arguments, "--fps", 12.5, "--size", 64, "--quality", quality, "--out", out)[0] == 0
        stored, manifest = contents(out)
        assert manifest["counts"]["frames"] == 12 and manifest["videos"][0]["times"] == [0, 0.08, 0.16, 0.24, 0.32, 0.4]
        assert records.decode_frame(next(iter(stored.values())))[0].shape == (64, 64, 3)
        sizes.append(sum(map(len, stored.values())))
    assert sizes[0] < sizes[1]


def bad_set(folder):
    """Make a set with one good video and one of each bad kind."""
    arguments = make_set(folder, 6)
    videos = folder / "videos"
    whole = (videos / "Archery/v_Archery_g03_c01.avi").read_bytes()
    (videos / "Archery/v_Archery_g01_c01.avi").write_bytes(b"")
    (videos / "Archery/v_Archery_g02_c01.avi").write_bytes(os.urandom(20000))
    (videos / "Archery/v_Archery_g03_c01.avi").write_bytes(whole[:len(whole) * 6 // 10])
    write_avi(videos / "Biking/v_Biking_g01_c01.avi", 0)
    write_avi(videos / "Biking/v_Biking_g02_c01.avi", 4)
    return arguments


def test_bad_videos_are_skipped_and_named(tmp_path):
    arguments = bad_set(tmp_path)
    status, out, error = run("build_frames", *arguments, "--out", tmp_path / "f.lmdb")
    assert status == 0 and "of 2 videos; 4 videos skipped" in out
    _, manifest = contents(tmp_path / "f.lmdb")
    reasons = {entry["video"]: entry["reason"] for entry in manifest["skipped"]}
    assert reasons == {"v_Archery_g01_c01": "the file is empty",
                       "v_Archery_g02_c01": "the file is damaged or not a video: OpenCV cannot open it",
                       "v_Biking_g01_c01": "it has no frame that can be decoded",
                       "v_Biking_g02_c01": "a single frame at 5 frames a second, and a pair needs two"}
    assert manifest["counts"]["skipped"] == 4 and manifest["counts"]["videos"] == 2
    assert [entry["video"] for entry in manifest["warnings"]] == ["v_Archery_g03_c01"]
    assert manifest["warnings"][0]["reason"].startswith("broken off: its frames end at ")
    for entry in manifest["skipped"]:
        assert f"skipped {entry['video']}: {entry['reason']}" in error
    assert "v_Archery_g03_c01: broken off" in error


def test_strict_says_so_each_time_and_the_output_is_there(tmp_path):
    arguments = bad_set(tmp_path)
    for _ in range(2):
        assert run("build_frames", *arguments, "--strict", "--out", tmp_path / "f.lmdb")[0] == 1
        assert contents(tmp_path / "f.lmdb")[1]["counts"]["skipped"] == 4
    assert run("build_frames", *arguments, "--out", tmp_path / "f.lmdb")[0] == 0
    assert run("build_frames", *make_set(tmp_path / "good", 2), "--strict", "--out", tmp_path / "g.lmdb")[0] == 0


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
    assert status == 2 and not list(tmp_path.glob("f.lmdb*"))
    assert "lacks 1 of the 4 listed videos, the first is Biking/v_Biking_g02_c01.avi" in error
    assert len(error.splitlines()) == 1


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


def test_going_on_decodes_only_what_is_lacking(tmp_path, monkeypatch):
    make_set(tmp_path, 6)
    names = [f"v_Archery_g0{group}_c01" for group in (1, 2, 3)]
    videos = [Video(name, f"Archery/{name}.avi", 0) for name in names]
    decoded, decode = [], build_frames.decode

    def watched(job):
        decoded.append(job[0].name)
        if decoded == names[:2]:
            raise KeyboardInterrupt
        return decode(job)
    monkeypatch.setattr(build_frames, "decode", watched)
    for out, executors in (("a", 2), ("b", 1)):
        for _ in range(executors):
            try:
                with Build(tmp_path / out, "frames", {}, print) as build, ThreadPoolExecutor(1) as executor:
                    build_frames.store(build, videos, tmp_path / "videos", (5, 64, 95), executor, 1)
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


def die(job):
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def test_dying_worker_is_an_outcome():
    given = []
    with workers.pool(1) as executor, pytest.raises(InputError, match="a worker process died"):
        for value in workers.in_order(executor, die, range(10), 1):
            given.append(value)
    assert given == [0, 1]


def test_dying_worker_leaves_one_line(capfd):
    with workers.pool(2) as executor, pytest.raises(InputError):
        list(workers.in_order(executor, die, range(30), 20))
    assert capfd.readouterr().err == ""


def test_in_order_and_bounded():
    begun = []
    with ThreadPoolExecutor(4) as executor:
        def work(job):
            time.sleep(0.01 * (job % 3))
            return job
        jobs = (begun.append(job) or job for job in range(30))
        for place, value in enumerate(workers.in_order(executor, work, jobs, 5)):
            assert value == place and len(begun) <= place + 5
    assert place == 29
