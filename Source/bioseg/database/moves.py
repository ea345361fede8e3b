"""Blobs whose place in the blob store is to be settled: the row is written with the record that names or forgets them.

The caller owns the session and its transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import Insert, Table, delete, exists, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bioseg.database.tables import BlobMove, Pair, RequestRecord

BLOBS = (
    RequestRecord.image_blob,
    RequestRecord.mask_blob,
    RequestRecord.probability_blob,
    RequestRecord.heatmap_blob,
    RequestRecord.corrected_mask_blob,
)
"""The columns of a record that name blobs."""

OF_PAIRS = (Pair.champion_blob, Pair.challenger_blob)
"""Those of a pair."""

_TABLE = cast("Table", BlobMove.__table__)  # the object-relational layer would cost half a millisecond per upload
_SQLITE, _POSTGRESQL = sqlite.insert(_TABLE), postgresql.insert(_TABLE)
_INTO_STORE = {
    "sqlite": _SQLITE.on_conflict_do_update(index_elements=["key"], set_={"data": _SQLITE.excluded.data}),
    "postgresql": _POSTGRESQL.on_conflict_do_update(index_elements=["key"], set_={"data": _POSTGRESQL.excluded.data}),
}
# A row that is there is written as well: so whoever settles it meanwhile waits for this transaction, or it for that.
_OUT_OF_STORE = {
    "sqlite": _SQLITE.on_conflict_do_update(index_elements=["key"], set_={"created_at": _SQLITE.excluded.created_at}),
    "postgresql": _POSTGRESQL.on_conflict_do_update(
        index_elements=["key"], set_={"created_at": _POSTGRESQL.excluded.created_at}
    ),
}


def into_store(session: Session, blobs: Mapping[str, bytes], now: datetime) -> None:
    """Keep the bytes of blobs, by key, until they are in the store."""
    _write(session, _INTO_STORE, sorted(blobs.items()), now)


def out_of_store(session: Session, keys: Iterable[str], now: datetime) -> None:
    """Note blobs that a record has ceased to name; others may name them still."""
    _write(session, _OUT_OF_STORE, [(key, None) for key in sorted(set(keys))], now)


def _write(
    session: Session, statements: Mapping[str, Insert], rows: Sequence[tuple[str, bytes | None]], now: datetime
) -> None:
    # Always in the order of the keys: two transactions with the same ones must not wait for each other.
    if rows:
        connection = session.connection()
        values = [{"key": key, "data": data, "created_at": now} for key, data in rows]
        connection.execute(statements[connection.dialect.name], values)


def waiting(session: Session, limit: int) -> list[str]:
    """Keys that are to be settled, the oldest first."""
    return list(session.scalars(select(BlobMove.key).order_by(BlobMove.created_at).limit(limit)))


def data(session: Session, key: str) -> bytes | None:
    """The bytes that are kept of a blob, if any."""
    return session.scalar(select(BlobMove.data).where(BlobMove.key == key))


def lock(session: Session, key: str) -> bool:
    """Hold back whoever wants to write the row of a key until this transaction ends; tells whether there is one."""
    return session.scalar(select(BlobMove.key).where(BlobMove.key == key).with_for_update()) is not None


def is_named(session: Session, key: str) -> bool:
    """Tell whether a record or a pair names a blob."""
    named = (exists().where(or_(*(column == key for column in columns))) for columns in (BLOBS, OF_PAIRS))
    return bool(session.scalar(select(or_(*named))))


def settled(session: Session, key: str) -> None:
    """Forget a key that is where it belongs."""
    session.execute(delete(BlobMove).where(BlobMove.key == key))
