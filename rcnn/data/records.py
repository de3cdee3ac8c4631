"""The LMDB formats: keys, records (Caffe's `Datum`), manifest, reading (`builds.py` builds them).

A frames LMDB has one record a frame, keyed `<video>/<index of the frame>`; a pairs LMDB one record a pair of
neighbouring frames, keyed `<position>_<video>/<index of the second frame>`.  Each is a folder `<name>.lmdb` with
LMDB's own `data.mdb` and a `manifest.json` that says what is inside and what it was made from.

A frame is an image of 3 channels or optical flow of 2, 8 bits each (rcnn/data/flow.py).  JPEG knows no 2 channels: the
flow of a frame is one grey JPEG of 2 height x width, x above y; that of a pair one of 4 height x width, x and y of
frame t - 1 above x and y of frame t.  Caffe's Data layer decodes it to 1 x 4 height x width.  Where the height is a
multiple of 8, no block of the JPEG holds parts of two.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import cv2
import lmdb
import numpy as np
from google.protobuf.message import DecodeError

from rcnn.data import flow
from rcnn.data.caffe_formats_pb2 import Datum
from rcnn.files import InputError, PathLike, sha256, write_text

FORMAT = 1
ENCODINGS = ("jpeg", "raw")
MANIFEST = "manifest.json"


# Keys


def frame_key(video: str, index: int) -> bytes:
    """Return the key of frame `index` (0 to 999999) of a video: `b"v_Archery_g01_c01/000007"`."""
    return f"{video}/{_digits(index, 6, 'frame')}".encode()


def pair_key(position: int, video: str, index: int) -> bytes:
    """Return the key of the pair of frames `index` - 1 and `index`: `b"00000042_v_Archery_g01_c01/000007"`.

    position: 0 to 99999999, the pair's place in the LMDB.
    """
    return f"{_digits(position, 8, 'pair')}_{video}/{_digits(index, 6, 'frame')}".encode()


def parse_frame_key(key: bytes) -> tuple[str, int]:
    """Return (video, index) of `frame_key`."""
    video, index = key.decode().rsplit("/", 1)
    return video, int(index)


def parse_pair_key(key: bytes) -> tuple[int, str, int]:
    """Return (position, video, index) of `pair_key`."""
    position, rest = key.split(b"_", 1)
    return (int(position), *parse_frame_key(rest))


def key_order(video: str) -> bytes:
    """Return what to sort video names by so that they come in the order of their frames' keys."""
    return f"{video}/".encode()


def _digits(number: int, width: int, what: str) -> str:
    if not 0 <= number < 10**width:
        raise InputError(f"{what} {number} does not fit a key of {width} digits")
    return f"{number:0{width}d}"


# Records


def encode_frame(image: np.ndarray, label: int, quality: int = 95) -> bytes:
    """Return the record of one frame, a Datum with a JPEG.

    Parameters
    ----------
    image : uint8 height x width x 3, BGR, or x 2, flow
    label : 0-based class number
    quality : of the JPEG, 1 to 100
    """
    return _encode_jpeg(_one_above_other(image), label, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)


def decode_frame(record: bytes) -> tuple[np.ndarray, int]:
    """Return (image, label) of `encode_frame`'s record: uint8 height x width x 3, BGR, or x 2, flow; int.

    Raises
    ------
    InputError
        If it is damaged.
    """
    datum = _parse(record)
    return _side_by_side(_image(datum)), datum.label


def encode_pair(
    previous: np.ndarray, frame: np.ndarray, label: int, encoding: str = "jpeg", quality: int = 95
) -> bytes:
    """Return the record of a pair of frames, a Datum.

    Parameters
    ----------
    previous, frame : t - 1 and t, uint8 height x width x 3, BGR, or x 2, flow
    label : 0-based class number
    encoding : "jpeg", one JPEG of 2 height x width (flow: 4 height x width), frame t - 1 above frame t; or "raw", 6 (4)
        x height x width uint8, the channels of frame t - 1 and then of frame t
    quality : of the JPEG, 1 to 100
    """
    if encoding == "jpeg":
        # JPEG's usual 4:2:0 shares colour between rows, so also between the two frames where they meet.
        tall = np.concatenate([_one_above_other(image) for image in (previous, frame)])
        return _encode_jpeg(tall, label, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422)
    planes = np.concatenate([previous, frame], axis=2).transpose(2, 0, 1)
    channels, height, width = planes.shape
    return Datum(channels=channels, height=height, width=width, label=label, data=planes.tobytes()).SerializeToString()


def decode_pair(record: bytes) -> tuple[np.ndarray, np.ndarray, int]:
    """Return (previous, frame, label) of `encode_pair`'s record: uint8 height x width x 3 or 2, twice; int.

    Raises
    ------
    InputError
        If it is damaged.
    """
    datum = _parse(record)
    if datum.encoded:
        tall = _image(datum)
        half = len(tall) // 2
        return _side_by_side(tall[:half]), _side_by_side(tall[half:]), datum.label
    planes = np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width).transpose(1, 2, 0)
    half = datum.channels // 2
    return planes[:, :, :half], planes[:, :, half:], datum.label


def _one_above_other(image: np.ndarray) -> np.ndarray:
    """Return flow, height x width x 2, as a grey 2 height x width x 1, and an image as it is."""
    return image.transpose(2, 0, 1).reshape(-1, image.shape[1], 1) if image.shape[2] == flow.CHANNELS else image


def _side_by_side(image: np.ndarray) -> np.ndarray:
    """Return a grey 2 height x width as height x width x 2, and an image as it is."""
    return image.reshape(2, -1, image.shape[1]).transpose(1, 2, 0) if image.ndim == 2 else image


def _encode_jpeg(image: np.ndarray, label: int, quality: int, sampling: int) -> bytes:
    height, width, channels = image.shape
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return Datum(
        channels=channels,
        height=height,
        width=width,
        label=label,
        encoded=True,
        data=cv2.imencode(".jpg", image, settings)[1].tobytes(),
    ).SerializeToString()


def _parse(record: bytes) -> Any:
    try:
        return Datum.FromString(record)
    except DecodeError:
        raise InputError("a record is damaged: it is not a Datum; build the LMDB anew") from None


def _image(datum: Any) -> np.ndarray:
    colour = cv2.IMREAD_GRAYSCALE if datum.channels == 1 else cv2.IMREAD_COLOR
    image = cv2.imdecode(np.frombuffer(datum.data, np.uint8), colour) if datum.data else None
    if image is None or image.ndim == 2 and len(image) % 2:
        raise InputError("a record is damaged: its JPEG cannot be decoded; build the LMDB anew")
    return image


# Reading


class Records:
    """A finished LMDB, read-only; made by `open_records`, a context manager.

    Iterating gives (key, record) in key order, `len` their number.

    Attributes
    ----------
    path : Path
    manifest : dict, the contents of manifest.json
    channels : of a frame, 3 for images, 2 for flow
    """

    def __init__(self, path: Path, manifest: dict[str, Any]):
        self.path, self.manifest = path, manifest
        self.channels = flow.CHANNELS if "flow" in manifest["recipe"] else 3
        self._environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
        self._transaction = self._environment.begin(buffers=False)

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __len__(self) -> int:
        return self._transaction.stat()["entries"]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        with self._damage_named():
            yield from self._transaction.cursor()

    def get(self, key: bytes) -> bytes:
        """Return the record of `key`; raises InputError where there is none, or the LMDB is damaged there."""
        with self._damage_named():
            record = self._transaction.get(key)
        if record is None:
            raise InputError(f"{self.path} has no record {key.decode()}; it is damaged, build it anew")
        return record

    def key_list(self) -> list[bytes]:
        """Return all keys in order; the records themselves are not read."""
        with self._damage_named():
            return list(self._transaction.cursor().iternext(keys=True, values=False))

    def frame(self, video: str, index: int) -> tuple[np.ndarray, int]:
        """Return (image, label) of a frame of a frames LMDB (`decode_frame`)."""
        return decode_frame(self.get(frame_key(video, index)))

    def is_cut_short(self) -> bool:
        """Return whether data.mdb lacks pages at its end; reading one would end the program (SIGBUS)."""
        pages = self._environment.info()["last_pgno"] + 1
        return (self.path / "data.mdb").stat().st_size < pages * self._environment.stat()["psize"]

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise InputError(f"{self.path} is damaged: {error}; build it again") from None

    def close(self) -> None:
        """Close the database."""
        self._transaction.abort()
        self._environment.close()


def open_records(path: PathLike, kind: Optional[str] = None, encoding: Optional[str] = None) -> Records:
    """Open a finished LMDB.

    Parameters
    ----------
    kind : "frames" or "pairs", what it must hold (None: either)
    encoding : "jpeg" or "raw", how its pairs must be encoded (None: either)

    Raises
    ------
    InputError
        If it is missing, unfinished, damaged, not one of these LMDBs, or holds something else.
    """
    path = Path(path)
    if not path.is_dir():
        if partial_path(path).is_dir():
            raise InputError(
                f"{path} is not finished: only {partial_path(path).name} is there; run the command that builds it again"
            )
        raise InputError(f"{path} is a file, not an LMDB" if path.exists() else f"no such LMDB: {path}")
    manifest = read_manifest(path)
    if kind is not None and manifest["kind"] != kind:
        raise InputError(f"{path} holds {manifest['kind']}, not {kind}")
    if encoding is not None and manifest["recipe"].get("encoding") != encoding:
        raise InputError(
            f"{path} has pairs encoded as {manifest['recipe'].get('encoding')}, not {encoding}; "
            f"build them with --encoding {encoding}"
        )
    try:
        records = Records(path, manifest)
    except lmdb.Error as error:
        raise InputError(f"{path} cannot be read: {error}; build it anew") from None
    fault, number, promised = "", len(records), manifest["counts"][manifest["kind"]]
    if records.is_cut_short():
        fault = "is damaged: the end of data.mdb is missing"
    elif number != promised:
        fault = f"has {number} records, its manifest says {promised}"
    if fault:
        records.close()
        raise InputError(f"{path} {fault}; build it again")
    return records


def read_manifest(path: PathLike) -> dict[str, Any]:
    """Return the manifest of the LMDB folder `path`; raises InputError where there is none that this package made."""
    file = Path(path) / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} has no {MANIFEST}: it is not an LMDB of build_frames.py or build_pairs.py") from None
    except ValueError:
        raise InputError(f"{file} is damaged; build the LMDB anew") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{file} is not a manifest of format {FORMAT}; build the LMDB anew")
    return manifest


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write `manifest` to `folder`, whole or not at all: a line for each key and for each item of a list."""
    entries = []
    for key, value in manifest.items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value) + "\n ]"
        else:
            text = json.dumps(value, ensure_ascii=False)
        entries.append(f" {json.dumps(key)}: {text}")
    write_text(Path(folder) / MANIFEST, "{\n" + ",\n".join(entries) + "\n}\n")


def sources(paths: Sequence[PathLike]) -> list[dict[str, str]]:
    """Return [{name, sha256}] of files, for a manifest; without folders, so that a build's place plays no part."""
    return [{"name": Path(path).name, "sha256": sha256(path)} for path in paths]


def partial_path(path: PathLike) -> Path:
    """Return the folder in which the LMDB `path` is while it is not finished: `<name>.lmdb.partial`."""
    return Path(path).with_name(Path(path).name + ".partial")
