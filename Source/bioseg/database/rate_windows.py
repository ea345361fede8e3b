"""Counters of what may not happen too often, shared by every process that uses the database."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import case, delete, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bioseg.database.tables import RateWindow, Utc

_INSERT: dict[str, Callable[[type[RateWindow]], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


@dataclass(frozen=True, slots=True)
class Window:
    """How often something happened since its window began, this time included, and when the window ends."""

    hits: int
    ends: datetime


def hit(session: Session, key: str, seconds: int, now: datetime | None = None) -> Window:
    """Count one more of `key` and give its window; the first one, and the first after the end, begin a window.

    One statement counts, so of any number of simultaneous callers each gets a number of its own. Windows that are over
    are removed whenever another one begins.

    Parameters
    ----------
    session
        In a transaction of its own: the row stays locked until its end.
    key
        What is counted, and of whom; at most 255 characters.
    seconds
        Length of a window that begins now.
    now
        The current moment, unless told.
    """
    now = now or datetime.now(UTC)
    ends = literal(now + timedelta(seconds=seconds), Utc)
    over = RateWindow.expires_at <= now
    insert = _INSERT[session.get_bind().dialect.name](RateWindow).values(key=key, hits=1, expires_at=ends)
    counted = insert.on_conflict_do_update(
        index_elements=[RateWindow.key],
        set_={
            "hits": case((over, 1), else_=RateWindow.hits + 1),
            "expires_at": case((over, ends), else_=RateWindow.expires_at),
        },
    ).returning(RateWindow.hits, RateWindow.expires_at)
    window = Window(*session.execute(counted).one())
    if window.hits == 1:
        _remove_expired(session, now)
    return window


def _remove_expired(session: Session, now: datetime) -> None:
    # Rows that others hold are left to them: nobody waits here, so no two can wait for each other.
    expired = select(RateWindow.key).where(RateWindow.expires_at <= now).with_for_update(skip_locked=True)
    session.execute(delete(RateWindow).where(RateWindow.key.in_(expired)))
