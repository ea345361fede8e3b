"""Fingerprints of the pairs that a decision has seen."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from bioseg.database import pairs
from bioseg.database.pairs import Seen
from bioseg.database.tables import Pair

_PREFERENCE = ("preference", "preference_number", "preferred_at")
_QUALITY = ("champion_quality", "challenger_quality", "quality_number", "corrected_at")


def described(session: Session, rollout: str, until: Seen) -> dict[str, Any]:
    """How the evidence of a decision names the pairs of a rollout that it has seen: which, and their fingerprint."""
    return {"rollout": rollout, **until._asdict(), "sha256": sha256_of(session, rollout, until)}


def until(named: Mapping[str, Any]) -> Seen:
    """How much of a rollout a decision has seen, given what `described` wrote into its evidence."""
    return Seen(*(named[field] for field in Seen._fields))


def sha256_of(session: Session, rollout: str, until: Seen) -> str:
    """Sha256 over pairs and what reviewers had said of them, 64 hexadecimal digits.

    What came later does not count, nor do the pictures: whoever sent them may delete them.
    """
    digest = hashlib.sha256()
    for pair in pairs.of(session, rollout, until):
        digest.update(json.dumps(_told(pair, until), sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _told(pair: Pair, until: Seen) -> dict[str, Any]:
    columns = (column.key for column in Pair.__table__.columns if not column.key.endswith("_blob"))
    told: dict[str, Any] = {name: getattr(pair, name) for name in columns}
    if (pair.preference_number or 0) > until.preferences:
        told |= dict.fromkeys(_PREFERENCE)
    if (pair.quality_number or 0) > until.qualities:
        told |= dict.fromkeys(_QUALITY)
    return {name: _iso(value) if isinstance(value, datetime) else value for name, value in told.items()}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
