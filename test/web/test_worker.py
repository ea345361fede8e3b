"""The worker does what is due, tries again what fails, and stops when told."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session, sessionmaker

from bioseg import worker
from bioseg.database import tasks
from bioseg.database.engine import connect, migrate, reading
from bioseg.database.tables import RequestRecord, Task
from bioseg.errors import StoreUnavailable, TrackingError
from bioseg.worker import Handler


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bioseg.db'}"


@pytest.fixture
def sessions(url: str) -> Iterator[sessionmaker[Session]]:
    migrate(url)
    engine = connect(url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


def add_tasks(sessions: sessionmaker[Session], count: int) -> None:
    with sessions.begin() as session:
        for _ in range(count):
            tasks.add(session, "telemetry")


def unfinished(sessions: sessionmaker[Session]) -> list[Task]:
    with reading(sessions) as session:
        return list(session.scalars(select(Task).where(Task.done_at.is_(None)).order_by(Task.id)))


class Recorder:
    """Notes the batches it is given; fails while `down`."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.down = False

    def __call__(self, batch: Sequence[Task]) -> None:
        self.batches.append([task.id for task in batch])
        if self.down:
            raise TrackingError("the server is down")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def drain(sessions: sessionmaker[Session], recorder: Recorder, stop: threading.Event | None = None) -> None:
    worker.drain(sessions, [Handler("telemetry", recorder, batch=2)], "worker", stop or threading.Event())


def test_all_that_is_due_is_done_in_batches(sessions: sessionmaker[Session], recorder: Recorder) -> None:
    add_tasks(sessions, 5)
    drain(sessions, recorder)
    assert (recorder.batches, unfinished(sessions)) == ([[1, 2], [3, 4], [5]], [])


def test_a_kind_that_fails_is_left_until_the_next_look(sessions: sessionmaker[Session], recorder: Recorder) -> None:
    add_tasks(sessions, 5)
    recorder.down = True
    drain(sessions, recorder)
    assert recorder.batches == [[1, 2]]


def test_a_failed_task_is_kept_with_its_reason_and_tried_later(
    sessions: sessionmaker[Session], recorder: Recorder
) -> None:
    add_tasks(sessions, 1)
    recorder.down = True
    drain(sessions, recorder)
    (task,) = unfinished(sessions)
    assert (task.error, task.not_before > datetime.now(UTC)) == ("the server is down", True)


def test_what_failed_is_done_when_the_server_is_back(sessions: sessionmaker[Session], recorder: Recorder) -> None:
    add_tasks(sessions, 2)
    recorder.down = True
    drain(sessions, recorder)
    recorder.down = False
    with sessions.begin() as session:
        session.execute(update(Task).values(not_before=datetime.now(UTC) - timedelta(seconds=1)))
    drain(sessions, recorder)
    assert (recorder.batches, unfinished(sessions)) == ([[1, 2], [1, 2]], [])


def test_a_begun_batch_is_completed_and_no_other_begun_after_the_signal(
    sessions: sessionmaker[Session], recorder: Recorder
) -> None:
    add_tasks(sessions, 5)
    stop = threading.Event()

    def signalled(batch: Sequence[Task]) -> None:
        recorder(batch)
        stop.set()

    worker.drain(sessions, [Handler("telemetry", signalled, batch=2)], "worker", stop)
    assert (recorder.batches, [task.id for task in unfinished(sessions)]) == ([[1, 2]], [3, 4, 5])


def test_another_kind_is_done_while_one_fails(sessions: sessionmaker[Session], recorder: Recorder) -> None:
    add_tasks(sessions, 1)
    with sessions.begin() as session:
        tasks.add(session, "mirror")
    down = Recorder()
    down.down = True
    handlers = [Handler("telemetry", down, batch=2), Handler("mirror", recorder, batch=2)]
    worker.drain(sessions, handlers, "worker", threading.Event())
    assert recorder.batches == [[2]]


def test_a_crash_gives_the_tasks_back_with_its_reason(
    sessions: sessionmaker[Session], caplog: pytest.LogCaptureFixture
) -> None:
    with sessions.begin() as session:
        tasks.add(session, "telemetry")

    def crash(_: Sequence[Task]) -> None:
        raise ZeroDivisionError("why not")

    worker.drain(sessions, [Handler("telemetry", crash, batch=2)], "worker", threading.Event())
    (task,) = unfinished(sessions)
    assert (task.error, task.claimed_until, task.not_before > datetime.now(UTC)) == (
        "ZeroDivisionError: why not",
        None,
        True,
    )
    assert "Traceback" in caplog.text


def test_another_kind_is_done_while_one_crashes(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        for kind in ("telemetry", "mirror"):
            tasks.add(session, kind)
    done: list[str] = []

    def crash(_: Sequence[Task]) -> None:
        raise ZeroDivisionError

    def note(batch: Sequence[Task]) -> None:
        done.extend(task.kind for task in batch)

    handlers = [Handler("telemetry", crash, batch=2), Handler("mirror", note, batch=2)]
    worker.drain(sessions, handlers, "worker", threading.Event())
    assert done == ["mirror"]


def test_another_kind_is_done_while_one_waits_for_an_answer(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        for kind in ("mirror", "telemetry"):
            tasks.add(session, kind)
    stop, answered, done = threading.Event(), threading.Event(), threading.Event()
    handlers = [
        Handler("mirror", lambda _: answered.wait(60) and None, 1),
        Handler("telemetry", lambda _: done.set(), 1),
    ]
    thread = threading.Thread(target=worker.attend, args=(sessions, handlers, "worker", stop, 0.01))
    thread.start()
    try:
        assert (True, False) == (done.wait(30), answered.is_set())
    finally:
        stop.set()
        answered.set()
        thread.join()


def test_a_thread_that_breaks_ends_the_others_and_is_told(sessions: sessionmaker[Session]) -> None:
    add_tasks(sessions, 1)

    def breaks(_: Sequence[Task]) -> None:
        raise SystemExit

    handlers = [Handler("mirror", lambda _: None, 1), Handler("telemetry", breaks, 1)]
    with pytest.raises(SystemExit):
        worker.attend(sessions, handlers, "worker", threading.Event(), 0.01)


def test_a_kind_is_left_alone_as_long_as_its_other_side_asks(sessions: sessionmaker[Session]) -> None:
    add_tasks(sessions, 3)
    calls: list[int] = []

    def limited(batch: Sequence[Task]) -> None:
        calls.append(batch[0].id)
        raise StoreUnavailable("too many calls", retry_after=300)

    handler = Handler("telemetry", limited, 1)
    before = datetime.now(UTC)
    assert 300 == worker.drain(sessions, [handler], "worker", threading.Event())
    first, *_ = unfinished(sessions)
    assert ([1], True) == (calls, first.not_before >= before + timedelta(seconds=300))


def start(tmp_path: Path, url: str, tracking_uri: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {"BIOSEG_STATE_DIR": str(tmp_path), "BIOSEG_DATABASE_URL": url, "BIOSEG_MLFLOW_URI": tracking_uri}
    command = [sys.executable, "-m", "bioseg.cli", "worker", *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE)


def test_the_command_ships_what_is_due_and_ends(
    sessions: sessionmaker[Session], tmp_path: Path, url: str, mlflow_server: str
) -> None:
    study = f"membrane-{secrets.token_hex(6)}"
    with sessions.begin() as session:
        record = RequestRecord(
            id=secrets.token_hex(16),
            created_at=datetime.now(UTC),
            owner="a" * 32,
            study=study,
            task="segmentation",
            status="done",
            arm="champion",
            version="1.0.0",
            latency_ms=100.0,
            cpu_seconds=0.2,
            cpu_percent=50.0,
            memory_rss_mb=300.0,
        )
        session.add(record)
        session.flush()
        tasks.add(session, "telemetry", record.seq)
    process = start(tmp_path, url, mlflow_server, "--once")
    _, complaints = process.communicate(timeout=120)
    assert (process.returncode, unfinished(sessions)) == (0, []), complaints.decode()
    with reading(sessions) as session:
        run = session.get_one(RequestRecord, record.seq).mlflow_run
    (point,) = MlflowClient(mlflow_server).get_metric_history(run, "latency_ms")
    assert (100.0, record.seq) == (point.value, point.step)


def test_the_command_ends_when_told(sessions: sessionmaker[Session], tmp_path: Path, url: str, free_port: int) -> None:
    add_tasks(sessions, 1)
    process = start(tmp_path, url, f"http://127.0.0.1:{free_port}")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and unfinished(sessions)[0].attempts == 0:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, complaints.decode()


@pytest.fixture
def broken_url(sessions: sessionmaker[Session], url: str) -> str:
    """A database that answers every look for tasks with an error."""
    with sessions.begin() as session:
        session.execute(text("DROP TABLE tasks"))
    return url


def test_doing_once_what_is_due_fails_in_one_line_when_the_database_does(
    tmp_path: Path, broken_url: str, free_port: int
) -> None:
    process = start(tmp_path, broken_url, f"http://127.0.0.1:{free_port}", "--once")
    _, complaints = process.communicate(timeout=120)
    (line,) = (line for line in complaints.decode().splitlines() if line.startswith("bioseg: "))
    assert (process.returncode, "the database does not answer: no such table: tasks" in line) == (1, True)
    assert "Traceback" not in complaints.decode()


def test_the_command_asks_again_when_the_database_fails(tmp_path: Path, broken_url: str, free_port: int) -> None:
    process = start(tmp_path, broken_url, f"http://127.0.0.1:{free_port}")
    assert process.stderr is not None
    warnings = (line for line in process.stderr if b"the database does not answer" in line)
    assert [next(warnings, None) is not None for _ in range(2)] == [True, True]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
