"""Splits of a set that its official lists do not have: one group left out at a time, and groups held out of training.

A group is what is not to be on both sides of a split: UCF-101's clips of one film (`_g08_` in their names), Weizmann's
persons (`daria_` at the beginning of theirs).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from rcnn.data.lists import Video, add_video, read_classes, read_list
from rcnn.files import InputError, PathLike, existing, write_text

CLASSES = "classInd.txt"  # the class list, in the folder of the lists


class Split(NamedTuple):
    """The videos to train on and those to test on."""

    train: list[Video]
    test: list[Video]


class Sources(NamedTuple):
    """Where the splits of a set come from; the options of tools/make_lists.py.

    videos: folder of the class folders.  lists: folder of trainlistNN.txt and testlistNN.txt; None: split NN leaves the
    NN-th group out, in the order of their names.  classes: the class list; None: CLASSES of the lists.  group: a
    regular expression that finds a video's group in its name, as its first (...).  hold_out: groups to test on
    instead, out of the videos to train on.  hold_out_next: or how many, those that come after the groups to test on.
    """

    videos: Optional[PathLike] = None
    lists: Optional[PathLike] = None
    classes: Optional[PathLike] = None
    group: Optional[str] = None
    hold_out: Sequence[str] = ()
    hold_out_next: int = 0


def list_paths(folder: PathLike, split: int) -> tuple[Path, Path]:
    """Return the paths of a split's two lists, of training and of test."""
    return Path(folder) / f"trainlist{split:02d}.txt", Path(folder) / f"testlist{split:02d}.txt"


def read(sources: Sources, numbers: Optional[Sequence[int]] = None) -> tuple[list[str], dict[int, Split]]:
    """Return (all classes, {split: its videos}) of some splits, all of them by default.

    Raises
    ------
    InputError
        As `lists.read_list` does; for a split that is not there or whose lists share a video, a video whose group
        cannot be told, and a group to hold out that is none of those to train on.
    """
    if sources.lists is None:
        classes, made = _one_group_out(sources, numbers)
    else:
        classes, made = _listed(sources.lists, sources.classes, numbers)
    if sources.hold_out or sources.hold_out_next:
        made = {number: _held_out(number, split, sources) for number, split in made.items()}
    return classes, made


def _listed(folder, class_list, numbers):
    place = existing(folder, "lists", "folder")
    classes = read_classes(class_list or place / CLASSES)
    if numbers is None:
        numbers = sorted(int(path.stem[-2:]) for path in place.glob("trainlist[0-9][0-9].txt"))
        if not numbers:
            raise InputError(f"lists: {folder} has no trainlistNN.txt")
    made = {}
    for number in numbers:
        paths = list_paths(place, number)
        split = Split(*(read_list(path, classes) for path in paths))
        both = {video.name for video in split.train} & {video.name for video in split.test}
        if both:
            raise InputError(
                f"split {number}: {len(both)} videos are in {paths[0]} and in {paths[1]}, one is {min(both)}"
            )
        made[number] = split
    return classes, made


def _one_group_out(sources, numbers):
    classes, videos = _in_folder(sources.videos)
    groups = group_names(videos, sources.group)
    names = sorted(set(groups.values()))
    if len(names) < 2:
        raise InputError(f"group: all videos of {sources.videos} are of one group, {names[0]}; none can be left out")
    made = {}
    for number in numbers or range(1, len(names) + 1):
        if number > len(names):
            raise InputError(f"splits: there is no split {number}, as there are {len(names)} groups")
        left_out = names[number - 1]
        made[number] = Split(
            [video for video in videos if groups[video] != left_out],
            [video for video in videos if groups[video] == left_out],
        )
    return classes, made


def _in_folder(folder):
    """Return (class names, videos) of a folder of class folders, both by name; hidden files are none."""
    place = existing(folder, "videos", "folder")
    files = sorted(path.relative_to(place) for path in place.glob("[!.]*/[!.]*.*") if path.is_file())
    classes = sorted({file.parent.name for file in files})
    if not classes:
        raise InputError(f"videos: {folder} has no class folders with videos")
    videos = dict[str, Video]()
    for file in files:
        add_video(videos, Video(file.stem, file.as_posix(), classes.index(file.parent.name)), folder)
    return classes, list(videos.values())


def group_names(videos: Sequence[Video], pattern: Optional[str]) -> dict[Video, str]:
    """Return {video: its group}, the first (...) of a regular expression that is looked for in the video's name.

    Raises
    ------
    InputError
        If it is no such expression, or a name has none.
    """
    try:
        expression = re.compile(pattern or "")
    except re.error as error:
        raise InputError(f"group: {pattern} is not a regular expression: {error}") from None
    if expression.groups < 1:
        raise InputError(f"group: {pattern} has no (...), which finds a video's group in its name, as in _g([0-9]+)_")
    groups = {}
    for video in videos:
        found = expression.search(video.name)
        if not found or not found[1]:
            raise InputError(f"group: {pattern} finds no group in the name of {video.file}")
        groups[video] = found[1]
    return groups


def _held_out(number, split, sources):
    """Return a split's training videos as a Split of their own."""
    groups = group_names(split.train + split.test, sources.group)
    tested = {groups[video] for video in split.test}
    known = sorted({groups[video] for video in split.train})
    held = set(sources.hold_out)
    if sources.hold_out_next:
        after = [name for name in known if name > max(tested)]
        held |= set([*after, *known][: sources.hold_out_next])
    for name in sorted(held - set(known)):
        raise InputError(
            f"split {number}: group {name} cannot be held out, as the groups to train on are {', '.join(known)}"
        )
    if len(held) >= len(known):
        raise InputError(f"split {number}: holding out {len(held)} of {len(known)} groups leaves none to train on")
    return Split(
        [video for video in split.train if groups[video] not in held],
        [video for video in split.train if groups[video] in held],
    )


def write(folder: PathLike, classes: Sequence[str], made: Mapping[int, Split]) -> None:
    """Write the class list and the lists of some splits to a folder, in UCF-101's form.

    Raises
    ------
    InputError
        If a file of such a name is there and holds something else.
    """
    texts = {Path(folder) / CLASSES: "".join(f"{number} {name}\n" for number, name in enumerate(classes, 1))}
    for number, split in made.items():
        for path, videos in zip(list_paths(folder, number), split):
            texts[path] = "".join(f"{video.file} {video.label + 1}\n" for video in videos)
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            raise InputError(f"{path} is there and holds something else; remove it or give another folder")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_text(path, text)
