import json

import numpy as np
import pytest
from runs import contents, kill_ten_times, options, run
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
    build_frames(folder, [folder / "trainlist01.txt", folder / "testlist01.txt"], fps=12.5)
    return folder


def build_frames(folder, lists, **settings):
    files = options(videos=folder / "videos", classes=folder / "classInd.txt", list=lists, out=folder / "f.lmdb")
    assert run("build_frames", *files, *options(workers=1, **settings))[0] == 0


def words(folder, /, **changes):
    """Return the options of a build, some of them changed."""
    lists = {"list": folder / "trainlist01.txt", "classes": folder / "classInd.txt"}
    return options(**{"frames": folder / "f.lmdb", **lists, "workers": 1, **changes})


def build(frames, out, **changes):
    status, _, error = run("build_pairs", *words(frames, **changes), "--out", out)
    assert status == 0, error
    return contents(out)


@pytest.mark.parametrize("encoding, tolerance", [("jpeg", 19), ("raw", 0)])
def test_pairs_are_neighbours_in_the_promised_order(frames, tmp_path, encoding, tolerance):
    stored, manifest = build(frames, tmp_path / "p.lmdb", encoding=encoding, seed=5)
    counts = {entry["name"]: entry["frames"] for entry in records.read_manifest(frames / "f.lmdb")["videos"]}
    del counts["v_Archery_g01_c01"]
    order = pair_order(counts, 5)
    assert list(stored) == [records.pair_key(position, name, t) for position, (name, t) in enumerate(order)]
    with records.open_records(frames / "f.lmdb", "frames") as source:
        for key, record in stored.items():
            _, name, t = records.parse_pair_key(key)
            *images, label = records.decode_pair(record)
            assert label == ("Biking" in name)
            for index, image in zip((t - 1, t), images):
                assert number_of(image) == 2 * index
                error = np.abs(image.astype(int) - source.frame(name, index)[0])
                assert error.mean() <= tolerance / 19 and error.max() <= tolerance
    videos = [records.parse_pair_key(key)[1] for key in stored]
    assert all(one != two for one, two in zip(videos, videos[1:]))
    assert manifest["counts"] == {"pairs": len(order), "videos": 5, "skipped": 1, "neighbours_of_one_video": 0}
    assert manifest["recipe"]["seed"] == 5 and manifest["recipe"]["frames"]["fps"] == 12.5


def test_same_seed_same_bytes(frames, tmp_path):
    for name, number in (("a", 1), ("b", 2)):
        build(frames, tmp_path / name, workers=number)
    for file in ("data.mdb", "manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_skipped_videos_and_one_that_outnumbers_the_rest_are_named(frames, tmp_path):
    status, out, _ = run("build_pairs", *words(frames, list=frames / "testlist01.txt"), "--out", tmp_path / "q.lmdb")
    assert status == 0 and "2 neighbours share a video" in out
    for _ in range(2):
        status, out, error = run("build_pairs", *words(frames), "--out", tmp_path / "p.lmdb")
        assert status == 0 and "1 videos skipped" in out
        assert "skipped v_Biking_g04_c01: the file is damaged or not a video" in error
    assert "is there already" in out


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": "missing.lmdb"}, "no such LMDB: missing.lmdb"),
        ({"list": "other.txt"}, "other.txt, the first is v_Archery_g09_c01; build the frames of this list"),
        ({"classes": "more.txt"}, "classes: the list differs from the class list that"),
        ({"seed": 2**32}, "argument --seed: 4294967296 is not"),
    ],
)
def test_bad_input(frames, tmp_path, monkeypatch, changes, message):
    (tmp_path / "other.txt").write_text("Archery/v_Archery_g09_c01.avi 1\n")
    (tmp_path / "more.txt").write_text("1 Archery\n2 Biking\n3 Rowing\n")
    monkeypatch.chdir(tmp_path)
    status, _, error = run("build_pairs", *words(frames, **changes), "--out", tmp_path / "p.lmdb")
    assert status == 2 and message in error and not list(tmp_path.glob("p.lmdb*"))


def test_other_settings(frames, tmp_path):
    before = build(frames, tmp_path / "p.lmdb")
    status, _, error = run("build_pairs", *words(frames, seed=3), "--out", tmp_path / "p.lmdb")
    assert status == 2 and "(seed)" in error and contents(tmp_path / "p.lmdb") == before
    fewer = words(frames, seed=3, pairs_per_video=2)
    assert run("build_pairs", *fewer, "--force", "--out", tmp_path / "p.lmdb")[0] == 0
    stored, manifest = contents(tmp_path / "p.lmdb")
    assert manifest["recipe"]["seed"] == 3 and len(stored) == manifest["counts"]["pairs"] == 10


def test_killed_at_ten_random_moments(tmp_path):
    kinds, groups = ("Archery", "Biking"), range(1, 7)
    names = [f"{kind}/v_{kind}_g{group:02d}_c01.avi" for group in groups for kind in kinds]
    for name in names:
        write_avi(tmp_path / "videos" / name, 60)
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Biking\n")
    (tmp_path / "trainlist01.txt").write_text("\n".join(names))
    build_frames(tmp_path, tmp_path / "trainlist01.txt", fps=25)
    arguments = words(tmp_path, workers=2)
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
