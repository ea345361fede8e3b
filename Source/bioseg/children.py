"""Child processes of our own that answer over pipes, and that may be killed at any moment without harm to this one."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import IO, Final, cast

from bioseg.errors import ProcessFailed

READY: Final = b"\x06"
"""What a child says once, when it can begin."""
START_SECONDS: Final = 60.0
PIPE_BYTES: Final = 2**20


class Ended(Exception):
    """A child did not answer: its exit status, or minus the signal that ended it, and the seconds it took."""

    def __init__(self, status: int, took: float) -> None:
        super().__init__(f"{named(status)} after {took:.1f} s")
        self.status, self.took = status, took


class Child:
    """One child process: `python -m MODULE ARGUMENTS`, which does one thing at a time.

    It gets nothing of this environment, which may hold secrets, but where modules are found.

    Raises
    ------
    ProcessFailed
        When it ends before it is ready.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        environment = {
            "PYTHONPATH": os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path),
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
        }
        self._process = subprocess.Popen(  # noqa: S603  our own module, in this interpreter
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            process_group=0,  # Ctrl-C is the parent's; in its session, as niceness counts only between those of one
        )
        self.requests, self.answers = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        for pipe in (self.requests, self.answers):
            with suppress(OSError):  # a user's share of pipe memory may be used up; then it is only slower
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.is_busy = True
        with self._killed_after(START_SECONDS):
            ready = self.answers.read(len(READY))
        if ready != READY:
            raise ProcessFailed(f"python -m {module} ended with {named(self.end())} as it started; run it by hand")
        self.is_busy = False

    @property
    def lives(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @contextmanager
    def asked(self, seconds: float) -> Iterator[None]:
        """Talk to the child within the block, which kills it when the time is up.

        Raises
        ------
        Ended
            When the block raises what comes of a child that is gone, or that answers nonsense; it has ended then.
        """
        self.is_busy = True
        start = time.monotonic()
        try:
            with self._killed_after(seconds):
                yield
        except (OSError, EOFError, LookupError, TypeError, ValueError) as error:
            with suppress(subprocess.TimeoutExpired):  # it may be on its way out, with a status that tells why
                self._process.wait(1)
            took = time.monotonic() - start
            raise Ended(self.end(), took) from error
        self.is_busy = False

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
        for pipe in (self.requests, self.answers):
            with suppress(OSError):  # what was not sent yet has no reader
                pipe.close()
        return status


def exactly(answers: IO[bytes], length: int) -> bytes:
    """Read so many bytes; raises EOFError when the stream ends before."""
    found = answers.read(length)
    if len(found) != length:
        raise EOFError
    return found


def named(status: int) -> str:
    """Exit status of a process in words."""
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
