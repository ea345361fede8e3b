"""CPU and memory of one request.

CPU of a request is that of its own thread, of the processes that helped it and, while it holds the inference slot, of
the threads that no Python code started: the pools of OpenVINO, torch and OpenCV. Beside it stands the whole machine's
percentage. Memory is that of the process.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from bioseg import helped


@dataclass(frozen=True, slots=True)
class Resources:
    """What a request used.

    Parameters
    ----------
    cpu_seconds
        CPU seconds of its thread, of its decoding in another process, and of its inference.
    cpu_percent
        Share of all the machine's CPUs that was busy, with whatever, during the request: 0 to 100. The kernel counts
        in hundredths of a second, so a short request's figure is coarse.
    memory_rss_mb
        Resident memory of the process at the end, MiB.
    """

    cpu_seconds: float
    cpu_percent: float
    memory_rss_mb: float


class Meter:
    """Measures from its making to `read`, both in the thread that serves the request.

    Example
    -------
    >>> meter = Meter()
    >>> with meter.inference():
    ...     _ = sum(range(1000))
    >>> meter.read().cpu_seconds < 1
    True
    """

    def __init__(self) -> None:
        self._own = _own()
        self._wall = time.perf_counter()
        self._machine = _machine()
        self._pools = 0.0

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Count the CPU of the native threads too; enter it only while no other inference runs in the process."""
        before = native_threads()
        try:
            yield
        finally:
            self._pools += _spent(before, native_threads())

    def read(self) -> Resources:
        """Return what was used so far."""
        cpu = _own() - self._own + self._pools
        elapsed = time.perf_counter() - self._wall
        busy, total = (after - before for after, before in zip(_machine(), self._machine, strict=True))
        share = busy / total if total > 0 else cpu / max(elapsed, 1e-9) / (os.cpu_count() or 1)
        return Resources(cpu, 100 * min(1.0, max(0.0, share)), psutil.Process().memory_info().rss / 2**20)


def _own() -> float:
    """CPU seconds of this thread, and of other processes for it."""
    return time.thread_time() + helped.cpu_seconds()


class _Machine(NamedTuple):
    """CPU seconds of all CPUs since the start of the machine."""

    busy: float
    total: float


def _machine() -> _Machine:
    times = psutil.cpu_times()
    # Linux counts a guest's time in `user` and `nice` already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return _Machine(total - times.idle - getattr(times, "iowait", 0.0), total)


def native_threads() -> dict[int, float]:
    """CPU seconds so far of each live thread of this process that Python's `threading` did not start, by thread id."""
    python = {thread.native_id for thread in threading.enumerate()}
    return {thread: spent for thread, spent in _threads() if thread not in python}


def _spent(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    return sum(spent - before.get(thread, 0.0) for thread, spent in after.items())


if sys.platform == "linux":

    def _threads() -> Iterator[tuple[int, float]]:
        for name in os.listdir("/proc/self/task"):  # noqa: PTH208 - three times as fast as pathlib
            thread = int(name)
            # The id of a thread's CPU clock as pthread_getcpuclockid(3) computes it (glibc and musl), from the thread's
            # kernel id: exact to the nanosecond, a microsecond to read, and an error rather than a crash when the
            # thread has ended.
            try:
                yield thread, time.clock_gettime(~thread << 3 | 6)
            except OSError:
                continue

else:

    def _threads() -> Iterator[tuple[int, float]]:
        for thread in psutil.Process().threads():
            yield thread.id, thread.user_time + thread.system_time
