"""rcnn/data/builds.py: LMDBs that can be cut short anywhere and end with the same content."""

import os

import lmdb
import pytest

from rcnn.data import builds, records
from rcnn.data.builds import Build, finished
from rcnn.files import InputError, WriteError

RECIPE = {"fps": 5.0, "size": 256}


def begin(path, recipe=RECIPE, tell=print, kind="frames"):
    return Build(path, kind, recipe, tell)


def finish(path, entries, recipe=RECIPE):
    with begin(path, recipe) as build:
        build.put(entries, "note", 1)
        return build.finish(counts={"frames": len(entries)})


def contents(path):
    with records.open_records(path) as opened:
        return dict(opened)


def test_finish(tmp_path):
    out = tmp_path / "new/a.lmdb"
    assert finished(out, "frames", RECIPE) is None
    manifest = finish(out, [(b"a", b"1"), (b"b", b"2")])
    assert contents(out) == {b"a": b"1", b"b": b"2"}
    assert manifest == {"format": records.FORMAT, "kind": "frames", "recipe": RECIPE, "counts": {"frames": 2}}
    assert finished(out, "frames", RECIPE) == manifest
    assert sorted(os.listdir(out)) == ["data.mdb", "manifest.json"] and os.listdir(out.parent) == ["a.lmdb"]


def test_goes_on(tmp_path):
    out, lines = tmp_path / "a.lmdb", []
    with begin(out, tell=lines.append) as build:
        build.put([(b"a", b"1")], "a", {"times": [0.0]})
    with begin(out, tell=lines.append) as build:
        assert len(build) == 1 and build.notes() == {"a": {"times": [0.0]}}
        build.put([(b"b", b"2")])
        assert len(build) == 2
        build.finish(counts={"frames": 2})
    assert contents(out) == {b"a": b"1", b"b": b"2"}
    assert lines == [f"going on with {out}.partial"]


def test_records_and_note_of_a_failed_put_are_both_gone(tmp_path):
    with begin(tmp_path / "a.lmdb") as build:
        with pytest.raises(WriteError, match="cannot write"):
            build.put([(b"a", b"1"), (b"x" * 1000, b"a key longer than LMDB takes")], "a", 1)
        assert len(build) == 0 and build.notes() == {}


def test_other_settings_start_afresh(tmp_path):
    out, lines = tmp_path / "a.lmdb", []
    with begin(out) as build:
        build.put([(b"a", b"1")], "a", 1)
    with begin(out, {"fps": 25, "size": 256}, lines.append) as build:
        assert len(build) == 0 and build.notes() == {}
        build.put([(b"b", b"2")])
    with begin(out, {"fps": 25, "size": 256}, lines.append) as build:
        assert len(build) == 1
    afresh = f"{out}.partial was begun with other settings (fps); starting afresh"
    assert lines == [afresh, f"going on with {out}.partial"]


def test_finished_with_other_settings_is_refused_unless_forced(tmp_path):
    out, other = tmp_path / "a.lmdb", {"fps": 25.0, "size": 256}
    finish(out, [(b"a", b"1")])
    with pytest.raises(InputError, match=r"other settings \(fps\); give another --out, or --force"):
        finished(out, "frames", other)
    with pytest.raises(InputError, match="other settings"):
        finished(out, "pairs", RECIPE)
    assert finished(out, "frames", other, force=True) is None
    assert contents(out) == {b"a": b"1"}, "the old one stays until the new one is whole"
    finish(out, [(b"b", b"2")], other)
    assert contents(out) == {b"b": b"2"} and os.listdir(tmp_path) == ["a.lmdb"]


def test_what_is_not_ours_is_never_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder", "file"):
        with pytest.raises(InputError, match=r"move .* away or give another --out"):
            finished(tmp_path / name, "frames", RECIPE, force=True)


@pytest.mark.parametrize("step", ["drop", "remove", "rename", "remove old"])
@pytest.mark.parametrize("replaces", [False, True])
def test_killed_while_finishing(tmp_path, monkeypatch, step, replaces):
    """Every moment between the manifest and the name: the next run ends with the same LMDB."""
    out = tmp_path / "a.lmdb"
    if replaces:
        finish(out, [(b"old", b"0")], {"fps": 1})

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        if step == "drop":
            patch.setattr(builds, "_complete", kill)
        elif step == "rename":
            patch.setattr(builds.Path, "rename", kill)
        else:
            suffix, removed = {"remove": ".mdb", "remove old": ".old"}[step], builds.remove
            patch.setattr(builds, "remove", lambda path: kill() if path.suffix == suffix else removed(path))
        finish(out, [(b"a", b"1")])
    assert finished(out, "frames", RECIPE, force=True)["counts"] == {"frames": 1}
    assert contents(out) == {b"a": b"1"} and os.listdir(tmp_path) == ["a.lmdb"]


def test_killed_before_the_recipe_is_written(tmp_path):
    (tmp_path / "a.lmdb.partial").mkdir()
    (tmp_path / "a.lmdb.partial/.recipe.x.json").write_text("{")
    finish(tmp_path / "a.lmdb", [(b"a", b"1")])
    assert sorted(os.listdir(tmp_path / "a.lmdb")) == ["data.mdb", "manifest.json"]


def test_two_programs_at_once(tmp_path):
    with begin(tmp_path / "a.lmdb"):
        with pytest.raises(InputError, match="another program is at work in .*a.lmdb.partial"):
            with begin(tmp_path / "a.lmdb"):
                pass


def test_a_lock_left_at_the_very_end_goes(tmp_path):
    """As where a program was killed between naming its LMDB and letting go of it."""
    finish(tmp_path / "a.lmdb", [(b"a", b"1")])
    (tmp_path / "a.lmdb.partial.lock").touch()
    assert finished(tmp_path / "a.lmdb", "frames", RECIPE)["counts"] == {"frames": 1}
    assert os.listdir(tmp_path) == ["a.lmdb"]


def test_map_grows_and_file_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(builds, "FIRST_MAP_SIZE", 1 << 16)
    block = os.urandom(100_000)
    finish(tmp_path / "a.lmdb", [(b"%d" % number, block) for number in range(50)])
    assert contents(tmp_path / "a.lmdb") == {b"%d" % number: block for number in range(50)}
    file = (tmp_path / "a.lmdb/data.mdb").stat()
    assert file.st_size < 5_500_000 and file.st_blocks * 512 >= 0.9 * file.st_size


def test_same_build_same_bytes(tmp_path):
    for name in "ab":
        finish(tmp_path / f"{name}.lmdb", [(b"%06d" % number, b"x" * 3000) for number in range(500)])
    assert (tmp_path / "a.lmdb/data.mdb").read_bytes() == (tmp_path / "b.lmdb/data.mdb").read_bytes()


def test_a_damaged_beginning(tmp_path):
    with begin(tmp_path / "a.lmdb"):
        pass
    for name, content in (("data.mdb", b"x" * 100_000), ("recipe.json", b"{")):
        (tmp_path / "a.lmdb.partial" / name).write_bytes(content)
        with pytest.raises((InputError, WriteError), match="; remove .*"):
            with begin(tmp_path / "a.lmdb"):
                pass


def test_full_disk(tmp_path, monkeypatch):
    with begin(tmp_path / "a.lmdb") as build:

        def full(*_):
            raise lmdb.DiskError("mdb_txn_commit: No space left on device")

        with pytest.raises(WriteError, match="No space left on device; mend that and run the same command again"):
            builds._transact(build._environment, full, tmp_path)
