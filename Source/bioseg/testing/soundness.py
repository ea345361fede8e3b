"""What must hold of the state of an installation when nothing is under way and the worker has moved every picture."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bioseg.database import engine, moves
from bioseg.database.tables import BlobMove, IdempotencyKey, RequestRecord, Task
from bioseg.errors import BlobNotFound
from bioseg.platform import Platform

PICTURES = {"done": {"image_blob", "mask_blob", "probability_blob"}, "refused": {"image_blob"}, "failed": set[str]()}
"""Which pictures a request has, by its status."""

CORRECTED = "corrected_mask_blob"


SETTLE_SECONDS = 10.0
"""The database may need a moment to notice that a client died, and to let go what it held."""


def settle(platform: Platform) -> None:
    """Do as the worker does until no picture waits to be moved, or time is up."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        with engine.reading(platform.sessions) as session:
            if not moves.waiting(session, 1):
                return
        if not platform.pictures.settle_waiting():
            time.sleep(0.01)


def flaws(platform: Platform) -> list[str]:
    """Tell what is wrong with the requests of segmentation studies, and with the blobs of a folder store.

    No picture waits to be moved. A request has its pictures, a deleted one none, and what a record names can be read.
    Each record has one telemetry task. A key leads to a record. A folder of blobs holds nothing that no record names.
    """
    with engine.reading(platform.sessions) as session:
        records = list(session.scalars(select(RequestRecord)))
        waiting = list(session.scalars(select(BlobMove.key)))
        lost = list(_keys_to_nowhere(session))
        shipped = list(session.scalars(select(Task.request_seq).where(Task.kind == "telemetry")))
    return [
        *(f"{key} waits" for key in waiting),
        *lost,
        *(f"{record.id} has {count} tasks" for record in records if (count := shipped.count(record.seq)) != 1),
        *(flaw for record in records for flaw in _flaws_of(platform, record)),
        *_orphans(platform, records),
    ]


def _keys_to_nowhere(session: Session) -> Iterator[str]:
    known = select(RequestRecord.id)
    for row in session.scalars(select(IdempotencyKey).where(IdempotencyKey.request_id.not_in(known))):
        yield f"the key {row.key} leads to no record"


def _flaws_of(platform: Platform, record: RequestRecord) -> Iterator[str]:
    found = _named(record)
    wanted = PICTURES[record.status] if record.deleted_at is None else set()
    if wanted != found.keys() - {CORRECTED} or (record.deleted_at is not None and found):
        yield f"{record.id}, {record.status}, deleted at {record.deleted_at}, has {sorted(found)}"
    for key in found.values():
        try:
            platform.pictures.blobs.get(key)  # past the pictures that wait, as none may
        except BlobNotFound as error:
            yield f"{record.id}: {error}"


def _named(record: RequestRecord) -> dict[str, str]:
    columns = (*PICTURES["done"], CORRECTED)
    return {column: key for column in columns if (key := getattr(record, column)) is not None}


def _orphans(platform: Platform, records: Sequence[RequestRecord]) -> Iterator[str]:
    scheme, _, folder = platform.settings.resolved_blobs.partition(":")
    named = {key for record in records for key in _named(record).values()}
    if scheme == "folder":
        files = (path for path in Path(folder).rglob("*") if path.is_file())
        yield from (f"no record names {path.name}" for path in files if path.name not in named)
