"""Files that are either whole or absent, and the error that a person is meant to read."""
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


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


def existing(path, what, kind="file"):
    """Return `path` as a Path if it is there, else raise InputError.

    what: how the message calls it ("weights", "video list").  kind: "file" or "folder".
    """
    path = Path(path)
    if kind == "folder" and not path.is_dir():
        raise InputError(f"{what}: no such folder: {path}")
    if kind == "file" and not path.is_file():
        raise InputError(f"{what}: no such file: {path}")
    return path


@contextmanager
def replacing(path):
    """Yield a path beside `path` to write; it takes the place of `path` when the block ends, and goes if it fails.

    Whoever looks at `path` sees the old file or the whole new one, never a part.  Folders of `path` are made.
    Raises InputError where that is not possible, or the block raises an OSError, as on a full disk.
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


def check_writable(path):
    """Raise InputError if `path` cannot be written, before the work whose result it takes; leaves nothing behind."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=next(folder for folder in path.parents if folder.exists())).close()
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path, error):
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    return InputError(f"cannot write {path}: {reason}")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def locked(folder):
    """Hold a folder that is there for this program alone; InputError where another one holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(f"another program is at work in {folder}; wait for it to end") from None
    finally:
        os.close(handle)


def write_text(path, text):
    """Write `text` to `path` (UTF-8), whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def sha256(path):
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove(path):
    """Remove a file or a folder with all that is in it; nothing happens if it is not there."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
