"""Blobs on their way into the store: announced before they are written, settled with the record that names them.

The caller owns the session and its transaction.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from bioseg.database.tables import PendingBlob


def announce(session: Session, request_id: str, keys: Iterable[str], now: datetime) -> None:
    """Tell that a request is about to store blobs, or to give them up; a blob announced before may be among them."""
    known = set(session.scalars(select(PendingBlob.key).where(PendingBlob.request_id == request_id)))
    rows = [{"request_id": request_id, "key": key, "created_at": now} for key in sorted(set(keys) - known)]
    if rows:
        session.execute(insert(PendingBlob), rows)


def settle(session: Session, request_id: str, keys: Iterable[str]) -> set[str]:
    """Take back some of what a request announced; gives the keys that were still announced."""
    some = delete(PendingBlob).where(PendingBlob.request_id == request_id, PendingBlob.key.in_(sorted(keys)))
    return set(session.scalars(some.returning(PendingBlob.key)))


def settle_all(session: Session, request_id: str) -> set[str]:
    """Take back all that a request announced; gives the keys."""
    announced = delete(PendingBlob).where(PendingBlob.request_id == request_id)
    return set(session.scalars(announced.returning(PendingBlob.key)))


def request_ids(session: Session) -> list[str]:
    """Ids of the requests that announced something and have not settled it."""
    return list(session.scalars(select(PendingBlob.request_id).distinct()))
