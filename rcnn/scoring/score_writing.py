"""Files of per-frame scores (rcnn/scoring/score_files.py), written video by video, safe to interrupt at any moment.

While scores are being computed, they lie in the folder `<file>.partial`: run.json says what makes them, and each
finished video has a file <its index>.f32 of its rows, float32 frames x crops x signals x classes.  The video under way
has <its index>.part.
"""

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rcnn.data.folders import recipe_folder
from rcnn.files import InputError, PathLike, WriteError, remove, replacing
from rcnn.scoring.score_files import BLOCK, Scores, check_finite

RUN, WHOLE = "run.json", "whole.h5"
LEFTOVERS = rf"\.whole\..*|{WHOLE}|\d+\.(f32|part)"
RUN_DIGEST = "run_sha256"  # attribute: of what makes the scores
Listed = list[tuple[str, int, Sequence[float]]]


@contextmanager
def writing(
    path: PathLike,
    videos: Listed,
    crops: int,
    signals: Sequence[str],
    classes: Sequence[str],
    attributes: dict[str, Any],
) -> Iterator["Writer"]:
    """Yield a Writer; the file takes its place at `path` when the block ends, and not at all if the block fails.

    If the block fails, or the program is killed, the videos that were finished stay in the folder `<path>.partial`, and
    the same call goes on with them.  Until the end they take as much room again as the file.

    Parameters
    ----------
    videos
        (name, label, times) of all that the file is to have, in its order: 0-based label, seconds of each frame.
    crops
        How many a frame.
    signals, classes
        Names.
    attributes
        {name: text, number or array}, what makes the scores.

    Raises
    ------
    InputError
        Where the folder is of other videos or attributes or another program is at work in it, and where the videos or
        their scores are not right.
    WriteError
        Where something cannot be written.
    """
    path = Path(path)
    folder = path.with_name(path.name + ".partial")
    run = _run(videos, crops, signals, classes, attributes)
    _check_videos(run)
    attributes = {**attributes, RUN_DIGEST: _digest(run)}
    with recipe_folder(
        folder, run, "unfinished scores", beside=True, name=RUN, leftovers=LEFTOVERS, differs=_difference
    ):
        writer = Writer(folder, run)
        try:
            yield writer
            writer.check()
            _assemble(folder, run, attributes)
            with _write_errors(path):
                os.replace(folder / WHOLE, path)
        except BaseException:
            if not writer.done:
                _discard(folder)
            raise
        _discard(folder)


def finished(
    path: PathLike,
    videos: Listed,
    crops: int,
    signals: Sequence[str],
    classes: Sequence[str],
    attributes: dict[str, Any],
) -> bool:
    """Return whether the file of scores that `writing` would make with the same arguments is there already.

    Raises InputError where a file is there that is of other videos or attributes, or damaged.
    """
    if not Path(path).exists():
        return False
    run = _run(videos, crops, signals, classes, attributes)
    try:
        with Scores(path) as file:
            if file.attributes.pop(RUN_DIGEST, None) == _digest(run):
                return True
            made = _run(
                [(name, label, file.times(index)) for index, (name, label) in enumerate(zip(file.names, file.labels))],
                file.crops,
                file.signals,
                file.classes,
                file.attributes,
            )
    except InputError as error:
        raise InputError(f"{error}, with --force to replace it") from None
    raise InputError(
        f"{path} has scores of other videos or settings ({_difference(made, run) or 'unknown ones'}); "
        "give another --out, or --force to replace it"
    )


def _run(videos, crops, signals, classes, attributes):
    """Return all that makes a file of scores, fit for JSON."""
    return {
        "crops": crops,
        "signals": list(signals),
        "classes": list(classes),
        "attributes": {name: np.asarray(value).tolist() for name, value in attributes.items()},
        "videos": [[str(name), int(label), np.asarray(times, np.float64).tolist()] for name, label, times in videos],
    }


def _digest(run):
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()


class Writer:
    """Takes the scores of videos, several of which may be under way; made by `writing`.

    Attributes
    ----------
    done
        Set of the indices of the videos that are finished, some of them perhaps by an earlier run.
    """

    def __init__(self, folder, run):
        self._folder, self._videos = folder, run["videos"]
        self._shape = (run["crops"], len(run["signals"]), len(run["classes"]))
        self._counts = {}
        for file in folder.iterdir():
            if file.name != RUN and file.suffix != ".f32":
                remove(file)
        self.done = {
            index
            for index, (_, _, times) in enumerate(self._videos)
            if (file := _rows(folder, index)).is_file()
            and file.stat().st_size == 4 * len(times) * int(np.prod(self._shape))
        }

    def add(self, index: int, scores: np.ndarray) -> None:
        """Take the scores of the next frames of video `index`: float32 frames x crops x signals x classes.

        Raises InputError where the shape is not that, there are more frames than times, or a score is not finite.
        """
        name, _, times = self._videos[index]
        scores = np.ascontiguousarray(scores, np.float32)
        before = len(times) if index in self.done else self._counts.get(index, 0)
        if scores.shape[1:] != self._shape or not 1 <= len(scores) <= len(times) - before:
            raise InputError(
                f"scores of {name}: shape {scores.shape}; {len(times) - before} of its {len(times)} "
                f"frames are due, each {self._shape}"
            )
        check_finite(scores, name, before, len(times))
        rows = _rows(self._folder, index)
        part = rows.with_suffix(".part")
        with _write_errors(self._folder):
            with open(part, "ab") as file:
                file.write(scores.data)
            self._counts[index] = before + len(scores)
            if self._counts[index] == len(times):
                os.replace(part, rows)
                del self._counts[index]
                self.done.add(index)

    def check(self) -> None:
        """Raise InputError unless every video is finished."""
        for index, (name, _, times) in enumerate(self._videos):
            if index not in self.done:
                raise InputError(f"scores of {name}: {self._counts.get(index, 0)} of its {len(times)} frames came")


def _check_videos(run):
    if not run["videos"]:
        raise InputError("scores: no videos to write scores of")
    counts = Counter(name for name, _, _ in run["videos"])
    for name, label, times in run["videos"]:
        if counts[name] > 1:
            raise InputError(f"scores of {name}: the video is there twice")
        if not 0 <= label < len(run["classes"]):
            raise InputError(f"scores of {name}: label {label}, but there are {len(run['classes'])} classes")
        if not times:
            raise InputError(f"scores of {name}: the video has no frames")


def _discard(folder):
    """Remove the folder of a run; as that may be cut short, what tells that it can be gone on with goes first."""
    remove(folder / RUN)
    remove(folder)


def _difference(begun, run):
    """Return in words what is the first difference between two runs, "" if there is none."""
    sizes = [{name: each[name] for name in ("crops", "signals", "classes")} for each in (begun, run)]
    for one, two in ((begun["attributes"], run["attributes"]), sizes):
        for name in {**one, **two}:
            if one.get(name) != two.get(name):
                return f"its {name} is {_brief(one.get(name))}, now it is {_brief(two.get(name))}"
    for number, (old, new) in enumerate(zip(begun["videos"], run["videos"]), 1):
        if old[:2] != new[:2]:
            return f"its video {number} is {old[0]} with label {old[1]}, now it is {new[0]} with label {new[1]}"
        if old[2] != new[2]:
            return f"its video {number}, {old[0]}, has other frame times"
    if len(begun["videos"]) != len(run["videos"]):
        return f"it is of {len(begun['videos'])} videos, now there are {len(run['videos'])}"
    return ""


def _brief(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def _assemble(folder, run, attributes):
    """Write the HDF5 file from the files of finished videos, block by block."""
    videos = run["videos"]
    first = np.cumsum([0] + [len(times) for _, _, times in videos], dtype=np.int64)
    shape = (run["crops"], len(run["signals"]), len(run["classes"]))
    with replacing(folder / WHOLE) as part, _Disk(part, "w+") as disk, h5py.File(disk, "w") as file:
        file.attrs.update(attributes)
        file["first"] = first
        file["times"] = np.concatenate([np.array(times) for _, _, times in videos])
        file["labels"] = np.array([label for _, label, _ in videos], np.int64)
        for name, texts in (
            ("names", [name for name, _, _ in videos]),
            ("signals", run["signals"]),
            ("classes", run["classes"]),
        ):
            file.create_dataset(name, data=texts, dtype=h5py.string_dtype())
        scores = file.create_dataset("scores", (first[-1], *shape), np.float32)
        for index, start in enumerate(first[:-1]):
            with open(_rows(folder, index), "rb") as rows:
                while len(block := np.fromfile(rows, np.float32, BLOCK * int(np.prod(shape)))):
                    block = block.reshape(-1, *shape)
                    scores[start : start + len(block)] = block
                    start += len(block)
            disk.check()
        file.close()
        disk.check()


class _Disk(io.FileIO):
    """A file that keeps its first error of writing for later, and writes nothing after it.

    HDF5 cannot close its objects once a write has failed, and prints a traceback for each.
    """

    error = None

    def write(self, data):
        rest = memoryview(data).cast("B")
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = error
        return len(data)

    def truncate(self, size=None):
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size

    def check(self):
        """Raise the error that was kept, if there is one."""
        if self.error:
            raise self.error


@contextmanager
def _write_errors(path):
    """Turn an OSError, as of a full disk, into a WriteError that names `path`."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or ' '.join(str(error).split())}") from None


def _rows(folder, index):
    return folder / f"{index:06d}.f32"
