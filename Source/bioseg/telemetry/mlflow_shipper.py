"""Ships request records to MLflow: each is one point of four metrics, at the step of its sequence number.

A record is first given a run, in the database, and then sent. So when a process dies in between, or when the answer of
the server is lost, the record is sent again to the same run, where the server keeps equal points once.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Metric, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database.engine import reading
from bioseg.database.tables import RequestRecord, TelemetryRun
from bioseg.errors import TrackingError
from bioseg.telemetry import mlflow_rollouts
from bioseg.telemetry.mlflow_experiment import experiment_id
from bioseg.telemetry.tracking_server import probe

METRICS = ("cpu_seconds", "cpu_percent", "memory_rss_mb", "latency_ms")
POINTS_PER_RUN = 10_000
BATCH = 1000 // len(METRICS)  # the server takes 1000 values per call
_NOTE = "What each request cost. The step of a point is the sequence number of its request record."

Sessions = sessionmaker[Session]


class Place(NamedTuple):
    """Which runs a record's points belong to: those of a study's version in an arm, and in a rollout, or empty."""

    study: str
    version: str
    arm: str
    rollout: str


def connect(tracking_uri: str) -> MlflowClient:
    """Make a client; it contacts the server on first use only."""
    return MlflowClient(tracking_uri)


def ship(
    sessions: Sessions,
    client: MlflowClient,
    seqs: Sequence[int],
    screens: Mapping[str, str],
    points_per_run: int = POINTS_PER_RUN,
) -> int:
    """Ship the records with these sequence numbers, without those that were shipped before.

    Parameters
    ----------
    screens
        The study that screens each study; refused records go to its runs.
    points_per_run
        After so many points a new, numbered run begins.

    Returns
    -------
    How many were shipped.

    Raises
    ------
    TrackingError
        When the server does not answer or refuses; what is not shipped by then can be shipped later.
    SettingsError
        When its address is malformed.
    """
    probe(client.tracking_uri)
    try:
        _assign_runs(sessions, client, seqs, screens, points_per_run)
        with reading(sessions) as session:
            records = _unshipped(session, seqs)
        for run_id, batch in groupby(sorted(records, key=_run_and_step), key=lambda record: record.mlflow_run):
            _send(sessions, client, str(run_id), list(batch), points_per_run)
    except MlflowException as error:
        # The address may hold a password, and MLflow's own words may hold the address.
        raise TrackingError(str(error.message).replace(client.tracking_uri, "the tracking server")) from error
    return len(records)


def _place(record: RequestRecord, screens: Mapping[str, str]) -> Place:
    if record.status == "refused":
        screen = screens.get(record.study, record.study)
        return Place(screen, record.screen_version or "none", "screen", record.screen_rollout or "")
    if record.version is None:
        return Place(record.study, "none", "failed", "")
    return Place(record.study, record.version, record.arm or "champion", record.rollout or "")


def _unshipped(session: Session, seqs: Sequence[int]) -> list[RequestRecord]:
    query = select(RequestRecord).where(RequestRecord.seq.in_(seqs), RequestRecord.shipped_at.is_(None))
    return list(session.scalars(query.order_by(RequestRecord.seq)))


def _run_and_step(record: RequestRecord) -> tuple[str, int]:
    return str(record.mlflow_run), record.seq


def _assign_runs(
    sessions: Sessions, client: MlflowClient, seqs: Sequence[int], screens: Mapping[str, str], points_per_run: int
) -> None:
    """Give each record a run with room for it, in the order of the sequence numbers."""
    while True:
        with reading(sessions) as session:
            waiting = [record for record in _unshipped(session, seqs) if record.mlflow_run is None]
        if not waiting:
            return
        place = _place(waiting[0], screens)
        run = _open_run(sessions, client, place, points_per_run, waiting[0])
        fitting = [record.seq for record in waiting if _place(record, screens) == place]
        with sessions.begin() as session:
            _fill(session, run.id, fitting, points_per_run)


def _fill(session: Session, run_key: int, seqs: Sequence[int], points_per_run: int) -> None:
    run = session.get_one(TelemetryRun, run_key, with_for_update=True)
    room = max(0, points_per_run - run.points)
    free = select(RequestRecord).where(RequestRecord.seq.in_(seqs), RequestRecord.mlflow_run.is_(None))
    for record in session.scalars(free.order_by(RequestRecord.seq).limit(room).with_for_update()):
        record.mlflow_run, record.mlflow_step = run.run_id, record.seq
        run.points += 1


def _open_run(
    sessions: Sessions, client: MlflowClient, place: Place, points_per_run: int, first: RequestRecord
) -> TelemetryRun:
    """Find the run of a place that has room, or begin the next one."""
    with reading(sessions) as session:
        last = _last_run(session, place)
    if last is not None and last.points < points_per_run:
        return last
    number = last.number + 1 if last else 1
    run_id = _create_run(sessions, client, place, number, first)
    run = TelemetryRun(**place._asdict(), number=number, run_id=run_id, points=0)
    try:
        with sessions.begin() as session:
            session.add(run)
    except IntegrityError:
        # Another worker was first; its run counts. When both found the same run in MLflow there is nothing to undo.
        with reading(sessions) as session:
            faster = _last_run(session, place)
        if faster is None:
            raise
        if faster.run_id != run_id:
            client.delete_run(run_id)
        return faster
    return run


def _last_run(session: Session, place: Place) -> TelemetryRun | None:
    runs = select(TelemetryRun).filter_by(**place._asdict()).order_by(TelemetryRun.number.desc())
    return session.scalar(runs.limit(1))


def _create_run(sessions: Sessions, client: MlflowClient, place: Place, number: int, first: RequestRecord) -> str:
    """Create a run, or find the one that a process created for the same record and then died; returns its id.

    The record tells it from runs of another installation that ships to the same server. Under a rollout it is a child
    of the rollout's run.
    """
    experiment = experiment_id(client, f"bioseg/{place.study}")
    said = place._asdict() | {"number": str(number), "first_request": first.id}
    tags = {f"bioseg.{name}": value for name, value in said.items()}
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    for known in client.search_runs([experiment], wanted, max_results=1):
        return str(known.info.run_id)
    if first.precision:
        tags["bioseg.precision"] = first.precision
    if place.rollout:
        tags[mlflow_rollouts.PARENT] = mlflow_rollouts.run_of(sessions, client, place.study, place.rollout)
    name = f"{place.study} {place.version} {place.arm} #{number}"
    return str(client.create_run(experiment, run_name=name, tags=tags | {"mlflow.note.content": _NOTE}).info.run_id)


def _send(
    sessions: Sessions, client: MlflowClient, run_id: str, records: Sequence[RequestRecord], points_per_run: int
) -> None:
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        try:
            client.log_batch(run_id, metrics=[point for record in batch for point in _points(record)])
        except MlflowException as error:
            if _is_gone(client, run_id):
                _give_up_run(sessions, run_id, points_per_run)
                raise TrackingError(f"the tracking server lost run {run_id}; its points go to a new one") from error
            raise
        with sessions.begin() as session:
            shipped = update(RequestRecord).where(RequestRecord.seq.in_([record.seq for record in batch]))
            session.execute(shipped.values(shipped_at=datetime.now(UTC)))
    with reading(sessions) as session:
        full = session.scalar(select(TelemetryRun.points >= points_per_run).where(TelemetryRun.run_id == run_id))
    if full:
        client.update_run(run_id, status=RunStatus.to_string(RunStatus.FINISHED))


def _points(record: RequestRecord) -> list[Metric]:
    moment = round(record.created_at.timestamp() * 1000)
    return [Metric(name, getattr(record, name), moment, record.seq) for name in METRICS]


def _is_gone(client: MlflowClient, run_id: str) -> bool:
    """Tell whether the server lost or deleted a run."""
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage != "active")
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return True
        raise


def _give_up_run(sessions: Sessions, run_id: str, points_per_run: int) -> None:
    """Close a run and free the records that were to go there."""
    with sessions.begin() as session:
        session.execute(update(TelemetryRun).where(TelemetryRun.run_id == run_id).values(points=points_per_run))
        waiting = update(RequestRecord).where(RequestRecord.mlflow_run == run_id, RequestRecord.shipped_at.is_(None))
        session.execute(waiting.values(mlflow_run=None, mlflow_step=None))
