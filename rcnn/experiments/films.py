"""Frames of a run's videos, to show what its classes are."""

from pathlib import Path

import numpy as np

from rcnn.data.lists import read_classes, read_list
from rcnn.data.records import open_records
from rcnn.experiments import plan
from rcnn.experiments.description import Description, lists

SHOWN = 6  # frames


def films(description: Description, out: Path) -> dict[str, list[np.ndarray]]:
    """Return {class: first frames of its longest held-out video}, uint8 H x W x 3 BGR, as many of each class.

    out: folder of a description's run, whose frames LMDB is there; held out is what the first split tests on.
    """
    where = lists(description, out)
    classes = read_classes(where.classes)
    with open_records(plan.frames(description, out), "frames") as frames:
        count = {video["name"]: video["frames"] for video in frames.manifest["videos"]}
        held_out = [video for video in read_list(where.test(description.splits[0]), classes) if video.name in count]
        longest = {video.label: video.name for video in sorted(held_out, key=lambda video: count[video.name])}
        number = min([SHOWN, *(count[name] for name in longest.values())])
        return {
            classes[label]: [frames.frame(name, index)[0] for index in range(number)]
            for label, name in sorted(longest.items())
        }
