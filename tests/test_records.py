import subprocess
import sys

import cv2
import lmdb
import numpy as np
import pytest

from rcnn.data import records
from rcnn.data.builds import Build
from rcnn.files import InputError

PAGE = 4096  # LMDB's, in bytes, on the usual processors


def smooth(seed, height=96, width=128):
    """Return an image (uint8 height x width x 3) that JPEG represents well."""
    wave = np.linspace(0, 6, height)[:, None, None] + np.linspace(0, 4, width)[None, :, None] + np.arange(3) + seed
    return np.uint8(127 + 100 * np.sin(wave))


def make(path, count=3, kind="pairs", encoding="jpeg"):
    with Build(path, kind, {"encoding": encoding}, print) as build:
        for position in range(count):
            record = records.encode_pair(smooth(0), smooth(1), position, encoding)
            build.put([(records.pair_key(position, "v", 1), record)])
        build.finish(counts={kind: count})
    return path


def test_datum_is_caffes():
    """The bytes, written by hand after caffe.proto: field number * 8 + wire type, then the value."""
    message = records.Datum(channels=3, height=4, width=5, data=b"ab", label=6, float_data=[1.0], encoded=True)
    assert message.SerializeToString() == bytes.fromhex("08 03 10 04 18 05 22 02 61 62 28 06 35 00 00 80 3f 38 01")
    assert records.Datum().encoded is False


def test_datum_beside_caffes_own():
    """Both messages are called caffe.Datum; registering the second in the pool of the first would fail."""
    code = """
from rcnn.data import records
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
file.message_type.add(name="Datum").field.add(name="height", number=1, type=5, label=1)
descriptor_pool.Default().Add(file)
other = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName("caffe.Datum"))
assert other(height=1).SerializeToString() == b"\\x08\\x01" == records.Datum(channels=1).SerializeToString()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reads_and_writes_what_caffe_does():
    caffe_pb2 = pytest.importorskip("caffe.proto.caffe_pb2")
    record = records.encode_frame(smooth(0), 7)
    theirs = caffe_pb2.Datum.FromString(record)
    assert (theirs.channels, theirs.height, theirs.width, theirs.label, theirs.encoded) == (3, 96, 128, 7, True)
    assert np.array_equal(records.decode_frame(theirs.SerializeToString())[0], records.decode_frame(record)[0])


def test_keys():
    assert records.frame_key("v_A_g01_c01", 7) == b"v_A_g01_c01/000007"
    assert records.pair_key(42, "v_A_g01_c01", 7) == b"00000042_v_A_g01_c01/000007"
    for name in ("v_A_g01_c01", "1_2/3"[:3], "h\u00e4nde", "a b"):
        assert records.parse_frame_key(records.frame_key(name, 999999)) == (name, 999999)
        assert records.parse_pair_key(records.pair_key(99999999, name, 1)) == (99999999, name, 1)
    for index in (-1, 10**6):
        with pytest.raises(InputError, match="does not fit"):
            records.frame_key("v", index)
    with pytest.raises(InputError, match="does not fit"):
        records.pair_key(10**8, "v", 1)


def test_videos_sort_as_their_keys():
    names = ["a", "a-b", "a.b", "ab", "a b", "b", "A", "a_1"]
    by_key = sorted(records.frame_key(name, index) for name in names for index in (0, 1, 999999))
    assert [records.parse_frame_key(key)[0] for key in by_key[::3]] == sorted(names, key=records.key_order)


def test_frame():
    image, label = records.decode_frame(records.encode_frame(smooth(0), 100))
    assert image.shape == (96, 128, 3) and image.dtype == np.uint8 and label == 100
    assert np.abs(image.astype(int) - smooth(0)).max() <= 8
    coarse = records.encode_frame(smooth(0), 100, quality=20)
    assert len(coarse) < len(records.encode_frame(smooth(0), 100, quality=95))


def test_raw_pair_is_exact_and_channels_first():
    previous, frame = smooth(0), smooth(2)
    record = records.encode_pair(previous, frame, 5, "raw")
    datum = records.Datum.FromString(record)
    assert (datum.channels, datum.height, datum.width, datum.encoded) == (6, 96, 128, False)
    planes = np.frombuffer(datum.data, np.uint8).reshape(6, 96, 128)
    assert np.array_equal(planes[1], previous[:, :, 1]) and np.array_equal(planes[5], frame[:, :, 2])
    one, two, label = records.decode_pair(record)
    assert np.array_equal(one, previous) and np.array_equal(two, frame) and label == 5


def test_jpeg_pair_is_tall_and_agrees_with_raw():
    previous, frame = smooth(0), smooth(2)
    record = records.encode_pair(previous, frame, 5, "jpeg")
    datum = records.Datum.FromString(record)
    assert (datum.channels, datum.height, datum.width, datum.encoded) == (3, 192, 128, True)
    assert datum.data.startswith(b"\xff\xd8")
    for one, two in zip(records.decode_pair(record)[:2], (previous, frame)):
        assert one.shape == two.shape and np.abs(one.astype(int) - two).max() <= 8
    assert records.decode_pair(record)[2] == 5


def test_no_colour_crosses_from_one_frame_of_a_pair_to_the_other():
    blue, red = np.zeros((2, 64, 64, 3), np.uint8)
    blue[:, :, 0], red[:, :, 2] = 200, 200
    one, two, _ = records.decode_pair(records.encode_pair(blue, red, 0, "jpeg"))
    assert np.abs(one.astype(int) - blue).max() <= 8 and np.abs(two.astype(int) - red).max() <= 8


def test_damaged_record():
    no_jpeg = records.Datum(encoded=True, data=b"no JPEG").SerializeToString()
    jpeg = cv2.imencode(".jpg", smooth(0, 95)[..., 0])[1].tobytes()
    half_flow = records.Datum(channels=1, encoded=True, data=jpeg).SerializeToString()  # of an odd height
    for record, said in (
        (b"\xff\xff\xff", "not a Datum"),
        (no_jpeg, "JPEG cannot be decoded"),
        (b"", "cannot be dec"),
        (half_flow, "cannot"),
    ):
        with pytest.raises(InputError, match=said):
            records.decode_frame(record)


def test_manifest_round_trip(tmp_path):
    videos = [{"name": "h\u00e4nde", "times": [0.0, 0.2]}, {"name": "b"}]
    manifest = {"format": 1, "kind": "frames", "videos": videos, "skipped": []}
    records.write_manifest(tmp_path, manifest)
    assert records.read_manifest(tmp_path) == manifest
    assert len((tmp_path / "manifest.json").read_text().splitlines()) == 9


def test_open_records(tmp_path):
    with records.open_records(make(tmp_path / "p.lmdb"), "pairs", "jpeg") as pairs:
        assert len(pairs) == 3 and pairs.manifest["counts"] == {"pairs": 3}
        assert [records.decode_pair(record)[2] for _, record in pairs] == [0, 1, 2]
        assert [records.parse_pair_key(key)[0] for key, _ in pairs] == [0, 1, 2]
        with pytest.raises(InputError, match="no record w/000004"):
            pairs.frame("w", 4)


def test_what_is_no_finished_lmdb(tmp_path):
    with Build(tmp_path / "begun.lmdb", "pairs", {}, print) as build:
        build.put([(b"key", b"value")])
    lmdb.open(str(tmp_path / "other.lmdb")).close()
    for name, said in (
        ("gone.lmdb", "no such LMDB"),
        ("begun.lmdb.partial/data.mdb", "data.mdb is a file, not an LMDB"),
        ("begun.lmdb.partial", "has no manifest.json"),
        ("begun.lmdb", "is not finished: .* run the command that builds it again"),
        ("other.lmdb", "has no manifest.json: it is not an LMDB of build_frames.py"),
    ):
        with pytest.raises(InputError, match=said):
            records.open_records(tmp_path / name)


@pytest.mark.parametrize(
    "text, asked, message",
    [
        ("{", (), "manifest.json is damaged"),
        ("[]", (), "not a manifest of format 1"),
        ('{"format": 2}', (), "not a manifest of format 1"),
        (
            '{"format": 1, "kind": "pairs", "counts": {"pairs": 4}, "recipe": {}}',
            (),
            "has 3 records, its manifest says 4",
        ),
        (None, ("frames",), "holds pairs, not frames"),
        (None, ("pairs", "raw"), "encoded as jpeg, not raw; build them with --encoding raw"),
    ],
)
def test_a_manifest_that_is_bad_or_of_something_else(tmp_path, text, asked, message):
    path = make(tmp_path / "p.lmdb")
    if text is not None:
        (path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        records.open_records(path, *asked)


def test_a_file_that_is_no_database(tmp_path):
    (make(tmp_path / "p.lmdb") / "data.mdb").write_bytes(b"x" * 10000)
    with pytest.raises(InputError, match="cannot be read"):
        records.open_records(tmp_path / "p.lmdb")


def test_damaged_page(tmp_path):
    file = make(tmp_path / "p.lmdb", 20) / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(content[: 3 * PAGE] + bytes(len(content) - 3 * PAGE))
    for read in (list, lambda opened: opened.get(records.pair_key(7, "v", 1)), lambda opened: opened.frame("v", 1)):
        with records.open_records(tmp_path / "p.lmdb") as opened:
            with pytest.raises(InputError, match="p.lmdb is damaged: .*; build it again") as error:
                read(opened)
            assert "\n" not in str(error.value)


def test_cut_short(tmp_path):
    """Reading what is missing would end the program, not raise."""
    file = make(tmp_path / "p.lmdb", 20) / "data.mdb"
    file.write_bytes(file.read_bytes()[: -2 * PAGE])
    with pytest.raises(InputError, match="p.lmdb is damaged: the end of data.mdb is missing; build it again"):
        records.open_records(tmp_path / "p.lmdb")
