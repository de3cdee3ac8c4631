"""UCF-101's text files: the class list and the train and test lists of a split."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rcnn.files import InputError, PathLike, existing


class Video(NamedTuple):
    """One line of a list.

    name: the file's stem (`v_Archery_g08_c01`), the video's name in every LMDB.  file: its path as the list gives it
    (`Archery/v_Archery_g08_c01.avi`).  label: 0-based class number.
    """

    name: str
    file: str
    label: int


def read_classes(path: PathLike) -> list[str]:
    """Return the class names of a `classInd.txt`, a list whose index is the 0-based label.

    Its lines are `1 ApplyEyeMakeup`: numbers count up from 1.  A name may hold spaces, as Kinetics has them.

    Raises
    ------
    InputError
        For anything else, naming the line.
    """
    classes: list[str] = []
    for place, line in _lines(path, "class list"):
        match = re.fullmatch(r"(\d+)\s+(\S.*)", line)
        if not match:
            raise InputError(f"{place}: '{line}' is not a class number and a class name, as in '1 ApplyEyeMakeup'")
        number, name = int(match[1]), match[2]
        if number != len(classes) + 1:
            raise InputError(f"{place}: class number {number} where {len(classes) + 1} is due; they count up from 1")
        if name in classes:
            raise InputError(f"{place}: class {name} is there twice")
        classes.append(name)
    return classes


def read_list(path: PathLike, classes: Sequence[str]) -> list[Video]:
    """Return the videos of one `trainlistNN.txt` or `testlistNN.txt` in its order.

    Lines are `Class/v_Class_g08_c01.avi 1`, or the same without the number; the label is the folder's place in
    `classes` (from `read_classes`), and a number must agree with it.

    Raises
    ------
    InputError
        Naming the line, for one of another form, an unknown class, a number that disagrees, or a video listed twice.
    """
    videos: dict[str, Video] = {}
    for place, line in _lines(path, "video list"):
        match = re.fullmatch(r"([^/\\]+)/([^/\\]+?\.\w+)(?:\s+(\d+))?", line)
        if not match:
            raise InputError(f"{place}: '{line}' is not a video of a list, as in 'Archery/v_Archery_g08_c01.avi 3'")
        folder, file, number = match.groups()
        if folder not in classes:
            raise InputError(f"{place}: class {folder} is not in the class list")
        label = classes.index(folder)
        if number is not None and int(number) != label + 1:
            raise InputError(f"{place}: number {number} disagrees with the class list, where {folder} is {label + 1}")
        video = Video(Path(file).stem, f"{folder}/{file}", label)
        _add(videos, video, place)
    return list(videos.values())


def read_lists(paths: Sequence[PathLike], classes: Sequence[str]) -> list[Video]:
    """Return the union of several lists (`read_list`), each video once, in the order in which they first occur.

    Raises
    ------
    InputError
        As `read_list` does, and where two lists give one name to different files.
    """
    videos: dict[str, Video] = {}
    for path in paths:
        for video in read_list(path, classes):
            if videos.get(video.name) != video:
                _add(videos, video, path)
    return list(videos.values())


def check_files(videos: Sequence[Video], folder: PathLike) -> Path:
    """Return `folder` as a Path if it holds every video's file.

    Raises
    ------
    InputError
        If it does not, naming the first missing one and how many are.
    """
    place = Path(existing(folder, "videos", "folder"))
    missing = [video.file for video in videos if not (place / video.file).is_file()]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of the {len(videos)} listed videos, the first is "
            f"{missing[0]}; give the folder that holds the class folders as --videos"
        )
    return place


def _lines(path: PathLike, what: str) -> list[tuple[str, str]]:
    """Return [(place for messages, text)] of the lines that are not blank."""
    try:
        text = existing(path, what).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{what}: {path} is not a text file (UTF-8)") from None
    numbered = enumerate(map(str.strip, text.splitlines()), 1)
    lines = [(f"{path}, line {number}", line) for number, line in numbered if line]
    if not lines:
        raise InputError(f"{what}: {path} is empty")
    return lines


def _add(videos: dict[str, Video], video: Video, place: PathLike) -> None:
    if video.name in videos:
        other = videos[video.name].file
        raise InputError(
            f"{place}: {video.file} is there twice"
            if other == video.file
            else f"{place}: {video.file} has the name of {other}; names without folder and suffix must differ"
        )
    videos[video.name] = video
