"""A folder that is made by a recipe, so that whoever was interrupted goes on, and never over somebody else's files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

from rcnn.files import LOCK, InputError, WriteError, locked, write_text

RECIPE = "recipe.json"


@contextmanager
def recipe_folder(folder: Union[str, Path], recipe: dict[str, Any], what: str) -> Iterator[None]:
    """Hold a folder for this program alone, with the recipe that makes its content in recipe.json.

    Parameters
    ----------
    folder : is made where it is not there
    recipe : everything that decides the content, fit for JSON
    what : the content, for messages ("synthetic videos")

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
    with locked(folder):
        path = folder / RECIPE
        if path.is_file():
            if names := difference(_read(path), recipe):
                raise InputError(f"{folder} was made with other settings ({names}); remove it or name another folder")
        elif not all(entry.match(".recipe.*") or entry.name == LOCK for entry in folder.iterdir()):  # left by a kill
            raise InputError(f"{folder} holds something else than {what}; name another folder")
        else:
            write_text(path, json.dumps(recipe, indent=1) + "\n")
        yield


def difference(begun: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Return the names of the settings that differ between two recipes, separated by commas."""
    recipe = json.loads(json.dumps(recipe))
    return ", ".join(name for name in {**recipe, **begun} if begun.get(name) != recipe.get(name))


def _read(path: Path) -> dict[str, Any]:
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is damaged; remove {path.parent} or name another folder") from None
    return recipe if isinstance(recipe, dict) else {}
