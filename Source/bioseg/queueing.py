"""The queue in front of the networks: few requests of the machine are taken at once, and one of them runs."""

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import local

import numpy as np

from bioseg.errors import Busy
from bioseg.locks import Locks
from bioseg.policy import overload

WEIGHT = 0.3
"""Of the newest turn in the expected length of the next one."""


class Queue:
    """Places for requests and the turn to run networks, shared by all processes that have the same folder.

    One request at a time has all threads of the machine: as many requests a second as one thread each for several, and
    half the latency on two CPUs.

    Parameters
    ----------
    folder
        Where to exclude each other and to note how it goes.
    waiting
        How many requests may wait while one runs; under a standing load only one may whose turn comes soon.
    """

    def __init__(self, folder: Path, waiting: int) -> None:
        self._locks = Locks(folder / "queue.lock")
        self._file = folder / "queue.state"
        self._places = [f"place {number}" for number in range(waiting + 1)]
        self._mine = local()
        self._state: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place, from before the image is decoded to the end of the request.

        Raises
        ------
        Busy
            When all are taken, or the wait would be long under a standing load.
        """
        with ExitStack() as held:
            if not self._may_enter() or not any(
                held.enter_context(self._locks.attempt(place)) for place in self._places
            ):
                raise self._turned_away()
            self._reserve()
            self._note_activity()
            held.callback(self._note_activity)
            held.callback(self._release)
            yield

    def check(self) -> None:
        """Raise as `place` does, when it would at this moment."""
        if not self._may_enter() or not any(self._locks.is_free(place) for place in self._places):
            raise self._turned_away()

    def is_idle(self, seconds: float) -> bool:
        """Tell whether no request is in flight, and none has come or gone for so many seconds."""
        idle = time.monotonic() - self.last_activity() >= seconds
        return idle and all(self._locks.is_free(place) for place in self._places)

    def last_activity(self) -> float:
        """When a request took or left a place last, seconds of the machine's monotonic clock."""
        return float(self._shared()[3])

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for and hold the right to run networks: one request of the machine at a time."""
        state = self._shared()
        with self._locks.hold("turn"):
            self._mine.reserved = 0.0  # from here on the clock tells
            start = time.monotonic()
            state[0] = start + state[1]
            try:
                yield
            finally:
                spent = time.monotonic() - start
                state[1] = (1 - WEIGHT) * state[1] + WEIGHT * spent if state[1] else spent

    def _may_enter(self) -> bool:
        free_at, takes, last_turned_away = self._shared()[:3]
        return overload.may_enter(time.monotonic(), free_at, takes, last_turned_away)

    def _reserve(self) -> None:
        state, now = self._shared(), time.monotonic()
        self._mine.reserved = float(state[1])
        state[0] = min(max(state[0], now) + state[1], now + len(self._places) * state[1])

    def _release(self) -> None:
        """Give back the time of a turn that was not taken, of an unreadable image for example."""
        self._shared()[0] -= self._mine.reserved

    def _note_activity(self) -> None:
        self._shared()[3] = time.monotonic()

    def _turned_away(self) -> Busy:
        self._shared()[2] = time.monotonic()
        return Busy(f"one request runs and {len(self._places) - 1} wait, which is all that may; try again in a second")

    def _shared(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """When the networks will be free, how long a turn takes, when somebody was turned away, and came or left, last.

        Seconds of the machine's monotonic clock, in memory that all processes map: each is written at once.
        """
        if self._state is None:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, mmap.PAGESIZE)
                memory = mmap.mmap(descriptor, mmap.PAGESIZE)
            finally:
                os.close(descriptor)
            self._state = np.frombuffer(memory, np.float64, count=4)
        return self._state
