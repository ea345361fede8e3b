"""A comparison as a run in MLflow, where a tracking server answers; the database has it in any case."""

import json
import logging

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from bioseg.errors import TrackingError
from bioseg.gate import html
from bioseg.gate.report import GateReport
from bioseg.settings import Settings
from bioseg.telemetry.mlflow_experiment import experiment_id
from bioseg.telemetry.tracking_server import probe

ENDS = {"": "mean", " low": "low", " high": "high"}

logger = logging.getLogger(__name__)


def log(settings: Settings, report: GateReport) -> str | None:
    """Keep a report as a run of the experiment `bioseg/<study> gate`, its JSON and its page as artifacts.

    Returns
    -------
    Id of the run; None when no server answers or it refuses, which is logged.

    Raises
    ------
    SettingsError
        When the server's address is malformed.
    """
    try:
        probe(settings.tracking_uri)
        return _logged(MlflowClient(settings.tracking_uri), report)
    except (TrackingError, MlflowException, OSError) as error:
        logger.warning("MLflow has no run of this comparison: %s", error)
        return None


def _logged(client: MlflowClient, report: GateReport) -> str:
    name = f"{report.candidate.version} against {report.champion.version}"
    run = str(client.create_run(experiment_id(client, f"bioseg/{report.study} gate"), run_name=name).info.run_id)
    status = "FAILED"
    try:
        _fill(client, run, report)
        status = "FINISHED"
    finally:
        client.set_terminated(run, status)
    return run


def _fill(client: MlflowClient, run: str, report: GateReport) -> None:
    client.set_tag(run, "verdict", report.verdict.verdict)
    client.set_tag(run, "reason", report.verdict.reason)
    for key, value in _parameters(report).items():
        client.log_param(run, key, value)
    for key, number in _metrics(report).items():
        client.log_metric(run, key, number)
    found = report.as_json()
    client.log_text(run, json.dumps(found, indent=2), "report.json")
    client.log_text(run, html.page(found), "report.html")


def _parameters(report: GateReport) -> dict[str, str]:
    return {
        "champion": report.champion.version,
        "candidate": report.candidate.version,
        "split": report.split.sha256,
        "goal": report.rule.goal,
        "metric": report.rule.metric,
    }


def _metrics(report: GateReport) -> dict[str, float]:
    """The interval of each difference, and the figure of each guardrail that has one."""
    found: dict[str, float] = {}
    for name, compared in {report.rule.metric: report.scores.quality, **report.scores.secondary}.items():
        found |= {f"{name} difference{end}": getattr(compared, key) for end, key in ENDS.items()}
    return found | {rail.name: rail.value for rail in report.guardrails if rail.value is not None}
