"""Opening the database and bringing its tables up to date."""

import logging
import sqlite3
import time
from pathlib import Path
from threading import Event

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from bioseg.errors import SettingsError

log = logging.getLogger(__name__)

_BUSY_MS = 15_000
_CONNECT_SECONDS = 10
_RETRY_SECONDS = 1.0
_SAY_SECONDS = 60.0
_MIGRATION_LOCK = 0x62696F736567  # any number, the same in every process: "bioseg" in ASCII
_READING = {"reading": True, "postgresql_readonly": True}


def connect(url: str) -> Engine:
    """Open the engine of a database; the caller disposes of it. Call it after a fork, not before.

    SQLite runs in WAL mode, so readers and the one writer do not wait for each other, with `synchronous=FULL`: an
    upload that was answered survives a power cut, for about a millisecond per commit. A transaction takes the write
    lock at its start (`BEGIN IMMEDIATE`), because one that first reads and then writes fails at once with "database
    is locked" when another has written in between; `reading` opens the ones that only read. What is deleted is
    overwritten.

    Parameters
    ----------
    url
        `sqlite:////absolute/path.db`, whose folder is created, or `postgresql://user:password@host/name`.

    Raises
    ------
    SettingsError
        For any other database.
    """
    parsed = parse(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args={"connect_timeout": _CONNECT_SECONDS},
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=24,
        )
    if parsed.database and parsed.database != ":memory:":
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it holds secrets; SQLite gives its -wal and -shm files the same mode
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_MS / 1000}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def reading(factory: sessionmaker[Session]) -> Session:
    """Open a session that only reads: on SQLite it neither takes nor waits for the write lock.

    Example
    -------
    >>> factory = sessionmaker(connect("sqlite://"))
    >>> with reading(factory) as session:
    ...     session.scalar(text("SELECT 1"))
    1
    """
    engine: Engine = factory.kw["bind"]
    return factory(bind=engine.execution_options(**_READING))


def migrate(url: str) -> None:
    """Bring the tables up to date; several processes may call it at once, one of them does the work.

    Everything happens in one transaction, so a failed migration leaves the database as it was.
    """
    engine = connect(url)
    try:
        if not is_current(engine):
            _upgrade(engine)
    finally:
        engine.dispose()


def migrate_patiently(url: str, stop: Event) -> None:
    """As `migrate`, but wait for a database server that is not up yet, until `stop` is set.

    The log has what it waits for, at once and every minute.
    """
    say_at = time.monotonic()
    while not stop.is_set():
        try:
            migrate(url)
        except OperationalError as error:
            if not is_server(url):
                raise
            if time.monotonic() >= say_at:
                log.warning("waiting for the database: %s", " ".join(str(error.orig).split()))
                say_at += _SAY_SECONDS
            stop.wait(_RETRY_SECONDS)
        else:
            return


def is_server(url: str) -> bool:
    """Tell whether the database is a server, which may come and go, and not a file."""
    return parse(url).get_backend_name() != "sqlite"


def is_current(engine: Engine) -> bool:
    """Tell whether the newest migration was made, or one after it, by a newer Bioseg.

    That is asked without Alembic: importing it takes a fifth of a start.
    """
    newest = max(file.name.partition("_")[0] for file in (Path(__file__).parent / "migrations/versions").glob("*.py"))
    with engine.execution_options(**_READING).connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return str(connection.scalar(text("SELECT version_num FROM alembic_version"))) >= newest


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "bioseg.database:migrations")
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def parse(url: str) -> URL:
    """Parse the URL of a database of a known kind, or raise SettingsError, without the URL: it may hold a password."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError("BIOSEG_DATABASE_URL is no URL; use sqlite:///PATH or postgresql://...") from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise SettingsError(f"BIOSEG_DATABASE_URL names {parsed.drivername!r}; allowed are sqlite and postgresql")
    return parsed


def _prepare_sqlite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # else the driver begins transactions on its own, and deferred
    _enter_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL, which stays in the file: the first switch fails at once while another process is at it."""
    deadline = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
