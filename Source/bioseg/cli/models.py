"""Commands on studies and their models."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bioseg import settings as configuration
from bioseg import studies
from bioseg.cli.data import data_dir
from bioseg.errors import InvalidInput, WrongTask
from bioseg.platform import open_models
from bioseg.study import Study

if TYPE_CHECKING:
    from bioseg.datasets import Sample
    from bioseg.evaluation.report import Report
    from bioseg.runtime import Arm

SPLIT = click.option("--split", help="Another split of the study, one of its protocols.")
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
LOSES_TOO_MUCH = 4
"""Exit code of a version that is not kept, as that of `bioseg gate` for one that is worse."""


@click.command()
@click.argument("study")
@click.option("--recipe", default="default", show_default=True, help="One of the study's recipes.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop in time, the schedule with it.")
@click.option("--name", help="Name of the new version; the date and a number unless told.")
@click.option("--start", help="Version whose weights the fit begins with; random ones unless told.")
@click.option("--teacher", "teachers", multiple=True, help="Version that teaches one whose recipe is taught.")
@click.option("--refit", is_flag=True, help="With the chosen settings, fit again on the choosing split too.")
@SPLIT
def train(  # noqa: PLR0913 - an argument for each option
    study: str,
    recipe: str,
    epochs: int | None,
    minutes: float | None,
    name: str | None,
    start: str | None,
    teachers: tuple[str, ...],
    split: str | None,
    *,
    refit: bool,
) -> None:
    """Fit a model of STUDY, track the run, and write a bundle with its metrics.

    A fit of a segmenter that broke off goes on when the command is given again.
    """
    from bioseg.training import train as fitting

    bundle = fitting.train(
        study,
        recipe,
        configuration.load(),
        data_dir(),
        epochs=epochs,
        minutes=minutes,
        version=name,
        refit=refit,
        start=start,
        teachers=teachers,
        split=split,
        progress=_draw_progress,
    )
    click.echo(f"{bundle.path}")


@click.command()
@click.argument("study")
@click.option("--recipe", "recipes", multiple=True, required=True, help="One of the study's recipes; twice or more.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipes'.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Of each fit, the schedule with it.")
@click.option("--folds", type=click.IntRange(2), help="Score all samples out of fold, groups whole, in so many parts.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def compare(
    study: str,
    recipes: tuple[str, ...],
    epochs: int | None,
    minutes: float | None,
    folds: int | None,
    *,
    as_json: bool,
) -> None:
    """Fit recipes of STUDY on the same samples, and tell whether they differ.

    Each fit is tracked. Differences are means over images, with intervals from whole groups drawn again.
    """
    from bioseg.training import comparing

    compared = comparing.compare(
        study,
        recipes,
        configuration.load(),
        data_dir(),
        epochs=epochs,
        minutes=minutes,
        parts=folds,
        progress=_draw_progress,
    )
    click.echo(json.dumps(compared.as_json(), indent=2) if as_json else compared.as_text())


def _draw_progress(done: float, line: str) -> None:
    """Draw a bar and what is known so far on a line of its own, so that a log keeps the course of a fit."""
    click.echo(f"[{'#' * round(20 * done):20}] {done:4.0%} {line}", err=True)


@click.command()
@click.argument("study")
@click.option("--recipe", default="default", show_default=True, help="One of the study's recipes.")
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="In all, earlier ones counted.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="After which no further trial begins.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Of the recipe's steps that a trial takes.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def tune(study: str, recipe: str, trials: int, minutes: float | None, share: float, *, as_json: bool) -> None:
    """Search for better settings of a recipe of STUDY by short fits, each tracked and judged on the choosing split.

    A search that broke off goes on when the command is given again. What wins in short fits is to be fitted whole.
    """
    from bioseg.training import optuna_tuning

    found = optuna_tuning.tune(
        study,
        recipe,
        configuration.load(),
        data_dir(),
        trials=trials,
        minutes=minutes,
        share=share,
        progress=_draw_progress,
    )
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else found.as_text())


@click.command()
@click.argument("study")
@click.option("--version", help="Instead of the champion.")
@SPLIT
@click.option("--images", type=FOLDER, help="Folder of images; with --labels, instead of the held-out split.")
@click.option("--labels", type=FOLDER, help="Folder of label images, paired with the images by stem.")
@click.option("--foreground", type=click.IntRange(0, 65535), help="Label value that is foreground.")
@click.option("--corrupted", is_flag=True, help="Score blurred, noisy, turned ... images too (classification).")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with pictures to this file."
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def evaluate(  # noqa: PLR0913 - the options of the command
    study: str,
    version: str | None,
    split: str | None,
    images: Path | None,
    labels: Path | None,
    foreground: int | None,
    html: Path | None,
    *,
    corrupted: bool,
    as_json: bool,
) -> None:
    """Score a version of STUDY on its held-out split, or on folders paired by stem."""
    from bioseg import evaluation
    from bioseg.datasets import folders
    from bioseg.evaluation import corruptions

    if (images is None) != (labels is None):
        raise InvalidInput("--images and --labels go together")
    if images and split:
        raise InvalidInput("--split names samples, and so do --images and --labels: give either")
    named = studies.get(study) if split is None else studies.get(study).under(split)
    chosen = _marked(named, foreground)
    if images and chosen.task != "segmentation":
        raise WrongTask(f"{study} is a {chosen.task} study: it is scored on its held-out split only")
    if corrupted and chosen.task != "classification":
        raise WrongTask(f"{study} is a {chosen.task} study: --corrupted is for classification")
    models = open_models(configuration.load())
    arm = models.runtime.version(study, version) if version else models.runtime.champion(study)
    own = (folders.paired(images, labels), ()) if images and labels else None
    samples, drawn = own or evaluation.held_out(chosen, data_dir())
    report = evaluation.evaluate(chosen, arm.contract, arm.predict, samples, drawn=drawn)
    if corrupted:
        table = corruptions.corrupted(chosen, arm.contract, arm.predict, samples, drawn)
        report = dataclasses.replace(report, corruptions=table)
    if html:
        _write_page(html, chosen, arm, report, samples)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())


def _write_page(file: Path, study: Study, arm: "Arm", report: "Report", samples: "Sequence[Sample]") -> None:
    from bioseg.evaluation import page

    segmented = study.task == "segmentation"
    shown = page.best_and_worst(study, arm.contract, arm.predict, samples) if segmented else ()
    file.write_text(
        page.as_html(report, arm.contract, shown, arm.bundle.manifest.provenance.get("course", {})), encoding="utf-8"
    )


def _marked(study: Study, foreground: int | None) -> Study:
    """The study, with another value of the foreground in label images when one is given."""
    if foreground is None:
        return study
    if study.task != "segmentation":
        raise WrongTask(f"{study.name} is a {study.task} study: it has no label images, so no --foreground")
    return dataclasses.replace(study, foreground_value=foreground)


@click.command()
@click.argument("study")
@click.option("--version", help="In float32; the champion unless told.")
@click.option("--precision", type=click.Choice(["int8", "bf16"]), default="int8", show_default=True)
@click.option("--name", help="Name of the new version; VERSION-PRECISION unless told.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def quantise(
    study: str, version: str | None, precision: Literal["int8", "bf16"], name: str | None, *, as_json: bool
) -> None:
    """Make a version of STUDY in a cheaper precision, and say what it loses on the held-out split.

    Exit code 0: it is in the registry. 4: it loses too much, and is not kept. 1 and 2: as everywhere.
    """
    from bioseg.training import precision as cheaper

    chosen, settings = studies.get(study), configuration.load()
    models = open_models(settings)
    arm = models.runtime.version(study, version) if version else models.runtime.champion(study)
    name = name or f"{arm.contract.version}-{precision}"
    splits = chosen.splits(data_dir())
    threads = settings.inference_threads()
    found = cheaper.cheapen(chosen, arm, precision, name, splits, models.registry, threads)
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else found.as_text())
    sys.exit(0 if found.bundle else LOSES_TOO_MUCH)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def bench(*, as_json: bool) -> None:
    """Measure a request end to end against the seed's way, and what it is made of."""
    from bioseg import benchmark

    report = benchmark.run(configuration.load())
    click.echo(json.dumps(report, indent=2) if as_json else benchmark.as_text(report))


COMMANDS = (train, tune, compare, evaluate, quantise, bench)
