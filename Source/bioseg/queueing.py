"""The queue in front of the networks: few requests of the machine are taken at once, and one of them runs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bioseg.errors import Busy
from bioseg.locks import Locks


class Queue:
    """Places for requests and the turn to run networks, shared by all processes that have the same locks.

    One request at a time has all threads of the machine: as many requests a second as one thread each for several, and
    half the latency on two CPUs. Few places, because whoever waits for another is served no sooner than in twice the
    time; a client that is sent away can choose.

    Parameters
    ----------
    locks
        Where to exclude each other.
    waiting
        How many requests may wait while one runs.
    """

    def __init__(self, locks: Locks, waiting: int) -> None:
        self._locks = locks
        self._places = [f"place {number}" for number in range(waiting + 1)]

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place, from before the image is decoded to the end of the request.

        Raises
        ------
        Busy
            When all are taken.
        """
        with ExitStack() as held:
            if not any(held.enter_context(self._locks.attempt(place)) for place in self._places):
                raise self._busy()
            yield

    def check(self) -> None:
        """Raise as `place` does, when all places are taken at this moment."""
        for place in self._places:
            with self._locks.attempt(place) as free:
                if free:
                    return
        raise self._busy()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for and hold the right to run networks: one request of the machine at a time."""
        with self._locks.hold("turn"):
            yield

    def _busy(self) -> Busy:
        return Busy(f"one request runs and {len(self._places) - 1} wait, which is all that may; try again in a second")
