"""What is done now and then: retention, and what processes that died have left."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import pytest
from sqlalchemy import func, insert, select

from bioseg import housekeeping, records, service
from bioseg.database import engine, tasks
from bioseg.database.tables import IdempotencyKey, RequestRecord, Task
from bioseg.errors import UnknownRequest
from bioseg.platform import Platform
from bioseg.service import Upload

OWNER = "a" * 32
NOW = datetime.now(UTC)


@pytest.fixture
def keeping(make_platform: Callable[..., Platform]) -> Platform:
    """A platform that keeps pictures for 30 days."""
    return make_platform(retention_days=30)


def upload(platform: Platform, data: bytes, key: str | None = None) -> RequestRecord:
    return service.segment(platform, Upload(data, "membrane", OWNER, perf_counter(), idempotency_key=key))


def age(platform: Platform, record: RequestRecord, days: int) -> None:
    with platform.sessions.begin() as session:
        session.get_one(RequestRecord, record.seq).created_at = NOW - timedelta(days=days)


def files(platform: Platform) -> list[Path]:
    return [path for path in (platform.settings.state_dir / "blobs").rglob("*") if path.is_file()]


def count(platform: Platform, table: type) -> int:
    with engine.reading(platform.sessions) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_pictures_leave_the_disk_when_their_time_is_up(keeping: Platform, section: bytes) -> None:
    age(keeping, upload(keeping, section), 31)
    keeping.pictures.settle_waiting()
    before = len(files(keeping))
    housekeeping.tidy(keeping, NOW)
    assert (before, files(keeping)) == (3, [])


def test_the_numbers_of_an_expired_request_stay(keeping: Platform, section: bytes) -> None:
    record = upload(keeping, section)
    age(keeping, record, 31)
    housekeeping.tidy(keeping, NOW)
    with engine.reading(keeping.sessions) as session:
        assert session.get_one(RequestRecord, record.seq).latency_ms == record.latency_ms


def test_an_expired_request_cannot_be_found(keeping: Platform, section: bytes) -> None:
    record = upload(keeping, section)
    age(keeping, record, 31)
    housekeeping.tidy(keeping, NOW)
    with pytest.raises(UnknownRequest):
        records.find(keeping, record.id, OWNER)


def test_younger_pictures_stay(keeping: Platform, section: bytes) -> None:
    record = upload(keeping, section)
    age(keeping, record, 29)
    housekeeping.tidy(keeping, NOW)
    assert records.picture(keeping, record, "mask")


def test_without_a_retention_everything_stays(platform: Platform, section: bytes) -> None:
    record = upload(platform, section)
    age(platform, record, 10_000)
    housekeeping.tidy(platform, NOW)
    assert records.picture(platform, record, "mask")


def test_more_than_a_batch_is_deleted(keeping: Platform, section: bytes) -> None:
    upload(keeping, section)
    with keeping.sessions.begin() as session:
        first = session.scalars(select(RequestRecord)).one()
        given = {column.key: getattr(first, column.key) for column in RequestRecord.__table__.columns}
        given |= {"created_at": NOW - timedelta(days=31)}
        copies = [given | {"seq": number, "id": f"{number:032x}"} for number in range(10, 11 + housekeeping.BATCH)]
        session.execute(insert(RequestRecord), copies)
    assert housekeeping.delete_before(keeping, NOW - timedelta(days=30)) == housekeeping.BATCH + 1


def test_done_tasks_are_forgotten_after_a_week(platform: Platform) -> None:
    with platform.sessions.begin() as session:
        for _ in range(3):
            tasks.add(session, "telemetry")
        old, new, _ = session.scalars(select(Task).order_by(Task.id))
        old.done_at, new.done_at = NOW - timedelta(days=8), NOW - timedelta(days=6)
    housekeeping.tidy(platform, NOW)
    assert count(platform, Task) == 2


def test_idempotency_keys_are_forgotten_after_a_day(platform: Platform, section: bytes) -> None:
    upload(platform, section, key="k")
    housekeeping.tidy(platform, NOW + timedelta(hours=23))
    kept = count(platform, IdempotencyKey)
    housekeeping.tidy(platform, NOW + timedelta(hours=25))
    assert (kept, count(platform, IdempotencyKey)) == (1, 0)
