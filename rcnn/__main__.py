"""The command `googlenet-rcnn`, which runs the programs of this package; `python -m rcnn` is the same.

    googlenet-rcnn --help            the programs, a line each
    googlenet-rcnn train --help      what one does, its options, examples

A name may be cut short where it stays the only one: `googlenet-rcnn classify`.
"""

import ast
import importlib
import shutil
import sys
import textwrap
from importlib.resources import files
from pathlib import PurePath
from typing import NoReturn, Optional

import rcnn
from rcnn.command import VERSION, run
from rcnn.files import InputError

MORE = "googlenet-rcnn PROGRAM --help says what one does, with examples; --version prints the version."


def programs() -> dict[str, str]:
    """Return {name: first line of its description} of every program, without importing any."""
    described = {}
    for file in sorted(files("rcnn.programs").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py") and not file.name.startswith("_"):
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            described[PurePath(file.name).stem.replace("_", "-")] = text.partition("\n")[0]
    return described


def start(name: str) -> NoReturn:
    """Run rcnn/programs/<name>.py and exit with its status; one line where a package that it needs is missing."""
    run(lambda: _started(name))


def _started(name: str) -> Optional[int]:
    try:
        return importlib.import_module(f"rcnn.programs.{name}").main()
    except ModuleNotFoundError as error:
        from rcnn.nets.weight_files import BRINGS, need  # not above, as it takes NumPy along

        missing = (error.name or "").partition(".")[0]
        if missing in BRINGS:
            need(missing)
        if missing == "fcntl":
            raise InputError("it drives the program caffe, which needs Linux") from None
        raise


def main() -> NoReturn:
    """Run the program that the first argument names with the rest of them, and exit with its status."""
    sys.argv[0] = "googlenet-rcnn"  # which may be python -m rcnn
    run(_main)


def _main() -> None:
    word, *rest = sys.argv[1:] or ["--help"]
    if word in ("-h", "--help"):
        print(usage())
    elif word == "--version":
        print(VERSION)
    else:
        name = chosen(word)
        sys.argv = [f"googlenet-rcnn {name}", *rest]
        start(name.replace("-", "_"))


def chosen(word: str) -> str:
    """Return the name of the program that a word names, or begins; raise InputError where it is not one alone."""
    every, start_of_name = list(programs()), word.replace("_", "-")
    names = [start_of_name] if start_of_name in every else [name for name in every if name.startswith(start_of_name)]
    if len(names) != 1:
        reason = f"could be {', '.join(names)}" if names else f"is none of {', '.join(every)}"
        raise InputError(f"{word} {reason}; --help says what each does")
    return names[0]


def usage() -> str:
    """Return what --help prints."""
    described = programs()
    width = max(map(len, described))
    wrap = textwrap.TextWrapper(shutil.get_terminal_size().columns, subsequent_indent=" " * (width + 4))
    lines = "\n".join(wrap.fill(f"  {name:{width}}  {text}") for name, text in described.items())
    return f"usage: googlenet-rcnn PROGRAM [OPTIONS]\n\n{rcnn.__doc__}\n\n{lines}\n\n{MORE}"


if __name__ == "__main__":
    main()
