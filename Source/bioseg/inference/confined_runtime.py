"""A version under trial, in a process of its own: it may crash, hang or bloat without harm to the one that serves."""

import weakref
from collections.abc import Callable
from threading import Lock
from typing import Final

from bioseg import helped
from bioseg.bundles import Bundle
from bioseg.children import Child, Ended
from bioseg.errors import ArmFailed, ProcessFailed
from bioseg.inference import Floats, confined_wire

MODULE: Final = "bioseg.inference.confined_child"
MEMORY_MB: Final = 3072
"""Most data memory of the process, MiB: five times what a champion takes for the largest image."""

TimeLimit = Callable[[int], float]
"""Seconds that a batch of so many values may take."""


class Confined:
    """A predictor whose network runs in a child process; may be called from any thread, one call after the other.

    The CPU seconds of the child are counted in `bioseg.helped` for the thread that calls. A child that has ended is
    replaced at the next call.

    Parameters
    ----------
    bundle
        What the child loads.
    technology
        Module whose `load(bundle, threads)` it loads with.
    threads
        For the network.
    limit
        How long one batch may take.

    Raises
    ------
    ArmFailed
        When the network cannot be loaded, here and at every call; when it crashes, takes too long or too much memory,
        or gives values that are not finite.
    """

    def __init__(self, bundle: Bundle, technology: str, threads: int, limit: TimeLimit) -> None:
        self._named = f"{bundle.contract.study} {bundle.contract.version}"
        self._arguments = (technology, str(bundle.path.absolute()), str(threads), str(MEMORY_MB))
        self._limit = limit
        self._lock = Lock()
        self._child: Child | None = None
        self.peak_memory_mb = 0.0
        """Most resident memory that a child has had, MiB."""
        self._start()

    def __call__(self, batch: Floats) -> Floats:
        """Run the network as any predictor does."""
        with self._lock:
            child = self._child if self._child is not None and self._child.lives else self._start()
            try:
                with child.asked(self._limit(batch.size)):
                    confined_wire.ask(child.requests, batch)
                    result = confined_wire.receive(child.answers)
            except Ended as ended:
                helped.add(ended.took)
                raise ArmFailed(f"{self._named} ended its process with {ended}") from ended
        helped.add(result.cpu_seconds)
        self.peak_memory_mb = max(self.peak_memory_mb, result.peak_memory_mb)
        if result.error:
            raise ArmFailed(f"{self._named} failed: {result.error}")
        return result.output

    def close(self) -> None:
        """End the child; a later call starts another one."""
        with self._lock:
            if self._child is not None:
                self._child.end()
                self._child = None

    def _start(self) -> Child:
        try:
            self._child = child = Child(MODULE, *self._arguments)
        except ProcessFailed as error:
            raise ArmFailed(f"{self._named} cannot be loaded: {error}") from error
        weakref.finalize(self, child.end)
        return child
