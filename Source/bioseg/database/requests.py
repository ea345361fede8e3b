"""Queries on request records and idempotency keys. The caller owns the session and its transaction."""

from datetime import UTC, datetime, timedelta
from typing import cast

from sqlalchemy import Table, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bioseg.database.moves import BLOBS
from bioseg.database.tables import IdempotencyKey, Pair, RequestRecord
from bioseg.errors import Busy, IdempotencyConflict

IDEMPOTENCY_KEPT = timedelta(hours=24)
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
    """Cut a record and its pairs off from its pictures, comment, idempotency keys and owner's lists; the numbers stay.

    Returns
    -------
    Keys of the blobs that they named: note them as moves in the same transaction.
    """
    # A judgement must not add a corrected mask between the look and the write.
    record = session.get_one(RequestRecord, seq, with_for_update=True)
    keys = {getattr(record, column.key) for column in BLOBS} - {None}
    for column in BLOBS:
        setattr(record, column.key, None)
    record.comment, record.deleted_at = None, now
    for pair in session.scalars(select(Pair).where(Pair.request_seq == seq).with_for_update()):
        keys |= {pair.champion_blob, pair.challenger_blob} - {None}
        pair.champion_blob = pair.challenger_blob = None
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.owner == record.owner, IdempotencyKey.request_id == record.id)
    )
    return sorted(keys)


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
