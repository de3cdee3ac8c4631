"""rcnn/command.py: how programs parse and how they end."""

import argparse
import re
import subprocess
import sys

import in_process
import pytest
from runs import ROOT

from rcnn import __main__, command

INTERRUPTED = "\nprogram.py: interrupted; run the same command again to go on\n"
PROGRAM = '''"""Do something.

    python program.py --number 3

It ends as it is told to.
"""
import signal
import sys
from rcnn import command
from rcnn.files import InputError, replacing


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--number", type=command.positive, default=7, help="how many")
    parser.add_argument("--end", help="how it ends")
    args = parser.parse_args()
    if args.end == "wrong":
        raise InputError("list: no such file: x; give another --list")
    if args.end == "interrupted":
        signal.raise_signal(signal.SIGINT)
    if args.end in ("SIGTERM", "SIGHUP"):
        with replacing("out.txt") as part:
            part.write_text("half")
            signal.raise_signal(signal.Signals[args.end])
    if args.end == "full":
        raise OSError(28, "No space left on device", "out.txt")
    if args.end == "broken":
        raise ZeroDivisionError
    if args.end == "talk":
        while True:
            print("word" * 1000)
    if args.end == "late":
        print("first", flush=True)
        sys.stdin.read()
        print("last")
    if args.end == "chinese":
        print("走路")
    print(args.number)
    return 1 if args.end == "skipped" else None


if __name__ == "__main__":
    command.run(main)
'''


@pytest.fixture
def program(tmp_path):
    """A function that runs a small program with arguments, and gives what became of it."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)

    def run(*arguments, under=()):
        words, environment = [*under, sys.executable, path, *arguments], {"PYTHONPATH": str(ROOT)}
        return subprocess.run(words, env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=60)

    run.path = path
    return run


@pytest.mark.parametrize(
    "end, status, out, error",
    [
        ("well", 0, "7\n", ""),
        ("skipped", 1, "7\n", ""),
        ("wrong", 2, "", "program.py: list: no such file: x; give another --list\n"),
        ("full", 2, "", "program.py: [Errno 28] No space left on device: 'out.txt'\n"),
        ("interrupted", 130, "", INTERRUPTED),
        ("SIGTERM", 143, "", INTERRUPTED),
        ("SIGHUP", 129, "", INTERRUPTED),
    ],
)
def test_how_a_program_ends_and_leaves_no_half_file(program, end, status, out, error):
    done = program("--end", end)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, error)
    assert list(program.path.parent.iterdir()) == [program.path]


def test_a_signal_that_is_ignored_stays_so(program):
    done = program("--end", "SIGHUP", under=["nohup"])
    assert (done.returncode, done.stdout) == (0, "7\n")
    assert (program.path.parent / "out.txt").read_text() == "half"


def test_an_error_of_the_program_itself_is_not_hidden(program):
    done = program("--end", "broken")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("end", ["talk", "late"])
def test_a_reader_that_goes_away_is_no_error(program, end):
    """In the middle of what is printed, or before the last line, which is printed as the program ends."""
    words, pipe = [sys.executable, program.path, "--end", end], subprocess.PIPE
    process = subprocess.Popen(words, env={"PYTHONPATH": str(ROOT)}, stdin=pipe, stdout=pipe, stderr=pipe)
    process.stdout.readline()
    process.stdout.close()
    process.stdin.close()
    assert process.wait(timeout=60) == 141 and process.stderr.read() == b""


def test_help_is_the_docstring_with_defaults(program):
    done = program("--help")
    assert done.returncode == 0
    assert "Do something.\n\n    python program.py --number 3\n" in done.stdout
    assert "how many (default: 7)" in done.stdout
    assert "how it ends\n" in done.stdout and "None" not in done.stdout


@pytest.mark.parametrize("encoding, word", [("ascii", b"\\u8d70\\u8def"), ("utf-8", "走路".encode())])
def test_a_name_that_the_output_cannot_hold_does_not_end_it(program, encoding, word):
    environment = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, program.path, "--end", "chinese"], env=environment, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, word + b"\n7\n", b"")


def test_a_wrong_argument_is_named(program):
    done = program("--number", "0")
    assert done.returncode == 2
    assert done.stderr == (
        "program.py: error: argument --number: 0 is not a whole number of at least 1; --help tells more\n"
    )


@pytest.mark.parametrize(
    "convert, right, wrong",
    [
        (command.positive, {"3": 3, "1": 1}, "0 -1 1.5 x"),
        (command.finite, {"-1e3": -1000}, "nan inf -inf x"),
        (command.positive_real, {"29.97": 29.97}, "0 -1 nan inf x"),
        (command.share, {"0": 0, "0.6": 0.6, "1": 1}, "-0.1 1.1 nan x"),
        (command.seed, {"0": 0, "4294967295": 2**32 - 1}, "-1 4294967296 1.5 x"),
    ],
)
def test_numbers_out_of_their_range_are_refused(convert, right, wrong):
    assert {text: convert(text) for text in right} == right
    for text in wrong.split():
        with pytest.raises(argparse.ArgumentTypeError, match=f"^{text} is not a "):
            convert(text)


NET = "--net n.prototxt --weights k.caffemodel"
TEST = f"{NET} --frames f.lmdb --list list.txt --classes classes.txt"
KEPT = ("k.caffemodel", "n.prototxt", "list.txt", "classes.txt", "s.h5", "d.json", "v.avi", "x.png", "f.lmdb/data.mdb")
PAIRS = "--frames f.lmdb --list list.txt --classes classes.txt"


@pytest.mark.parametrize(
    "words, said",
    [
        # over what is read
        (f"build_pairs {PAIRS} --force --out f.lmdb", "--out: f.lmdb is what --frames reads; give another --out"),
        (f"build_pairs {PAIRS} --out list.txt", "--out: list.txt is what --list reads"),
        (
            f"build_frames --videos . {PAIRS[16:]} --force --out classes.txt",
            "--out: classes.txt is what --classes reads",
        ),
        (
            f"train_torch --pairs f.lmdb --weights k.caffemodel --out {'f.lmdb'}/x",
            "--out: f.lmdb/x.jsonl lies in f.lmdb",
        ),
        (f"figures {NET} --images x.png x.png --out x.png", "--out: x.png is what --images reads"),
        (f"motion_energy {NET} --pairs f.lmdb --out k.caffemodel", "--out: k.caffemodel is what --weights reads"),
        (
            f"motion_energy {NET} --pairs f.lmdb --out f.lmdb/x.json",
            "--out: f.lmdb/x.json lies in f.lmdb, which --pairs",
        ),
        (f"evaluate {TEST} --out k.caffemodel --force", "--out: k.caffemodel is what --weights reads"),
        (
            f"evaluate {TEST} --out s.h5 --confusion f.lmdb/c.png",
            "--confusion: f.lmdb/c.png lies in f.lmdb, which --fr",
        ),
        (
            f"classify_video v.avi {NET} --classes classes.txt --annotated v.avi",
            "--annotated: v.avi is what SOURCE reads",
        ),
        (f"init_weights {NET} --out k.caffemodel", "--out: k.caffemodel is what --weights reads"),
        ("export --weights k.caffemodel --out ./k.caffemodel", "--out: ./k.caffemodel is what --weights reads"),
        ("report --frames f.lmdb --out f.lmdb/data.mdb", "--out: f.lmdb/data.mdb lies in f.lmdb, which --frames reads"),
        ("report --tables d.json --out d.json", "--out: d.json is what --tables reads"),
        ("report --logs a=list.txt --out list.txt", "--out: list.txt is what --logs reads"),
        ("fuse s.h5 --json s.h5", "--json: s.h5 is what SCORES reads"),
        ("claims d.json --out new --page d.json --dry-run", "--page: d.json is what description reads"),
        ("train --solver n.prototxt --log n.prototxt", "--log: n.prototxt is what --solver reads"),
        # what is no picture, no caffemodel
        (f"figures {NET} --images x.png x.png --out k.caffemodel", "argument --out: k.caffemodel does not end in .png"),
        (
            f"evaluate {TEST} --out new --confusion k.caffemodel",
            "argument --confusion: k.caffemodel does not end in .png",
        ),
        (
            f"classify_video v.avi {NET} --classes classes.txt --plot k.caffemodel",
            "argument --plot: k.caffemodel does not",
        ),
        ("fuse s.h5 --confusion d.json", "argument --confusion: d.json does not end in .png"),
        ("train --solver n.prototxt --plot d.json", "argument --plot: d.json does not end in .png"),
        (f"init_weights {NET} --out n.prototxt", "argument --out: n.prototxt does not end in .caffemodel"),
        # where no folder can be
        ("reproduce d.json --out list.txt --dry-run", "--out: list.txt is a file, not a folder; give another --out"),
        ("claims d.json --out list.txt/new --dry-run", "--out: list.txt is a file, not a folder; give another --out"),
        ("make_prototxt --out list.txt", "--out: list.txt is a file, not a folder; give another --out"),
        ("demo --out list.txt", "--out: list.txt is a file, not a folder; give another --out"),
        ("demo --seed x", "argument --seed: x is not a whole number in 0 to 4294967295"),
    ],
)
def test_programs_write_over_nothing_that_they_read(tmp_path, monkeypatch, capsys, words, said):
    """Nor over files that are not of the kind that they write; whatever the files hold, these are left alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.lmdb").mkdir()
    for name in KEPT:
        (tmp_path / name).write_text(name)
    before = in_process.files()
    assert in_process.run(*words.split()) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1) and said in error
    assert in_process.files() == before


PATHS = """annotated classes confusion frames json list log logs net out page pairs plot scores scores2 snapshots
solver tables test-list test-pairs train-list train-pairs videos weights""".split()


@pytest.mark.parametrize("program", [name.replace("-", "_") for name in __main__.programs()])
def test_no_path_of_any_program_is_empty(program, capsys):
    assert in_process.run(program, "--help") == 0
    usage = set(re.findall(r"--([a-z0-9-]+)", capsys.readouterr().out.partition("\n\n")[0])) & set(PATHS)
    usage -= {"classes"} if program == "make_prototxt" else set()  # their number
    assert usage
    for option in usage:
        assert in_process.run(program, f"--{option}", "") == 2
        error = capsys.readouterr().err
        assert f"argument --{option}: the path is empty" in error and error.count("\n") == 1


def test_many_videos_of_one_reason_are_told_in_one_line(capsys):
    few = [("a", "broken"), ("z", "empty"), ("b", "broken")]
    command.tell_reasons("skipped", few + [(f"v{number}", "not there") for number in range(command.MANY)])
    assert capsys.readouterr().err.splitlines() == [
        *("skipped a: broken", "skipped b: broken", "skipped z: empty"),
        f"skipped {command.MANY} videos, the first is v0: not there",
    ]
