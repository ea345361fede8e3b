"""The ledger: append-only, hash-chained rows of every move of a study's aliases. The alias is the last row."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count, takewhile
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bioseg.database.tables import Decision
from bioseg.errors import LedgerBroken, StaleRevision, UnknownDecision
from bioseg.registry.standing import Standing

Action = Literal["promote", "rollback", "start", "step", "stop", "unfreeze"]

FIRST = "0" * 64
"""What stands for the hash of the row before a study's first one."""

_OF_A_TRIAL = frozenset({"start", "step", "stop"})
_SEQUENCE = re.compile(r"[1-9][0-9]{0,8}")
_REMEDY = "find out who wrote to the database, and restore it from a backup"


@dataclass(frozen=True, slots=True)
class Move:
    """Why aliases move: what is done, by whom, for what reason, on which evidence (anything that JSON takes) and when.

    The moment is for people: rows are in the order of their sequence, whatever the clock does.
    """

    action: Action
    actor: str
    reason: str
    automatic: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


def standing(session: Session, study: str) -> Standing | None:
    """How a study stands, or None when it was never moved."""
    last = select(Decision).where(Decision.study == study).order_by(Decision.sequence.desc()).limit(1)
    row = session.scalar(last)
    return None if row is None else of(row)


def of(row: Decision) -> Standing:
    """How a study stood after a row."""
    strategy: Any = row.strategy
    return Standing(
        study=row.study,
        sequence=row.sequence,
        champion=row.champion,
        challenger=row.challenger,
        strategy=strategy,
        share=row.share,
        rollout=row.rollout,
        frozen=row.frozen,
    )


def append(session: Session, before: Standing, move: Move, **changes: Any) -> Decision:
    """Add a row: `before` with some of its fields changed. The caller owns the transaction.

    Raises
    ------
    StaleRevision
        When `before` is not the last row any more; the transaction has to end then.
    """
    now = standing(session, before.study)
    if (0 if now is None else now.sequence) != before.sequence:
        raise stale(before.study, before.sequence)
    after = replace(before, sequence=before.sequence + 1, **changes)
    row = Decision(
        study=after.study,
        sequence=after.sequence,
        created_at=move.at,
        action=move.action,
        champion=after.champion,
        challenger=after.challenger,
        strategy=after.strategy,
        share=float(after.share),  # so that its hash is the same when it is read back
        rollout=after.rollout,
        frozen=after.frozen,
        automatic=move.automatic,
        actor=move.actor,
        reason=move.reason,
        evidence=json.dumps(move.evidence, sort_keys=True),
        previous=_hash_of(session, before),
    )
    row.hash = hash_of(row)
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise stale(before.study, before.sequence) from error
    return row


def stale(study: str, revision: int) -> StaleRevision:
    """What a caller is told who looked at a study before somebody else moved it."""
    return StaleRevision(f"{study} has moved on from revision {revision}: look at it again, then decide again")


def rows(session: Session, study: str) -> list[Decision]:
    """The rows of a study in their order, as they are stored; `history` checks them too."""
    return list(session.scalars(select(Decision).where(Decision.study == study).order_by(Decision.sequence)))


def history(session: Session, study: str) -> list[Decision]:
    """The rows of a study in their order, each checked against its hash and the row before.

    Rows that are missing at the end leave no trace here.

    Raises
    ------
    LedgerBroken
        Naming the first row that is missing, was altered, or does not follow from the one before.
    """
    found = rows(session, study)
    previous = FIRST
    for sequence, row in zip(count(1), found, strict=False):
        if row.sequence != sequence:
            raise LedgerBroken(f"{study}/{sequence} is missing from the ledger; {_REMEDY}")
        if row.hash != hash_of(row):
            raise LedgerBroken(f"{id_of(row)} was altered: its hash does not match what it says; {_REMEDY}")
        if row.previous != previous:
            raise LedgerBroken(f"{id_of(row)} does not follow from the row before, which was replaced; {_REMEDY}")
        previous = row.hash
    return found


def find(session: Session, decision: str) -> Decision:
    """Look a row up by its id, `STUDY/SEQUENCE`; raises UnknownDecision."""
    study, _, sequence = decision.rpartition("/")
    if _SEQUENCE.fullmatch(sequence):
        row = session.scalar(select(Decision).where(Decision.study == study, Decision.sequence == int(sequence)))
        if row is not None:
            return row
    raise UnknownDecision(f"no decision {decision!r}; `bioseg history STUDY` lists them, such as membrane/3")


def id_of(row: Decision) -> str:
    """Name of a row for people, such as `membrane/3`."""
    return f"{row.study}/{row.sequence}"


def evidence_of(row: Decision) -> dict[str, Any]:
    """What a row rests on."""
    evidence: dict[str, Any] = json.loads(row.evidence)
    return evidence


def failures(rows: Sequence[Decision]) -> int:
    """Automatic rollbacks since anything else came of a trial, or a person decided."""
    outcomes = (row for row in reversed(rows) if row.action not in _OF_A_TRIAL)
    return sum(1 for _ in takewhile(lambda row: row.action == "rollback" and row.automatic, outcomes))


def former_champion(rows: Sequence[Decision]) -> str | None:
    """The champion before the last promotion that was not undone."""
    former: list[str | None] = []
    champion = None
    for row in rows:
        if row.action == "promote":
            former.append(evidence_of(row)["former"])
        elif row.action == "rollback" and row.champion != champion and former:
            former.pop()
        champion = row.champion
    return former[-1] if former else None


def as_json(row: Decision) -> dict[str, Any]:
    """A row as people and programs are shown it."""
    return {"id": id_of(row), **_told(row), "evidence": evidence_of(row), "hash": row.hash}


def hash_of(row: Decision) -> str:
    """Sha256 over everything in a row but its id and its own hash, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(_told(row), sort_keys=True).encode()).hexdigest()


def _told(row: Decision) -> dict[str, Any]:
    columns = (column.key for column in Decision.__table__.columns if column.key not in {"id", "hash"})
    told = {name: getattr(row, name) for name in columns}
    told["created_at"] = row.created_at.astimezone(UTC).isoformat(timespec="microseconds")
    return told


def _hash_of(session: Session, before: Standing) -> str:
    if before.sequence == 0:
        return FIRST
    last = select(Decision.hash).where(Decision.study == before.study, Decision.sequence == before.sequence)
    return session.scalars(last).one()
