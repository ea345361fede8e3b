"""Queries on request records and idempotency keys. The caller owns the session and its transaction."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import cast

from sqlalchemy import Table, delete, exists, func, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bioseg.database.tables import IdempotencyKey, PendingBlob, RequestRecord
from bioseg.errors import Busy, IdempotencyConflict

IDEMPOTENCY_KEPT = timedelta(hours=24)
_BLOB_LOCK = 0x626C6F6273  # any number but the migrations', the same in every process: "blobs" in ASCII
_BLOBS = (
    RequestRecord.image_blob,
    RequestRecord.mask_blob,
    RequestRecord.probability_blob,
    RequestRecord.corrected_mask_blob,
)
_INSERT = cast("Table", RequestRecord.__table__).insert()


def add(session: Session, record: RequestRecord) -> RequestRecord:
    """Store a record; afterwards its `seq` is set. It stays outside the session, which saves half a millisecond."""
    given = {name: value for name, value in vars(record).items() if not name.startswith("_")}
    record.seq = session.connection().scalars(_INSERT.returning(RequestRecord.seq), given).one()
    return record


def by_id(session: Session, request_id: str) -> RequestRecord | None:
    """Find a record by its public id; deleted ones too."""
    return session.scalar(select(RequestRecord).where(RequestRecord.id == request_id))


def page(
    session: Session,
    owner: str | None,
    *,
    study: str | None = None,
    label: str | None = None,
    verdict: str | None = None,
    since: datetime | None = None,
    cursor: int | None = None,
    limit: int = 50,
) -> tuple[list[RequestRecord], int | None]:
    """List records, newest first, without the deleted ones.

    Parameters
    ----------
    owner
        Whose records; None: everybody's.
    study, label, verdict
        Keep only these. The label is the user's last word: the one of the feedback, else the one of the upload.
    since
        Keep what was created then or later.
    cursor
        As a former page returned it; None: the first page.
    limit
        Most records of one page.

    Returns
    -------
    records, cursor
        The cursor of the next page, or None when this is the last one.
    """
    wanted = {
        RequestRecord.owner: owner,
        RequestRecord.study: study,
        RequestRecord.screen_verdict: verdict,
        func.coalesce(RequestRecord.feedback_label, RequestRecord.label): label,
    }
    query = select(RequestRecord).where(RequestRecord.deleted_at.is_(None))
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    if since is not None:
        query = query.where(RequestRecord.created_at >= since)
    if cursor is not None:
        query = query.where(RequestRecord.seq < cursor)
    records = list(session.scalars(query.order_by(RequestRecord.seq.desc()).limit(limit + 1)))
    more = len(records) > limit
    return records[:limit], records[limit - 1].seq if more else None


def ids_before(session: Session, moment: datetime, limit: int) -> list[str]:
    """Ids of the oldest requests that were made before a moment and are not deleted."""
    old = select(RequestRecord.id).where(RequestRecord.deleted_at.is_(None), RequestRecord.created_at < moment)
    return list(session.scalars(old.order_by(RequestRecord.created_at).limit(limit)))


def forget(session: Session, seq: int, now: datetime) -> list[str]:
    """Cut a record off from its pictures, its comment, its idempotency keys and its owner's lists; the numbers stay.

    Returns
    -------
    Keys of the blobs that it named: announce them as pending in the same transaction, then discard them.
    """
    record = session.get_one(RequestRecord, seq)
    keys = {getattr(record, column.key) for column in _BLOBS} - {None}
    for column in _BLOBS:
        setattr(record, column.key, None)
    record.comment, record.deleted_at = None, now
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.owner == record.owner, IdempotencyKey.request_id == record.id)
    )
    return sorted(keys)


def unnamed(session: Session, keys: Iterable[str]) -> list[str]:
    """Those of some blob keys that neither a record names nor an upload is storing, sorted: equal bytes are kept once.

    Call it in a transaction that began with `one_at_a_time`, and delete them before its end.
    """
    session.flush()
    return sorted(key for key in keys if not _is_named(session, key))


def _is_named(session: Session, key: str) -> bool:
    # One statement: an upload that is being recorded is seen as the one or as the other.
    recorded = exists().where(or_(*(column == key for column in _BLOBS)))
    pending = exists().where(PendingBlob.key == key)
    return bool(session.scalar(select(or_(recorded, pending))))


def one_at_a_time(session: Session) -> None:
    """Wait for all transactions that announce blobs or remove them, and hold back further ones until this one ends.

    Else one could remove what another is about to name. Call it first in the transaction, before looking at the store.
    """
    # On SQLite that is all: a transaction begins with its connection, and with it holds the write lock.
    if session.connection().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _BLOB_LOCK})


def by_key(
    session: Session, owner: str, key: str, body_sha256: str, now: datetime | None = None
) -> RequestRecord | None:
    """Find the record that an owner's idempotency key led to within the last 24 hours.

    Raises
    ------
    IdempotencyConflict
        When the key came with another body.
    """
    row = session.get(IdempotencyKey, (owner, key))
    if row is None or row.created_at <= (now or datetime.now(UTC)) - IDEMPOTENCY_KEPT:
        return None
    _check_body(row, body_sha256)
    return by_id(session, row.request_id)


def remember_key(
    session: Session, owner: str, key: str, body_sha256: str, request_id: str, now: datetime | None = None
) -> None:
    """Store an idempotency key in place of one that is older than 24 hours.

    Raises
    ------
    Busy
        When a simultaneous request with the same key and body was first: nothing may be stored twice, and the next
        attempt gets that one's answer.
    IdempotencyConflict
        When that one had another body.
    """
    moment = now or datetime.now(UTC)
    mine = (IdempotencyKey.owner == owner, IdempotencyKey.key == key)
    session.execute(delete(IdempotencyKey).where(*mine, IdempotencyKey.created_at <= moment - IDEMPOTENCY_KEPT))
    row = IdempotencyKey(owner=owner, key=key, body_sha256=body_sha256, request_id=request_id, created_at=moment)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        _check_body(session.get_one(IdempotencyKey, (owner, key)), body_sha256)
        raise Busy(f"another request with the idempotency key {key!r} was just answered; send it again") from error


def forget_keys(session: Session, now: datetime) -> None:
    """Forget all idempotency keys that are older than 24 hours."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at <= now - IDEMPOTENCY_KEPT))


def _check_body(row: IdempotencyKey, body_sha256: str) -> None:
    if row.body_sha256 != body_sha256:
        raise IdempotencyConflict(f"the idempotency key {row.key!r} came with another body; use a new key")
