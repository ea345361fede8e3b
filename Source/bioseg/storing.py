"""Pictures into the blob store and out of it, so that whatever breaks in between leaves neither orphans nor gaps.

Blobs are announced in the database before they are written. The transaction that names them in a record settles the
announcement; a failure discards them. What a process announced and then died, the worker discards: a lock that the
system takes back from the dead tells it from one that is slow.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bioseg import helped
from bioseg.database import engine, exclusive, pending, requests
from bioseg.errors import BiosegError, Busy
from bioseg.platform import Platform

log = logging.getLogger(__name__)


class Deposit:
    """Pictures of one request on their way into the store, in threads of the platform's pool."""

    def __init__(self, platform: Platform, request_id: str) -> None:
        self._platform = platform
        self._request_id = request_id
        self._announcing = Lock()
        self._puts: dict[str, Future[tuple[str, float]]] = {}

    def put(self, name: str, make: Callable[[], bytes]) -> None:
        """Begin to make a picture and to store it."""
        self._puts[name] = helped.submit(self._platform.pool, partial(self._put, make))

    def keys(self) -> dict[str, str]:
        """Wait until all are stored; gives the key of each by its name, or raises what one of them raised."""
        return {name: helped.result(put) for name, put in self._puts.items()}

    def discard(self) -> None:
        """Take back what was stored; when that fails the worker will do it, and the first failure is the one told."""
        if not self._puts:
            return
        wait(self._puts.values())  # what is written later would not be discarded
        try:
            discard(self._platform, self._request_id)
        except (BiosegError, OSError, SQLAlchemyError):
            log.exception("the blobs of request %s are left to the worker", self._request_id)

    def _put(self, make: Callable[[], bytes]) -> str:
        data = make()
        with self._announcing:  # SQLite lets the second of two writers sleep for longer than the first one needs
            _announce(self._platform, self._request_id, sha256(data).hexdigest())
        return self._platform.blobs.put(data)


@contextmanager
def deposit(platform: Platform, request_id: str) -> Iterator[Deposit]:
    """Store pictures of a request; when the block fails, they are discarded again.

    The block has to `settle` them in the transaction that names them.
    """
    with _alive(platform, request_id), ExitStack() as failure:
        pictures = Deposit(platform, request_id)
        failure.callback(pictures.discard)
        yield pictures
        failure.pop_all()


def settle(session: Session, request_id: str, keys: Iterable[str]) -> None:
    """Take an announcement back in the transaction of the record that names the pictures.

    Raises
    ------
    Busy
        When they were discarded meanwhile, with their request.
    """
    wanted = set(keys)
    if not pending.settle(session, request_id, wanted) >= wanted:
        raise Busy("the request was deleted or changed while its pictures were stored; send it again")


def discard(platform: Platform, request_id: str) -> None:
    """Remove the blobs that a request announced, without those that another record names or another upload stores."""
    with platform.sessions.begin() as session:
        requests.one_at_a_time(session)
        # Nobody can begin to name one of them before the transaction ends.
        for key in requests.unnamed(session, pending.settle_all(session, request_id)):
            platform.blobs.delete(key)


def discard_abandoned(platform: Platform) -> int:
    """Discard what requests announced whose process died; gives how many requests."""
    with engine.reading(platform.sessions) as session:
        unsettled = pending.request_ids(session)
    discarded = 0
    for request_id in unsettled:
        with _alive(platform, request_id) as alone:
            if alone:
                discard(platform, request_id)
                discarded += 1
    return discarded


def _alive(platform: Platform, request_id: str) -> AbstractContextManager[bool]:
    return exclusive.attempt(platform.sessions, platform.locks, f"storing {request_id}")


def _announce(platform: Platform, request_id: str, key: str) -> None:
    with engine.announcing(platform.sessions) as session, session.begin():
        requests.one_at_a_time(session)
        pending.announce(session, request_id, [key], datetime.now(UTC))
