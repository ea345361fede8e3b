"""Work that other threads and processes do for the running thread, whose CPU seconds belong to its request."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")


class _Spent(threading.local):
    seconds = 0.0


_SPENT = _Spent()


def add(seconds: float) -> None:
    """Count what another thread or process has just spent for this thread."""
    _SPENT.seconds += seconds


def cpu_seconds() -> float:
    """Give what was counted for this thread since it began.

    >>> before = cpu_seconds()
    >>> add(0.5)
    >>> cpu_seconds() - before
    0.5
    """
    return _SPENT.seconds


def submit(pool: Executor, job: Callable[[], T]) -> "Future[tuple[T, float]]":
    """Let a thread of a pool do a job; `result` gives what comes of it."""
    return pool.submit(_timed, job)


def result(future: "Future[tuple[T, float]]") -> T:
    """Wait for a job, count what it spent for this thread, and give or raise what came of it."""
    value, seconds = future.result()
    add(seconds)
    return value


def _timed(job: Callable[[], T]) -> tuple[T, float]:
    start = time.thread_time()
    return job(), time.thread_time() - start
