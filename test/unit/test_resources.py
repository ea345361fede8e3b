"""The CPU and memory of a request are its own."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from bioseg.telemetry.resources import Meter, Resources, native_threads

BURNT = 0.5


def burn(seconds: float) -> None:
    """Use the CPU in Python code, so that other threads of the process have to wait for the interpreter."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))


def test_each_of_two_simultaneous_requests_gets_its_own_cpu() -> None:
    together = threading.Barrier(2)

    def request(seconds: float) -> Resources:
        together.wait()
        meter = Meter()
        with meter.inference():
            burn(seconds) if seconds else time.sleep(BURNT)
        return meter.read()

    with ThreadPoolExecutor(2) as pool:
        busy, waiting = pool.map(request, [BURNT, 0.0])
    assert (busy.cpu_seconds, waiting.cpu_seconds) == pytest.approx((BURNT, 0.0), abs=0.15 * BURNT)


def native_work() -> float:
    """Multiply matrices on numpy's own threads; returns the CPU seconds of the whole process meanwhile."""
    matrix = np.random.default_rng(0).random((700, 700))
    before = time.process_time()
    while time.process_time() - before < BURNT:
        matrix @ matrix
    return time.process_time() - before


needs_pool = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="numpy starts no threads on one CPU")


@needs_pool
def test_the_cpu_of_native_threads_belongs_to_the_inference() -> None:
    meter = Meter()
    with meter.inference():
        spent = native_work()
    assert meter.read().cpu_seconds == pytest.approx(spent, rel=0.15)


@needs_pool
def test_native_threads_outside_the_inference_are_somebody_elses() -> None:
    native_work()  # the pool exists now
    meter, own = Meter(), time.thread_time()
    native_work()
    assert meter.read().cpu_seconds == pytest.approx(time.thread_time() - own, abs=0.02)


def test_threads_of_python_are_not_native() -> None:
    ready, end = threading.Event(), threading.Event()

    def wait() -> None:
        ready.set()
        end.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    native = native_threads()
    end.set()
    thread.join()
    assert {thread.native_id, threading.get_native_id()}.isdisjoint(native)


@needs_pool
def test_a_failed_inference_is_counted_too() -> None:
    meter = Meter()

    def fail() -> None:
        with meter.inference():
            native_work()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert meter.read().cpu_seconds >= 0.85 * BURNT


def test_the_percentage_is_one_of_the_machine() -> None:
    meter = Meter()
    burn(0.3)
    alone = 100 / (psutil.cpu_count() or 1)
    assert 0.5 * alone <= meter.read().cpu_percent <= 100


def test_a_request_too_short_for_the_kernels_clock_has_a_percentage() -> None:
    assert 0 <= Meter().read().cpu_percent <= 100


def test_memory_is_that_of_the_process() -> None:
    expected = psutil.Process().memory_info().rss / 2**20
    assert Meter().read().memory_rss_mb == pytest.approx(expected, rel=0.05)
