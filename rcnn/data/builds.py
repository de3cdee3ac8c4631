"""Building an LMDB of `records.py` so that it can be killed at any moment, run again, and ends with the same content.

All work is done in `<name>.lmdb.partial`.  It holds the recipe, everything that decides the content, so that a build
goes on where one of the same recipe stopped.  The folder gets its name `<name>.lmdb` only when it is whole.
"""
import json
from pathlib import Path

import lmdb

from rcnn.files import InputError, locked, remove, write_text
from rcnn.data.records import FORMAT, MANIFEST, partial_path, read_manifest, write_manifest

RECIPE = "recipe.json"
NOTES = b"notes"
FIRST_MAP_SIZE = 1 << 26


def finished(path, kind, recipe, force=False):
    """Return the manifest of the LMDB `path` if it is there and made by `recipe`, None if it is to be built.

    kind: "frames" or "pairs"; recipe: dict of what JSON can hold, everything that decides the content.
    Raises InputError where `path` is something else, or of another recipe and not `force`.
    """
    path, partial = Path(path), partial_path(path)
    if path.exists():
        try:
            manifest = read_manifest(path)
        except InputError as error:
            raise InputError(f"{error}; move {path} away or give another --out") from None
        if _made_by(manifest, kind, recipe):
            return manifest
        if not force:
            difference = _difference(manifest["recipe"], recipe)
            raise InputError(f"{path} is there and was made from something else or with other settings ({difference}); "
                             "give another --out, or --force to replace it")
    if (partial / MANIFEST).is_file():
        manifest = read_manifest(partial)
        if _made_by(manifest, kind, recipe):
            with locked(partial):
                _complete(partial, path)
            return manifest
    return None


class Build:
    """An LMDB being built, a context manager; when the block ends early, what is stored waits for the next try.

    path, kind, recipe: as `finished` takes them.  tell: called with a line of text when an older beginning is used or
    dropped.
    Raises InputError where another program is building the same.
    """

    def __init__(self, path, kind, recipe, tell):
        self.path, self.partial = Path(path), partial_path(path)
        self._kind, self._recipe, self._tell = kind, _plain(recipe), tell

    def __enter__(self):
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {self.partial}: {error.strerror}") from None
        self._lock = locked(self.partial)
        self._lock.__enter__()
        try:
            self._resume()
            self._environment = _open(self.partial)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        self._environment.close()
        self._lock.__exit__(None, None, None)

    def _resume(self):
        file = self.partial / RECIPE
        begun = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        wanted = {"kind": self._kind, **self._recipe}
        if begun == wanted:
            self._tell(f"going on with {self.partial}")
            return
        if begun is not None:
            self._tell(f"{self.partial} was begun with other settings ({_difference(begun, wanted)}); starting afresh")
        for file in self.partial.iterdir():
            remove(file)
        write_text(self.partial / RECIPE, json.dumps(wanted, ensure_ascii=False))

    def __len__(self):
        """Return the number of records stored so far."""
        with self._environment.begin() as transaction:
            return transaction.stat()["entries"] - (transaction.get(NOTES) is not None)

    def notes(self):
        """Return {name: note} of every note stored so far."""
        with self._environment.begin() as transaction:
            if transaction.get(NOTES) is None:
                return {}
            database = self._environment.open_db(NOTES, transaction, create=False)
            return {key.decode(): json.loads(note) for key, note in transaction.cursor(database)}

    def put(self, records, name=None, note=None):
        """Store records, (key, value) of bytes, and a note (what JSON can hold) under a name, all of them or none."""
        def store(transaction):
            for key, value in records:
                transaction.put(key, value)
            if name is not None:
                database = self._environment.open_db(NOTES, transaction)
                transaction.put(name.encode(), json.dumps(note).encode(), db=database)
        _transact(self._environment, store, self.partial)

    def finish(self, **contents):
        """Give the LMDB its name, with a manifest of format, kind, recipe and `contents`; return the manifest."""
        manifest = {"format": FORMAT, "kind": self._kind, "recipe": self._recipe, **contents}
        write_manifest(self.partial, manifest)
        self._environment.close()
        _complete(self.partial, self.path)
        return manifest

    def discard(self):
        """Remove what is stored so far."""
        self._environment.close()
        remove(self.partial)


def _complete(partial, path):
    """Turn a folder that is whole but for its name into `path`.  May itself be cut short anywhere and called again."""
    environment = _open(partial)

    def drop_notes(transaction):
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


def _open(folder):
    size = (folder / "data.mdb").stat().st_size if (folder / "data.mdb").is_file() else 0
    try:
        return lmdb.open(str(folder), map_size=max(FIRST_MAP_SIZE, 2 * size), max_dbs=1)
    except lmdb.Error as error:
        raise InputError(f"cannot write to {folder}: {error}; remove it and run the same command again") from None


def _transact(environment, action, folder):
    """Run action(transaction) in one write transaction, with as much map as it needs."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                return action(transaction)
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])
        except lmdb.Error as error:
            raise InputError(f"cannot write to {folder}: {error}; mend that and run the same command again") from None


def _plain(value):
    """Return `value` as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _made_by(manifest, kind, recipe):
    return manifest["kind"] == kind and manifest["recipe"] == _plain(recipe)


def _difference(one, two):
    """Return the names of the settings that differ."""
    two = _plain(two)
    return ", ".join(key for key in {**one, **two} if one.get(key) != two.get(key)) or "kind"
