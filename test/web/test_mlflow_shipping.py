"""Request records reach a real MLflow server, each exactly once."""

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database.engine import connect, migrate, reading
from bioseg.database.tables import RequestRecord, TelemetryRun
from bioseg.errors import TrackingError
from bioseg.telemetry import mlflow_shipper
from bioseg.telemetry.mlflow_shipper import METRICS

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
Store = Callable[..., list[int]]


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    migrate(database_url)
    engine = connect(database_url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


@pytest.fixture
def client(mlflow_server: str) -> MlflowClient:
    return mlflow_shipper.connect(mlflow_server)


@pytest.fixture
def study() -> str:
    """A study that no other test uses: the server is shared."""
    return f"membrane-{secrets.token_hex(6)}"


@pytest.fixture
def screens(study: str) -> dict[str, str]:
    return {study: f"kinds-of-{study}"}


@pytest.fixture
def store(sessions: sessionmaker[Session], study: str) -> Store:
    """Stores n records, with changes, and gives their sequence numbers."""

    def add(count: int, **changes: object) -> list[int]:
        fields: dict[str, object] = {"owner": "a" * 32, "study": study, "task": "segmentation", "status": "done"}
        fields |= {"arm": "champion", "version": "1.0.0", "precision": "f32", "memory_rss_mb": 310.5}
        fields |= {"cpu_percent": 61.25} | changes
        records = [
            RequestRecord(
                id=secrets.token_hex(16),
                created_at=NOON + timedelta(milliseconds=number),
                latency_ms=100.5 + number,
                cpu_seconds=0.125 * number,
                **fields,
            )
            for number in range(count)
        ]
        with sessions.begin() as session:
            session.add_all(records)
        return [record.seq for record in records]

    return add


def mixed(store: Store) -> list[int]:
    """Five served, three refused, two failed before and one failed after the screen."""
    return [
        *store(5),
        *store(3, status="refused", arm=None, version=None, precision=None, screen_version="2.0.0"),
        *store(2, status="failed", arm=None, version=None, precision=None),
        *store(1, status="failed"),
    ]


def runs(client: MlflowClient, study: str) -> list[Run]:
    experiment = client.get_experiment_by_name(f"bioseg/{study}")
    found = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL) if experiment else []
    return sorted(found, key=lambda run: str(run.info.run_name))


def steps(client: MlflowClient, study: str, metric: str = "latency_ms") -> dict[str, list[int]]:
    """The steps of all points of each run of a study, by the name of the run without the study."""
    return {
        run.info.run_name.removeprefix(f"{study} "): sorted(
            point.step for point in client.get_metric_history(run.info.run_id, metric)
        )
        for run in runs(client, study)
    }


def records(sessions: sessionmaker[Session], seqs: list[int]) -> list[RequestRecord]:
    with reading(sessions) as session:
        return list(
            session.scalars(select(RequestRecord).where(RequestRecord.seq.in_(seqs)).order_by(RequestRecord.seq))
        )


def unmark(sessions: sessionmaker[Session], seqs: list[int]) -> None:
    """What the database looks like when the process died after the sending and before the commit."""
    with sessions.begin() as session:
        session.execute(update(RequestRecord).where(RequestRecord.seq.in_(seqs)).values(shipped_at=None))


def test_each_record_is_one_point_of_each_metric_in_the_run_of_its_version_and_arm(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str, screens: dict[str, str]
) -> None:
    seqs = mixed(store)
    mlflow_shipper.ship(sessions, client, seqs, screens)
    expected = [
        {"1.0.0 champion #1": [*seqs[:5], seqs[10]], "none failed #1": seqs[8:10]},
        {"2.0.0 screen #1": seqs[5:8]},
    ]
    assert [expected] * 4 == [[steps(client, each, name) for each in (study, screens[study])] for name in METRICS]


def test_a_point_has_the_values_and_the_moment_of_its_record(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    (_, seq) = store(2)
    mlflow_shipper.ship(sessions, client, [seq], {})
    (run,) = runs(client, study)
    points = {name: client.get_metric_history(run.info.run_id, name)[0] for name in METRICS}
    expected = {"cpu_seconds": 0.125, "cpu_percent": 61.25, "memory_rss_mb": 310.5, "latency_ms": 101.5}
    moment = round(NOON.timestamp() * 1000) + 1
    assert {name: (value, moment) for name, value in expected.items()} == {
        name: (point.value, point.timestamp) for name, point in points.items()
    }


def test_a_run_says_what_it_measures(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    mlflow_shipper.ship(sessions, client, store(1), {})
    tags = runs(client, study)[0].data.tags
    expected = {"study": study, "version": "1.0.0", "arm": "champion", "number": "1", "precision": "f32"}
    assert expected == {name: tags.get(f"bioseg.{name}") for name in expected}


def test_another_installation_on_the_same_server_has_runs_of_its_own(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str, tmp_path: Path
) -> None:
    mlflow_shipper.ship(sessions, client, store(1), {})
    migrate(f"sqlite:///{tmp_path / 'another.db'}")
    another = sessionmaker(connect(f"sqlite:///{tmp_path / 'another.db'}"), expire_on_commit=False)
    with reading(sessions) as session:
        first = session.scalars(select(RequestRecord)).one()
    given = {column.key: getattr(first, column.key) for column in RequestRecord.__table__.columns}
    with another.begin() as session:
        session.execute(insert(RequestRecord), given | {"id": "f" * 32, "mlflow_run": None, "shipped_at": None})
    mlflow_shipper.ship(another, client, [first.seq], {})
    assert len(runs(client, study)) == 2


def test_a_record_leads_to_its_point(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    seqs = store(2)
    mlflow_shipper.ship(sessions, client, seqs, {})
    (run,) = runs(client, study)
    found = records(sessions, seqs)
    assert [(run.info.run_id, seq, True) for seq in seqs] == [
        (record.mlflow_run, record.mlflow_step, record.shipped_at is not None) for record in found
    ]


def test_what_was_shipped_is_not_sent_again(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store
) -> None:
    seqs = store(3)
    assert [mlflow_shipper.ship(sessions, client, seqs, {}) for _ in range(2)] == [3, 0]


def test_a_process_that_dies_between_sending_and_commit_leaves_no_duplicates(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    seqs = store(4)
    mlflow_shipper.ship(sessions, client, seqs[:3], {})
    unmark(sessions, seqs[:3])
    mlflow_shipper.ship(sessions, client, seqs, {})
    assert [{"1.0.0 champion #1": seqs}] * 4 == [steps(client, study, name) for name in METRICS]


def test_a_process_that_dies_after_creating_a_run_leaves_no_empty_run(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    seqs = store(2)
    mlflow_shipper.ship(sessions, client, seqs[:1], {})
    with sessions.begin() as session:
        session.execute(delete(TelemetryRun))
        session.execute(update(RequestRecord).values(mlflow_run=None, mlflow_step=None, shipped_at=None))
    mlflow_shipper.ship(sessions, client, seqs, {})
    assert {"1.0.0 champion #1": seqs} == steps(client, study)


def test_simultaneous_workers_fill_one_run(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    seqs = store(12)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda part: mlflow_shipper.ship(sessions, client, part, {}), [seqs[i::3] for i in range(3)]))
    kept = [run for run in runs(client, study) if run.info.lifecycle_stage == "active"]
    points = [sorted(point.step for point in client.get_metric_history(run.info.run_id, METRICS[0])) for run in kept]
    assert [seqs] == points


def test_a_full_run_is_followed_by_the_next(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    seqs = store(7)
    mlflow_shipper.ship(sessions, client, seqs, {}, points_per_run=3)
    expected = {"1.0.0 champion #1": seqs[:3], "1.0.0 champion #2": seqs[3:6], "1.0.0 champion #3": seqs[6:]}
    assert expected == steps(client, study)


def test_only_a_full_run_is_finished(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    mlflow_shipper.ship(sessions, client, store(4), {}, points_per_run=3)
    assert [run.info.status for run in runs(client, study)] == ["FINISHED", "RUNNING"]


def test_points_of_a_deleted_run_go_to_a_new_one(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    old, new = store(1), store(2)
    mlflow_shipper.ship(sessions, client, old, {})
    client.delete_run(runs(client, study)[0].info.run_id)
    with pytest.raises(TrackingError, match="lost run"):
        mlflow_shipper.ship(sessions, client, new, {})
    mlflow_shipper.ship(sessions, client, new, {})
    assert new == steps(client, study)["1.0.0 champion #2"]


def test_more_than_one_call_takes_are_all_shipped(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str
) -> None:
    seqs = store(mlflow_shipper.BATCH + 1)
    mlflow_shipper.ship(sessions, client, seqs, {})
    assert {"1.0.0 champion #1": seqs} == steps(client, study)


def test_a_server_that_is_down_loses_nothing(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, study: str, free_port: int
) -> None:
    seqs = store(3)
    with pytest.raises(TrackingError, match="does not answer"):
        mlflow_shipper.ship(sessions, mlflow_shipper.connect(f"http://127.0.0.1:{free_port}"), seqs, {})
    mlflow_shipper.ship(sessions, client, seqs, {})
    assert {"1.0.0 champion #1": seqs} == steps(client, study)


def test_a_server_that_hangs_is_left_alone_after_seconds(
    sessions: sessionmaker[Session], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    seqs = store(1)
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = mlflow_shipper.connect(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TrackingError, match="timeout"):
            mlflow_shipper.ship(sessions, client, seqs, {})
    assert time.monotonic() - start < 5


def test_shipping_prints_nothing(
    sessions: sessionmaker[Session], client: MlflowClient, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    mlflow_shipper.ship(sessions, client, store(4), {}, points_per_run=3)
    assert capfd.readouterr() == ("", "")
