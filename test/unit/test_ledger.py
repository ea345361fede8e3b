"""The ledger: rows follow each other by hash, what is altered is noticed, one of two callers moves a study."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database.engine import connect, migrate, reading
from bioseg.database.tables import Decision
from bioseg.errors import LedgerBroken, StaleRevision, UnknownDecision
from bioseg.registry import ledger
from bioseg.registry.ledger import Move
from bioseg.registry.standing import Standing

FIRST = Standing("membrane", champion="1")
MOVE = Move("promote", "somebody", "better", evidence={"quality": 0.875})


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    migrate(database_url)
    engine = connect(database_url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def promote(sessions: sessionmaker[Session], *versions: str, study: str = "membrane") -> None:
    for version in versions:
        with sessions.begin() as session:
            before = ledger.standing(session, study) or Standing(study)
            ledger.append(session, before, MOVE, champion=version)


def alter(sessions: sessionmaker[Session], sequence: int, **values: object) -> None:
    with sessions.begin() as session:
        session.execute(update(Decision).where(Decision.sequence == sequence).values(**values))


def history(sessions: sessionmaker[Session], study: str = "membrane") -> list[Decision]:
    with reading(sessions) as session:
        return ledger.history(session, study)


def test_a_study_that_was_never_moved_has_no_row(sessions: sessionmaker[Session]) -> None:
    promote(sessions, "2", study="kinds")
    assert [] == history(sessions)


def test_rows_are_given_in_their_order(sessions: sessionmaker[Session]) -> None:
    promote(sessions, "2", "3", "4")
    assert [(1, "2"), (2, "3"), (3, "4")] == [(row.sequence, row.champion) for row in history(sessions)]


def test_the_last_row_is_how_a_study_stands(sessions: sessionmaker[Session]) -> None:
    changes = {"challenger": "2", "strategy": "canary", "share": 0.1, "rollout": "a" * 32, "frozen": True}
    with sessions.begin() as session:
        ledger.append(session, FIRST, MOVE, **changes)
    with reading(sessions) as session:
        assert Standing("membrane", 1, "1", **changes) == ledger.standing(session, "membrane")


def test_a_whole_number_hashes_as_it_is_read_back(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        ledger.append(session, FIRST, MOVE, share=1)
    assert [1.0] == [row.share for row in history(sessions)]


ALTERED: dict[str, object] = {
    "champion": "9",
    "challenger": "9",
    "strategy": "ab",
    "share": 0.0625,
    "rollout": "f" * 32,
    "frozen": True,
    "automatic": True,
    "actor": "nobody",
    "reason": "worse",
    "action": "rollback",
    "evidence": '{"quality": 0.9375}',
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "previous": "f" * 64,
    "hash": "f" * 64,
}


def test_any_altered_field_is_noticed_and_the_row_named(sessions: sessionmaker[Session]) -> None:
    promote(sessions, "2", "3", "4")
    noticed = []
    for name, value in ALTERED.items():
        with sessions() as session:  # without a commit
            session.execute(update(Decision).where(Decision.sequence == 2).values({name: value}))
            with pytest.raises(LedgerBroken, match="membrane/2 was altered"):
                ledger.history(session, "membrane")
            noticed.append(name)
    assert {"id", "study", "sequence", *noticed} == {column.key for column in Decision.__table__.columns}


def test_a_row_that_was_altered_and_hashed_again_is_noticed_at_the_next_one(sessions: sessionmaker[Session]) -> None:
    promote(sessions, "2", "3", "4")
    with sessions.begin() as session:
        row = ledger.find(session, "membrane/2")
        row.champion = "9"
        row.hash = ledger.hash_of(row)
    with pytest.raises(LedgerBroken, match="membrane/3 does not follow"):
        history(sessions)


@pytest.mark.parametrize("sequence", [1, 2])
def test_a_missing_row_is_noticed_and_named(sessions: sessionmaker[Session], sequence: int) -> None:
    promote(sessions, "2", "3", "4")
    with sessions.begin() as session:
        session.execute(delete(Decision).where(Decision.sequence == sequence))
    with pytest.raises(LedgerBroken, match=f"membrane/{sequence} is missing"):
        history(sessions)


def test_the_ledger_of_another_study_is_not_blamed(sessions: sessionmaker[Session]) -> None:
    promote(sessions, "2", "3")
    promote(sessions, "2", study="kinds")
    alter(sessions, 2, champion="9")
    assert ["2"] == [row.champion for row in history(sessions, "kinds")]


def test_a_decision_is_found_by_its_id(sessions: sessionmaker[Session]) -> None:
    promote(sessions, "2", "3")
    with reading(sessions) as session:
        row = ledger.find(session, "membrane/2")
    assert ("3", "membrane/2") == (row.champion, ledger.id_of(row))


@pytest.mark.parametrize(
    "name", ["membrane/3", "kinds/1", "membrane", "membrane/", "membrane/x", "membrane/0", "1", ""]
)
def test_an_unknown_decision_is_named(sessions: sessionmaker[Session], name: str) -> None:
    promote(sessions, "2", "3")
    with reading(sessions) as session, pytest.raises(UnknownDecision, match=repr(name)):
        ledger.find(session, name)


def test_who_saw_an_older_row_cannot_move_the_study(sessions: sessionmaker[Session]) -> None:
    promote(sessions, "2")
    with pytest.raises(StaleRevision, match="membrane has moved on from revision 0"), sessions.begin() as session:
        ledger.append(session, FIRST, MOVE, champion="3")
    assert ["2"] == [row.champion for row in history(sessions)]


def test_who_saw_a_row_that_is_not_there_cannot_move_the_study(sessions: sessionmaker[Session]) -> None:
    with pytest.raises(StaleRevision), sessions.begin() as session:
        ledger.append(session, Standing("membrane", sequence=7), MOVE, champion="3")


def test_one_of_many_at_once_moves_the_study(sessions: sessionmaker[Session]) -> None:
    together = threading.Barrier(8)

    def move(number: int) -> int:
        together.wait()
        with suppress(StaleRevision), sessions.begin() as session:
            ledger.append(session, FIRST, MOVE, champion=str(number))
            return 1
        return 0

    with ThreadPoolExecutor(8) as pool:
        moved = list(pool.map(move, range(8)))
    assert (1, 1) == (sum(moved), len(history(sessions)))


def test_a_clock_that_goes_back_leaves_the_order(sessions: sessionmaker[Session]) -> None:
    promote(sessions, "2")
    with sessions.begin() as session:
        long_ago = replace(MOVE, at=datetime.now(UTC) - timedelta(days=400))
        ledger.append(session, Standing("membrane", 1, "2"), long_ago, champion="3")
    first, second = history(sessions)
    assert (["2", "3"], True) == ([first.champion, second.champion], second.created_at < first.created_at)
