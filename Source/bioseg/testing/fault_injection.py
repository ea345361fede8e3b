"""A platform whose steps towards the disk and the database are counted, and fail where a test says so."""

import errno
import io
import os
import sys
import threading
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from types import FrameType
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from bioseg.platform import Platform
from bioseg.storage import Blobs

DISK = frozenset({"open", "stat", "mkdir", "read", "write", "flush", "fsync", "replace", "unlink", "scandir"})
"""C functions, and methods of files, that take a step on the disk."""

WRITES = frozenset({"write", "sendfile", "mkdir", "rename", "unlink", "rmdir", "sendall"})
"""The same, that change what is on the disk, or send to another process."""

IN_MEMORY = (io.StringIO, io.BytesIO)

EXITED = 9
"""Exit code of a process that ended at a step."""

Break = Callable[[], Exception]
"""Breaks what a step needs, and gives the error that whoever takes the step gets."""

Fault = Callable[[Break], NoReturn]
"""What happens at a broken step."""


def fail(broken: Break) -> NoReturn:
    """Report an error to whoever takes the step."""
    raise broken()


def exit_at_once(_broken: Break) -> NoReturn:
    """End the process as a kill does: nothing is flushed, closed, rolled back or cleaned up."""
    os._exit(EXITED)


class Steps:
    """Numbers steps from 1 in the order in which they are taken, by any thread.

    Parameters
    ----------
    broken
        Numbers of the steps that are not taken.
    fault
        What happens in their place.
    """

    def __init__(self, broken: Container[int], fault: Fault) -> None:
        self.taken: list[str] = []
        self._broken = broken
        self._fault = fault
        self._lock = Lock()

    def take(self, name: str, broken: Break) -> None:
        """Count a step that is about to be taken, or break it."""
        with self._lock:
            self.taken.append(name)
            number = len(self.taken)
        if number in self._broken:
            self._fault(broken)


@contextmanager
def breaking(platform: Platform, steps: Steps) -> Iterator[Platform]:
    """Give a platform whose steps are counted, and may break, within the block; it starts without a connection.

    Its pool is one thread, so that steps have the same numbers in every run.
    """
    database: Engine = platform.sessions.kw["bind"]
    database.dispose()
    watched = list(_watched(database, platform.sessions, steps))
    for each in watched:
        event.listen(*each)
    try:
        with ThreadPoolExecutor(1) as pool:
            store = replace(platform.pictures, blobs=WatchedBlobs(platform.pictures.blobs, steps))
            yield replace(platform, pictures=store, pool=pool)
    finally:
        for each in watched:
            event.remove(*each)


@contextmanager
def breaking_writes(platform: Platform, steps: Steps) -> Iterator[Platform]:
    """Do as `breaking` does, and count every write to a disk or a socket too, in this thread and in those it starts."""

    def profile(_frame: FrameType, what: str, function: Any) -> None:
        if what == "c_call" and function.__name__ in WRITES and not isinstance(function.__self__, IN_MEMORY):
            steps.take(function.__name__, _input_output_error)

    with breaking(platform, steps) as broken:
        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            yield broken
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def _watched(database: Engine, sessions: sessionmaker[Session], steps: Steps) -> Iterator[tuple[Any, str, Any]]:
    """Every connection, every statement and both sides of every commit: whose event, its name, and the step it is."""
    driver = database.dialect.loaded_dbapi

    def lost(connection: Any = None) -> Exception:
        if connection is not None and database.dialect.name == "postgresql":
            connection.close()
        error: Exception = driver.OperationalError("the database is gone")
        return error

    def execute(cursor: Any, statement: str, *_: object) -> None:
        steps.take(f"execute {statement}", lambda: lost(cursor.connection))

    def commit(connection: Connection) -> None:
        held = connection.connection.dbapi_connection
        steps.take("commit", lambda: OperationalError("COMMIT", None, lost(held)))

    def committed(_: Session) -> None:
        steps.take("answer of a commit", lambda: OperationalError("COMMIT", None, lost()))

    yield database, "do_connect", lambda *_: steps.take("connect", lost)
    yield database, "do_execute", execute
    yield database, "do_executemany", execute
    yield database, "do_execute_no_params", execute
    yield database, "commit", commit
    yield sessions, "after_commit", committed


class WatchedBlobs:
    """A blob store whose every step on the disk counts."""

    def __init__(self, blobs: Blobs, steps: Steps) -> None:
        self._blobs = blobs
        self._steps = steps

    def put(self, data: bytes) -> str:
        """Store bytes as the store does."""
        with self._watched("put"):
            return self._blobs.put(data)

    def get(self, key: str) -> bytes:
        """Return bytes as the store does."""
        with self._watched("get"):
            return self._blobs.get(key)

    def delete(self, key: str) -> None:
        """Remove bytes as the store does."""
        with self._watched("delete"):
            self._blobs.delete(key)

    def exists(self, key: str) -> bool:
        """Tell what the store tells."""
        with self._watched("exists"):
            return self._blobs.exists(key)

    @contextmanager
    def _watched(self, call: str) -> Iterator[None]:
        # Python tells a profiler of every call of a C function before it is made, and makes it not when that raises.
        def profile(_frame: FrameType, what: str, function: Any) -> None:
            if what == "c_call" and function.__name__ in DISK:
                self._steps.take(f"{function.__name__} of {call}", _input_output_error)

        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)


def _input_output_error() -> Exception:
    return OSError(errno.EIO, os.strerror(errno.EIO))
