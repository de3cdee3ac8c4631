import json

import numpy as np
import pytest
from runs import contents, kill_ten_times, run
from videos import number_of, write_avi

from rcnn.data import records
from rcnn.data.sampling import pair_order


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A frames LMDB of six videos of 4 to 14 frames at 12.5 a second and a broken one, in a folder with its lists."""
    folder = tmp_path_factory.mktemp("frames")
    names = [f"{kind}/v_{kind}_g{group:02d}_c01" for group in (1, 2, 3) for kind in ("Archery", "Biking")]
    for place, name in enumerate(names):
        write_avi(folder / f"videos/{name}.avi", 8 + 4 * place)
    (folder / "videos/Biking/v_Biking_g04_c01.avi").write_bytes(b"no video")
    (folder / "classInd.txt").write_text("1 Archery\n2 Biking\n")
    (folder / "trainlist01.txt").write_text(
        "".join(f"{name}.avi {1 + name.startswith('B')}\n" for name in names[1:]) + "Biking/v_Biking_g04_c01.avi 2\n"
    )
    (folder / "testlist01.txt").write_text(f"{names[0]}.avi\n")
    lists = folder / "trainlist01.txt", folder / "testlist01.txt"
    assert (
        run(
            "build_frames",
            "--videos",
            folder / "videos",
            "--classes",
            folder / "classInd.txt",
            "--list",
            *lists,
            "--fps",
            12.5,
            "--workers",
            1,
            "--out",
            folder / "f.lmdb",
        )[0]
        == 0
    )
    return folder


def given(folder, /, **changes):
    """Return the arguments of a build, with some options changed."""
    options = {
        "frames": folder / "f.lmdb",
        "list": folder / "trainlist01.txt",
        "classes": folder / "classInd.txt",
        "workers": 1,
    }
    options.update(changes)
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]


def build(frames, out, **changes):
    status, _, error = run("build_pairs", *given(frames, **changes), "--out", out)
    assert status == 0, error
    return contents(out)


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_pairs_are_neighbours_in_the_promised_order(frames, tmp_path, encoding):
    stored, manifest = build(frames, tmp_path / "p.lmdb", encoding=encoding, seed=5)
    counts = {entry["name"]: entry["frames"] for entry in records.read_manifest(frames / "f.lmdb")["videos"]}
    del counts["v_Archery_g01_c01"]
    order = pair_order(counts, 5)
    assert list(stored) == [records.pair_key(position, name, t) for position, (name, t) in enumerate(order)]
    for key, record in stored.items():
        _, name, t = records.parse_pair_key(key)
        previous, frame, label = records.decode_pair(record)
        assert (number_of(previous), number_of(frame)) == (2 * t - 2, 2 * t) and label == ("Biking" in name)
    videos = [records.parse_pair_key(key)[1] for key in stored]
    assert all(one != two for one, two in zip(videos, videos[1:]))
    assert manifest["counts"] == {"pairs": len(order), "videos": 5, "skipped": 1, "neighbours_of_one_video": 0}
    assert manifest["recipe"]["seed"] == 5 and manifest["recipe"]["frames"]["fps"] == 12.5


def test_raw_is_the_frames_and_jpeg_agrees(frames, tmp_path):
    raw = build(frames, tmp_path / "raw.lmdb", encoding="raw")[0]
    jpeg = build(frames, tmp_path / "jpeg.lmdb")[0]
    assert list(raw) == list(jpeg)
    with records.open_records(frames / "f.lmdb", "frames") as stored:
        for key in raw:
            _, name, t = records.parse_pair_key(key)
            exact, coarse = records.decode_pair(raw[key]), records.decode_pair(jpeg[key])
            for place, index in enumerate((t - 1, t)):
                assert np.array_equal(exact[place], stored.frame(name, index)[0])
                error = np.abs(exact[place].astype(int) - coarse[place])
                assert error.mean() < 1 and error.max() < 20
            assert exact[2] == coarse[2]


def test_same_seed_same_bytes(frames, tmp_path):
    for name, seed, workers in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1)):
        build(frames, tmp_path / name, seed=seed, workers=workers)
    a, b, c = ((tmp_path / name / "data.mdb").read_bytes() for name in "abc")
    assert a == b != c
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()


def test_limit(frames, tmp_path):
    stored, manifest = build(frames, tmp_path / "p.lmdb", pairs_per_video=2)
    assert len(stored) == manifest["counts"]["pairs"] == 10


def test_one_video_alone_says_so(frames, tmp_path):
    status, out, _ = run("build_pairs", *given(frames, list=frames / "testlist01.txt"), "--out", tmp_path / "p.lmdb")
    assert status == 0 and "2 neighbours share a video" in out


def test_skipped_videos_are_named(frames, tmp_path):
    for _ in range(2):
        status, out, error = run("build_pairs", *given(frames), "--out", tmp_path / "p.lmdb")
        assert status == 0 and "1 videos skipped" in out
        assert "skipped v_Biking_g04_c01: the file is damaged or not a video" in error
    assert "is there already" in out


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": "missing.lmdb"}, "no such LMDB: missing.lmdb"),
        ({"list": "other.txt"}, "other.txt, the first is v_Archery_g09_c01; build the frames of this list"),
        ({"list": "broken.txt"}, "broken.txt has no video with frames in"),
        ({"classes": "more.txt"}, "classes: the list differs from the class list that"),
        ({"seed": -1}, "--seed -1 is not in 0 to"),
        ({"seed": 2**32}, "is not in 0 to 4294967295"),
        ({"encoding": "png"}, "invalid choice: 'png'"),
        ({"quality": 0}, "invalid choice: 0"),
        ({"pairs_per_video": 0}, "is not a whole number of at least 1"),
    ],
)
def test_bad_input(frames, tmp_path, changes, message):
    (tmp_path / "other.txt").write_text("Archery/v_Archery_g09_c01.avi 1\n")
    (tmp_path / "broken.txt").write_text("Biking/v_Biking_g04_c01.avi 2\n")
    (tmp_path / "more.txt").write_text("1 Archery\n2 Biking\n3 Rowing\n")
    changes = {name: tmp_path / value if str(value).endswith(".txt") else value for name, value in changes.items()}
    status, _, error = run("build_pairs", *given(frames, **changes), "--out", tmp_path / "p.lmdb")
    assert status == 2 and message in error and not list(tmp_path.glob("p.lmdb*"))


def test_labels_must_agree(frames, tmp_path):
    (tmp_path / "f.lmdb").symlink_to(frames / "f.lmdb")
    (tmp_path / "l.txt").write_text("Biking/v_Archery_g02_c01.avi 2\n")
    status, _, error = run("build_pairs", *given(frames, list=tmp_path / "l.txt"), "--out", tmp_path / "p.lmdb")
    assert status == 2 and "v_Archery_g02_c01 has label 0 in" in error


def test_frames_unfinished_or_pairs_for_frames(frames, tmp_path):
    (tmp_path / "f.lmdb.partial").mkdir()
    status, _, error = run("build_pairs", *given(frames, frames=tmp_path / "f.lmdb"), "--out", tmp_path / "p.lmdb")
    assert status == 2 and "f.lmdb is not finished" in error
    build(frames, tmp_path / "p.lmdb")
    status, _, error = run("build_pairs", *given(frames, frames=tmp_path / "p.lmdb"), "--out", tmp_path / "q.lmdb")
    assert status == 2 and "holds pairs, not frames" in error


def test_other_settings(frames, tmp_path):
    before = build(frames, tmp_path / "p.lmdb")
    status, _, error = run("build_pairs", *given(frames, seed=3), "--out", tmp_path / "p.lmdb")
    assert status == 2 and "(seed)" in error and contents(tmp_path / "p.lmdb") == before
    assert run("build_pairs", *given(frames, seed=3), "--force", "--out", tmp_path / "p.lmdb")[0] == 0
    assert contents(tmp_path / "p.lmdb")[1]["recipe"]["seed"] == 3


@pytest.mark.parametrize("encoding, size", [("jpeg", 256), ("raw", 64)])
def test_killed_at_ten_random_moments(tmp_path, encoding, size):
    kinds, groups = ("Archery", "Biking"), range(1, 7)
    names = [f"{kind}/v_{kind}_g{group:02d}_c01.avi" for group in groups for kind in kinds]
    for name in names:
        write_avi(tmp_path / "videos" / name, 60)
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Biking\n")
    (tmp_path / "trainlist01.txt").write_text("\n".join(names))
    assert (
        run(
            "build_frames",
            "--videos",
            tmp_path / "videos",
            "--classes",
            tmp_path / "classInd.txt",
            "--fps",
            25,
            "--size",
            size,
            "--list",
            tmp_path / "trainlist01.txt",
            "--out",
            tmp_path / "f.lmdb",
        )[0]
        == 0
    )
    arguments = [*given(tmp_path, encoding=encoding, workers=2)]
    assert run("build_pairs", *arguments, "--out", tmp_path / "undisturbed.lmdb")[0] == 0
    wanted = contents(tmp_path / "undisturbed.lmdb")
    for built in kill_ten_times("build_pairs", tmp_path / "p.lmdb", *arguments, seed=2):
        assert built == wanted


@pytest.mark.parametrize("encoding, shape", [("jpeg", (2, 3, 512, 256)), ("raw", (2, 6, 256, 256))])
def test_caffes_data_layer_reads_them(frames, tmp_path, encoding, shape):
    caffe = pytest.importorskip("caffe")
    stored, _ = build(frames, tmp_path / "p.lmdb", encoding=encoding)
    net = tmp_path / "net.prototxt"
    net.write_text(
        f'layer {{ name: "d" type: "Data" top: "data" top: "label" '
        f"data_param {{ source: {json.dumps(str(tmp_path / 'p.lmdb'))} backend: LMDB batch_size: 2 }} }}"
    )
    blobs = caffe.Net(str(net), caffe.TRAIN)
    blobs.forward()
    values = blobs.blobs["data"].data
    assert values.shape == shape
    for row, record in enumerate(list(stored.values())[:2]):
        previous, frame, label = records.decode_pair(record)
        wanted = np.concatenate([previous, frame], axis=0 if encoding == "jpeg" else 2).transpose(2, 0, 1)
        assert np.abs(values[row] - wanted).mean() < 1 and blobs.blobs["label"].data[row] == label
