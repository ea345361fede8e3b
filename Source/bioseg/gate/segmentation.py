"""Champion and candidate of a segmentation study on the same images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from bioseg import metrics
from bioseg.datasets import Sample, pixels
from bioseg.errors import BundleError, DatasetError, InvalidInput
from bioseg.evaluation.segmentation import OVERLAPS, partition_scores, predictions
from bioseg.gate.scores import Both, Scores
from bioseg.metrics.arguments import ROUNDING
from bioseg.policy.guardrails import secondary_confidence
from bioseg.policy.paired import Unit, compare_scores
from bioseg.runtime import Arm
from bioseg.study import Study

SQUARE = 256
PARTITIONS = ("v_rand", "v_info")
CALIBRATION = "calibration"
SQUARES = (
    "{metric} of squares of about 256 pixels, the mean of an image's squares counting once: neighbours within an image"
    " are alike. v_rand and v_info image by image, as `bioseg evaluate` computes them."
)
IMAGES = "{metric} of images; the mean over the images of a group counts once."

Figures = Mapping[str, Sequence[float]]
Square = tuple[slice, slice]


def score(study: Study, arms: Both, samples: Sequence[Sample], scored: Callable[[int], None]) -> Scores:
    """Score both versions at their own thresholds.

    Where the foreground is a boundary, units are squares of about 256 pixels clustered by image, and the regions
    between are compared image by image; else units are images clustered by the sample's group.

    Parameters
    ----------
    scored
        Told how many samples are done.

    Raises
    ------
    DatasetError
        When no label image holds the foreground's value, or an image and its label image differ in size.
    BundleError
        When a version gives anything but probabilities.
    InvalidInput
        When the study's primary metric is none of the overlaps.
    """
    metric = study.promotion.metric
    if metric not in OVERLAPS:
        raise InvalidInput(f"{study.name} is promoted by {metric!r}; the gate compares masks by {', '.join(OVERLAPS)}")
    if not any(pixels.foreground(sample, study.foreground_value).any() for sample in samples):
        raise DatasetError(f"no label image holds {study.foreground_value}, the foreground: check the label images")
    units: dict[str, list[Unit]] = {}
    for number, sample in enumerate(samples, start=1):
        champion, candidate = (_figures(study, arm, sample) for arm in arms)
        for name in champion:
            units.setdefault(name, []).extend(_paired(study, sample, champion[name], candidate[name]))
        scored(number)
    further = [name for name in PARTITIONS if name in units]
    confidence = secondary_confidence(len(further))
    return Scores(
        computed=(SQUARES if study.foreground_is == "boundary" else IMAGES).format(metric=metric),
        units=tuple(units[metric]),
        quality=compare_scores(units[metric]),
        secondary={name: compare_scores(units[name], confidence) for name in further},
        calibration=compare_scores(units[CALIBRATION]),
        guarded=tuple(units[metric]),
    )


def _figures(study: Study, arm: Arm, sample: Sample) -> Figures:
    """Figures of one version on one image: one for each square, or one for the whole."""
    ((probability, truth),) = predictions(study, arm.contract, arm.predict, [sample])
    if not ((probability >= 0) & (probability <= 1 + ROUNDING)).all():
        raise BundleError(f"{arm.bundle.path} gives no probabilities on {sample.image.name}; train it again")
    mask = probability > arm.contract.threshold
    boundary = study.foreground_is == "boundary"
    squares = _squares(*truth.shape) if boundary else [(slice(None), slice(None))]
    counts = [metrics.confusion_counts(mask[square], truth[square]) for square in squares]
    found = {
        study.promotion.metric: [getattr(count, study.promotion.metric) for count in counts],
        CALIBRATION: [_calibration_error(probability, truth)],
    }
    if boundary:
        regions = partition_scores(probability, truth, [arm.contract.threshold])[0]
        found |= {name: [float(value)] for name, value in zip(PARTITIONS, regions, strict=True)}
    return found


def _paired(study: Study, sample: Sample, champion: Sequence[float], candidate: Sequence[float]) -> Iterator[Unit]:
    image = f"{sample.source}/{sample.image.name}"
    cluster = image if study.foreground_is == "boundary" else sample.group
    for number, scores in enumerate(zip(champion, candidate, strict=True), start=1):
        yield Unit(f"{image} square {number}" if len(champion) > 1 else image, cluster, *scores)


def _squares(height: int, width: int) -> list[Square]:
    """Cut an image into equal parts as near to 256 pixels as can be, row by row."""
    return list(product(_parts(height), _parts(width)))


def _parts(length: int) -> list[slice]:
    borders = np.linspace(0, length, max(1, round(length / SQUARE)) + 1).round().astype(int).tolist()
    return [slice(start, end) for start, end in pairwise(borders)]


def _calibration_error(probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Expected calibration error over the pixels of an image."""
    foreground = probability.ravel()
    return metrics.expected_calibration_error(
        np.stack([1 - foreground, foreground], axis=1), truth.ravel().astype(np.int64)
    )
