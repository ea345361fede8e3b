"""Counting in the database: every caller gets a number of its own, whatever its process."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database import rate_windows
from bioseg.database.engine import connect, migrate, reading
from bioseg.database.tables import RateWindow
from bioseg.errors import SettingsError
from bioseg.policy import rates
from bioseg.policy.rates import Rate

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COUNT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from sqlalchemy.orm import sessionmaker
from bioseg.database import rate_windows
from bioseg.database.engine import connect

sessions = sessionmaker(connect(sys.argv[1]))

def count(_):
    with sessions.begin() as session:
        return rate_windows.hit(session, "shared", 600).hits

input()
with ThreadPoolExecutor(5) as pool:
    print(*pool.map(count, range(20)))
"""


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    migrate(database_url)
    engine = connect(database_url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def hit(sessions: sessionmaker[Session], key: str = "a", after: float = 0) -> rate_windows.Window:
    """Count so many seconds after noon, in windows of a minute."""
    with sessions.begin() as session:
        return rate_windows.hit(session, key, 60, NOON + timedelta(seconds=after))


def test_a_window_begins_with_the_first_hit(sessions: sessionmaker[Session]) -> None:
    ends = NOON + timedelta(seconds=60)
    assert [hit(sessions), hit(sessions, after=59)] == [rate_windows.Window(1, ends), rate_windows.Window(2, ends)]


def test_the_first_hit_after_the_end_begins_another_window(sessions: sessionmaker[Session]) -> None:
    hit(sessions)
    assert hit(sessions, after=60) == rate_windows.Window(1, NOON + timedelta(seconds=120))


def test_keys_are_counted_apart(sessions: sessionmaker[Session]) -> None:
    assert [hit(sessions, key).hits for key in "aab"] == [1, 2, 1]


def test_windows_that_are_over_are_removed_when_another_begins(sessions: sessionmaker[Session]) -> None:
    for key, after in (("a", 0), ("b", 30), ("c", 61)):
        hit(sessions, key, after)
    with reading(sessions) as session:
        assert sorted(session.scalars(select(RateWindow.key))) == ["b", "c"]


def test_two_processes_of_five_threads_count_without_a_gap(sessions: sessionmaker[Session], database_url: str) -> None:
    command = [sys.executable, "-c", COUNT, database_url]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        printed = list(pool.map(lambda child: child.communicate("\n", timeout=120)[0], children))
    assert sorted(int(number) for line in printed for number in line.split()) == list(range(1, 41))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("600/minute", (Rate(600, 60),)),
        ("1 per 2 hours", (Rate(1, 7200),)),
        ("10/second; 600/minute", (Rate(10, 1), Rate(600, 60))),
    ],
)
def test_a_limit_is_read(text: str, expected: tuple[Rate, ...]) -> None:
    assert rates.parse(text) == expected


@pytest.mark.parametrize("text", ["often", "600", "600/fortnight", "-1/minute", "1.5/minute", "6/minute x"])
def test_what_is_no_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match=r"BIOSEG_RATE_LIMIT: .* as in 600/minute"):
        rates.parse(text)
