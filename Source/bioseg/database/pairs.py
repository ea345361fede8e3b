"""Queries on the pairs of a rollout. The caller owns the session and its transaction."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bioseg.database.tables import Decision, Pair, RequestRecord

DONE, STALE = "done", "stale"
ARMS = ("champion", "challenger")
CHANCE = secrets.SystemRandom()


class Seen(NamedTuple):
    """How much of a rollout a decision has seen: its last pair, and how many preferences and qualities.

    What comes afterwards does not change what a decision rests on.
    """

    last_pair: int
    preferences: int
    qualities: int


def drawn(rollout: str, request_seq: int, status: str) -> Pair:
    """A pair with all that is left to chance, which no reviewer can foresee."""
    return Pair(
        rollout=rollout,
        request_seq=request_seq,
        created_at=datetime.now(UTC),
        status=status,
        rank=CHANCE.random(),
        left=CHANCE.choice(ARMS),
        corrected_from=CHANCE.choice(ARMS),
    )


def stepped_in(session: Session, rollout: str, request_seq: int, failure: str) -> None:
    """Note that a challenger failed on a request, which its champion then served."""
    pair = drawn(rollout, request_seq, DONE)
    pair.challenger_failed, pair.champion_failed, pair.error = True, False, failure
    session.add(pair)


def has(session: Session, rollout: str, request_seq: int) -> bool:
    """Tell whether the pair of a request is there already."""
    known = select(Pair.id).where(Pair.rollout == rollout, Pair.request_seq == request_seq)
    return session.scalar(known) is not None


def seen(session: Session, rollout: str) -> Seen:
    """How much there is of a rollout."""
    counts = select(func.max(Pair.id), func.max(Pair.preference_number), func.max(Pair.quality_number))
    return Seen(*(number or 0 for number in session.execute(counts.where(Pair.rollout == rollout)).one()))


def of(session: Session, rollout: str, until: Seen) -> list[Pair]:
    """The pairs of a rollout in the order in which they were made."""
    pairs = select(Pair).where(Pair.rollout == rollout, Pair.id <= until.last_pair).order_by(Pair.id)
    return list(session.scalars(pairs))


def clients(session: Session, rollout: str, since: datetime) -> dict[str, int]:
    """Distinct clients by the arm that served them, among the requests of a rollout after a moment."""
    told = select(RequestRecord.arm, func.count(func.distinct(RequestRecord.owner)))
    told = told.where(RequestRecord.rollout == rollout, RequestRecord.created_at > since).group_by(RequestRecord.arm)
    return {str(arm): count for arm, count in session.execute(told) if arm is not None}


def made_since_move(session: Session, study: str, sequence: int) -> int:
    """How many pairs were made of a study's rollout since a row of its ledger was written."""
    moved = select(Decision.created_at, Decision.rollout).filter_by(study=study, sequence=sequence).subquery()
    made = select(func.count()).select_from(Pair).join(moved, Pair.rollout == moved.c.rollout)
    return session.scalar(made.where(Pair.status == DONE, Pair.created_at > moved.c.created_at)) or 0


def dropped(session: Session, rollout: str) -> int:
    """How many pairs were not made because the moment for them had passed."""
    return session.scalar(select(func.count()).where(Pair.rollout == rollout, Pair.status == STALE)) or 0


def done(pairs: Sequence[Pair]) -> list[Pair]:
    """Those that were made."""
    return [pair for pair in pairs if pair.status == DONE]
