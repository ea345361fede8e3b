"""The database: tables, migration, queries; on SQLite and on PostgreSQL."""

import multiprocessing
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError, InternalError, OperationalError, StatementError
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database import moves, requests
from bioseg.database.engine import connect, is_current, migrate, migrate_patiently, reading
from bioseg.database.tables import Base, RequestRecord
from bioseg.errors import Busy, IdempotencyConflict, SettingsError

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ALICE, BOB = "a" * 32, "b" * 32


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    migrate(database_url)
    engine = connect(database_url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def record(number: int, **changes: object) -> RequestRecord:
    fields: dict[str, object] = {
        "id": f"{number:032x}",
        "created_at": NOON + timedelta(minutes=number),
        "owner": ALICE,
        "study": "membrane",
        "task": "segmentation",
        "status": "done",
        "latency_ms": 140.5,
        "cpu_seconds": 0.25,
        "cpu_percent": 61.0,
        "memory_rss_mb": 310.0,
    }
    return RequestRecord(**(fields | changes))


def stored(sessions: sessionmaker[Session], *records: RequestRecord) -> list[int]:
    with sessions.begin() as session:
        return [requests.add(session, each).seq for each in records]


def test_a_database_that_is_current_is_left_alone(database_url: str) -> None:
    migrate(database_url)
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE rate_windows"))
    migrate(database_url)
    assert not inspect(engine).has_table("rate_windows")
    engine.dispose()


def test_a_database_of_an_earlier_version_is_brought_up_to_date(database_url: str) -> None:
    engine = connect(database_url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "bioseg.database:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    assert not inspect(engine).has_table("decisions")
    migrate(database_url)
    assert inspect(engine).has_table("decisions")
    engine.dispose()


def test_a_database_of_a_later_version_is_left_alone(database_url: str) -> None:
    migrate(database_url)
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    migrate(database_url)
    assert is_current(engine)
    engine.dispose()


class TestPatience:
    def test_has_the_tables_once_the_server_has_the_database(self, postgres_url: str) -> None:
        name = f"late_{secrets.token_hex(8)}"
        url = postgres_url.replace("/postgres?", f"/{name}?")
        waiting = threading.Thread(target=migrate_patiently, args=(url, threading.Event()))
        waiting.start()
        server = connect(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
            waiting.join(60)
            database = connect(url)
            assert is_current(database)
            database.dispose()
            connection.execute(text(f"DROP DATABASE {name}"))
        server.dispose()

    def test_says_once_what_it_waits_for_and_ends_when_it_is_told(
        self, caplog: pytest.LogCaptureFixture, free_port: int
    ) -> None:
        stop = threading.Event()
        url = f"postgresql://bioseg:hunter2@127.0.0.1:{free_port}/bioseg"
        threading.Timer(2.5, stop.set).start()
        migrate_patiently(url, stop)
        (said,) = caplog.messages
        assert said.startswith("waiting for the database: connection")
        assert ["hunter2" in said, "\n" in said] == [False, False]

    def test_does_not_wait_for_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(OperationalError):
            migrate_patiently(f"sqlite:///{tmp_path}/folder", threading.Event())


def test_the_migrations_make_exactly_the_declared_tables(database_url: str) -> None:
    migrate(database_url)
    engine = connect(database_url)
    with engine.connect() as connection:
        difference = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert difference == []


def test_migrating_twice_changes_nothing(sessions: sessionmaker[Session], database_url: str) -> None:
    seqs = stored(sessions, record(1))
    migrate(database_url)
    with reading(sessions) as session:
        assert seqs == [each.seq for each in requests.page(session, ALICE)[0]]


def test_processes_that_start_at_once_migrate_together(database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    starting = [context.Process(target=migrate, args=(database_url,)) for _ in range(4)]
    for process in starting:
        process.start()
    for process in starting:
        process.join()
    assert [process.exitcode for process in starting] == [0] * 4


def test_threads_that_start_at_once_migrate_together(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(migrate, [database_url] * 4)) == [None] * 4


@pytest.mark.parametrize("url", ["mysql://localhost/x", "no url", ""])
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"BIOSEG_DATABASE_URL.*sqlite"):
        connect(url)


def test_the_refusal_does_not_show_the_password() -> None:
    with pytest.raises(SettingsError) as refusal:
        connect("mysql://user:hunter2@localhost/x")
    assert "hunter2" not in str(refusal.value)


def test_the_sqlite_file_is_private(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'bioseg.db'}")
    assert (tmp_path / "bioseg.db").stat().st_mode & 0o777 == 0o600


def test_sqlite_synchronises_each_commit(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'bioseg.db'}").connect() as connection:
        settings = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]


def test_a_moment_comes_back_in_utc(sessions: sessionmaker[Session]) -> None:
    eastern = datetime(2026, 5, 4, 14, tzinfo=timezone(timedelta(hours=2)))
    stored(sessions, record(1, created_at=eastern))
    with reading(sessions) as session:
        found = requests.by_id(session, f"{1:032x}")
    assert found is not None
    assert (found.created_at, found.created_at.tzinfo) == (NOON, UTC)


def test_a_moment_without_a_zone_is_refused(sessions: sessionmaker[Session]) -> None:
    with pytest.raises(StatementError, match="no time zone"):
        stored(sessions, record(1, created_at=datetime(2026, 5, 4)))  # noqa: DTZ001


def test_sequence_numbers_grow_and_are_never_used_twice(sessions: sessionmaker[Session]) -> None:
    (first,) = stored(sessions, record(1))
    with sessions.begin() as session:
        session.delete(session.get_one(RequestRecord, first))
    (second,) = stored(sessions, record(2))
    assert second > first


def test_an_id_is_unique(sessions: sessionmaker[Session]) -> None:
    stored(sessions, record(1))
    with pytest.raises(IntegrityError):
        stored(sessions, record(1))


def test_writers_that_read_first_never_meet_a_locked_database(sessions: sessionmaker[Session]) -> None:
    stored(sessions, record(0, width=0))
    together = threading.Barrier(6)

    def count_up(_: int) -> None:
        together.wait()
        for _ in range(10):
            with sessions.begin() as session:
                counter = session.get_one(RequestRecord, 1, with_for_update=True)
                counter.width = (counter.width or 0) + 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(count_up, range(6)))
    with reading(sessions) as session:
        assert session.get_one(RequestRecord, 1).width == 60


def test_readers_do_not_wait_for_a_writer(sessions: sessionmaker[Session]) -> None:
    stored(sessions, record(1, comment="before"))
    with sessions.begin() as writer, reading(sessions) as reader:
        writer.get_one(RequestRecord, 1).comment = "after"
        writer.flush()
        assert reader.get_one(RequestRecord, 1).comment == "before"


def test_postgresql_refuses_to_write_while_reading(sessions: sessionmaker[Session]) -> None:
    if sessions.kw["bind"].dialect.name != "postgresql":
        pytest.skip("SQLite has no read-only transactions")
    with pytest.raises(InternalError, match="read-only"), reading(sessions) as session:
        requests.add(session, record(1))


def test_an_unknown_id_finds_nothing(sessions: sessionmaker[Session]) -> None:
    with reading(sessions) as session:
        assert requests.by_id(session, "f" * 32) is None


def test_pages_are_newest_first_and_lose_nothing(sessions: sessionmaker[Session]) -> None:
    seqs = stored(sessions, *(record(number) for number in range(7)))
    pages, cursor = [], None
    with reading(sessions) as session:
        while not pages or cursor:
            found, cursor = requests.page(session, ALICE, cursor=cursor, limit=3)
            pages.append([each.seq for each in found])
    newest = seqs[::-1]
    assert [newest[0:3], newest[3:6], newest[6:]] == pages


def test_a_full_last_page_has_no_next(sessions: sessionmaker[Session]) -> None:
    stored(sessions, *(record(number) for number in range(3)))
    with reading(sessions) as session:
        assert requests.page(session, ALICE, limit=3)[1] is None


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"owner": ALICE}, [3, 1, 0]),
        ({"owner": None}, [3, 2, 1, 0]),
        ({"owner": None, "study": "lungs"}, [1]),
        ({"owner": None, "verdict": "reject"}, [2]),
        ({"owner": None, "label": "membrane"}, [0]),
        ({"owner": None, "label": "other"}, [3]),
        ({"owner": None, "since": NOON + timedelta(minutes=2)}, [3, 2]),
    ],
    ids=["owner", "everybody", "study", "verdict", "label", "label of the feedback", "since"],
)
def test_a_page_keeps_what_is_asked_for(
    sessions: sessionmaker[Session], wanted: dict[str, object], numbers: list[int]
) -> None:
    stored(
        sessions,
        record(0, label="membrane"),
        record(1, study="lungs"),
        record(2, owner=BOB, status="refused", screen_verdict="reject"),
        record(3, label="membrane", feedback_label="other"),
        record(4, deleted_at=NOON),
    )
    with reading(sessions) as session:
        found, _ = requests.page(session, **wanted)  # type: ignore[arg-type]
    assert numbers == [int(each.id, 16) for each in found]


def test_forgetting_gives_the_blobs_that_the_record_named(sessions: sessionmaker[Session]) -> None:
    (seq,) = stored(sessions, record(1, image_blob="1" * 64, mask_blob="2" * 64, corrected_mask_blob="2" * 64))
    with sessions.begin() as session:
        assert requests.forget(session, seq, NOON) == ["1" * 64, "2" * 64]


def test_a_blob_is_named_as_long_as_one_record_names_it(sessions: sessionmaker[Session]) -> None:
    seqs = stored(sessions, *(record(number, image_blob="1" * 64) for number in range(2)))
    named = []
    for seq in seqs:
        with sessions.begin() as session:
            requests.forget(session, seq, NOON)
            session.flush()
            named.append(moves.is_named(session, "1" * 64))
    assert named == [True, False]


def test_bytes_are_kept_until_their_move_is_settled(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        moves.into_store(session, {"1" * 64: b"one", "2" * 64: b"two"}, NOON)
        moves.out_of_store(session, ["2" * 64, "3" * 64], NOON)
    with sessions.begin() as session:
        kept = [moves.data(session, digit * 64) for digit in "123"]
        moves.settled(session, "1" * 64)
        assert (kept, moves.waiting(session, 9)) == ([b"one", b"two", None], ["2" * 64, "3" * 64])


def test_bytes_come_to_a_blob_that_was_to_be_removed(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        moves.out_of_store(session, ["1" * 64], NOON)
        moves.into_store(session, {"1" * 64: b"one"}, NOON)
        assert moves.data(session, "1" * 64) == b"one"


def test_forgetting_keeps_the_numbers(sessions: sessionmaker[Session]) -> None:
    (seq,) = stored(sessions, record(1, image_blob="1" * 64, comment="mine"))
    with sessions.begin() as session:
        requests.forget(session, seq, NOON)
    with reading(sessions) as session:
        kept = session.get_one(RequestRecord, seq)
    assert (
        kept.latency_ms,
        kept.cpu_seconds,
        kept.image_blob,
        kept.comment,
        kept.deleted_at,
    ) == (140.5, 0.25, None, None, NOON)


def remember(sessions: sessionmaker[Session], number: int, owner: str = ALICE, body: str = "0" * 64) -> None:
    with sessions.begin() as session:
        requests.add(session, record(number, owner=owner))
        requests.remember_key(session, owner, "key", body, f"{number:032x}", NOON)


def recall(sessions: sessionmaker[Session], owner: str, body: str, later: timedelta) -> str | None:
    with reading(sessions) as session:
        found = requests.by_key(session, owner, "key", body, NOON + later)
    return found.id if found else None


def test_an_idempotency_key_leads_to_its_request(sessions: sessionmaker[Session]) -> None:
    remember(sessions, 1)
    assert f"{1:032x}" == recall(sessions, ALICE, "0" * 64, timedelta(hours=23, minutes=59))


def test_an_idempotency_key_is_kept_a_day(sessions: sessionmaker[Session]) -> None:
    remember(sessions, 1)
    assert recall(sessions, ALICE, "0" * 64, timedelta(hours=24)) is None


def test_an_old_idempotency_key_can_be_used_again(sessions: sessionmaker[Session]) -> None:
    remember(sessions, 1)
    with sessions.begin() as session:
        requests.add(session, record(2))
        requests.remember_key(session, ALICE, "key", "1" * 64, f"{2:032x}", NOON + timedelta(hours=24))
    assert f"{2:032x}" == recall(sessions, ALICE, "1" * 64, timedelta(hours=25))


def test_an_idempotency_key_is_its_owners(sessions: sessionmaker[Session]) -> None:
    remember(sessions, 1)
    remember(sessions, 2, owner=BOB)
    assert f"{2:032x}" == recall(sessions, BOB, "0" * 64, timedelta(0))


def test_forgetting_ends_the_idempotency_keys_of_that_request_only(sessions: sessionmaker[Session]) -> None:
    remember(sessions, 1)
    remember(sessions, 2, owner=BOB)
    with sessions.begin() as session:
        requests.forget(session, 1, NOON)
    found = [recall(sessions, owner, "0" * 64, timedelta(0)) for owner in (ALICE, BOB)]
    assert found == [None, f"{2:032x}"]


def test_an_idempotency_key_with_another_body_is_refused(sessions: sessionmaker[Session]) -> None:
    remember(sessions, 1)
    with pytest.raises(IdempotencyConflict, match="'key'"):
        recall(sessions, ALICE, "1" * 64, timedelta(0))


@pytest.mark.parametrize(("body", "refusal"), [("0" * 64, Busy), ("1" * 64, IdempotencyConflict)])
def test_the_second_of_two_simultaneous_requests_stores_nothing(
    sessions: sessionmaker[Session], body: str, refusal: type[Exception]
) -> None:
    remember(sessions, 1)
    with pytest.raises(refusal):
        remember(sessions, 2, body=body)
    with reading(sessions) as session:
        assert [each.seq for each in requests.page(session, ALICE)[0]] == [1]
