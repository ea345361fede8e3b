"""Copies of a request's pictures for people: the mirror is made to agree with the request record."""

import json
import logging
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database import engine
from bioseg.database.tables import RequestRecord
from bioseg.errors import BlobNotFound
from bioseg.storage import Mirror


class Source(Protocol):
    """Where the pictures come from."""

    def get(self, key: str) -> bytes:
        """Return the bytes, or raise BlobNotFound."""
        ...


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Copy:
    """What the mirror should hold of a record: its pictures' blob keys by file name, and a description."""

    pictures: dict[str, str]
    description: bytes


def agree(sessions: sessionmaker[Session], pictures: Source, mirror: Mirror, seq: int) -> None:
    """Make the mirror hold what the record with this sequence number says now, and note its path there.

    The folder is `<study>/<YYYY-MM-DD>/<id>` (UTC) with `image.png`, `mask.png`, `probability.png`, `heatmap.png`,
    `corrected-mask.png` and `request.json`; of a record that was deleted or has no pictures there is none. It may be
    repeated, and interrupted anywhere. When the record changes meanwhile, it is done again: after whoever writes last,
    the mirror agrees with the record.

    Raises
    ------
    StoreUnavailable
        When the mirror or the blob store does not answer.
    """
    with engine.reading(sessions) as session:
        record = session.get_one(RequestRecord, seq)
    while True:
        copy = _copy(record)
        path = _make(pictures, mirror, record, copy)
        with sessions.begin() as session:
            record = session.scalars(select(RequestRecord).where(RequestRecord.seq == seq).with_for_update()).one()
            if _copy(record) == copy:
                record.mirror_path = path
                return


def _copy(record: RequestRecord) -> _Copy | None:
    """What to hold of a record; None for nothing at all."""
    if record.deleted_at is not None or record.image_blob is None:
        return None
    pictures = {
        "image.png": record.image_blob,
        "mask.png": record.mask_blob,
        "probability.png": record.probability_blob,
        "heatmap.png": record.heatmap_blob,
        "corrected-mask.png": record.corrected_mask_blob,
    }
    description = {
        "study": record.study,
        "label": record.label,
        "verdict": record.screen_verdict,
        "feedback_label": record.feedback_label,
        "created_at": record.created_at.isoformat(),
        "version": record.version,
    }
    return _Copy(
        {name: key for name, key in pictures.items() if key is not None}, json.dumps(description, indent=2).encode()
    )


def _make(pictures: Source, mirror: Mirror, record: RequestRecord, copy: _Copy | None) -> str | None:
    folder = f"{record.study}/{record.created_at:%Y-%m-%d}/{record.id}"
    if copy is None:
        mirror.remove(folder)
        return None
    files = {"request.json": copy.description}
    for name, key in copy.pictures.items():
        try:
            files[name] = pictures.get(key)
        except BlobNotFound as error:  # deleted since, or lost: the rest is worth keeping
            log.warning("request %s is mirrored without %s: %s", record.id, name, error)
    return mirror.keep(folder, files)
