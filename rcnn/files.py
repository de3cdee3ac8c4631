"""Files that are either whole or absent, folders that one program holds at a time, and the errors a person reads."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Union

from filelock import FileLock, Timeout

PathLike = Union[str, "os.PathLike[str]"]
LOCK = ".lock"  # in a folder, or added to its name


class ProgramError(Exception):
    """A program cannot do what it was asked for; its message is one line that a person is meant to read.

    It says what is wrong, where, and what to do about it.  Programs print it and exit with status 2.
    """


class InputError(ProgramError):
    """Something the user gave is wrong."""


class WriteError(ProgramError):
    """A file or folder cannot be written, as on a full disk."""


class WorkerError(ProgramError):
    """A process that shares in the work died or was lost."""


class TrainingError(ProgramError):
    """A training failed: it diverged, or what trains ended early."""


def existing(path: PathLike, what: str, kind: str = "file") -> Path:
    """Return a path that is there.

    Parameters
    ----------
    what
        How the message calls it ("weights", "video list").
    kind
        "file" or "folder".

    Raises
    ------
    InputError
        Where it is not there, or is not of that kind.
    """
    path = Path(path)
    if path.is_dir() if kind == "folder" else path.is_file():
        return path
    if path.exists():
        raise InputError(f"{what}: {path} is a {'file, not a folder' if kind == 'folder' else 'folder, not a file'}")
    raise InputError(f"{what}: no such {kind}: {path}")


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Give a path beside `path` to write; it takes the place of `path` when the block ends, and goes if it fails.

    Whoever looks at `path` sees the old file or the whole new one, never a part.  Folders of `path` are made.

    Raises
    ------
    WriteError
        Where that is not possible, or the block raises an OSError, as on a full disk.
    """
    path = Path(path)
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        part = Path(name)
        yield part
        part.chmod(0o666 & ~_umask())
        os.replace(part, path)
    except BrokenPipeError:  # not of this file, but of a program that read what this one printed
        raise
    except OSError as error:
        raise _cannot_write(path, error) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def check_writable(path: PathLike) -> None:
    """Raise WriteError if `path` cannot be written, before the work whose result it takes; leaves nothing behind."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=next(folder for folder in path.parents if folder.exists())).close()
    except OSError as error:
        raise _cannot_write(path, error) from None


def check_folder(path: PathLike, option: str) -> None:
    """Raise InputError, which names the option, where `path` can be no folder, as a file is in the way."""
    path = Path(path)
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise InputError(f"{option}: {nearest} is a file, not a folder; give another {option}")


def check_apart(written: Mapping[str, PathLike], read: Iterable[tuple[str, PathLike]]) -> None:
    """Raise InputError where a program would write over what it reads, or one of its outputs over another.

    Parameters
    ----------
    written
        {option: path} of its outputs.
    read
        (option, path) of each file that it reads, and of each folder, such as an LMDB, in which nothing may be written.
    """
    places, options = [(source, path, _place(path)) for source, path in read], dict[Path, str]()
    for option, path in written.items():
        place = _place(path)
        for source, other, taken in places:
            if taken == place or taken == place.parent and taken.is_dir():
                what = "is what" if taken == place else f"lies in {other}, which"
                raise InputError(f"{option}: {path} {what} {source} reads; give another {option}")
        if place in options:
            raise InputError(f"{option}: {path} is the file of {options[place]} too; give another {option}")
        options[place] = option


def _place(path: PathLike) -> Path:
    return Path(os.path.realpath(path))


def _cannot_write(path: Path, error: OSError) -> WriteError:
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    return WriteError(f"cannot write {path}: {reason}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def lock_path(folder: PathLike, beside: bool = False) -> Path:
    """Return the path of the file that `locked` holds."""
    folder = Path(folder)
    return folder.with_name(folder.name + LOCK) if beside else folder / LOCK


@contextmanager
def locked(folder: PathLike, beside: bool = False) -> Iterator[None]:
    """Hold a folder for this program alone; the lock ends with the program, however that ends.

    Parameters
    ----------
    beside
        Whether the lock's file is `<folder>.lock` and not `<folder>/.lock`: for a folder that is renamed or removed in
        the block, which Windows refuses where a file in it is open.  Either goes when the block ends.

    Raises
    ------
    InputError
        Where another program holds it.
    WriteError
        Where the lock's file cannot be written.
    """
    file = lock_path(folder, beside)
    lock = FileLock(str(file), timeout=0)
    busy = InputError(f"another program is at work in {folder}; wait for it to end")
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):  # the latter where its holder removes it as this one opens it
        raise busy from None
    except (OSError, NotImplementedError) as error:
        raise WriteError(f"cannot lock {folder}: {' '.join(str(error).split())}") from None
    if not file.exists():  # its holder has removed what this one had opened
        lock.release()
        raise busy
    try:
        yield
    finally:
        with suppress(PermissionError):  # on Windows releasing removes it
            file.unlink(missing_ok=True)
        lock.release()


def write_text(path: PathLike, text: str) -> None:
    """Write `text` to `path` (UTF-8), whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def sha256(path: PathLike) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove(path: PathLike) -> None:
    """Remove a file or a folder with all that is in it; nothing happens if it is not there."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
