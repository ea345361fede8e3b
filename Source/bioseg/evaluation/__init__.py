"""Score one version on samples with known truth, and report the figures with their intervals."""

from collections.abc import Sequence
from pathlib import Path

from bioseg.bundles import Contract
from bioseg.datasets import Sample
from bioseg.errors import DatasetError, WrongTask
from bioseg.evaluation import classification, segmentation
from bioseg.evaluation.report import Report
from bioseg.inference import Predictor
from bioseg.study import Study


def evaluate(
    study: Study,
    contract: Contract,
    predict: Predictor,
    samples: Sequence[Sample],
    *,
    drawn: Sequence[int] = (),
) -> Report:
    """Score a version.

    Parameters
    ----------
    contract, predict
        Of the version.
    samples
        With label images (segmentation) or with labels (classification).
    drawn
        Numbers of the study's drawn pictures that join them (classification).

    Raises
    ------
    WrongTask
        When the version does another task than the study.
    DatasetError
        When there is no sample, a label is none of the classes, an image and its label image differ in size, or no
        label image holds the foreground's value.
    """
    if study.task != contract.task:
        raise WrongTask(f"{study.name} does {study.task}; {contract.study} {contract.version} does {contract.task}")
    if not samples:
        raise DatasetError(f"no samples to score {study.name} on: this copy of the data lacks them")
    if study.task == "classification":
        return classification.evaluate(study, contract, predict, samples, drawn)
    return segmentation.evaluate(study, contract, predict, samples)


def held_out(study: Study, data_dir: Path) -> tuple[Sequence[Sample], Sequence[int]]:
    """List what no fit and no choice of a study has seen: its samples, and the numbers of its drawn pictures."""
    return study.splits(data_dir).score, study.drawn.score if study.drawn else ()


def evaluate_held_out(study: Study, contract: Contract, predict: Predictor, data_dir: Path) -> Report:
    """Score a version on what `held_out` lists."""
    samples, drawn = held_out(study, data_dir)
    return evaluate(study, contract, predict, samples, drawn=drawn)
