"""Queries of the blind review on the pairs of a rollout. The caller owns the session and its transaction."""

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from bioseg.database.pairs import DONE
from bioseg.database.tables import Decision, Pair, RequestRecord

_BOTH_GAVE_A_RESULT = and_(
    Pair.status == DONE,
    Pair.champion_failed.is_(False),
    Pair.challenger_failed.is_(False),
    or_(
        and_(Pair.champion_blob.is_not(None), Pair.challenger_blob.is_not(None)),
        and_(Pair.champion_answer.is_not(None), Pair.challenger_answer.is_not(None)),
    ),
)
_UNJUDGED = and_(Pair.preferred_at.is_(None), Pair.corrected_at.is_(None))


def find(session: Session, pair_id: int) -> tuple[Pair, RequestRecord] | None:
    """A pair of which there is something to see, and its request; None when there is none."""
    return _first(session, _shown(Pair.id == pair_id))


def first_unjudged(session: Session, rollout: str) -> tuple[Pair, RequestRecord] | None:
    """The pair of a rollout that is to be judged next: of those that nobody has judged, the lowest rank."""
    return _first(session, _shown(Pair.rollout == rollout, _UNJUDGED).order_by(Pair.rank, Pair.id).limit(1))


def counts(session: Session, rollout: str) -> tuple[int, int]:
    """How many pairs of a rollout were judged, and how many wait."""
    judged = select(func.count()).select_from(Pair).where(Pair.rollout == rollout, ~_UNJUDGED)
    waiting = _shown(Pair.rollout == rollout, _UNJUDGED).with_only_columns(func.count())
    return session.scalar(judged) or 0, session.scalar(waiting) or 0


def disagreements(session: Session, rollout: str, limit: int) -> list[tuple[Pair, RequestRecord]]:
    """Pairs whose arms differ and whose request nobody has labelled, those with the least agreement first."""
    unlabelled = and_(RequestRecord.corrected_mask_blob.is_(None), RequestRecord.feedback_label.is_(None))
    differing = _shown(Pair.rollout == rollout, Pair.agreement < 1, unlabelled)
    rows = session.execute(differing.order_by(Pair.agreement, Pair.id).limit(limit))
    return [(pair, record) for pair, record in rows]


def study_of(session: Session, rollout: str) -> str:
    """Name of the study whose rollout this is, which need not be the one that its requests were sent to."""
    return session.scalars(_moves_of(rollout).with_only_columns(Decision.study)).one()


def lock(session: Session, rollout: str) -> None:
    """Hold back others who want to judge pairs of a rollout until this transaction ends."""
    session.execute(_moves_of(rollout).with_for_update())


def preferences(session: Session, rollout: str) -> int:
    """Number of the last preference that was given."""
    return session.scalar(select(func.max(Pair.preference_number)).where(Pair.rollout == rollout)) or 0


def qualities(session: Session, rollout: str) -> int:
    """Number of the last qualities that were given."""
    return session.scalar(select(func.max(Pair.quality_number)).where(Pair.rollout == rollout)) or 0


def _moves_of(rollout: str) -> "Select[Decision]":
    """The first row of the ledger that names a rollout."""
    return select(Decision).where(Decision.rollout == rollout).order_by(Decision.id).limit(1)


def _shown(*conditions: ColumnElement[bool]) -> "Select[Pair, RequestRecord]":
    """Pairs with their requests, as far as there is something to see of both arms."""
    both = select(Pair, RequestRecord).join(RequestRecord, RequestRecord.seq == Pair.request_seq)
    return both.where(_BOTH_GAVE_A_RESULT, RequestRecord.image_blob.is_not(None), *conditions)


def _first(session: Session, query: "Select[Pair, RequestRecord]") -> tuple[Pair, RequestRecord] | None:
    row = session.execute(query).first()
    return None if row is None else (row[0], row[1])
