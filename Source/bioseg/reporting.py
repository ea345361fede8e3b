"""What MLflow is told of rollouts and aliases: both are kept in the ledger, and only shown there."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import select

from bioseg import evidence, studies
from bioseg.database import engine
from bioseg.database.tables import Decision, RolloutRun
from bioseg.platform import Platform
from bioseg.registry import ledger
from bioseg.registry.standing import Standing

log = logging.getLogger(__name__)


class Tell(Protocol):
    """Keeps what is known of a rollout, as `mlflow_rollouts.tell` does."""

    def __call__(
        self, study: str, rollout: str, moves: Sequence[Mapping[str, Any]], found: Mapping[str, Any], *, is_over: bool
    ) -> None:
        """Keep it; raises TrackingError."""
        ...


Reconcile = Callable[[Standing], Sequence[str]]
"""Lets aliases elsewhere follow how a study stands, as `mlflow_aliases.reconcile` does; tells what it changed."""


def follow(platform: Platform, reconcile: Reconcile) -> None:
    """Let aliases elsewhere follow the ledger, of every study that was ever moved.

    Raises
    ------
    TrackingError, UnknownVersion, BundleError
        As `mlflow_aliases.reconcile`.
    """
    for study in studies.all_studies():
        standing = platform.runtime.aliases(study)
        if standing.sequence:
            for change in reconcile(standing):
                log.info("in MLflow %s", change)


def report(platform: Platform, tell: Tell) -> None:
    """Tell how every running rollout does, and how those ended that were not told to have ended.

    Raises
    ------
    TrackingError
        When the server does not answer or refuses; call again later.
    """
    for study, rollout in _open(platform):
        with engine.reading(platform.sessions) as session:
            rows = session.scalars(select(Decision).filter_by(study=study).order_by(Decision.sequence)).all()
            is_over = rows[-1].rollout != rollout
            moves = _moves(rows, rollout)
            found = (
                ledger.evidence_of(moves[-1])
                if is_over
                else evidence.told(session, ledger.of(rows[-1]), platform.expected_pairs)
            )
        tell(study, rollout, [ledger.as_json(row) for row in moves], found, is_over=is_over)


def _open(platform: Platform) -> list[tuple[str, str]]:
    """Study and id of each rollout that runs, or whose end MLflow has not been told."""
    with engine.reading(platform.sessions) as session:
        unfinished = session.execute(select(RolloutRun.study, RolloutRun.rollout).where(~RolloutRun.is_over))
        found = {(study, rollout) for study, rollout in unfinished}
        for study in studies.all_studies():
            standing = ledger.standing(session, study)
            if standing is not None and standing.rollout is not None:
                found.add((study, standing.rollout))
    return sorted(found)


def _moves(rows: Iterable[Decision], rollout: str) -> list[Decision]:
    """The rows of a rollout, from its start to the one that ended it, if one did."""
    moves: list[Decision] = []
    for row in rows:
        if row.rollout == rollout or (moves and moves[-1].rollout == rollout):
            moves.append(row)
    return moves
