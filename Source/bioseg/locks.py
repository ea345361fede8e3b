"""Locks that processes of one machine share, and that the system takes back from a holder that dies."""

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAMES = 1 << 62
_FIELDS = "hhqqi4x"


class Locks:
    """Named locks as byte ranges of one file (Linux open file description locks, fcntl(2)).

    They exclude threads of one process as well as processes. Two names share a lock when their hashes of 62 bits are
    equal. Nothing is written into the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Hold a lock within the block if it is free; tells whether it was."""
        file = self._open()
        try:
            yield _lock(file, fcntl.F_OFD_SETLK, name)
        finally:
            os.close(file)

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait for a lock and hold it within the block."""
        file = self._open()
        try:
            _lock(file, fcntl.F_OFD_SETLKW, name)
            yield
        finally:
            os.close(file)

    def is_free(self, name: str) -> bool:
        """Tell whether nobody holds a lock at this moment, without taking it."""
        file = self._open()
        try:
            return _holder(file, name) == fcntl.F_UNLCK
        finally:
            os.close(file)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(file: int, operation: int, name: str) -> bool:
    try:
        fcntl.fcntl(file, operation, _range(name))
    except (BlockingIOError, PermissionError):  # POSIX lets a system choose which of the two says "taken"
        return False
    return True


def _holder(file: int, name: str) -> int:
    """Kind of the lock that stands in the way, F_UNLCK when none does."""
    kind: int = struct.unpack(_FIELDS, fcntl.fcntl(file, fcntl.F_OFD_GETLK, _range(name)))[0]
    return kind


def _range(name: str) -> bytes:
    start = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % _NAMES
    return struct.pack(_FIELDS, fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
