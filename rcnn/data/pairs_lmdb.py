"""Building a pairs LMDB from a frames LMDB: what a worker does for a batch of pairs, and how they are stored."""

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import cv2

from rcnn.data import records, workers
from rcnn.data.builds import Build
from rcnn.files import InputError, sha256

BATCH = 32


class Settings(NamedTuple):
    """What decides the pairs of some frames.

    encoding, quality: of `records.encode_pair`.  seed, pairs_per_video: of `sampling.pair_order`.
    """

    encoding: str = "jpeg"
    quality: int = 95
    seed: int = 1
    pairs_per_video: Optional[int] = None


class Job(NamedTuple):
    """Some pairs to encode: path of the frames LMDB, [(position, video, t)] and Settings."""

    frames: str
    pairs: list[tuple[int, str, int]]
    settings: Settings


def recipe(
    frames: records.Records, list_paths: Sequence[str], classes: Sequence[str], settings: Settings
) -> dict[str, Any]:
    """Return everything that decides the content of the LMDB, fit for JSON, as its manifest has it.

    Raises
    ------
    InputError
        If the frames were built with other classes.
    """
    made_of = frames.manifest["recipe"]
    if made_of["classes"] != classes:
        raise InputError(
            f"classes: the list differs from the class list that {frames.path} was made with (--only-classes too)"
        )
    pairs = {
        "frames": {
            "manifest_sha256": sha256(Path(frames.path) / records.MANIFEST),
            **{key: made_of[key] for key in ("fps", "size", "quality", "decoder")},
        },
        "lists": records.sources(list_paths),
        "classes": classes,
        "encoding": settings.encoding,
        "quality": settings.quality if settings.encoding == "jpeg" else None,
        "seed": settings.seed,
        "pairs_per_video": settings.pairs_per_video,
        "encoder": f"OpenCV {cv2.__version__}, {'grey' if 'flow' in made_of else 'chroma 4:2:2'}",
    }
    return {**pairs, "flow": made_of["flow"]} if "flow" in made_of else pairs


def encode(job: Job) -> list[tuple[bytes, bytes]]:
    """Return [(key, record)] of a job's pairs; runs in a worker process."""
    frames, entries = _frames(job.frames), []
    for position, name, t in job.pairs:
        previous, _ = frames.frame(name, t - 1)
        frame, label = frames.frame(name, t)
        record = records.encode_pair(previous, frame, label, job.settings.encoding, job.settings.quality)
        entries.append((records.pair_key(position, name, t), record))
    return entries


@lru_cache(1)
def _frames(path: str) -> records.Records:
    return records.open_records(path, "frames")


def store(
    build: Build,
    frames: str,
    order: Sequence[tuple[str, int]],
    settings: Settings,
    executor: Executor,
    ahead: int,
    progress: Callable,
) -> None:
    """Store those pairs that a build lacks.

    Parameters
    ----------
    frames : path of the frames LMDB
    order : of `sampling.pair_order`
    executor : as of `workers.in_order`
    ahead : how many batches may be under way
    progress : as `command.progress`
    """
    stored = len(build)
    rest = [(position, *order[position]) for position in range(stored, len(order))]
    jobs = [Job(frames, rest[start : start + BATCH], settings) for start in range(0, len(rest), BATCH)]
    with progress(len(order), "pair", stored) as bar:
        for entries in workers.in_order(executor, encode, jobs, ahead):
            build.put(entries)
            bar.update(len(entries))
