"""The key `make` of a description: options of tools/make_motion_videos.py, by which its videos are made."""

import json
from collections.abc import Mapping
from typing import Any, Optional

from rcnn.data.synthetic import scenes

FOLLOWING = ("out", "seed", "splits", "workers")  # options that follow from the rest of a description


def is_number(value: Any) -> bool:
    """Return whether a value of JSON is a number above 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def problem(make: Mapping[str, Any]) -> Optional[str]:
    """Return what is wrong with the options, in a line: one lacks, or is set elsewhere; None where nothing is."""
    for key, value in make.items():
        if not isinstance(value, (str, int, float, list)):
            return f"make: {key}: {json.dumps(value)} is no option's"
    for key in FOLLOWING:
        if key in make:
            return f"make: {key} follows from the rest; leave it out"
    kind, seconds = make.get("set", "motion"), make.get("seconds", 0)
    if kind not in ("motion", "scenes"):
        return f"make: set: {json.dumps(kind)} is neither motion nor scenes"
    for key in ("appearances", "movements") if kind == "motion" else ():
        names = make.get(key)
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            return f"make: {key} is missing, or no list of names"
    lengths = isinstance(seconds, list) and len(seconds) == 2 and all(map(is_number, seconds))
    if not (lengths and seconds[0] <= seconds[1] if kind == "scenes" else is_number(seconds)):
        return "make: seconds is missing, or no such number"
    for key in ("groups", "clips"):
        if not (is_number(make.get(key)) and isinstance(make[key], int)):
            return f"make: {key} is missing, or no such number"
    return None


def counts(make: Mapping[str, Any]) -> tuple[int, int, int, float]:
    """Return the numbers of classes, of videos and of those that a split tests on, and their mean length in seconds."""
    if make.get("set") == "scenes":
        classes, (shortest, longest) = len(scenes.CLASSES), make["seconds"]
        seconds = scenes.mean_length(shortest, longest)
    else:
        classes, seconds = len(set(make["appearances"])) * len(set(make["movements"])), make["seconds"]
    a_group = classes * make["clips"]
    tested = max(1, make["groups"] // 4) * a_group  # tools/make_motion_videos.py holds out a quarter
    return classes, make["groups"] * a_group, tested, seconds
