"""The command that compares a candidate with the champion before users meet it."""

import json
import sys

import click

from bioseg import settings as configuration
from bioseg import studies
from bioseg.cli.data import data_dir
from bioseg.platform import open_models

EXIT = {"promote": 0, "inconclusive": 3, "rollback": 4}


@click.command()
@click.argument("study")
@click.option("--candidate", required=True, help="Version that may become the champion.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def gate(study: str, candidate: str, *, as_json: bool) -> None:
    """Compare a version of STUDY with the champion on the same held-out images.

    Exit code 0: promote. 3: inconclusive. 4: rollback, it is worse or breaks a limit. 1: failure, nothing was decided.
    2: wrong use, such as an unknown version.
    """
    from bioseg import gate as offline

    chosen, settings = studies.get(study), configuration.load()
    models = open_models(settings)
    bundle = models.registry.open(study, candidate)
    report = offline.examine(chosen, models.runtime.champion(study), bundle, settings, data_dir(), _draw_progress)
    offline.keep(settings, report)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())
    sys.exit(EXIT[report.verdict.verdict])


def _draw_progress(done: float, line: str) -> None:
    click.echo(f"[{'#' * round(20 * done):20}] {done:4.0%} {line}", err=True)


COMMANDS = (gate,)
