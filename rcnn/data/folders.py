"""A folder that is made by a recipe, so that whoever was interrupted goes on, and never over somebody else's files."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional

from rcnn.files import LOCK, InputError, PathLike, WriteError, locked, remove, write_text

RECIPE = "recipe.json"
ABSENT = object()


def difference(begun: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Return the names of the settings that differ between two recipes, separated by commas."""
    recipe = plain(recipe)
    return ", ".join(name for name in {**recipe, **begun} if begun.get(name, ABSENT) != recipe.get(name, ABSENT))


@contextmanager
def recipe_folder(
    folder: PathLike,
    recipe: dict[str, Any],
    what: str,
    beside: bool = False,
    tell: Optional[Callable[[str], object]] = None,
    name: str = RECIPE,
    leftovers: str = "",
    differs: Callable[[dict[str, Any], dict[str, Any]], str] = difference,
) -> Iterator[None]:
    """Hold a folder for this program alone, with the recipe that makes its content in a file.

    Parameters
    ----------
    folder
        Is made where it is not there.
    recipe
        Everything that decides the content, fit for JSON.
    what
        The content, for messages ("synthetic videos").
    beside
        Where the lock is, as of `files.locked`.
    tell
        For a folder that is this program's alone: called with a line of text where an older beginning is used or
        dropped, and what is not of the recipe is removed.  Else such content is refused.
    name
        Of the recipe's file.
    leftovers
        A regular expression of the names that a program may leave that was killed before the recipe was there, or
        while it removed the folder; they are removed.
    differs
        Returns in words by what two recipes differ, "" where they do not.

    Raises
    ------
    InputError
        If the folder is of another recipe, holds something else, or another program is at work in it.
    WriteError
        If it cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot make the folder {folder}: {error.strerror}") from None
    with locked(folder, beside):
        file = folder / name
        begun = _read(file)
        try:
            words = "" if begun is None else differs(begun, plain(recipe))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise _damaged(file) from None
        entries = [entry for entry in folder.iterdir() if entry.name != LOCK]
        ours = rf"\.{re.escape(file.stem)}\..*" + (f"|{leftovers}" if leftovers else "")
        if begun is not None and not words:
            if tell:
                tell(f"going on with {folder}")
            yield
            return
        if tell and begun is not None:
            tell(f"{folder} was begun with other settings ({words}); starting afresh")
        elif begun is not None:
            raise InputError(f"{folder} was made with other settings ({words}); remove it or name another folder")
        elif not tell and not all(re.fullmatch(ours, entry.name) for entry in entries):
            raise InputError(f"{folder} holds something else than {what}; move it away or name another folder")
        for entry in entries:
            remove(entry)
        try:
            write_text(file, json.dumps(recipe, ensure_ascii=False) + "\n")
        except WriteError:
            with suppress(OSError):
                folder.rmdir()
            raise
        yield


def plain(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged; remove {path.parent} or name another folder")


def _read(path: Path) -> Optional[dict[str, Any]]:
    """Return the recipe in a file, None where there is no file."""
    if not path.is_file():
        return None
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise _damaged(path) from None
    return recipe if isinstance(recipe, dict) else {}
