"""Settings of a fitted network that are read off samples which are not for scoring: thresholds and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bioseg import metrics
from bioseg.bundles import Contract
from bioseg.datasets import Splits
from bioseg.errors import DatasetError
from bioseg.evaluation import classification, segmentation
from bioseg.inference import Predictor
from bioseg.inference.classifying import softmax
from bioseg.study import Study

TOLERATED = 0.005
LEAST_ACCEPTED = 0.5
ASK = 0.2

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """Fields of the contract that are chosen; those that a task does not use keep these values."""

    threshold: float = 0.5
    temperature: float = 1.0
    accept_at: float = 0.9
    reject_below: float = 0.5


def choose(study: Study, contract: Contract, predict: Predictor, splits: Splits, drawn: Sequence[int] = ()) -> Choice:
    """Choose the settings of an exported network; what is for scoring is not read.

    Segmentation: of the thresholds from 0.1 to 0.9 the middle one of the best, see `middle_of_the_best`, by the Dice
    score of each image for choosing, or where the foreground is a boundary by the V_rand of each image for choosing and
    for fitting: a V_rand hangs on single gaps in a boundary, and so takes more images than are kept for choosing, while
    a fit flatters it at all thresholds. Classification: the temperature (Guo et al. 2017), then the limits of admission
    on behalf of the studies that it screens, all their images pooled, since a contract has one pair; see
    `admission_limits`.

    Parameters
    ----------
    drawn
        Numbers of the study's drawn pictures that join the samples for choosing (classification).

    Raises
    ------
    DatasetError
        When there is no sample for choosing, or as `evaluation.evaluate` does.
    """
    if not splits.choose:
        raise DatasetError(f"no samples to choose the settings of {study.name} with: this copy of the data lacks them")
    if study.task == "segmentation":
        return Choice(threshold=_threshold(study, contract, predict, splits))
    judged = classification.judge(
        study, contract.model_copy(update={"temperature": 1.0}), predict, splits.choose, drawn
    )
    temperature = metrics.fit_temperature(judged.log_probabilities, judged.labels)
    screened = classification.screened_by(study.name)
    if not screened:
        return Choice(temperature=temperature)
    tempered = softmax(judged.log_probabilities / temperature)
    accepts = [[contract.classes.index(kind) for kind in other.accepts] for other in screened]
    scores = np.concatenate([tempered[:, kinds].sum(axis=1) for kinds in accepts])
    wanted = np.concatenate([np.isin(judged.labels, kinds) for kinds in accepts])
    accept_at, reject_below = admission_limits(scores, wanted)
    return Choice(temperature=temperature, accept_at=accept_at, reject_below=reject_below)


def admission_limits(scores: Scores, wanted: NDArray[np.bool_]) -> tuple[float, float]:
    """Choose from which score a screen accepts and below which it rejects; between them it asks.

    At most 0.5 % of the unwanted images are accepted and at most 0.5 % of the wanted ones rejected, and nothing below a
    score of 0.5 is accepted. Where the two sides do not meet, the screen asks in the middle fifth of the gap only.

    Parameters
    ----------
    scores
        (N,) summed probability of the accepted kinds, in [0, 1].
    wanted
        (N,) whether the image is of an accepted kind.

    Returns
    -------
    accept_at, reject_below
        In [0, 1], the first at least as large as the second.

    Raises
    ------
    DatasetError
        When either side is empty.
    """
    if wanted.all() or not wanted.any():
        raise DatasetError("choosing the screen's limits takes images of accepted kinds and of others: add some")
    lowest = _nth(np.sort(scores[wanted]))
    highest = _nth(np.sort(scores[~wanted])[::-1])
    if highest < lowest:
        middle, half = (lowest + highest) / 2, ASK * (lowest - highest) / 2
        accept_at, reject_below = middle + half, middle - half
    else:
        above = scores[scores > highest].min(initial=1.0)
        accept_at, reject_below = (highest + above) / 2, lowest
    accept_at = max(accept_at, LEAST_ACCEPTED)
    return float(accept_at), float(min(reject_below, accept_at))


def _threshold(study: Study, contract: Contract, predict: Predictor, splits: Splits) -> float:
    parts_an_image = study.foreground_is == "boundary"
    samples = (*splits.fit, *splits.choose) if parts_an_image else splits.choose
    score = _partition if parts_an_image else _overlap
    scores = [score(*pair) for pair in segmentation.predictions(study, contract, predict, samples)]
    return segmentation.THRESHOLDS[middle_of_the_best(np.array(scores))]


def middle_of_the_best(scores: Scores) -> int:
    """Choose the column of scores (units, settings) in the middle of those that cannot be told from the best.

    A setting belongs to them when its mean loss against the best mean is at most one standard error of that paired
    loss (the one-standard-error rule of Breiman et al. 1984). A V_rand hangs on single gaps in a membrane, so with few
    units the best mean alone is luck.
    """
    losses = scores[:, [int(scores.mean(axis=0).argmax())]] - scores
    errors = losses.std(axis=0, ddof=1) / np.sqrt(len(losses)) if len(losses) > 1 else np.zeros(losses.shape[1])
    best = np.flatnonzero(losses.mean(axis=0) <= errors)
    return int(best[len(best) // 2])


def _partition(probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> Scores:
    return np.asarray(segmentation.partition_scores(probability, truth, segmentation.THRESHOLDS)[:, 0])


def _overlap(probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> Scores:
    masks = (probability > threshold for threshold in segmentation.THRESHOLDS)
    return np.array([metrics.confusion_counts(mask, truth).dice for mask in masks])


def _nth(ordered: Scores) -> float:
    """Score that a tolerated share of the images lies before."""
    return float(ordered[int(TOLERATED * ordered.size)])
