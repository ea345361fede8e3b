"""Pictures on their way into the blob store and out of it, so that whatever breaks leaves neither orphans nor gaps.

What a request leaves is written in ONE transaction: the record and the bytes of its pictures. The worker then moves
the bytes into the blob store, where they are looked for once they have left the database. A record that is deleted
notes its blobs in the same way. So the store may be slow, or away for a day, and no upload waits or is lost.
"""

from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy.orm import Session, sessionmaker

from bioseg.database import engine, exclusive, moves
from bioseg.locks import Locks
from bioseg.storage import Blobs

BATCH = 100


def key_of(data: bytes) -> str:
    """Sha256 of a picture's bytes: its key in the blob store."""
    return sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of all requests, wherever they are."""

    sessions: sessionmaker[Session]
    blobs: Blobs
    locks: Locks

    def get(self, key: str) -> bytes:
        """Return the bytes of a picture that a record names.

        Raises
        ------
        BlobNotFound
            When they are gone or damaged.
        StoreUnavailable
            When the store does not answer.
        """
        with engine.reading(self.sessions) as session:
            waiting = moves.data(session, key)
        return self.blobs.get(key) if waiting is None else waiting

    def settle(self, key: str) -> bool:
        """Store a blob that a record names and remove one that none names; tells whether nobody else was at it.

        It may be interrupted anywhere, and done again.
        """
        with exclusive.attempt(self.sessions, self.locks, f"blob {key}") as alone:
            if alone:
                self._settle(key)
            return alone

    def settle_waiting(self) -> int:
        """Settle what waits, the oldest first, a batch at most; gives how many blobs.

        Raises
        ------
        StoreUnavailable
            When the store does not answer.
        """
        with engine.reading(self.sessions) as session:
            keys = moves.waiting(session, BATCH)
        return sum(self.settle(key) for key in keys)

    def _settle(self, key: str) -> None:
        with engine.reading(self.sessions) as session:
            data = moves.data(session, key)
            if data is not None and not moves.is_named(session, key):
                data = None
        if data is not None:
            self.blobs.put(data)  # before the transaction: on SQLite that one holds back all others
        with self.sessions.begin() as session:
            waits, named = moves.lock(session, key), moves.is_named(session, key)
            if not named:
                # Even when it waits no longer: who was quicker, after a restart of the database has given our lock to
                # him, may have removed it before we stored it.
                self.blobs.delete(key)
            elif data is None and moves.data(session, key) is not None:
                return  # a new upload has named it since: the next call stores it
            if waits:
                moves.settled(session, key)
