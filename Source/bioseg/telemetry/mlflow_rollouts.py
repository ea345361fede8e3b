"""Rollouts in MLflow: a run each, parent of the runs of its arms, with verdict, evidence and ledger as artifacts."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database.engine import reading
from bioseg.database.tables import RolloutRun
from bioseg.errors import TrackingError
from bioseg.telemetry.mlflow_experiment import experiment_id
from bioseg.telemetry.tracking_server import probe

PARENT: Final = "mlflow.parentRunId"
TAG: Final = "bioseg.rollout"
_NOTE = "A rollout: the runs below it hold what the requests of its arms cost, its artifacts what the evidence says."


def run_of(sessions: sessionmaker[Session], client: MlflowClient, study: str, rollout: str) -> str:
    """Find or create the run of a rollout; gives its id, the same to everybody who asks.

    Raises
    ------
    MlflowException
        When the server does not answer or refuses.
    """
    with reading(sessions) as session:
        known = session.get(RolloutRun, rollout)
    if known is not None:
        return known.run_id
    run_id = _created(client, study, rollout)
    try:
        with sessions.begin() as session:
            session.add(RolloutRun(rollout=rollout, study=study, run_id=run_id, told="", is_over=False))
    except IntegrityError:  # another worker was first; its run counts
        with reading(sessions) as session:
            faster = session.get_one(RolloutRun, rollout).run_id
        if faster != run_id:
            client.delete_run(run_id)
        return faster
    return run_id


def _created(client: MlflowClient, study: str, rollout: str) -> str:
    """Create the run, or find the one that a process created and then died."""
    experiment = experiment_id(client, f"bioseg/{study}")
    for known in client.search_runs([experiment], f"tags.`{TAG}` = '{rollout}' and tags.`bioseg.is` = 'rollout'"):
        return str(known.info.run_id)
    tags = {TAG: rollout, "bioseg.is": "rollout", "bioseg.study": study, "mlflow.note.content": _NOTE}
    return str(client.create_run(experiment, run_name=f"{study} rollout {rollout[:8]}", tags=tags).info.run_id)


def tell(
    sessions: sessionmaker[Session],
    client: MlflowClient,
    study: str,
    rollout: str,
    moves: Sequence[Mapping[str, Any]],
    found: Mapping[str, Any],
    *,
    is_over: bool,
) -> None:
    """Keep what is known of a rollout in its run, unless the same was kept before.

    Parameters
    ----------
    moves
        Its rows in the ledger: the artifact `ledger.json`.
    found
        The verdict with all that it rests on: the artifact `verdict.json`.
    is_over
        Whether nothing more will come; the run is closed then.

    Raises
    ------
    TrackingError
        When the server does not answer or refuses; call again later.
    """
    probe(client.tracking_uri)
    try:
        run_id = run_of(sessions, client, study, rollout)
        told = hashlib.sha256(json.dumps([*moves, found, is_over], sort_keys=True).encode()).hexdigest()
        with reading(sessions) as session:
            if session.get_one(RolloutRun, rollout).told == told:
                return
        client.log_dict(run_id, {"moves": list(moves)}, "ledger.json")
        client.log_dict(run_id, dict(found), "verdict.json")
        if "verdict" in found:
            client.set_tag(run_id, "bioseg.verdict", found["verdict"]["verdict"])
            client.set_tag(run_id, "bioseg.reason", found["verdict"]["reason"])
        if is_over:
            client.set_terminated(run_id)
    except MlflowException as error:
        raise TrackingError(str(error.message).replace(client.tracking_uri, "the tracking server")) from error
    with sessions.begin() as session:
        run = session.get_one(RolloutRun, rollout, with_for_update=True)
        run.told, run.is_over = told, is_over
