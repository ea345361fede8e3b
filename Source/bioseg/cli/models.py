"""Commands on studies and their models."""

import json
import sys
from pathlib import Path

import click

from bioseg import service, studies
from bioseg import settings as configuration
from bioseg.cli.data import data_dir
from bioseg.errors import InvalidInput

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("studies")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_studies(*, as_json: bool) -> None:
    """List the studies with their versions and what screens them."""
    described = service.describe_studies(service.open_platform(configuration.load()))
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for study in described:
        screen = f", screened by {study['screened_by']}" if study["screened_by"] else ""
        click.echo(f"{study['name']}: {study['title']} ({study['task']}{screen}); champion {study['champion']}")


@click.command()
@click.argument("study")
@click.option("--recipe", default="default", show_default=True, help="One of the study's recipes.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop in time, the schedule with it.")
@click.option("--name", help="Name of the new version; the date and a number unless told.")
@click.option("--refit", is_flag=True, help="With the chosen settings, fit again on the choosing split too.")
def train(study: str, recipe: str, epochs: int | None, minutes: float | None, name: str | None, *, refit: bool) -> None:
    """Fit a model of STUDY, track the run, and write a bundle with its metrics."""
    from bioseg.training import train as fitting

    bundle = fitting.train(
        study, recipe, configuration.load(), data_dir(), epochs=epochs, minutes=minutes, version=name, refit=refit
    )
    click.echo(f"{bundle.path}")


@click.command()
@click.argument("study")
@click.option("--version", help="Instead of the champion.")
@click.option("--images", type=FOLDER, help="Folder of images; with --labels, instead of the held-out split.")
@click.option("--labels", type=FOLDER, help="Folder of label images, paired with the images by stem.")
@click.option("--foreground", type=click.IntRange(0, 65535), help="Label value that is foreground.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def evaluate(
    study: str,
    version: str | None,
    images: Path | None,
    labels: Path | None,
    foreground: int | None,
    *,
    as_json: bool,
) -> None:
    """Score a version of STUDY on its held-out split, or on folders paired by stem."""
    from bioseg import evaluation
    from bioseg.datasets import folders

    if (images is None) != (labels is None):
        raise InvalidInput("--images and --labels go together")
    platform = service.open_platform(configuration.load())
    chosen = studies.get(study)
    arm = platform.runtime.version(study, version) if version else platform.runtime.champion(study)
    if images and labels:
        own = folders.paired(images, labels)
        report = evaluation.evaluate(chosen, arm.contract, arm.predict, own, foreground_value=foreground)
    else:
        report = evaluation.evaluate_held_out(chosen, arm.contract, arm.predict, data_dir())
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def bench(*, as_json: bool) -> None:
    """Measure a request end to end against the seed's way, and what it is made of."""
    from bioseg import benchmark

    report = benchmark.run(configuration.load())
    click.echo(json.dumps(report, indent=2) if as_json else benchmark.as_text(report))
    sys.exit(0)


COMMANDS = (list_studies, train, evaluate, bench)
