"""rcnn/data/workers.py: results in order from processes that die, and from a real dask scheduler with two workers."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest
from runs import ROOT, contents, run
from videos import flow_set

from rcnn.data import workers
from rcnn.files import InputError, WorkerError


def die(job):
    """Return a job's number; kill the process where it is negative, or the job is (number, Path...), once a path."""
    number, *marks = job if isinstance(job, tuple) else (job,)
    lacking = [mark for mark in marks if not mark.exists()]
    if number < 0 or lacking:
        if lacking:
            lacking[0].touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_sending(job):
    """Return a job's number; the first time, kill the process when half of that is sent."""

    def half(connection, message):
        os.write(connection.fileno(), message[: len(message) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    number, mark = job
    if not mark.exists():
        mark.touch()
        Connection._send = half
    return number


def stand_in(job):
    return f"no {job}"


@pytest.mark.parametrize("ahead, jobs", [(1, [0, -1, 2]), (6, [0, 1, 2, 3, 4, 5, -6, 7, 8])])
def test_a_job_that_kills_its_process_is_stand_in_and_the_others_done(ahead, jobs, capfd):
    with workers.Pool(2) as executor:
        results = list(workers.in_order(executor, die, jobs, ahead, stand_in))
    assert results == [f"no {job}" if job < 0 else job for job in jobs]
    assert capfd.readouterr().err == ""


def test_a_job_that_kills_its_process_once_or_three_times_is_done_again(tmp_path):
    jobs = [0, (1, tmp_path / "one"), 2, (3, *(tmp_path / name for name in "abc")), 4]
    with workers.Pool(1) as executor:
        assert list(workers.in_order(executor, die, jobs, 2, stand_in)) == [0, 1, 2, 3, 4]


def test_a_process_killed_as_it_sends_its_result(tmp_path):
    with workers.Pool(2) as executor:
        jobs = [(number, tmp_path / str(number)) for number in range(2)]
        assert list(workers.in_order(executor, die_sending, jobs, 2)) == [0, 1]


def own_id(job):
    return os.getpid()


def test_processes_killed_without_a_job_cost_no_job_a_try():
    with workers.Pool(workers.TRIES + 1) as executor:
        for process in set(workers.in_order(executor, own_id, range(workers.TRIES + 1), workers.TRIES + 1)):
            os.kill(process, signal.SIGKILL)
        time.sleep(0.2)
        assert list(workers.in_order(executor, die, [1], 1)) == [1]


def not_to_be_pickled(job):
    return lambda: job


def test_a_result_that_cannot_be_sent_is_raised_with_where():
    with workers.Pool(1) as executor:
        with pytest.raises(Exception, match="(?i)pickle") as raised:
            list(workers.in_order(executor, not_to_be_pickled, [0], 1, stand_in))
        assert "rcnn/data/workers.py" in str(raised.value.__cause__)
        with pytest.raises(ZeroDivisionError):
            list(workers.in_order(executor, (1).__truediv__, [1, 0], 1, stand_in))
        assert list(workers.in_order(executor, die, [1, 2], 1)) == [1, 2]


def test_without_a_stand_in_it_ends_in_one_line():
    results = []
    with workers.Pool(1) as executor, pytest.raises(WorkerError, match="a worker process died 3 times on one job"):
        for value in workers.in_order(executor, die, [0, 1, -2, 3], 1):
            results.append(value)
    assert results == [0, 1]


class Failing(Executor):
    """An executor whose jobs all end with an error."""

    def __init__(self, error):
        self.error = error

    def submit(self, function, /, *arguments, **named):
        future = Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    "error, words",
    [(BrokenProcessPool(), "a worker process died"), (CancelledError(), "the executor has dropped the work")],
)
def test_another_executor_that_fails_is_one_line(error, words):
    with pytest.raises(WorkerError, match=words):
        list(workers.in_order(Failing(error), die, [0], 1, stand_in))


def test_in_order_and_bounded():
    begun = []
    with ThreadPoolExecutor(4) as executor:

        def work(job):
            time.sleep(0.01 * (job % 3))
            return job

        jobs = (begun.append(job) or job for job in range(30))
        for place, value in enumerate(workers.in_order(executor, work, jobs, 5)):
            assert value == place and len(begun) <= place + 5
    assert place == 29


# dask.distributed


HIDING = """import sys
sys.path[:] = [path for path in sys.path if path != {root!r}]
"""


@contextmanager
def dask(folder, workers=2, without=()):
    """Yield the address of a dask scheduler with workers; those in `without` ("scheduler", 0, 1) lack this package."""
    pytest.importorskip("distributed")
    file = folder / "scheduler.json"
    (folder / "hiding").mkdir()
    (folder / "hiding/sitecustomize.py").write_text(HIDING.format(root=str(ROOT)))

    def begin(program, who, *words):
        paths = [str(folder / "hiding")] if who in without else [str(ROOT), str(ROOT / "tests")]
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", "--scheduler-file", file, *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    begun = [begin("dask_scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0")]
    begun += [begin("dask_worker", who, "--nthreads", "1", "--name", str(who)) for who in range(workers)]
    from distributed import Client

    with Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)
        yield client.scheduler.address
    for process in begun[::-1]:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a dask scheduler with two workers."""
    with dask(tmp_path_factory.mktemp("dask")) as address:
        yield address


@pytest.mark.parametrize(
    "without, words",
    [
        (("scheduler",), r"the scheduler at tcp://\S+"),
        ((1,), r"the worker at \S+"),
        (("scheduler", 0, 1), "and the worker"),
    ],
)
def test_a_scheduler_or_worker_without_this_package_is_named_in_one_line(tmp_path, without, words):
    (tmp_path / "dask").mkdir()
    arguments = flow_set(tmp_path, a={"seed": 1})
    before = set(tmp_path.iterdir())
    with dask(tmp_path / "dask", without=without) as address:
        status, _, error = run("build_frames", *arguments, "--dask", address, "--out", tmp_path / "f.lmdb")
    assert status == 2 and error.count("\n") == 1
    assert re.search(f"--dask: .*{words}.* cannot import this package; start it with", error)
    assert set(tmp_path.iterdir()) == before


def test_frames_of_flow_by_dask_are_those_of_processes(tmp_path, scheduler):
    arguments = flow_set(tmp_path, **{f"g{index}": {"seed": index} for index in range(6)})
    assert run("build_frames", *arguments, "--out", tmp_path / "here.lmdb")[0] == 0
    status, out, error = run("build_frames", *arguments, "--dask", scheduler, "--out", tmp_path / "there.lmdb")
    assert status == 0, error
    assert contents(tmp_path / "here.lmdb") == contents(tmp_path / "there.lmdb")


def test_dask_workers_that_die(scheduler, tmp_path):
    jobs = [0, (1, tmp_path / "one"), 2, -3, 4, 5]
    with workers.cluster(scheduler) as executor:
        assert executor.workers == 2
        assert list(workers.in_order(executor, die, jobs, 4, stand_in)) == [0, 1, 2, "no -3", 4, 5]


@pytest.mark.parametrize(
    "address, words",
    [
        ("tcp://127.0.0.1:9", "--dask: no scheduler answers at tcp://127.0.0.1:9"),
        ("nonsense", "--dask: nonsense is not the address of a scheduler, as in tcp://host:8786"),
        (None, r"--dask needs dask.distributed: pip install '\.\[dask\]'"),
    ],
)
def test_no_scheduler_or_no_dask_is_one_line(monkeypatch, address, words):
    if address is None:
        monkeypatch.setitem(sys.modules, "distributed", None)
    else:
        pytest.importorskip("distributed")
    with pytest.raises(InputError, match=words) as error, workers.cluster(address):
        pass
    assert "\n" not in str(error.value)
