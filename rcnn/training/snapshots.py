"""The snapshots of a training: PREFIX_iter_N.solverstate beside PREFIX_iter_N.caffemodel.

Caffe writes them in place, the caffemodel first, so a training that was killed may leave the newest one half-written.
"""
import re
from pathlib import Path

from rcnn.files import InputError
from rcnn.nets import caffemodel

SUFFIXES = ("solverstate", "caffemodel")


def of(prefix, suffix="solverstate"):
    """Return the files of a solver's snapshot_prefix as {iteration: Path}, newest first."""
    prefix = Path(prefix)
    name = re.compile(re.escape(prefix.name) + r"_iter_(\d+)\." + re.escape(suffix))
    found = {}
    if prefix.parent.is_dir():
        for path in prefix.parent.iterdir():
            if (match := name.fullmatch(path.name)) and path.is_file():
                found[int(match[1])] = path
    return dict(sorted(found.items(), reverse=True))


def check(state):
    """Return the iteration of a solverstate file that training can go on from; raise InputError where it cannot.

    It and the caffemodel that it names must be whole, and the weights finite.
    """
    message = caffemodel.read_state(state)
    caffemodel.read(message.learned_net)
    return message.iter


def newest(prefix, say=print):
    """Return (iteration, Path) of the newest solverstate of a prefix that training can go on from, or (0, None).

    Newer ones that are of no use are reported through `say`.
    """
    for path in of(prefix).values():
        try:
            return check(path), path
        except InputError as error:
            say(f"passing over {path.name}: {error}")
    return 0, None


def set_aside(prefix, after):
    """Rename the snapshots of a prefix above iteration `after`, adding ".unusable" to their names.

    Else a solverstate that was passed over for its caffemodel would count again once training has begun to write that
    anew, and a caffemodel that training does not come to would be taken for its result.
    """
    for suffix in SUFFIXES:
        for iteration, path in of(prefix, suffix).items():
            if iteration > after:
                path.rename(path.with_name(path.name + ".unusable"))


def discard(prefix):
    """Remove every snapshot of a prefix; return the number of files."""
    paths = [path for suffix in SUFFIXES for path in of(prefix, suffix).values()]
    for path in paths:
        path.unlink()
    return len(paths)
