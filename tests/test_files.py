"""rcnn/files.py: files that are whole or absent."""

import hashlib
import os
import subprocess
import sys

import pytest
from runs import ROOT

from rcnn import files


def test_existing_returns_what_is_there_and_names_what_is_not(tmp_path):
    path = tmp_path / "weights"
    path.write_text("x")
    assert files.existing(str(path), "weights") == path
    assert files.existing(tmp_path, "videos", "folder") == tmp_path
    none = tmp_path / "none"
    for wrong, kind, said in (
        (none, "file", f"no such file: {none}"),
        (none, "folder", f"no such folder: {none}"),
        (tmp_path, "file", f"{tmp_path} is a folder, not a file"),
        (path, "folder", f"{path} is a file, not a folder"),
    ):
        with pytest.raises(files.InputError) as error:
            files.existing(wrong, "weights", kind)
        assert str(error.value) == f"weights: {said}"


def test_what_is_written_is_apart_from_what_is_read(tmp_path, monkeypatch):
    """By whatever name; in a folder that is read nothing is written, deeper or beside it what one likes."""
    monkeypatch.chdir(tmp_path)
    for folder in ("f.lmdb/deep", "else"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "w").write_text("x")
    (tmp_path / "link").symlink_to("w")
    read = [("--weights", "w"), ("--frames", "f.lmdb")]
    for path in ("new", "else/w", "f.lmdb/deep/w", "f.lmdb2"):
        files.check_apart({"--out": path, "--plot": f"{path}.png"}, read)
    for path, said in (
        ("w", "is what --weights reads"),
        ("else/../w", "is what --weights reads"),
        (tmp_path / "w", "is what --weights reads"),
        ("link", "is what --weights reads"),
        ("f.lmdb", "is what --frames reads"),
        ("f.lmdb/data.mdb", "lies in f.lmdb, which --frames reads"),
    ):
        with pytest.raises(files.InputError) as error:
            files.check_apart({"--plot": "p.png", "--out": path}, read)
        assert str(error.value) == f"--out: {path} {said}; give another --out"
    with pytest.raises(files.InputError, match="^--out: ./new is the file of --plot too; give another --out$"):
        files.check_apart({"--plot": "new", "--out": "./new"}, read)


def test_replacing_makes_folders_and_shows_the_file_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "out.bin"
    with files.replacing(path) as part:
        assert part.parent == path.parent and part.suffix == ".bin" and part != path
        part.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(path.parent) == ["out.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(error):
        with files.replacing(path) as part:
            part.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("name, reason", [("folder", "Is a directory"), ("file/out", "Not a directory|File exists")])
def test_a_place_that_cannot_be_written_is_named(tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for write in (lambda path: files.write_text(path, "x"), files.check_writable):
        with pytest.raises(files.WriteError, match=f"^cannot write {tmp_path / name}: ({reason})$"):
            write(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize(
    "error, reason",
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("two\nlines"), "two lines"),
        (OSError(28, "long\nstory"), "No space left on device"),
    ],
)
def test_an_oserror_in_the_block_is_of_the_file(tmp_path, error, reason):
    with pytest.raises(files.WriteError, match=f"^cannot write {tmp_path}/out.txt: {reason}$"):
        with files.replacing(tmp_path / "out.txt"):
            raise error
    with pytest.raises(BrokenPipeError):
        with files.replacing(tmp_path / "out.txt"):
            raise BrokenPipeError
    with pytest.raises(files.WriteError, match="cannot write .*/out.txt: No such file or directory"):
        with files.replacing(tmp_path / "out.txt") as part:
            part.unlink()
    assert not os.listdir(tmp_path)


def test_checking_a_place_leaves_nothing(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    for name in ("old.txt", "new.txt", "new/folder/out.txt"):
        files.check_writable(tmp_path / name)
    assert os.listdir(tmp_path) == ["old.txt"] and (tmp_path / "old.txt").read_text() == "old"


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_text_is_utf8_replaces_and_has_the_rights_that_the_user_asks_for(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        for text in ("a longer text", "été\n"):
            files.write_text(tmp_path / "out.txt", text)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "out.txt").stat().st_mode & 0o777 == mode
    assert (tmp_path / "out.txt").read_bytes() == "été\n".encode()


def test_sha256_is_of_the_bytes(tmp_path):
    path = tmp_path / "out.bin"
    for content in (b"", b"abc", os.urandom((1 << 20) + 3)):
        path.write_bytes(content)
        assert files.sha256(path) == hashlib.sha256(content).hexdigest()


def test_remove_takes_files_folders_and_links_but_not_what_links_point_to(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    for name in ("link", "folder", "file", "nothing"):
        files.remove(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"] and os.listdir(kept) == ["file"]


HOLD = """
import sys
from rcnn.files import locked
with locked(sys.argv[1], beside=len(sys.argv) > 2):
    print("holds it", flush=True)
    sys.stdin.read()
"""


def holder(folder, *beside):
    """Start a program that holds a folder until its standard input ends."""
    words, pipe = [sys.executable, "-c", HOLD, folder, *beside], subprocess.PIPE
    process = subprocess.Popen(words, env={"PYTHONPATH": str(ROOT)}, text=True, stdin=pipe, stdout=pipe)
    assert process.stdout.readline() == "holds it\n"
    return process


@pytest.mark.parametrize("beside", [[], ["beside"]])
def test_a_folder_is_held_by_one_program_and_nothing_is_left(tmp_path, beside):
    folder = tmp_path / "folder"
    folder.mkdir()
    for end in (lambda process: process.communicate(timeout=60), lambda process: process.kill()):
        process = holder(folder, *beside)
        with pytest.raises(files.InputError, match=f"^another program is at work in {folder}; wait for it to end$"):
            with files.locked(folder, beside=bool(beside)):
                pass
        assert files.lock_path(folder, beside=bool(beside)).exists()
        end(process)
        process.communicate()
        with files.locked(folder, beside=bool(beside)):  # at once, though the killed one's file is there
            if beside:
                folder.rename(tmp_path / "whole")
                (tmp_path / "whole").rename(folder)
        assert os.listdir(tmp_path) == ["folder"] and os.listdir(folder) == []


def test_a_folder_that_cannot_be_locked_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(files.WriteError, match=f"^cannot lock {tmp_path}/file: "):
        with files.locked(tmp_path / "file"):
            pass


def test_a_lock_whose_file_its_holder_has_removed_meanwhile_is_no_lock(tmp_path, monkeypatch):
    """As where the holder ends between this program's opening the file and locking it."""
    acquire = files.FileLock.acquire

    def late(lock):
        acquire(lock)
        os.remove(lock.lock_file)

    monkeypatch.setattr(files.FileLock, "acquire", late)
    with pytest.raises(files.InputError, match="another program is at work in"):
        with files.locked(tmp_path):
            pass
