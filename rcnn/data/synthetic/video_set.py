"""A set of synthetic videos on disk, laid out and named as UCF-101: files, class list, train and test lists."""

import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import cv2
import numpy as np

from rcnn.data import workers
from rcnn.data.folders import recipe_folder
from rcnn.data.synthetic import motion, scenes
from rcnn.files import InputError, WriteError, remove, replacing, write_text

CODECS = ("XVID", "MJPG")  # MPEG-4 and Motion JPEG, the first that OpenCV can write
LISTS = "lists"
SECONDS = {"motion": (3.0,), "scenes": (scenes.SHORTEST, scenes.LONGEST)}  # the lengths that each set takes
SHARE = 4  # one group in four is tested on


class Video(NamedTuple):
    """One video to make.

    name: of its class.  parts: (appearance, movement) of the set motion, () of scenes.  seconds: its length, or the
    shortest and the longest of scenes.  codec: four letters.
    """

    path: Path
    name: str
    parts: tuple[str, ...]
    group: int
    clip: int
    seconds: tuple[float, ...]
    seed: int
    codec: str

    def frames(self) -> tuple[int, Iterator[np.ndarray]]:
        """Return (number of frames, iterator over them: uint8 height x width x 3, BGR)."""
        generator = np.random.default_rng([self.seed, self.group, self.clip, *self.name.encode()])
        if self.parts:
            (appearance, movement), (seconds,) = self.parts, self.seconds
            return round(seconds * motion.FPS), motion.frames(appearance, movement, seconds, generator)
        number = scenes.draw_length(generator, *self.seconds)
        return number, scenes.frames(self.name, number, _place(self.seed, self.group), generator)


@lru_cache(maxsize=1)  # the videos of a group come one after the other
def _place(seed: int, group: int) -> np.ndarray:
    return scenes.place(np.random.default_rng([seed, group]))


class VideoSet(NamedTuple):
    """What makes a set.

    classes: {name: (appearance, movement)} of the set motion, {name: ()} of scenes.  groups, clips: of each class, 2 to
    99 and 1 to 99.  splits: how many lists; split 1 tests on the last quarter of the groups, 2 on the one before it.
    """

    classes: dict[str, tuple[str, ...]]
    groups: int
    clips: int
    seconds: tuple[float, ...]
    splits: int
    seed: int

    def videos(self, folder: Path, codec: str) -> list[Video]:
        """Return every video of the set."""
        return [
            Video(
                folder / name / f"{_video_name(name, group, clip)}.avi",
                name,
                self.classes[name],
                group,
                clip,
                self.seconds,
                self.seed,
                codec,
            )
            for group in range(1, self.groups + 1)
            for name in sorted(self.classes)
            for clip in range(1, self.clips + 1)
        ]

    def recipe(self, codec: str) -> dict[str, Any]:
        """Return everything that decides the files, fit for JSON."""
        return {
            "classes": sorted(self.classes),
            "groups": self.groups,
            "clips": self.clips,
            "seconds": list(self.seconds) if len(self.seconds) > 1 else self.seconds[0],
            "seed": self.seed,
            "width": motion.WIDTH,
            "height": motion.HEIGHT,
            "fps": motion.FPS,
            "codec": codec,
            "made_with": f"OpenCV {cv2.__version__}, NumPy {np.__version__}",
        }

    def test_groups(self, split: int) -> range:
        """Return the groups that split 1, 2, ... tests on."""
        size = max(1, self.groups // SHARE)
        last = self.groups - (split - 1) * size
        return range(last - size + 1, last + 1)


def classes_of(
    kind: str, appearances: Optional[Sequence[str]] = None, movements: Optional[Sequence[str]] = None
) -> dict[str, tuple[str, ...]]:
    """Return {class name: (appearance, movement)} of the set motion, {name: ()} of scenes; None: all there are."""
    if kind == "scenes":
        return dict.fromkeys(scenes.CLASSES, ())
    return {
        appearance + movement: (appearance, movement)
        for appearance in appearances or motion.APPEARANCES
        for movement in movements or motion.MOVEMENTS
    }


def make(folder: Path, made: VideoSet, codec: str, number: int, progress: Callable) -> None:
    """Write what the folder lacks of a set: videos, then lists; each file is whole or not there.

    Parameters
    ----------
    codec : of `choose_codec`
    number : worker processes
    progress : as `command.progress`

    Raises
    ------
    InputError
        If the folder is of another set or holds something else.
    WriteError
        If a file cannot be written.
    """
    with recipe_folder(folder, made.recipe(codec), "synthetic videos"):
        for half in folder.glob("*/.v_*.avi"):  # of a program that was killed
            remove(half)
        videos = made.videos(folder, codec)
        missing = [video for video in videos if not video.path.is_file()]
        with progress(len(videos), "video", len(videos) - len(missing)) as bar:
            if missing:
                with workers.Pool(min(number, len(missing))) as executor:
                    for _ in workers.in_order(executor, write_video, missing, 4 * number):
                        bar.update()
        _write_lists(folder / LISTS, made)


def write_video(video: Video) -> None:
    """Write a video; runs in a worker process."""
    cv2.setNumThreads(1)  # the work is spread over videos
    number, frames = video.frames()
    with replacing(video.path) as part:
        if (writer := _open_writer(part, video.codec)) is not None:
            for frame in frames:
                writer.write(frame)
            writer.release()
        if _frame_count(part) != number:  # VideoWriter does not say when a disk is full
            raise WriteError(f"cannot write {video.path}; is the disk full? Mend that and run the same command again")


def _frame_count(path: Path) -> int:
    """Return how many frames can be read; what the header promises may never have been written."""
    capture, number = cv2.VideoCapture(str(path)), 0
    while capture.grab():
        number += 1
    return number


def _open_writer(path: Path, codec: str) -> Optional[cv2.VideoWriter]:
    """Return a writer of an AVI, or None where OpenCV cannot write that codec."""
    cv2.setLogLevel(0)  # else it reports a failure in its own words
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), motion.FPS, (motion.WIDTH, motion.HEIGHT))
    return writer if writer.isOpened() else None


def choose_codec() -> str:
    """Return the first of CODECS that OpenCV can write here; InputError where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            writer = _open_writer(Path(folder) / "probe.avi", codec)
            if writer is not None:
                writer.release()
                return codec
    raise InputError(
        f"OpenCV {cv2.__version__} can write none of {', '.join(CODECS)} as AVI; install opencv-python-headless"
    )


def _video_name(name: str, group: int, clip: int) -> str:
    return f"v_{name}_g{group:02d}_c{clip:02d}"


def _write_lists(folder: Path, made: VideoSet) -> None:
    """Write classInd.txt and the lists of every split, in UCF-101's format."""
    names = sorted(made.classes)
    write_text(folder / "classInd.txt", "".join(f"{number} {name}\n" for number, name in enumerate(names, 1)))
    for split in range(1, made.splits + 1):
        lines: dict[str, list[str]] = {"train": [], "test": []}
        for number, name in enumerate(names, 1):
            for group in range(1, made.groups + 1):
                kind, label = ("test", "") if group in made.test_groups(split) else ("train", f" {number}")
                lines[kind] += [
                    f"{name}/{_video_name(name, group, clip)}.avi{label}\n" for clip in range(1, made.clips + 1)
                ]
        for kind, text in lines.items():
            write_text(folder / f"{kind}list{split:02d}.txt", "".join(text))
