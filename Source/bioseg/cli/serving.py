"""Commands that serve and check an installation."""

import dataclasses
import json
import logging
import signal
import sys
import threading

import click

from bioseg import settings as configuration
from bioseg.settings import Settings

log = logging.getLogger(__name__)

NO_OPERATOR = "nobody is an operator until BIOSEG_OPERATOR_TOKEN is set"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Web worker processes.")
def serve(host: str, port: int, workers: int) -> None:
    """Run the web application, its worker, and an MLflow server when none is named."""
    from bioseg import preflight, processes

    settings = configuration.load()
    preflight.check(settings)
    preflight.require_free(host, port, "stop what listens there, or choose another --port")
    web, tracking = processes.web(host, port, workers), processes.tracking(settings)
    if tracking is not None:
        remedy = "choose another BIOSEG_MLFLOW_PORT, or name the server that listens there in BIOSEG_MLFLOW_URI"
        preflight.require_free(processes.TRACKING_HOST, settings.mlflow_port, remedy)
    _appoint_operator(settings)
    beside = f", MLflow on {settings.tracking_uri}" if tracking is not None else ""
    click.echo(f"Bioseg on http://{host}:{port}{beside}", err=True)
    sys.exit(processes.serve(web, [processes.worker(), *([tracking] if tracking is not None else [])]))


def _appoint_operator(settings: Settings) -> None:
    """See that there are operators: make their token at the first start, and show it to who started this, once."""
    from sqlalchemy.orm import sessionmaker

    from bioseg import credentials
    from bioseg.database import engine

    if engine.is_server(settings.resolved_database_url):  # it keeps no tokens, and need not be up yet
        if not settings.operator_token.get_secret_value():
            log.warning(NO_OPERATOR)
        return
    engine.migrate(settings.resolved_database_url)
    database = engine.connect(settings.resolved_database_url)
    sessions = sessionmaker(database)
    token = credentials.appoint_operator(settings, sessions) if sys.stderr.isatty() else None
    if token is not None:
        click.echo(f"Operator token, shown only now: {token}\nOnly its hash is kept: store it safely.", err=True)
    elif credentials.operator_digest(settings, sessions) is None:
        log.warning(NO_OPERATOR)
    database.dispose()


@click.command()
@click.option("--once", is_flag=True, help="Do what is due, then exit.")
def worker(*, once: bool) -> None:
    """Do what follows the responses: ship telemetry to MLflow, copy pictures to the mirror, delete what is too old."""
    from bioseg import preflight
    from bioseg import worker as background
    from bioseg.database.engine import migrate_patiently
    from bioseg.platform import open_platform

    settings = configuration.load()
    preflight.check(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if not once:
        migrate_patiently(settings.resolved_database_url, stop)
    if not stop.is_set():
        background.run(open_platform(settings), once=once, stop=stop)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def doctor(*, as_json: bool) -> None:
    """Check installation, settings, stores and bundles, and say what to do."""
    from bioseg import diagnosis

    findings = diagnosis.examine(configuration.load())
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.found}")
            if not finding.ok:
                click.echo(f"     {finding.remedy}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


COMMANDS = (serve, worker, doctor)
