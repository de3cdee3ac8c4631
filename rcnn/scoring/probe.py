"""The motion probe: a net of two frames is shown another frame in place of frame t - 1, to see what it makes of that.

A net that looks at motion loses by it, one that takes a second look at the picture does not.  What each of PREVIOUS
shows is compared on the same frames of a video: all but the first, which has no frame before it, and the last, which
has none after it.  A video of fewer than three frames has none of them.
"""

import argparse
import hashlib
from collections.abc import Sequence
from typing import Any, Callable, Optional, TypeVar

import numpy as np

from rcnn.command import seed, tell
from rcnn.data.lists import Video
from rcnn.data.records import Records
from rcnn.files import InputError

PREVIOUS = {
    "true": "frame t-1",
    "same": "frame t itself",
    "far": "the frame half the video's length after t, counted on from its first one where it ends",
    "reversed": "frame t+1",
    "none": "no frame, so that frame t is scored by the CNN, Eq. 3 at t = 1",
    "other": "the frame at the place of t-1 of a video of another class, counted on from its first one where it is "
    "shorter",
}  # a name: what is shown in place of frame t-1
SHOWN = tuple(PREVIOUS)[1:]  # in place of the true one
Shown = Callable[[int, int], Optional[np.ndarray]]
Listed = tuple[Video, Sequence[float]]  # the times of all its frames
Part = TypeVar("Part", Sequence[float], range)


def kept(frames: Part) -> Part:
    """Return of all frames of a video those that a probe scores."""
    return frames[1:-1]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --previous and --seed."""
    parser.add_argument(
        "--previous",
        choices=PREVIOUS,
        help="what frame t is scored with in place of the one before, of a net of two frames. "
        + "; ".join(f"{name}: {what}" for name, what in PREVIOUS.items()),
    )
    parser.add_argument("--seed", type=seed, default=1, help="of the choice of videos for --previous other")


def attributes(previous: Optional[str], seed: int) -> dict[str, Any]:
    """Return what a score file says of a probe: "previous", and "seed" where that plays a part; {} where it is None."""
    return {
        **({"previous": previous} if previous else {}),
        **({"seed": seed} if previous == "other" else {}),
    }


def long_enough(videos: Sequence[Listed], path: object) -> list[Listed]:
    """Return the videos that have frames to score, and name the others on standard error.

    path: of the frames LMDB, for messages.

    Raises
    ------
    InputError
        Where there is none.
    """
    if not any(kept(times) for _, times in videos):
        raise InputError(
            f"--previous: no listed video has three frames in {path}; the first and the last one are left out"
        )
    for video, times in videos:
        if not kept(times):
            tell(f"not tested, as it has fewer than three frames: {video.name}")
    return [(video, times) for video, times in videos if kept(times)]


def place(previous: str, t: int, count: int) -> int:
    """Return the index of the frame that is shown to frame t of `count`, for the names that stay in the video."""
    return (t + {"true": -1, "same": 0, "far": count // 2, "reversed": 1}[previous]) % count


def others(frames: Records, names: Sequence[str], seed: int) -> list[tuple[str, int]]:
    """Return for each named video of a frames LMDB one of another class: (its name, its number of frames).

    Which one follows from the seed and the two names: that whose digest is nearest to the digest of seed and name, of
    the whole LMDB.  So it hangs neither on the videos that are tested nor on their order, and a video more or less in
    the LMDB changes it only where that video is the one.

    Raises
    ------
    InputError
        Where the LMDB has one class only.
    """
    built = frames.manifest["videos"]
    labels = np.array([video["label"] for video in built])
    digests = np.array([_digest(video["name"]) for video in built])
    if (labels == labels[0]).all():
        raise InputError(f"--previous other: {frames.path} has videos of one class only, none of another one to show")
    label_of = {video["name"]: video["label"] for video in built}
    chosen = []
    for name in names:
        candidates = np.flatnonzero(labels != label_of[name])
        video = built[candidates[(digests[candidates] ^ _digest(f"{seed}/{name}")).argmin()]]
        chosen.append((video["name"], len(video["times"])))
    return chosen


def reader(previous: str, frames: Records, videos: Sequence[Listed], seed: int) -> Shown:
    """Return shown(video, t): the frame of a frames LMDB that a video's frame t is shown, None for "none".

    Parameters
    ----------
    previous
        Of PREVIOUS.
    videos
        By their number.
    seed
        Of "other".
    """
    if previous == "none":
        return lambda video, t: None
    if previous == "other":
        chosen = others(frames, [video.name for video, _ in videos], seed)

        def of_another(video: int, t: int) -> np.ndarray:
            name, count = chosen[video]
            return frames.frame(name, (t - 1) % count)[0]

        return of_another

    def of_the_same(video: int, t: int) -> np.ndarray:
        listed, times = videos[video]
        return frames.frame(listed.name, place(previous, t, len(times)))[0]

    return of_the_same


def _digest(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
