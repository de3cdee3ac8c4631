"""UCF-101's text files: the class list and the train and test lists of a split; all of their classes, or some."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from rcnn import command
from rcnn.files import InputError, PathLike, existing

MISSING = ("error", "skip")  # what a listed video without a file is
NO_FILE = "the folder of videos lacks it"  # why such a video has no frames


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


def choose(classes: Sequence[str], only: Optional[Sequence[str]]) -> list[str]:
    """Return those of `classes` that `only` names, in the order of `classes`; all of them where it is None.

    Raises
    ------
    InputError
        For a name that is not one of them, or is there twice.
    """
    if only is None:
        return list(classes)
    for name in only:
        if name not in classes:
            raise InputError(f"only-classes: {name} is not in the class list")
        if list(only).count(name) > 1:
            raise InputError(f"only-classes: {name} is there twice")
    return [name for name in classes if name in only]


def add_class_options(parser: argparse.ArgumentParser, help: str = "class names, as UCF-101's classInd.txt") -> None:
    """Add --classes and --only-classes, which `read_chosen` reads."""
    parser.add_argument("--classes", type=command.input_path, required=True, help=help)
    parser.add_argument(
        "--only-classes",
        nargs="+",
        metavar="NAME",
        help="those of the class list that are used, labelled from 0 in its order; all by default",
    )


def read_chosen(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return (all classes of the class list, those of them that are used) by the options of `add_class_options`."""
    classes = read_classes(args.classes)
    return classes, choose(classes, args.only_classes)


def read_list(path: PathLike, classes: Sequence[str], chosen: Optional[Sequence[str]] = None) -> list[Video]:
    """Return the videos of one `trainlistNN.txt` or `testlistNN.txt` in its order.

    Lines are `Class/v_Class_g08_c01.avi 1`, or the same without the number, which counts from 1 and must agree with the
    folder's place in the class list.

    Parameters
    ----------
    path : the list
    classes : all of the class list, of `read_classes`
    chosen : those whose videos are wanted, of `choose`; a label is the place in it.  None: all

    Raises
    ------
    InputError
        Naming the line, for one of another form, an unknown class, a number that disagrees, or a video listed twice;
        and where no video is of the chosen classes.
    """
    chosen = classes if chosen is None else chosen
    labels = {name: label for label, name in enumerate(chosen)}
    videos: dict[str, Video] = {}
    for place, line in _lines(path, "video list"):
        match = re.fullmatch(r"([^/\\]+)/([^/\\]+?\.\w+)(?:\s+(\d+))?", line)
        if not match:
            raise InputError(f"{place}: '{line}' is not a video of a list, as in 'Archery/v_Archery_g08_c01.avi 3'")
        folder, file, number = match.groups()
        if folder not in classes:
            raise InputError(f"{place}: class {folder} is not in the class list")
        place_in_list = classes.index(folder) + 1
        if number is not None and int(number) != place_in_list:
            raise InputError(
                f"{place}: number {number} disagrees with the class list, where {folder} is {place_in_list}"
            )
        add_video(videos, Video(Path(file).stem, f"{folder}/{file}", labels.get(folder, -1)), place)
    wanted = [video for video in videos.values() if video.label >= 0]
    if not wanted:
        raise InputError(f"{path} has no video of the classes {', '.join(chosen)}")
    return wanted


def read_lists(
    paths: Sequence[PathLike], classes: Sequence[str], chosen: Optional[Sequence[str]] = None
) -> list[Video]:
    """Return the union of several lists (`read_list`), each video once, in the order in which they first occur.

    Raises
    ------
    InputError
        As `read_list` does, and where two lists give one name to different files.
    """
    videos: dict[str, Video] = {}
    for path in paths:
        for video in read_list(path, classes, chosen):
            if videos.get(video.name) != video:
                add_video(videos, video, path)
    return list(videos.values())


def find_files(videos: Sequence[Video], folder: PathLike, missing: str = MISSING[0]) -> tuple[list[Video], list[Video]]:
    """Return (videos whose files are in a folder, those whose are not).

    Parameters
    ----------
    videos : of `read_lists`
    folder : that holds the class folders
    missing : "error": all files must be there; "skip": some of them

    Raises
    ------
    InputError
        If they are not, naming the first that is missing and how many are.
    """
    place = Path(existing(folder, "videos", "folder"))
    there = {video: (place / video.file).is_file() for video in videos}
    absent = [video for video in videos if not there[video]]
    if absent and (missing == "error" or len(absent) == len(videos)):
        hint = "" if len(absent) == len(videos) else ", or --missing skip to do without them"
        raise InputError(
            f"{folder} lacks {len(absent)} of the {len(videos)} listed videos, the first is "
            f"{absent[0].file}; give the folder that holds the class folders as --videos{hint}"
        )
    return [video for video in videos if there[video]], absent


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


def add_video(videos: dict[str, Video], video: Video, place: PathLike) -> None:
    """Add a video to {name: video}; InputError, which names `place`, where there is one of its name."""
    if video.name in videos:
        other = videos[video.name].file
        raise InputError(
            f"{place}: {video.file} is there twice"
            if other == video.file
            else f"{place}: {video.file} has the name of {other}; names without folder and suffix must differ"
        )
    videos[video.name] = video
