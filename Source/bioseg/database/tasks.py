"""Tasks: durable work after a response, claimed by lease. The caller owns the session and its transaction."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import cast

from sqlalchemy import Table, delete, or_, select, update
from sqlalchemy.orm import Session

from bioseg.database.tables import Task

_INSERT = cast("Table", Task.__table__).insert()
LONGEST_WAIT = timedelta(minutes=1)


def add(session: Session, kind: str, request_seq: int | None = None) -> None:
    """Add a task in the transaction of the record that it follows."""
    now = datetime.now(UTC)
    row = {"kind": kind, "request_seq": request_seq, "created_at": now, "not_before": now}
    session.connection().execute(_INSERT, row)


def claim(
    session: Session, kinds: Sequence[str], limit: int, lease: timedelta, worker: str, now: datetime
) -> list[Task]:
    """Take the oldest open tasks until `now + lease`; no two workers get the same one.

    On SQLite the transaction holds the write lock; on PostgreSQL the rows are locked and others skip them.
    Commit right afterwards.

    Parameters
    ----------
    worker
        A name that no other worker has.
    """
    claimable = (
        select(Task.id)
        .where(
            Task.done_at.is_(None),
            Task.kind.in_(kinds),
            Task.not_before <= now,
            or_(Task.claimed_until.is_(None), Task.claimed_until <= now),
        )
        .order_by(Task.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte()
    )
    # One statement for all, as in `fail`.
    claimed = (
        update(Task)
        .where(Task.id.in_(select(claimable.c.id)))
        .values(claimed_by=worker, claimed_until=now + lease, attempts=Task.attempts + 1)
        .returning(Task)
    )
    return sorted(session.scalars(claimed), key=attrgetter("id"))


def finish(session: Session, done: Iterable[Task], now: datetime) -> None:
    """Mark tasks as done."""
    session.execute(
        update(Task)
        .where(Task.id.in_([task.id for task in done]))
        .values(done_at=now, claimed_by=None, claimed_until=None, error=None)
    )


def fail(
    session: Session, failed: Iterable[Task], reason: str, now: datetime, retry_after: float | None = None
) -> None:
    """Give tasks back with the reason, to be tried again after 2, 4, 8 ... seconds, a minute at most.

    A task whose lease ran out and that another worker has taken since is left to that one.

    Parameters
    ----------
    retry_after
        Seconds that the other side asked to be left alone; the tasks wait as long at least.
    """
    asked = timedelta(seconds=retry_after or 0)
    # One statement for all that failed as often: on SQLite each one prolongs the time in which no upload is recorded.
    for (attempts, worker), group in groupby(sorted(failed, key=_attempts_and_holder), key=_attempts_and_holder):
        wait = max(asked, min(LONGEST_WAIT, timedelta(seconds=2 ** min(attempts, 10))))
        ids = [task.id for task in group]
        session.execute(
            update(Task)
            .where(Task.id.in_(ids), Task.claimed_by == worker, Task.done_at.is_(None))
            .values(not_before=now + wait, claimed_by=None, claimed_until=None, error=reason),
            execution_options={"synchronize_session": False},
        )


def _attempts_and_holder(task: Task) -> tuple[int, str]:
    return task.attempts, task.claimed_by or ""


def forget_done(session: Session, before: datetime) -> None:
    """Forget the tasks that were done before a moment."""
    session.execute(delete(Task).where(Task.done_at < before))
