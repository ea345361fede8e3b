"""Fingerprints of the pairs that a verdict rests on."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bioseg.database.tables import Pair

_JUDGED = {
    "preferred_at": ("preference", "preferred_at"),
    "corrected_at": ("champion_quality", "challenger_quality", "corrected_at"),
}


def sha256_of(session: Session, rollout: str, last_id: int, at: datetime) -> str:
    """Sha256 over the pairs of a rollout up to one of them, 64 hexadecimal digits.

    What reviewers said after the moment `at` does not count: they may still judge when the decision is made.
    """
    pairs = select(Pair).where(Pair.rollout == rollout, Pair.id <= last_id).order_by(Pair.id)
    digest = hashlib.sha256()
    for pair in session.scalars(pairs):
        digest.update(json.dumps(_told(pair, at), sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _told(pair: Pair, at: datetime) -> dict[str, Any]:
    told: dict[str, Any] = {column.key: getattr(pair, column.key) for column in Pair.__table__.columns}
    for moment, columns in _JUDGED.items():
        if told[moment] is None or told[moment] > at:
            told |= dict.fromkeys(columns)
    return {name: _iso(value) if isinstance(value, datetime) else value for name, value in told.items()}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
