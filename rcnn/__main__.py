"""The command `googlenet-rcnn`, which runs the programs of this package; `python -m rcnn` is the same.

    googlenet-rcnn --help            the programs, a line each
    googlenet-rcnn train --help      what one does, its options, examples

A name may be cut short where it stays the only one: `googlenet-rcnn classify`.
"""
import ast
import importlib
import sys
from importlib.resources import files
from pathlib import PurePath

from rcnn import __version__
from rcnn.command import run


def programs():
    """Return {name: first line of its description} of every program, without importing any."""
    found = {}
    for file in sorted(files("rcnn.programs").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py") and not file.name.startswith("_"):
            said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
            found[PurePath(file.name).stem.replace("_", "-")] = said.splitlines()[0]
    return found


def main():
    """Run the program that the first argument names with the rest of them, and exit with its status."""
    known = programs()
    word, *rest = sys.argv[1:] or ["--help"]
    if word in ("-h", "--help"):
        print(usage(known))
        sys.exit(0)
    if word == "--version":
        print(f"googlenet-rcnn {__version__}")
        sys.exit(0)
    names = [word] if word in known else [name for name in known if name.startswith(word)]
    if len(names) != 1:
        meant = f"could be {', '.join(names)}" if names else f"is none of {', '.join(known)}"
        print(f"googlenet-rcnn: {word} {meant}; --help tells more", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"googlenet-rcnn {names[0]}", *rest]
    run(importlib.import_module(f"rcnn.programs.{names[0].replace('-', '_')}").main)


def usage(known):
    """Return what --help prints."""
    width = max(map(len, known))
    lines = ["usage: googlenet-rcnn PROGRAM [OPTIONS]", "", "GoogLeNet-RCNN for video classification; the programs:", ""]
    lines += [f"  {name:{width}}  {said}" for name, said in known.items()]
    return "\n".join([*lines, "", "googlenet-rcnn PROGRAM --help tells what one does, with examples."])


if __name__ == "__main__":
    main()
