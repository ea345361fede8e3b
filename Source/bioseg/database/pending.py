"""Blobs on their way into the store: announced before they are written, settled with the record that names them.

The caller owns the session and its transaction.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import cast

from sqlalchemy import Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bioseg.database.tables import PendingBlob

_TABLE = cast("Table", PendingBlob.__table__)  # the object-relational layer would cost half a millisecond per upload
_INSERT = {
    "sqlite": sqlite.insert(_TABLE).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(_TABLE).on_conflict_do_nothing(),
}


def announce(session: Session, request_id: str, keys: Iterable[str], now: datetime) -> None:
    """Tell that a request is about to store blobs, or to give them up; a blob announced before may be among them."""
    rows = [{"request_id": request_id, "key": key, "created_at": now} for key in sorted(set(keys))]
    if rows:
        connection = session.connection()
        connection.execute(_INSERT[connection.dialect.name], rows)


def settle(session: Session, request_id: str, keys: Iterable[str]) -> set[str]:
    """Take back some of what a request announced; gives the keys that were still announced."""
    some = delete(_TABLE).where(PendingBlob.request_id == request_id, PendingBlob.key.in_(sorted(keys)))
    return set(session.connection().scalars(some.returning(PendingBlob.key)))


def settle_all(session: Session, request_id: str) -> set[str]:
    """Take back all that a request announced; gives the keys."""
    announced = delete(_TABLE).where(PendingBlob.request_id == request_id)
    return set(session.connection().scalars(announced.returning(PendingBlob.key)))


def request_ids(session: Session) -> list[str]:
    """Ids of the requests that announced something and have not settled it."""
    return list(session.scalars(select(PendingBlob.request_id).distinct()))
