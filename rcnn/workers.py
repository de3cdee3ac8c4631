"""Work spread over processes: results in order, a bounded number under way, no process left behind."""
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager

from rcnn.files import InputError


def cores():
    """Return the number of processor cores that this program may use."""
    return len(os.sched_getaffinity(0))


def pool(workers):
    """Return a ProcessPoolExecutor of `workers` fresh processes, which end when this one does, even if it is killed."""
    # Fresh, not forked: a fork would share LMDB's and OpenCV's state, and the lock on the folder that is being built.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start)


def in_order(executor, function, jobs, ahead):
    """Yield function(job) of each of `jobs` in order, computed by `executor`, at most `ahead` begun and not yet given.

    To be called in the main thread.  Raises what `function` raises, and InputError where a process of the executor
    dies.
    """
    pending = deque()
    try:
        for job in jobs:
            with _interrupted_later():
                pending.append(executor.submit(function, job))
            if len(pending) == ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenExecutor:
        pending.clear()
        raise InputError("a worker process died (killed, out of memory, or crashed); run the same command "
                         "again to go on, with fewer --workers if memory is short") from None
    finally:
        for future in pending:
            future.cancel()


@contextmanager
def _interrupted_later():
    """Put off Ctrl-C until the block ends, and hide it from processes started in the block.

    The terminal sends it to them too, but their parent alone decides; and one whose parent stops while it starts it
    would fail.
    """
    pressed = []
    handler = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if pressed:
        raise KeyboardInterrupt


def _start():
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
