"""The snapshots of a training: PREFIX_iter_N.solverstate beside PREFIX_iter_N.caffemodel.

Caffe writes them in place, the caffemodel first, so a training that was killed may leave the newest one half-written.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional, Union

from rcnn.files import InputError, replacing
from rcnn.nets import caffemodel

SUFFIXES = ("solverstate", "caffemodel")


def of(prefix: Union[str, Path], suffix: str = "solverstate") -> dict[int, Path]:
    """Return the files of a solver's snapshot_prefix as {iteration: Path}, newest first."""
    prefix = Path(prefix)
    name = re.compile(re.escape(prefix.name) + r"_iter_(\d+)\." + re.escape(suffix))
    files = prefix.parent.iterdir() if prefix.parent.is_dir() else ()
    numbered = {int(match[1]): path for path in files if (match := name.fullmatch(path.name)) and path.is_file()}
    return dict(sorted(numbered.items(), reverse=True))


def trained_layers(path: Union[str, Path]) -> set[str]:
    """Return the names of the layers that have parameters in a caffemodel.

    Raises
    ------
    InputError
        If the file is missing, not whole, or a parameter of it is not finite.
    """
    return set(caffemodel.read(path).arrays)


def newest(prefix: Union[str, Path], say: Callable[[str], None] = print) -> tuple[int, Optional[Path]]:
    """Return (iteration, Path) of the newest solverstate of a prefix that training can go on from, or (0, None).

    Newer ones that are of no use, as they or their caffemodels are not whole or a weight is not finite, are reported
    through `say`.
    """
    for path in of(prefix).values():
        try:
            state = caffemodel.read_state(path)
            trained_layers(weights_of(path, state.learned_net))
            return state.iter, path
        except InputError as error:
            say(f"passing over {path.name}: {error}")
    return 0, None


def weights_of(path: Path, named: str) -> Path:
    """Return the caffemodel of a solverstate: the one beside it, else the one that it names.

    A state names its weights as they were when Caffe wrote it; a folder that was renamed or copied has its own.
    """
    beside = path.with_suffix(".caffemodel")
    return beside if beside.is_file() else Path(named)


def settle(path: Path) -> None:
    """Have a solverstate name its weights where they are now, as Caffe reads them from where it says."""
    state = caffemodel.read_state(path)
    weights = weights_of(path, state.learned_net)
    if weights.resolve() != Path(state.learned_net).resolve():
        print(f"{path} was written for {state.learned_net}; it names {weights} from now on")
        state.learned_net = str(weights)
        with replacing(path) as part:
            part.write_bytes(state.SerializeToString())


def check_nothing_is_lost(prefix: Union[str, Path]) -> None:
    """Raise InputError if a prefix has a whole solverstate: where none is of use, to start over is for the user to say.

    One that is cut short was being written when its training was killed; nothing can go on from that.
    """
    for path in of(prefix).values():
        with suppress(InputError):
            named = caffemodel.read_state(path).learned_net
            break
    else:
        return
    raise InputError(
        f"snapshots: training cannot go on from {path}, as its weights are not there or of no use (said above); put "
        f"{path.with_suffix('.caffemodel').name} back beside it (it was {named}), or start over with --fresh"
    )


def set_aside(prefix: Union[str, Path], after: int) -> None:
    """Rename the snapshots of a prefix above iteration `after`, adding ".unusable" to their names.

    Else a solverstate that was passed over for its caffemodel would count again once training has begun to write that
    anew, and a caffemodel that training does not come to would be taken for its result.
    """
    for suffix in SUFFIXES:
        for iteration, path in of(prefix, suffix).items():
            if iteration > after:
                path.rename(path.with_name(path.name + ".unusable"))


def discard(prefix: Union[str, Path]) -> int:
    """Remove every snapshot of a prefix; return the number of files."""
    paths = [path for suffix in SUFFIXES for path in of(prefix, suffix).values()]
    for path in paths:
        path.unlink()
    return len(paths)
