"""The commands that compare candidates with the champion before users meet them."""

import json
import sys
from pathlib import Path

import click

from bioseg import settings as configuration
from bioseg import studies
from bioseg.cli.data import data_dir
from bioseg.gate.report import GateReport
from bioseg.platform import Models, open_models
from bioseg.registry.standing import Standing
from bioseg.runtime import Runtime
from bioseg.telemetry import tracking_server

EXIT = {"promote": 0, "inconclusive": 3, "rollback": 4}
NOTHING = "none"
"""The verdict where nothing was compared."""


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
    from bioseg.gate.html import page

    models = open_models(configuration.load())
    report = _examined(models, models.runtime, study, candidate)
    found = report.as_json()
    if html is not None:
        html.write_text(page(found), encoding="utf-8")
    click.echo(json.dumps(found, indent=2) if as_json else report.as_text())
    sys.exit(EXIT[report.verdict.verdict])


@click.command("gate-changed")
@click.argument("base")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def gate_changed(base: str, *, as_json: bool) -> None:
    """Compare every shipped version that the commit BASE lacks with the champion that BASE names.

    Exit codes are those of `gate`, the worst verdict's where several versions are new; 0 where none is, and where a
    study had no champion to compare with. A changed file in a version that BASE has is a failure.
    """
    tracking_server.limit_patience()
    from bioseg.gate import changed

    models = open_models(configuration.load())
    changes = changed.since(base, models.settings.models_dir)
    before = Runtime(
        models.settings, models.registry, lambda study: Standing(study, champion=changes.champions.get(study))
    )
    reports = []
    for study, version in changes.candidates:
        if study not in changes.champions:
            click.echo(f"{study} {version}: no champion at {base} to compare with", err=True)
            continue
        reports.append(_examined(models, before, study, version))
        click.echo(f"{study} {version}: {reports[-1].verdict.verdict}: {reports[-1].verdict.reason}", err=True)
    if not changes.candidates:
        click.echo(f"{base} has every shipped version: nothing to compare", err=True)
    verdict = max((report.verdict.verdict for report in reports), key=EXIT.__getitem__, default=NOTHING)
    if as_json:
        found = {"base": base, "verdict": verdict, "reports": [report.as_json() for report in reports]}
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo("\n\n".join([verdict, *(report.as_text() for report in reports)]))
    sys.exit(EXIT.get(verdict, 0))


def _examined(models: Models, runtime: Runtime, study: str, candidate: str) -> GateReport:
    """Compare a version with the champion, and keep what was found."""
    from bioseg.gate import keeping, mlflow_run
    from bioseg.gate.examination import examine

    chosen, settings = studies.get(study), models.settings
    bundle, folder = models.registry.open(study, candidate), data_dir()
    report = examine(chosen, runtime.champion(study), bundle, settings, folder, _draw_progress)
    keeping.keep(settings, report)
    mlflow_run.log(settings, report)
    return report


def _draw_progress(done: float, line: str) -> None:
    click.echo(f"[{'#' * round(20 * done):20}] {done:4.0%} {line}", err=True)


COMMANDS = (gate, gate_changed)
