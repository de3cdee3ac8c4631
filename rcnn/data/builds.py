"""Building an LMDB of `records.py` so that it can be killed at any moment, run again, and ends with the same content.

All work is done in `<name>.lmdb.partial`.  It holds the recipe, everything that decides the content, so that a build
goes on where one of the same recipe stopped.  The folder gets its name `<name>.lmdb` only when it is whole.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

import lmdb

from rcnn.data.folders import RECIPE, difference, plain, recipe_folder
from rcnn.data.records import FORMAT, MANIFEST, partial_path, read_manifest, write_manifest
from rcnn.files import InputError, PathLike, WriteError, lock_path, locked, remove

NOTES = b"notes"
FIRST_MAP_SIZE = 1 << 26


def finished(path: PathLike, kind: str, recipe: dict[str, Any], force: bool = False) -> Optional[dict[str, Any]]:
    """Return the manifest of the LMDB `path` if it is there and made by `recipe`, None if it is to be built.

    Parameters
    ----------
    kind
        "frames" or "pairs".
    recipe
        Everything that decides the content, of what JSON can hold.
    force
        Whether an LMDB of another recipe is to be replaced.

    Raises
    ------
    InputError
        Where `path` is something else, or of another recipe and not `force`.
    """
    path, partial = Path(path), partial_path(path)
    if path.exists():
        try:
            manifest = read_manifest(path)
        except InputError as error:
            raise InputError(f"{error}; move {path} away or give another --out") from None
        names = _difference(manifest, kind, recipe)
        if not names:
            if lock_path(partial, beside=True).exists():  # of a program that was killed at its very end
                with suppress(InputError), locked(partial, beside=True):
                    pass
            return manifest
        if not force:
            raise InputError(
                f"{path} is there and was made from something else or with other settings ({names}); "
                "give another --out, or --force to replace it"
            )
    if (partial / MANIFEST).is_file():
        manifest = read_manifest(partial)
        if not _difference(manifest, kind, recipe):
            with locked(partial, beside=True):
                _complete(partial, path)
            return manifest
    return None


class Build:
    """An LMDB being built, a context manager; when the block ends early, what is stored waits for the next try.

    Entering it raises InputError where another program is building the same, WriteError where it cannot be written.

    Parameters
    ----------
    path, kind, recipe
        As `finished` takes them.
    tell
        Called with a line of text when an older beginning is used or dropped.
    """

    def __init__(self, path: PathLike, kind: str, recipe: dict[str, Any], tell: Callable[[str], object]):
        self.path, self.partial = Path(path), partial_path(path)
        self._kind, self._recipe, self._tell = kind, plain(recipe), tell

    def __enter__(self) -> "Build":
        with ExitStack() as stack:
            wanted = {"kind": self._kind, **self._recipe}
            stack.enter_context(recipe_folder(self.partial, wanted, "an LMDB", beside=True, tell=self._tell))
            self._environment = _open(self.partial)
            stack.callback(self._environment.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stack.close()

    def __len__(self) -> int:
        """Return the number of records stored so far."""
        with self._environment.begin() as transaction:
            return transaction.stat()["entries"] - (transaction.get(NOTES) is not None)

    def notes(self) -> dict[str, Any]:
        """Return {name: note} of every note stored so far."""
        with self._environment.begin() as transaction:
            if transaction.get(NOTES) is None:
                return {}
            database = self._environment.open_db(NOTES, transaction, create=False)
            return {key.decode(): json.loads(note) for key, note in transaction.cursor(database)}

    def put(self, records: Iterable[tuple[bytes, bytes]], name: Optional[str] = None, note: Any = None) -> None:
        """Store records, (key, value), and a note (what JSON can hold) under a name, all of them or none."""

        def store(transaction: lmdb.Transaction) -> None:
            for key, value in records:
                transaction.put(key, value)
            if name is not None:
                database = self._environment.open_db(NOTES, transaction)
                transaction.put(name.encode(), json.dumps(note).encode(), db=database)

        _transact(self._environment, store, self.partial)

    def finish(self, **contents: Any) -> dict[str, Any]:
        """Give the LMDB its name, with a manifest of format, kind, recipe and `contents`; return the manifest."""
        manifest = {"format": FORMAT, "kind": self._kind, "recipe": self._recipe, **contents}
        write_manifest(self.partial, manifest)
        self._environment.close()
        _complete(self.partial, self.path)
        return manifest

    def discard(self) -> None:
        """Remove what is stored so far."""
        self._environment.close()
        remove(self.partial)


def _complete(partial: Path, path: Path) -> None:
    """Turn a folder that is whole but for its name into `path`.  May itself be cut short anywhere and called again."""
    environment = _open(partial)

    def drop_notes(transaction: lmdb.Transaction) -> None:
        if transaction.get(NOTES) is not None:
            transaction.drop(environment.open_db(NOTES, transaction, create=False))

    _transact(environment, drop_notes, partial)
    environment.close()
    remove(partial / "lock.mdb")
    remove(partial / RECIPE)
    old = path.with_name(path.name + ".old")
    remove(old)
    if path.exists():
        path.rename(old)
    partial.rename(path)
    remove(old)


def _open(folder: Path) -> lmdb.Environment:
    size = (folder / "data.mdb").stat().st_size if (folder / "data.mdb").is_file() else 0
    try:
        return lmdb.open(str(folder), map_size=max(FIRST_MAP_SIZE, 2 * size), max_dbs=1)
    except lmdb.Error as error:
        raise WriteError(f"cannot write to {folder}: {error}; remove it and run the same command again") from None


def _transact(environment: lmdb.Environment, action: Callable[[lmdb.Transaction], None], folder: Path) -> None:
    """Run action(transaction) in one write transaction, with as much map as it needs."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                return action(transaction)
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])
        except lmdb.Error as error:
            raise WriteError(f"cannot write to {folder}: {error}; mend that and run the same command again") from None


def _difference(manifest: dict[str, Any], kind: str, recipe: dict[str, Any]) -> str:
    """Return the names of what differs between what an LMDB was made from and a recipe, "" if nothing does."""
    return difference({"kind": manifest["kind"], **manifest["recipe"]}, {"kind": kind, **recipe})
