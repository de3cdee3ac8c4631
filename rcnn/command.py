"""What every command-line program here has in common: how it parses, and how it ends."""

import argparse
import io
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn, Optional, TypeVar

from rcnn import __version__, environment
from rcnn.files import ProgramError, check_apart, check_folder, check_writable

# tqdm's own variables set any argument of a bar, so that a wrong one ends the program: bars can only be turned off
with environment.hidden("TQDM_", keep="TQDM_DISABLE"):
    from tqdm import tqdm

VERSION = f"googlenet-rcnn {__version__}"
Number = TypeVar("Number", int, float)
MANY = 10  # videos that are not named one by one
ENDING = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class _Ended(KeyboardInterrupt):
    """A signal asks the program to end; all that Ctrl-C cleans up is cleaned up then too."""

    def __init__(self, number: int):
        super().__init__()
        self.status = 128 + number


@dataclass(frozen=True)
class PathType:
    """An argparse type of paths, none of them empty; what a parser's paths are to each other, it checks itself.

    Parameters
    ----------
    use
        "read", "file" (which is written) or "folder" (which is made), else "", of which nothing is checked.
    suffix
        That a path must end in.
    """

    use: str = ""
    suffix: str = ""

    def __call__(self, text: str) -> str:
        """Return the path."""
        if not text:
            raise argparse.ArgumentTypeError("the path is empty")
        if not text.lower().endswith(self.suffix):
            raise argparse.ArgumentTypeError(f"{text} does not end in {self.suffix}")
        return text


any_path, input_path, output_file, output_folder = (PathType(use) for use in ("", "read", "file", "folder"))
output_picture = PathType("file", ".png")


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and raise ProgramError where an output cannot be written or would take the place of an input."""
        parsed = super().parse_args(args, namespace)
        paths: dict[str, list[tuple[str, str]]] = {"": [], "read": [], "file": [], "folder": []}
        for action in self._actions:
            value = getattr(parsed, action.dest, None)
            if isinstance(action.type, PathType) and value is not None:
                name = action.option_strings[0] if action.option_strings else str(action.metavar or action.dest)
                paths[action.type.use] += [(name, one) for one in ([value] if isinstance(value, str) else value)]
        check_apart(dict(paths["file"] + paths["folder"]), paths["read"])
        for _, file in paths["file"]:
            check_writable(file)
        for name, folder in paths["folder"]:
            check_folder(folder, name)
        return parsed

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; --help tells more\n")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        return action.help if action.default is None else super()._get_help_string(action)


def parser(doc: Optional[str]) -> argparse.ArgumentParser:
    """Return an ArgumentParser whose --help is the program's docstring, with every default that is not None.

    It knows --version, and answers a wrong argument in one line, with status 2.  Options that are paths
    have a PathType; an output that cannot be written, or that is or lies in what is read, is refused by a ProgramError.
    """
    made = _Parser(description=doc, formatter_class=_Formatter)
    made.add_argument("--version", action="version", version=VERSION, help="print the version and exit")
    return made


def _number(kind: Callable[[str], Number], fits: Callable[[Number], bool], what: str) -> Callable[[str], Number]:
    """Return an argparse type of the numbers that fit."""

    def convert(text: str) -> Number:
        with suppress(ValueError):
            if fits(number := kind(text)):
                return number
        raise argparse.ArgumentTypeError(f"{text} is not {what}")

    return convert


positive = _number(int, lambda number: number >= 1, "a whole number of at least 1")
positive_real = _number(float, lambda number: 0 < number < math.inf, "a number above 0")
finite = _number(float, math.isfinite, "a finite number")
share = _number(float, lambda number: 0 <= number <= 1, "a number from 0 to 1")
seed = _number(int, lambda number: 0 <= number < 2**32, "a whole number in 0 to 4294967295")


def progress(total: Optional[float], unit: str, done: float = 0, name: Optional[str] = None) -> tqdm:
    """Return a bar of `total` units, `done` of them there before, with `name` before it; to a file, twice a minute."""
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        desc=name,
        dynamic_ncols=True,
        mininterval=0.1 if sys.stderr.isatty() else 30,
    )


def tell(text: str) -> None:
    """Print a line to standard error, above a progress bar if there is one."""
    tqdm.write(text, file=sys.stderr)


def tell_reasons(what: str, reasons: Iterable[tuple[str, str]]) -> None:
    """Print a line for each (video, reason), after a word such as "skipped"; MANY of the same reason share one line."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    for reason, of_one in names.items():
        few = of_one if len(of_one) < MANY else [f"{len(of_one)} videos, the first is {of_one[0]}"]
        for name in few:
            tell(f"{what} {name}: {reason}")


def run(main: Callable[[], Optional[int]]) -> NoReturn:
    """Call `main()` and exit with what it returns (None is 0).

    ProgramError, and an OSError such as that of a full disk, becomes one line on standard error and status 2; an
    interruption by the keyboard becomes status 130, by SIGTERM 143, by the end of the terminal 129.  Where nobody
    reads its output any more, the program ends with status 141, silently.
    """
    program = os.path.basename(sys.argv[0])
    status: Optional[int]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the output's encoding lacks, by PYTHONIOENCODING say
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _ending_on(*(getattr(signal, name) for name in ENDING if hasattr(signal, name))):
            status = main()
        sys.stdout.flush()
    except ProgramError as error:
        print(f"{program}: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt as error:
        print(f"\n{program}: interrupted; run the same command again to go on", file=sys.stderr)
        status = getattr(error, "status", 130)
    except BrokenPipeError:
        # else Python fails to print what is left when it ends, says so, and its status is 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except OSError as error:
        print(f"{program}: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    sys.exit(status)


@contextmanager
def _ending_on(*numbers: int) -> Iterator[None]:
    """Have signals raise _Ended, except those that are dealt with already, as nohup does with SIGHUP."""

    def end(number: int, _: Optional[FrameType]) -> None:
        raise _Ended(number)

    untouched = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in untouched:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in untouched:
            signal.signal(number, signal.SIG_DFL)
