"""Decoding in child processes, which a hostile file may crash, hang or bloat without harm to this one."""

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import BoundedSemaphore, Timer
from typing import IO, Final, cast

from bioseg import helped
from bioseg.decoding import content, wire
from bioseg.errors import ImageError, ProcessFailed
from bioseg.images import Image, Limits

log = logging.getLogger(__name__)

DECODE_SECONDS: Final = 20.0
START_SECONDS: Final = 60.0
PIPE_BYTES: Final = 2**20
MODULE: Final = "bioseg.decoding.child"
OUT_OF_TIME: Final = "such that it takes more than {seconds:g} s to decode"
OUT_OF_MEMORY: Final = "such that it takes more memory to decode than is allowed"
CRASHED: Final = "damaged such that decoding it fails"


class Confined:
    """Decodes as `formats.decode` does, in child processes; may be called from any thread.

    A file that ends its child, or takes longer than allowed, costs one line in the log and its caller an
    UnreadableImage; the next file gets a fresh child. ProcessFailed is raised when no child can be started. What the
    children spend is counted in `bioseg.helped` for the thread that called.

    Parameters
    ----------
    places
        How many files may be decoded at once, and so how many children there may be; a caller more waits. As the one
        used last is used first, mostly there is one.
    seconds
        How long one file may take.
    """

    def __init__(self, places: int, seconds: float = DECODE_SECONDS) -> None:
        self._places = BoundedSemaphore(places)
        self._seconds = seconds
        self._idle: list[_Child] = []

    def __call__(self, data: bytes, limits: Limits) -> Image:
        """Decode the one image that an uploaded file holds; returns and raises as `formats.decode` does."""
        content.check_bytes(data, limits)
        kind = content.sniff(data)
        with self._places:
            child = self._take()
            try:
                result = child.decode(data, limits, self._seconds)
            except _Ended as ended:
                log.warning("decoding %s of %s bytes ended its process: %s", kind, f"{len(data):,}", ended.how)
                raise content.damaged(kind, ended.what) from ended
            finally:
                self._give_back(child)
        if isinstance(result, ImageError):
            raise result
        return result

    def start(self) -> None:
        """Have a child ready, so that the first file does not wait for one."""
        with self._places:
            self._give_back(self._take())

    def close(self) -> None:
        """End the children that wait; a later call starts new ones."""
        while self._idle:
            self._idle.pop().end()

    def _take(self) -> "_Child":
        while self._idle:
            child = self._idle.pop()
            if child.lives:
                return child
            child.end()
        return _Child()

    def _give_back(self, child: "_Child") -> None:
        if child.lives and not child.is_busy:
            self._idle.append(child)
        else:
            child.end()


class _Ended(Exception):
    """A child did not answer: what that tells of the file, and how the child ended."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(how)
        self.what, self.how = what, how


class _Child:
    """One child process, which decodes one file at a time."""

    def __init__(self) -> None:
        # Nothing of this environment: it may hold secrets. Where modules are found is all that the child needs.
        environment = {
            "PYTHONPATH": os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path),
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
        }
        self._process = subprocess.Popen(  # noqa: S603  our own module, in this interpreter
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
        self._requests, self._answers = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # a user's share of pipe memory may be used up; then it is only slower
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.is_busy = True
        with self._killed_after(START_SECONDS):
            ready = self._answers.read(len(wire.READY))
        if ready != wire.READY:
            ended = _named(self.end())
            raise ProcessFailed(f"the decoding process ended with {ended} as it started; run python -m {MODULE}")
        self.is_busy = False

    @property
    def lives(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def decode(self, data: bytes, limits: Limits, seconds: float) -> Image | ImageError:
        """Give the image or what is wrong with it; raises _Ended when the child does not answer in time, or at all."""
        self.is_busy = True
        start = time.monotonic()
        try:
            with self._killed_after(seconds):
                wire.ask(self._requests, data, limits)
                result, cpu_seconds = wire.receive(self._answers, limits)
        except (OSError, EOFError, LookupError, TypeError, ValueError) as error:
            with suppress(subprocess.TimeoutExpired):  # it may be on its way out, with a status that tells why
                self._process.wait(1)
            took = time.monotonic() - start
            helped.add(took)
            status = self.end()
            raise _Ended(_blame(status, took, seconds), f"{_named(status)} after {took:.1f} s") from error
        self.is_busy = False
        helped.add(cpu_seconds)
        return result

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        timer = Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def end(self) -> int:
        """Kill the process if it lives; gives its exit status, or minus the signal that ended it."""
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # what was not sent yet has no reader
                pipe.close()
        return status


def _blame(status: int, took: float, seconds: float) -> str:
    if took >= seconds or status == -signal.SIGALRM:
        return OUT_OF_TIME.format(seconds=seconds)
    return OUT_OF_MEMORY if status in (wire.OUT_OF_MEMORY, -signal.SIGKILL) else CRASHED


def _named(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
