"""One at a time by name, across all processes of an installation."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from bioseg.locks import Locks


@contextmanager
def attempt(sessions: sessionmaker[Session], locks: Locks, name: str) -> Iterator[bool]:
    """Hold a name within the block if nobody else does; tells whether that is so.

    On PostgreSQL the database excludes all replicas; SQLite is used by one machine, whose processes the file excludes.
    A holder that dies lets go.
    """
    engine: Engine = sessions.kw["bind"]
    if engine.dialect.name != "postgresql":
        with locks.attempt(name) as alone:
            yield alone
        return
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
    with engine.connect() as connection, connection.begin():
        yield bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:number)"), {"number": number}))
