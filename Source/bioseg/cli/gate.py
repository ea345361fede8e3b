"""The command that compares a candidate with the champion before users meet it."""

import json
import sys
from pathlib import Path

import click

from bioseg import settings as configuration
from bioseg import studies
from bioseg.cli.data import data_dir
from bioseg.platform import open_models
from bioseg.telemetry import tracking_server

EXIT = {"promote": 0, "inconclusive": 3, "rollback": 4}


@click.command()
@click.argument("study")
@click.option("--candidate", required=True, help="Version that may become the champion.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as a page, too.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def gate(study: str, candidate: str, html: Path | None, *, as_json: bool) -> None:
    """Compare a version of STUDY with the champion on the same held-out images.

    The report is kept for `bioseg promote`. Exit code 0: promote. 3: inconclusive. 4: rollback, it is worse or breaks a
    limit. 1: failure, nothing was decided. 2: wrong use, such as an unknown version.
    """
    tracking_server.limit_patience()
    from bioseg.gate import keeping, mlflow_run
    from bioseg.gate.examination import examine
    from bioseg.gate.html import page

    chosen, settings = studies.get(study), configuration.load()
    models = open_models(settings)
    bundle, folder = models.registry.open(study, candidate), data_dir()
    report = examine(chosen, models.runtime.champion(study), bundle, settings, folder, _draw_progress)
    keeping.keep(settings, report)
    mlflow_run.log(settings, report)
    found = report.as_json()
    if html is not None:
        html.write_text(page(found), encoding="utf-8")
    click.echo(json.dumps(found, indent=2) if as_json else report.as_text())
    sys.exit(EXIT[report.verdict.verdict])


def _draw_progress(done: float, line: str) -> None:
    click.echo(f"[{'#' * round(20 * done):20}] {done:4.0%} {line}", err=True)


COMMANDS = (gate,)
