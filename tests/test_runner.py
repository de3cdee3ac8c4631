"""rcnn/experiments/runner.py, with a small program: order, failures, Ctrl-C, and that nothing is left running."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from runs import ROOT

from rcnn.experiments.runner import Runner, alone_in, clock, last_line
from rcnn.experiments.steps import Step, chains, wall
from rcnn.files import InputError

SMALL = (sys.executable, "small.py")
# Notes when it begins and ends; sleeps, fails or makes its output as its arguments say.
PROGRAM = """
import os, sys, time
name, out, seconds, status = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
def note(what):
    with open("notes", "a") as file:
        file.write(f"{what} {os.path.basename(out)} {os.getpid()}\\n")
assert name == "small-program"
note("begin")
try:
    time.sleep(seconds)
except KeyboardInterrupt:
    time.sleep(0.2)
    note("saved")
    sys.exit(130)
if status:
    sys.exit(f"no good:\\nthe {out} fails")
open(out, "w").write(os.environ["OPENBLAS_NUM_THREADS"])
note("end")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.py").write_text(PROGRAM)
    return tmp_path


def step(name, *needs, seconds=0.0, status=0, expected=1.0):
    return Step(
        name,
        ("small_program.py", name, str(seconds), str(status)),
        tuple(map(Path, needs)),
        (Path(name),),
        seconds=expected,
    )


def notes():
    """Return [(what, step, process)] of what the programs noted."""
    path = Path("notes")
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def run(*steps, **options):
    runner = Runner("out", programs=SMALL, **options)
    runner.run(list(steps))
    return runner


def alive(process):
    """Return whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_runs_after_what_it_needs_and_only_once(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    steps = [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")]
    runner = run(*steps, jobs=2)
    assert not runner.failed and not runner.skipped
    order = [name for what, name, _ in notes() if what == "begin"]
    ends = [(what, name) for what, name, _ in notes()]
    assert sorted(order) == ["a", "b", "c", "d"] and order[0] == "a" and order[3] == "d"
    assert ends.index(("end", "a")) < min(ends.index(("begin", "b")), ends.index(("begin", "c")))
    assert Path("d").read_text() == "1"  # one thread a program
    assert run(*steps).failed == {} and len(notes()) == 8


def test_jobs_run_side_by_side_and_not_more():
    run(*(step(name, seconds=1) for name in "abcd"), jobs=2)  # longer than a busy machine takes to start the next
    running = most = 0
    for what, _, _ in notes():
        running += 1 if what == "begin" else -1
        most = max(most, running)
    assert most == 2


def test_the_longest_chain_goes_first():
    steps = [step("short"), step("a", expected=2), step("b", "a", expected=50), step("middle", expected=10)]
    assert chains(steps) == {"short": 1, "a": 52, "b": 50, "middle": 10}
    assert (wall(steps, 1), wall(steps, 4)) == (63, 52)
    run(*steps)
    assert [name for what, name, _ in notes() if what == "begin"] == ["a", "b", "middle", "short"]


def test_a_failure_stops_what_needs_it_and_nothing_else(capfd):
    steps = [step("bad", status=1), step("after", "bad"), step("later", "after"), step("good"), step("fine", "good")]
    runner = run(*steps)
    assert list(runner.failed) == ["bad"] and runner.skipped == ["after", "later"]
    assert runner.failed["bad"] == "small_program.py ended with status 1: the bad fails (log: out/logs/bad.log)"
    assert "bad failed: small_program.py ended with status 1" in capfd.readouterr().err
    assert Path("fine").exists() and not Path("after").exists()
    log = Path("out/logs/bad.log").read_text()
    assert "$ python tools/small_program.py bad 0.0 1\nno good:\nthe bad fails\n" in log


def test_a_program_that_does_not_make_its_output():
    made = step("made")
    other = Step("made", made.command, (), (Path("made"), Path("more")))
    assert run(other).failed == {"made": "it did not make more (log: out/logs/made.log)"}


def test_stale_steps_need_force():
    run(step("a"), step("b", "a"))
    other = step("a", seconds=0.001)
    assert (
        run(other, step("b", "a"))
        .failed["a"]
        .startswith("it was made with other settings or from other files; --force makes it again")
    )
    assert Path("a").exists() and len(notes()) == 4
    runner = run(other, step("b", "a"), force=True)
    # b is not run: a is what it was before
    assert not runner.failed and [name for _, name, _ in notes()[4:]] == ["a", "a"]


def test_what_is_in_the_way_is_a_failure():
    Path("a").write_text("somebody's")
    runner = run(step("a"), step("b", "a"), step("c"))
    assert "move it away" in runner.failed["a"] and runner.skipped == ["b"] and Path("c").exists()
    assert Path("a").read_text() == "somebody's"


def begun(*names):
    return lambda: {name for what, name, _ in notes() if what == "begin"} >= set(names)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_programs_the_time_to_save(number, capfd):
    steps = [step("a", seconds=60), step("b", seconds=60), step("c", "a")]

    def press():
        wait_until(begun("a", "b"))
        time.sleep(0.1)
        os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        run(*steps, jobs=2)
    presser.join()
    assert signal.getsignal(number) == handler
    assert sorted(what for what, *_ in notes()) == ["begin", "begin", "saved", "saved"]
    assert not any(alive(process) for *_, process in notes())
    error = capfd.readouterr().err
    assert "stopping; 2 running steps save their work" in error and "failed" not in error


def test_a_killed_one_takes_its_programs_along(folder):
    code = (
        "from test_runner import *\n"
        "Runner('out', 2, programs=SMALL).run([step('a', seconds=60), step('b', seconds=60)])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    wait_until(begun("a", "b"))
    process.kill()
    process.wait()
    wait_until(lambda: not any(alive(number) for *_, number in notes()))
    assert [what for what, *_ in notes()] == ["begin", "begin"]


def test_steps_run_where_there_is_no_setpriv(monkeypatch):
    monkeypatch.setenv("PATH", "nowhere")
    assert not run(step("a"), step("b", "a"), jobs=2).failed and Path("b").exists()


def test_ctrl_c_reaches_programs_of_a_shell_that_ignores_it(folder):
    """A shell has what it starts in the background ignore Ctrl-C; SIGTERM still leaves programs the time to save."""
    code = "from test_runner import *\nRunner('out', programs=SMALL).run([step('a', seconds=60)])"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    wait_until(begun("a"))
    time.sleep(0.1)
    process.terminate()
    assert process.wait(60) != 0
    assert [what for what, *_ in notes()] == ["begin", "saved"]


def test_last_lines(tmp_path):
    path = tmp_path / "log"
    for data, line in (
        (b"", "it said nothing"),
        (b"one\ntwo\n\n", "two"),
        (b"x\n 5%\r 9%\rerror: no\n", "error: no"),
        (b"y" * 9000 + b"\nlast\xff", "last\ufffd"),
    ):
        path.write_bytes(data)
        assert last_line(path) == line


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0:00 min"), (59.6, "1:00 min"), (125, "2:05 min"), (3599.9, "1:00:00 h"), (90061, "25:01:01 h")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_a_folder_is_for_one_program_alone():
    with alone_in(Path("new/out")):
        with pytest.raises(InputError, match="another program is at work in new/out; wait for it to end"):
            with alone_in(Path("new/out")):
                pass
    with alone_in(Path("new/out")):
        assert Path("new/out").is_dir()
    Path("file").touch()
    with pytest.raises(InputError, match="^cannot make the folder file: File exists; give another --out$"):
        with alone_in(Path("file")):
            pass
