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


class VideoSet(NamedTuple):
    """What makes a set.

    classes: {name: (appearance, movement)} of the set motion, {name: ()} of scenes.  groups, clips: of each class, 2 to
    99 and 1 to 99.  seconds: the length of a video, or the shortest and the longest of scenes.  splits: how many lists;
    split 1 tests on the last quarter of the groups, 2 on the one before it.  codec: of CODECS.
    """

    classes: dict[str, tuple[str, ...]]
    groups: int
    clips: int
    seconds: tuple[float, ...]
    splits: int
    seed: int
    codec: str

    def videos(self) -> list["Video"]:
        """Return every video of the set, those of a group one after the other."""
        return [
            Video(self, name, group, clip)
            for group in range(1, self.groups + 1)
            for name in sorted(self.classes)
            for clip in range(1, self.clips + 1)
        ]

    def recipe(self) -> dict[str, Any]:
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
            "codec": self.codec,
            "made_with": f"OpenCV {cv2.__version__}, NumPy {np.__version__}",
        }

    def test_groups(self, split: int) -> range:
        """Return the groups that split 1, 2, ... tests on."""
        size = max(1, self.groups // SHARE)
        last = self.groups - (split - 1) * size
        return range(last - size + 1, last + 1)


class Video(NamedTuple):
    """One video of a set; name: of its class."""

    of: VideoSet
    name: str
    group: int
    clip: int

    @property
    def file(self) -> str:
        """Its path in the set's folder."""
        return f"{self.name}/v_{self.name}_g{self.group:02d}_c{self.clip:02d}.avi"

    def frames(self) -> tuple[int, Iterator[np.ndarray]]:
        """Return (number of frames, iterator over them: uint8 height x width x 3, BGR)."""
        seed, seconds, parts = self.of.seed, self.of.seconds, self.of.classes[self.name]
        generator = np.random.default_rng([seed, self.group, self.clip, *self.name.encode()])
        if parts:
            appearance, movement = parts
            return round(seconds[0] * motion.FPS), motion.frames(appearance, movement, seconds[0], generator)
        number = scenes.draw_length(generator, *seconds)
        return number, scenes.frames(self.name, number, _place(seed, self.group), generator)


@lru_cache(maxsize=1)  # the videos of a group come one after the other
def _place(seed: int, group: int) -> np.ndarray:
    return scenes.place(np.random.default_rng([seed, group]))


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


def make(folder: Path, made: VideoSet, number: int, progress: Callable) -> None:
    """Write what the folder lacks of a set: videos, then lists; each file is whole or not there.

    Parameters
    ----------
    number : worker processes
    progress : as `command.progress`

    Raises
    ------
    InputError
        If the folder is of another set or holds something else.
    WriteError
        If a file cannot be written.
    """
    with recipe_folder(folder, made.recipe(), "synthetic videos"):
        for half in folder.glob("*/.v_*.avi"):  # of a program that was killed
            remove(half)
        videos = made.videos()
        missing = [(video, folder / video.file) for video in videos if not (folder / video.file).is_file()]
        with progress(len(videos), "video", len(videos) - len(missing)) as bar:
            if missing:
                with workers.Pool(min(number, len(missing))) as executor:
                    for _ in workers.in_order(executor, write_video, missing, 4 * number):
                        bar.update()
        _write_lists(folder / LISTS, made)


def write_video(job: tuple[Video, Path]) -> None:
    """Write a video to a path; runs in a worker process."""
    cv2.setNumThreads(1)  # the work is spread over videos
    video, path = job
    number, frames = video.frames()
    with replacing(path) as part:
        if (writer := _open_writer(part, video.of.codec)) is not None:
            for frame in frames:
                writer.write(frame)
            writer.release()
        if _frame_count(part) != number:  # VideoWriter does not say when a disk is full
            raise WriteError(f"cannot write {path}; is the disk full? Mend that and run the same command again")


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


def _write_lists(folder: Path, made: VideoSet) -> None:
    """Write classInd.txt and the lists of every split, in UCF-101's format."""
    labels = {name: number for number, name in enumerate(sorted(made.classes), 1)}
    write_text(folder / "classInd.txt", "".join(f"{number} {name}\n" for name, number in labels.items()))
    videos = sorted(made.videos(), key=lambda video: video.file)
    for split in range(1, made.splits + 1):
        tested = made.test_groups(split)
        train = [f"{video.file} {labels[video.name]}\n" for video in videos if video.group not in tested]
        test = [f"{video.file}\n" for video in videos if video.group in tested]
        write_text(folder / f"trainlist{split:02d}.txt", "".join(train))
        write_text(folder / f"testlist{split:02d}.txt", "".join(test))
