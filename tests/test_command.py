"""rcnn/command.py: how programs parse and how they end."""

import argparse
import subprocess
import sys

import pytest
from runs import ROOT

from rcnn import command

INTERRUPTED = "\nprogram.py: interrupted; run the same command again to go on\n"
PROGRAM = '''"""Do something.

    python program.py --number 3
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
        (command.seed, {"0": 0, "4294967295": 2**32 - 1}, "-1 4294967296 1.5 x"),
    ],
)
def test_numbers_out_of_their_range_are_refused(convert, right, wrong):
    assert {text: convert(text) for text in right} == right
    for text in wrong.split():
        with pytest.raises(argparse.ArgumentTypeError, match=f"^{text} is not a "):
            convert(text)
