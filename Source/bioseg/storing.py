"""Pictures into the blob store and out of it, so that whatever breaks in between leaves neither orphans nor gaps.

Blobs are announced in the database before they are written. The transaction that names them in a record settles the
announcement; a failure discards them. What a process announced and then died, the worker discards: a lock that the
system takes back from the dead tells it from one that is slow.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bioseg.database import engine, exclusive, pending, requests
from bioseg.errors import BiosegError, Busy
from bioseg.platform import Platform

log = logging.getLogger(__name__)


@contextmanager
def stored(platform: Platform, request_id: str, pictures: Mapping[str, bytes]) -> Iterator[dict[str, str]]:
    """Put pictures into the store, all at once; when the block fails, they are discarded again.

    The block has to `settle` them in the transaction that names them.

    Yields
    ------
    The key of each picture, by its name.
    """
    keys = {name: sha256(data).hexdigest() for name, data in pictures.items()}
    with _alive(platform, request_id), ExitStack() as failure:
        _announce(platform, request_id, keys)
        failure.callback(_discard_or_leave, platform, request_id)
        puts = [platform.pool.submit(platform.blobs.put, data) for data in pictures.values()]
        wait(puts)  # all of them, before one that failed is heard: what is written later would not be discarded
        for put in puts:
            put.result()
        yield keys
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


def _announce(platform: Platform, request_id: str, keys: Mapping[str, str]) -> None:
    with engine.announcing(platform.sessions) as session, session.begin():
        requests.one_at_a_time(session)
        pending.announce(session, request_id, keys.values(), datetime.now(UTC))


def _discard_or_leave(platform: Platform, request_id: str) -> None:
    """Discard; when that fails too, the worker will do it, and the first failure is the one to be told."""
    try:
        discard(platform, request_id)
    except (BiosegError, OSError, SQLAlchemyError):
        log.exception("the blobs of request %s are left to the worker", request_id)
