"""Commands on image files; nothing is recorded."""

import dataclasses
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bioseg import analysis, studies
from bioseg import images as pictures
from bioseg import settings as configuration
from bioseg.decoding import formats, stacks
from bioseg.errors import ImageError, InvalidInput, Refused, UnknownVersion, WrongTask
from bioseg.inference.eightfold import eightfold
from bioseg.inference.instances import instances
from bioseg.platform import Models, open_models
from bioseg.study import Study, Task

log = logging.getLogger(__name__)

FILES = click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
STUDY = click.option("--study", "name", default=studies.DEFAULT, show_default=True, help="Name of the study.")
PRODUCTS = ("mask", "probability", "overlay", "instances")
ANSWER = ("verdict", "score", "kind", "reason")


@click.command()
@FILES
@STUDY
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write into.")
@click.option("--version", help="Instead of the champion.")
@click.option("--save", default="mask", show_default=True, help=f"Any of {', '.join(PRODUCTS)}, comma between.")
@click.option("--tta", is_flag=True, help="Average over the eight flips and quarter turns.")
@click.option("--screen", is_flag=True, help="Refuse what the screen does not accept, instead of warning.")
def segment(
    files: tuple[Path, ...], name: str, out: Path, version: str | None, save: str, *, tta: bool, screen: bool
) -> None:
    """Segment FILES and write `<stem>.<what>.png` for each, or `.tif`: of TIFF stacks, page by page, and of instances.

    Instances are numbered from 1: the regions that a boundary parts, or the objects of the foreground.
    """
    wanted = save.split(",")
    if unknown := set(wanted) - set(PRODUCTS):
        raise InvalidInput(f"--save {', '.join(sorted(unknown))}: allowed are {', '.join(PRODUCTS)}")
    _check_stems(files)
    models, study = _open(name, "segmentation")
    arm = models.runtime.version(name, version) if version else models.runtime.champion(name)
    if tta and arm.contract.judged != "eightfold":
        arm = dataclasses.replace(arm, predict=eightfold(arm.predict))
    out.mkdir(parents=True, exist_ok=True)
    for file in _watched(files):
        pages = []
        for place, image in _images(models, file):
            _heed_the_screen(models, study, place, image, refuse=screen)
            found = analysis.segment(arm, image)
            pages.append({what: _product(what, study, image, found.probability, found.mask) for what in wanted})
        for what in wanted:
            _write(out, f"{file.stem}.{what}", what, [page[what] for page in pages])


@click.command()
@FILES
@STUDY
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def screen(files: tuple[Path, ...], name: str, *, as_json: bool) -> None:
    """Tell whether a study would accept FILES, and why."""
    models = open_models(configuration.load())
    study = studies.get(name)
    if study.screened_by is None:
        raise WrongTask(f"study {name} has no screen")
    arm = models.runtime.champion(study.screened_by)
    answers: list[dict[str, Any]] = []
    for file in _watched(files):
        answer = analysis.screen(arm, study, _decoded(models, file))
        answers.append({"file": str(file)} | {member: getattr(answer, member) for member in ANSWER})
    if as_json:
        click.echo(json.dumps(answers, indent=2))
        return
    for row in answers:
        click.echo(f"{row['file']}: {row['verdict']} ({row['score']:.2f}), {row['reason']}")


@click.command()
@FILES
@click.option("--study", "name", required=True, help="Name of a classification study.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def classify(files: tuple[Path, ...], name: str, *, as_json: bool) -> None:
    """Tell the class of FILES."""
    models, _ = _open(name, "classification")
    arm = models.runtime.champion(name)
    answers = []
    for file in _watched(files):
        image = _decoded(models, file)
        told = analysis.classify(arm, image)
        answers.append({"file": str(file), "label": told.label, "probabilities": told.probabilities})
    if as_json:
        click.echo(json.dumps(answers, indent=2))
        return
    for answer in answers:
        click.echo(f"{answer['file']}: {answer['label']}")


def _product(
    what: str, study: Study, image: pictures.Image, probability: NDArray[np.float32], mask: NDArray[np.bool_]
) -> NDArray[Any]:
    if what == "mask":
        return mask.astype(np.uint8) * np.uint8(255)
    if what == "probability":
        return pictures.probability_uint8(probability)
    if what == "overlay":
        return pictures.overlay(pictures.to_uint8(image), mask)
    return instances(probability, mask, study.foreground_is)


def _write(out: Path, name: str, what: str, pages: list[NDArray[Any]]) -> None:
    """Write a product, of a stack all pages, in the format that suits it."""
    if what == "instances" or len(pages) > 1:
        (out / f"{name}.tif").write_bytes(stacks.encode(pages))
    elif what == "mask":
        (out / f"{name}.png").write_bytes(pictures.encode_mask(pages[0] > 0))
    else:
        (out / f"{name}.png").write_bytes(pictures.encode_png(pages[0]))


def _heed_the_screen(models: Models, study: Study, place: str, image: pictures.Image, *, refuse: bool) -> None:
    """Warn of, or refuse, what the screen does not accept; without a champion to look, only warn."""
    if study.screened_by is None:
        return
    try:
        answer = analysis.screen(models.runtime.champion(study.screened_by), study, image)
    except UnknownVersion as error:
        if refuse:
            raise
        log.warning("%s: not screened, %s", place, error)
        return
    if answer.verdict == "accept":
        return
    if refuse:
        raise Refused(f"{place}: {answer.reason}", "", {})
    log.warning("%s: the screen says %s, %s", place, answer.verdict, answer.reason)


def _open(name: str, task: Task) -> tuple[Models, Study]:
    study = studies.get(name)
    if study.task != task:
        raise WrongTask(f"study {name} is a {study.task} study")
    return open_models(configuration.load()), study


def _check_stems(files: tuple[Path, ...]) -> None:
    """Refuse two files whose results would have one name."""
    twice = [stem for stem, count in Counter(file.stem for file in files).items() if count > 1]
    if twice:
        raise InvalidInput(f"several files would write {twice[0]}.*: rename them, or segment them apart")


def _images(models: Models, file: Path) -> Iterator[tuple[str, pictures.Image]]:
    """The one image of a file, or each page of a stack, and what to call it."""
    data = file.read_bytes()
    with _named(file):
        if not stacks.is_stack(data):
            yield str(file), formats.decode(data, models.limits)
            return
        for number, image in enumerate(stacks.pages(data, models.limits), 1):
            yield f"{file}, page {number}", image


def _decoded(models: Models, file: Path) -> pictures.Image:
    with _named(file):
        return formats.decode(file.read_bytes(), models.limits)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Name the file in what is wrong with it."""
    try:
        yield
    except ImageError as error:
        raise type(error)(f"{file}: {error}") from error


def _watched(files: tuple[Path, ...]) -> Iterator[Path]:
    """The files, with a progress bar on the standard error when there are several."""
    if len(files) == 1:
        yield from files
        return
    with click.progressbar(files, file=sys.stderr) as bar:
        yield from bar


COMMANDS = (segment, screen, classify)
