"""Tasks are claimed by lease: never by two at once, never lost; on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database import tasks
from bioseg.database.engine import connect, migrate, reading
from bioseg.database.tables import Task

LEASE = timedelta(seconds=30)
NEVER = timedelta(days=1)


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    migrate(database_url)
    engine = connect(database_url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


@pytest.fixture
def now(sessions: sessionmaker[Session]) -> datetime:
    """A moment after three tasks were added."""
    with sessions.begin() as session:
        for _ in range(3):
            tasks.add(session, "telemetry")
    return datetime.now(UTC)


def claim(
    sessions: sessionmaker[Session], now: datetime, worker: str = "first", kind: str = "telemetry", limit: int = 10
) -> list[Task]:
    with sessions.begin() as session:
        return tasks.claim(session, [kind], limit, LEASE, worker, now)


def ids(claimed: list[Task]) -> list[int]:
    return [task.id for task in claimed]


def fail(sessions: sessionmaker[Session], failed: list[Task], now: datetime) -> None:
    with sessions.begin() as session:
        tasks.fail(session, failed, "the server is down", now)


def test_the_oldest_come_first(sessions: sessionmaker[Session], now: datetime) -> None:
    assert ids(claim(sessions, now, limit=2)) == [1, 2]


def test_only_the_wanted_kinds_are_claimed(sessions: sessionmaker[Session], now: datetime) -> None:
    assert claim(sessions, now, kind="mirror") == []


def test_what_one_worker_holds_no_other_gets(sessions: sessionmaker[Session], now: datetime) -> None:
    claim(sessions, now, limit=2)
    assert ids(claim(sessions, now, "second")) == [3]


def test_simultaneous_workers_share_the_tasks_without_overlap(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        for _ in range(40):
            tasks.add(session, "telemetry")
    now = datetime.now(UTC)
    together = threading.Barrier(4)

    def work(worker: int) -> list[int]:
        together.wait()
        mine: list[int] = []
        while claimed := claim(sessions, now, f"worker {worker}", limit=3):
            mine += ids(claimed)
        return mine

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(work, range(4)))
    # On PostgreSQL a worker may find all open rows locked and end early; what is left over is claimed here.
    assert list(range(1, 41)) == sorted([*(each for share in shares for each in share), *ids(claim(sessions, now))])


def test_a_worker_skips_rows_that_another_is_claiming(sessions: sessionmaker[Session], now: datetime) -> None:
    if sessions.kw["bind"].dialect.name == "sqlite":
        pytest.skip("on SQLite the second waits for the first")
    with sessions.begin() as session:
        tasks.claim(session, ["telemetry"], 2, LEASE, "first", now)
        assert ids(claim(sessions, now, "second")) == [3]


def test_a_lease_that_ran_out_frees_the_tasks_of_a_dead_worker(sessions: sessionmaker[Session], now: datetime) -> None:
    claim(sessions, now)
    assert ids(claim(sessions, now + LEASE, "second")) == [1, 2, 3]


def test_a_lease_holds_until_its_end(sessions: sessionmaker[Session], now: datetime) -> None:
    claim(sessions, now)
    assert claim(sessions, now + LEASE - timedelta(milliseconds=1), "second") == []


def test_a_claim_that_is_rolled_back_holds_nothing(sessions: sessionmaker[Session], now: datetime) -> None:
    with sessions() as session:
        tasks.claim(session, ["telemetry"], 10, LEASE, "first", now)
        session.rollback()
    assert ids(claim(sessions, now, "second")) == [1, 2, 3]


def test_a_finished_task_is_never_claimed_again(sessions: sessionmaker[Session], now: datetime) -> None:
    with sessions.begin() as session:
        tasks.finish(session, tasks.claim(session, ["telemetry"], 2, LEASE, "first", now), now)
    assert ids(claim(sessions, now + NEVER, "second")) == [3]


def test_a_failed_task_waits_longer_each_time(sessions: sessionmaker[Session], now: datetime) -> None:
    waits = []
    for _ in range(8):
        (task,) = claim(sessions, now, limit=1)
        fail(sessions, [task], now)
        with reading(sessions) as session:
            waits.append((session.get_one(Task, task.id).not_before - now).total_seconds())
        with sessions.begin() as session:
            session.get_one(Task, task.id).not_before = now
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_a_failed_task_waits_as_long_as_the_other_side_asked(sessions: sessionmaker[Session], now: datetime) -> None:
    with sessions.begin() as session:
        tasks.fail(session, tasks.claim(session, ["telemetry"], 1, LEASE, "first", now), "too many calls", now, 90.5)
    with reading(sessions) as session:
        assert timedelta(seconds=90.5) == session.get_one(Task, 1).not_before - now


def test_a_failed_task_is_tried_again_when_its_wait_is_over(sessions: sessionmaker[Session], now: datetime) -> None:
    fail(sessions, claim(sessions, now), now)
    moments = [now + timedelta(seconds=1.9), now + timedelta(seconds=2)]
    assert [ids(claim(sessions, moment)) for moment in moments] == [[], [1, 2, 3]]


def test_a_failed_task_keeps_the_reason(sessions: sessionmaker[Session], now: datetime) -> None:
    (task,) = claim(sessions, now, limit=1)
    fail(sessions, [task], now)
    with reading(sessions) as session:
        assert session.get_one(Task, task.id).error == "the server is down"


def test_a_worker_that_lost_its_lease_cannot_take_the_task_back(sessions: sessionmaker[Session], now: datetime) -> None:
    late = claim(sessions, now)
    claim(sessions, now + LEASE, "second")
    fail(sessions, late, now + LEASE)
    with reading(sessions) as session:
        assert session.get_one(Task, late[0].id).claimed_by == "second"
