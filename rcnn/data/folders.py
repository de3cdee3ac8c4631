"""A folder that is made by a recipe, so that whoever was interrupted goes on, and never over somebody else's files."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from rcnn.files import LOCK, InputError, PathLike, WriteError, locked, remove, write_text

RECIPE = "recipe.json"
ABSENT = object()


@contextmanager
def recipe_folder(
    folder: PathLike,
    recipe: dict[str, Any],
    what: str,
    beside: bool = False,
    tell: Optional[Callable[[str], object]] = None,
) -> Iterator[None]:
    """Hold a folder for this program alone, with the recipe that makes its content in recipe.json.

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
        begun = _read(folder / RECIPE)
        names = difference(begun or {}, recipe)
        if begun is not None and not names:
            if tell:
                tell(f"going on with {folder}")
        elif tell:
            if begun is not None:
                tell(f"{folder} was begun with other settings ({names}); starting afresh")
            for entry in folder.iterdir():
                remove(entry)
        elif begun is not None:
            raise InputError(f"{folder} was made with other settings ({names}); remove it or name another folder")
        elif not all(entry.match(".recipe.*") or entry.name == LOCK for entry in folder.iterdir()):  # left by a kill
            raise InputError(f"{folder} holds something else than {what}; name another folder")
        if begun is None or names:
            write_text(folder / RECIPE, json.dumps(recipe, indent=1) + "\n")
        yield


def plain(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def difference(begun: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Return the names of the settings that differ between two recipes, separated by commas."""
    recipe = plain(recipe)
    return ", ".join(name for name in {**recipe, **begun} if begun.get(name, ABSENT) != recipe.get(name, ABSENT))


def _read(path: Path) -> Optional[dict[str, Any]]:
    """Return the recipe in a file, None where there is no file."""
    if not path.is_file():
        return None
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is damaged; remove {path.parent} or name another folder") from None
    return recipe if isinstance(recipe, dict) else {}
