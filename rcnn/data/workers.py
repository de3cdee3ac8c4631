"""Work spread over processes: results in order, a bounded number under way, no process left behind.

A process that dies (killed, out of memory, crashed in a decoder) costs its jobs a retry, not the run.
"""

import multiprocessing
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any, Optional, TypeVar

from rcnn.files import InputError, WorkerError

Job = TypeVar("Job")
Result = TypeVar("Result")
Call = tuple[Callable[..., Any], tuple, dict[str, Any]]  # a function, its arguments, its named arguments

TRIES = 3  # of a job by itself, after it was one of those under way when a process died
PATIENCE = 60  # seconds after which to ask whether there are workers, and to wait for one

DIED = (
    " (killed, out of memory, or crashed); run the same command again to go on, with fewer --workers if memory is short"
)


def cores() -> int:
    """Return the number of processor cores that this program may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(Executor):
    """A concurrent.futures Executor whose processes may die.

    Attributes
    ----------
    workers
        How many jobs it does at a time.
    deaths
        The exceptions of a job whose process died.
    tries
        How often a job by itself is done that was among those under way when a process died.
    """

    workers: int
    deaths: tuple[type[BaseException], ...]
    tries = TRIES

    def wait_for_workers(self) -> None:
        """Return as soon as there is a process, or one is started where it is wanted."""

    def died(self, future: "Future[Any]") -> bool:
        """Wait for a future; return whether its process died."""
        while True:
            try:
                return isinstance(future.exception(PATIENCE), self.deaths)
            except TimeoutError:
                self.wait_for_workers()


class Pool(Workers):
    """Fresh processes, which end when this one does, even if it is killed.

    Each process has a pipe of its own, which no other holds: whenever it dies, its pipe ends, and its job alone fails.
    With ProcessPoolExecutor they share one, and it waits for ever for the rest of what a killed process was sending.

    Parameters
    ----------
    workers
        How many processes.
    """

    deaths = (BrokenProcessPool,)

    def __init__(self, workers: int):
        self.workers = workers
        self._idle: deque[_Process] = deque()
        self._threads = ThreadPoolExecutor(workers, initializer=_block_interrupts)
        if hasattr(signal, "pthread_sigmask"):
            # Starting it lets Ctrl-C through again, and the first process would get it.
            resource_tracker.ensure_running()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        """Have a process call a function; what it takes and gives is pickled."""
        return self._threads.submit(self._call, (function, arguments, named))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when they have done their jobs."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        for process in self._idle:
            process.end()

    def _call(self, job: Call) -> Any:
        """Return what a job gives or raise what it raises; raise BrokenProcessPool where its process dies."""
        process = self._process()
        try:
            value, error = process.call(job)
        except BaseException as failure:
            process.end()
            if isinstance(failure, (EOFError, OSError)):
                raise BrokenProcessPool("a worker process died") from None
            raise
        self._idle.append(process)
        if error is not None:
            raise error
        return value

    def _process(self) -> "_Process":
        """Return a process without a job: one that lives, or else a new one."""
        with suppress(IndexError):
            while not (process := self._idle.pop()).alive():
                process.end()
            return process
        return _Process()


def _block_interrupts() -> None:
    """Keep Ctrl-C from the processes that this thread starts: the terminal sends it to all, the parent alone decides.

    Where there are no masks of signals, as on Windows, a process ignores it as soon as it runs.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


class _Process:
    """A process that does one job after the other."""

    def __init__(self) -> None:
        # Fresh, not forked: a fork would share LMDB's and OpenCV's state, and the lock on the folder being built.
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        with other:
            self._process = context.Process(target=_work, args=(other,), daemon=True)
            self._process.start()

    def alive(self) -> bool:
        return self._process.is_alive()

    def call(self, job: Call) -> tuple[Any, Optional[BaseException]]:
        """Return (value, error or None) of a job; raise EOFError or OSError where the process dies."""
        self._connection.send(job)
        return self._connection.recv()

    def end(self) -> None:
        """End a process that has no job."""
        self._connection.close()
        self._process.join()


def _work(connection: Connection) -> None:
    """Do the jobs that come through a connection until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):
        while True:
            function, arguments, named = connection.recv()
            try:
                connection.send((function(*arguments, **named), None))
            except BaseException as error:
                connection.send((None, ExceptionWithTraceback(error, error.__traceback__)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class Cluster(Workers):
    """The workers of dask.distributed, which start dead processes anew by themselves.

    Parameters
    ----------
    client
        A distributed.Client.
    killed
        The exception of a job whose workers died.
    """

    tries = 1  # dask itself does a job several times

    def __init__(self, client: Any, killed: type[BaseException]):
        # Not pure: a job that is done again would else be given the failure that it had.
        self._client, self._executor = client, client.get_executor(pure=False)
        self.deaths = (BrokenExecutor, killed)
        self.workers = sum(client.nthreads().values())

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        """Have a worker call a function; what it takes and gives is pickled."""
        return self._executor.submit(function, *arguments, **named)

    def wait_for_workers(self) -> None:
        """Raise WorkerError where there is no worker, nor comes one within PATIENCE seconds."""
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE)
        except (TimeoutError, OSError):
            raise WorkerError("the dask scheduler has no workers; start some and run the same command again") from None


@contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """Give a Cluster of the dask scheduler at an address (`tcp://host:8786`).

    It and its workers need this package; the workers see the same files by the same paths.

    Raises
    ------
    InputError
        Where dask.distributed is not installed, nothing answers, there are no workers, or this package is not there.
    """
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise InputError("--dask needs dask.distributed: pip install '.[dask]'") from None
    if not re.fullmatch(r"(\w+://)?[^/:\s]+:\d+", address):
        raise InputError(f"--dask: {address} is not the address of a scheduler, as in tcp://host:8786")
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"--dask: no scheduler answers at {address} ({type(error).__name__})") from None
    with client:
        executor = Cluster(client, KilledWorker)
        if not executor.workers:
            raise InputError(f"--dask: the scheduler at {address} has no workers; start some with `dask worker`")
        if lacking := _without_this_package(client):
            raise InputError(
                f"--dask: {' and '.join(lacking)} cannot import this package; start it with the Python of "
                "an environment that has the package, or with its folder in PYTHONPATH"
            )
        yield executor


def _without_this_package(client: Any) -> list[str]:
    """Return which of a distributed.Client's scheduler, which takes the jobs apart, and workers cannot import this."""
    lacking = []
    try:
        client.run_on_scheduler(cores)
    except ImportError:
        lacking.append(f"the scheduler at {client.scheduler.address}")
    answers = client.run(cores, on_error="return")
    return lacking + [f"the worker at {worker}" for worker, it in answers.items() if isinstance(it, Exception)]


def in_order(
    executor: Executor,
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    ahead: int,
    given_up: Optional[Callable[[Job], Result]] = None,
) -> Iterator[Result]:
    """Yield function(job) of each of `jobs` in order.  To be called in the main thread.

    Parameters
    ----------
    executor
        A Pool, a Cluster, or another concurrent.futures Executor.  Where a process of a Pool or Cluster dies, the jobs
        that it takes with it are done again, one at a time, so that one that kills its process is known.
    ahead
        How many jobs may be begun and not yet yielded.
    given_up
        What to yield in place of a job that killed its process TRIES times; without it, WorkerError is raised.

    Raises
    ------
    WorkerError
        Where an executor breaks or ends.  What `function` raises is raised as it is.
    """
    queue = _Queue(executor, function, given_up)
    try:
        for job in jobs:
            queue.begin(job)
            if len(queue.begun) == ahead:
                yield queue.first()
        while queue.begun:
            yield queue.first()
    except BrokenExecutor:
        raise WorkerError(f"a worker process died{DIED}") from None
    except CancelledError:
        raise WorkerError(
            "the executor has dropped the work; was the scheduler stopped? Run the same command again to go on"
        ) from None
    finally:
        for _, future in queue.begun:
            future.cancel()


class _Queue:
    """The jobs that are begun and whose results were not taken yet, with their futures."""

    def __init__(self, executor: Executor, function: Callable[[Any], Any], given_up: Optional[Callable[[Any], Any]]):
        self._executor, self._function, self._given_up = executor, function, given_up
        self.begun: deque[tuple[Any, Future]] = deque()

    def begin(self, job: Any) -> None:
        """Submit a job."""
        with _interrupted_later():
            self.begun.append((job, self._executor.submit(self._function, job)))

    def first(self) -> Any:
        """Return the result of the job that was begun first, and drop it."""
        if isinstance(self._executor, Workers) and self._executor.died(self.begun[0][1]):
            # Do those jobs again whose processes died, while no other is under way.
            died = [self._executor.died(future) for _, future in self.begun]
            for place, (job, _) in enumerate(list(self.begun)):
                if died[place]:
                    self.begun[place] = job, self._alone(self._executor, job)
        return self.begun.popleft()[1].result()

    def _alone(self, executor: Workers, job: Any) -> Future:
        for _ in range(executor.tries):
            with _interrupted_later():
                future = executor.submit(self._function, job)
            if not executor.died(future):
                return future
        if self._given_up is None:
            raise WorkerError(f"a worker process died {TRIES} times on one job{DIED}")
        stand_in: Future = Future()
        stand_in.set_result(self._given_up(job))
        return stand_in


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Put off Ctrl-C until the block ends, as what is begun must be known to be cancelled."""
    pressed = []
    handler = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pressed:
        raise KeyboardInterrupt
