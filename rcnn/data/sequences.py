"""Videos of a list, frame by frame and several side by side, out of a frames LMDB, as RCNN-s takes them (Sec. 2.3)."""

import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Optional

import numpy as np

from rcnn.data import sampling
from rcnn.data.lists import Video, read_list
from rcnn.data.records import MANIFEST, Records, decode_frame, frame_key, open_records
from rcnn.files import InputError, PathLike

Times = list[float]
_opened: "weakref.WeakValueDictionary[Path, Records]" = weakref.WeakValueDictionary()


def open_frames(path: PathLike) -> Records:
    """Return the frames LMDB at `path`, the same Records as long as anybody in this process holds them.

    LMDB opens a database once in a process, and a training net and its test net read the same.  It is closed when
    nobody holds it any more.

    Raises
    ------
    InputError
        As `records.open_records` does, and where it was not built by tools/build_frames.py, so that its manifest does
        not name the classes or the frames' size.
    """
    place = Path(path).resolve()
    frames = _opened.get(place)
    if frames is None:
        frames = open_records(path, "frames")
        lacking = [key for key in ("classes", "size") if key not in frames.manifest["recipe"]]
        if lacking:
            frames.close()
            raise InputError(
                f"{Path(path) / MANIFEST} does not say the {' and '.join(lacking)} of the frames; build "
                "them anew with tools/build_frames.py"
            )
        _opened[place] = frames
    return frames


def listed_videos(frames: Records, list_path: PathLike) -> tuple[list[tuple[Video, Times]], list[tuple[Video, str]]]:
    """Return `videos_with_frames` of a list file, whose classes are those that the frames LMDB was built with.

    frames: of `open_frames`.
    """
    made_of = frames.manifest["recipe"]
    listed = read_list(list_path, made_of.get("class_list", made_of["classes"]), made_of["classes"])
    return videos_with_frames(listed, frames, list_path)


def videos_with_frames(
    listed: Sequence[Video], frames: Records, list_path: PathLike
) -> tuple[list[tuple[Video, Times]], list[tuple[Video, str]]]:
    """Return which listed videos a frames LMDB has, and which its build had to skip.

    Parameters
    ----------
    listed : of `lists.read_list`
    frames : the LMDB
    list_path : the list's file, for messages

    Returns
    -------
    videos : list of (Video, times of its frames in seconds), in the list's order
    skipped : list of (Video, reason), in the list's order

    Raises
    ------
    InputError
        If the LMDB neither has nor skipped a listed video, has one with another label, or has none of them.
    """
    built = {video["name"]: video for video in frames.manifest["videos"]}
    reasons = {video["video"]: video["reason"] for video in frames.manifest["skipped"]}
    absent = [video.name for video in listed if video.name not in built and video.name not in reasons]
    if absent:
        raise InputError(
            f"{frames.path} lacks {len(absent)} of the {len(listed)} videos of {list_path}, the first is "
            f"{absent[0]}; build the frames of this list"
        )
    videos = [(video, built[video.name]["times"]) for video in listed if video.name in built]
    for video, _ in videos:
        label = built[video.name]["label"]
        if label != video.label:
            raise InputError(
                f"{video.name} has label {label} in {frames.path}, but {video.label} by {list_path} and "
                "the class list; use the lists that the frames were built with"
            )
    if not videos:
        raise InputError(f"{list_path} has no video with frames in {frames.path}")
    return videos, [(video, reasons[video.name]) for video in listed if video.name not in built]


def draws(seed: Optional[int]) -> tuple[np.random.Generator, int]:
    """Return (numpy.random.Generator of the crops, seed of the order of videos) of a layer; seed None: fresh ones."""
    generator = np.random.default_rng(seed)
    return generator, int(generator.integers(2**32))


def rows(
    frames: Records, videos: Sequence[tuple[Video, Times]], streams: int, seed: Optional[int], executor: Executor
) -> Iterator[Iterator[tuple[np.ndarray, int, bool]]]:
    """Yield time steps of `sampling.sequences` without end, each an iterator over `streams` rows.

    Parameters
    ----------
    videos : of `videos_with_frames`
    seed : None for the order of `videos`
    executor : of threads, which decode the images

    Yields
    ------
    iterator of (image, label, first)
        image: uint8 height x width x 3, BGR, or x 2, flow; label: 0-based class number; first: whether it is the first
        of its video.

    Raises
    ------
    InputError
        If a record is damaged.
    """
    counts = {video.name: len(times) for video, times in videos}
    for step in sampling.sequences(counts, streams, seed):
        records = [frames.get(frame_key(name, t)) for name, t, _ in step]
        decoded = executor.map(decode_frame, records)
        yield ((image, label, first) for (image, label), (_, _, first) in zip(decoded, step))
