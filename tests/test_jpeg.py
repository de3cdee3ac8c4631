"""Caffe's Data layer on JPEGs of all kinds: it gives the pixels that OpenCV does.

tools/caffe_build/compat.h has the colour ones decoded by libjpeg-turbo itself.  Expected is what cv2.imdecode of
PyPI's cv2 gives; its libjpeg-turbo (3.0) and Debian's (2.1) agree to the last bit on all that is not cut off.
"""

import struct
import subprocess

import caffe
import cv2
import lmdb
import numpy as np
import pytest
from runs import ROOT

from rcnn.data.records import Datum

NET = """
layer {{ name: "data" type: "Data" top: "data" data_param {{ source: "{source}" backend: LMDB batch_size: 1 }}
  transform_param {{ force_color: {colour} }} }}
"""
SAMPLINGS = ("411", "420", "422", "440", "444")


def scene(height, width):
    """Return a seeded image of smooth colours and some noise, uint8 height x width x 3."""
    random = np.random.default_rng(7)
    colours = cv2.resize(random.uniform(0, 256, (4, 5, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    return (colours + random.normal(0, 9, colours.shape)).clip(0, 255).astype(np.uint8)


def encoded(image, *settings):
    """Return the bytes of a JPEG; settings: names of cv2's IMWRITE_JPEG_ constants, and their values."""
    numbers = [getattr(cv2, f"IMWRITE_JPEG_{word}") if isinstance(word, str) else word for word in settings]
    return cv2.imencode(".jpg", image, numbers)[1].tobytes()


def sampled(image, sampling, *settings):
    """Return the bytes of a JPEG with a chroma subsampling such as "422"."""
    return encoded(image, "SAMPLING_FACTOR", getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}"), *settings)


def turned(jpeg, orientation):
    """Return a JPEG with an EXIF orientation, 1 to 8."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def decoded_by_caffe(folder, jpegs, colour):
    """Return what a Data layer makes of records of JPEGs: float32 channels x height x width each.

    colour: whether grey ones become colour ones (force_color).
    """
    with lmdb.open(str(folder / "records"), map_size=1 << 24) as store, store.begin(write=True) as records:
        for index, jpeg in enumerate(jpegs):
            records.put(f"{index:08d}".encode(), Datum(encoded=True, data=jpeg).SerializeToString())
    path = folder / "net.prototxt"
    path.write_text(NET.format(source=folder / "records", colour=str(colour).lower()))
    net = caffe.Net(str(path), caffe.TEST)
    return [net.forward()["data"][0].copy() for _ in jpegs]


def decoded_by_opencv(jpeg, colour):
    """Return the same by cv2."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR if colour else cv2.IMREAD_UNCHANGED)
    return np.atleast_3d(image).transpose(2, 0, 1)


KINDS = {
    **{
        f"{sampling} {height} x {width}": sampled(scene(height, width), sampling)
        for sampling in SAMPLINGS
        for height, width in ((64, 48), (37, 53), (1, 1), (3, 70))
    },
    **{f"{sampling} progressive": sampled(scene(37, 53), sampling, "PROGRESSIVE", 1) for sampling in SAMPLINGS},
    **{f"quality {quality}": encoded(scene(37, 53), "QUALITY", quality) for quality in (1, 50, 100)},
    "restart markers": encoded(scene(64, 48), "RST_INTERVAL", 2),
    "grey": encoded(scene(37, 53)[:, :, 0]),
    **{f"EXIF orientation {orientation}": turned(encoded(scene(37, 53)), orientation) for orientation in range(1, 9)},
    "bytes after the end": encoded(scene(37, 53)) + b"more",
    "png": cv2.imencode(".png", scene(37, 53))[1].tobytes(),
}


@pytest.mark.parametrize("colour", [False, True])
def test_pixels_are_opencvs(tmp_path, colour):
    for kind, image in zip(KINDS, decoded_by_caffe(tmp_path, KINDS.values(), colour)):
        np.testing.assert_array_equal(image, decoded_by_opencv(KINDS[kind], colour), err_msg=kind)


def test_orientation_is_applied_in_colour_alone(tmp_path):
    """So does OpenCV: the test above would not tell if no orientation reached it."""
    shapes = {}
    for colour in (False, True):
        (tmp_path / str(colour)).mkdir()
        shapes[colour] = decoded_by_caffe(tmp_path / str(colour), [KINDS["EXIF orientation 6"]], colour)[0].shape
    assert shapes == {False: (3, 37, 53), True: (3, 53, 37)}


def test_what_there_is_of_a_cut_off_jpeg_is_decoded(tmp_path):
    """Caffe goes on, as OpenCV does; the sound record after it is not touched by it."""
    whole = sampled(scene(64, 48), "422", "QUALITY", 95)
    cut, after = decoded_by_caffe(tmp_path, [whole[: len(whole) * 3 // 4], whole], False)
    sound = decoded_by_opencv(whole, False)
    np.testing.assert_array_equal(after, sound)
    assert cut.shape == sound.shape
    np.testing.assert_array_equal(cut[:, :32], sound[:, :32])
    assert (cut[:, 56:] != sound[:, 56:]).any()


def test_caffe_decodes_by_libjpeg_itself():
    """The pixels do not show which way they came, and a header that had switched itself off would only be slow."""
    library = ROOT / ".venv" / "caffe" / "lib" / "libcaffe.so"
    needed = subprocess.run(["readelf", "-d", library], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "[libjpeg.so" in needed
