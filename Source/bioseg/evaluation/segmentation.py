"""Figures of a segmenter, image by image."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bioseg import metrics
from bioseg.bundles import Contract
from bioseg.datasets import Sample, digest, pixels
from bioseg.errors import DatasetError
from bioseg.evaluation.report import Curve, Metric, Report, Row, calibration, over_images, points
from bioseg.inference import Predictor, segmenting
from bioseg.inference.instances import instances
from bioseg.study import Study

THRESHOLDS = tuple(tenth / 10 for tenth in range(1, 10))
OVERLAPS = ("dice", "iou", "precision", "recall", "accuracy")
OF_OBJECTS = (*OVERLAPS, "thresholded_iou")
PARTITIONS = (
    " v_rand and v_info: foreground-restricted F-scores (alpha 0.5) of Arganda-Carreras et al. 2015; true regions are"
    " the 4-connected components that the boundary leaves, predicted ones grow until they meet. `_best`: at the"
    " threshold from 0.1 to 0.9 with the best mean on these very images, so it flatters. `_instances`: of the single"
    " cells that are saved as instances, at the shipped threshold."
)


def predictions(
    study: Study, contract: Contract, predict: Predictor, samples: Sequence[Sample]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Predict sample by sample: foreground probability (H, W) in [0, 1] and the true foreground (H, W).

    Raises
    ------
    DatasetError
        When an image and its label image differ in size.
    """
    for sample in samples:
        picture, truth = pixels.image(sample), pixels.foreground(sample, study.foreground_value)
        if picture.shape[:2] != truth.shape:
            sizes = f"{picture.shape[:2]} and {truth.shape} pixels"
            raise DatasetError(f"{sample.image} and its label image differ in size, {sizes}: pair them again")
        yield segmenting.foreground_probability(predict, contract, picture), truth


def partition_scores(
    probability: NDArray[np.float32], truth: NDArray[np.bool_], thresholds: Sequence[float]
) -> NDArray[np.float64]:
    """V_rand and V_info, (threshold, 2), of the regions where the probability (H, W) of a boundary is below each."""
    return metrics.rand_and_info(probability, ~truth, [1 - threshold for threshold in thresholds])


def evaluate(study: Study, contract: Contract, predict: Predictor, samples: Sequence[Sample]) -> Report:
    """Score masks at the shipped threshold and, where the foreground is a boundary, the regions between.

    Where it is an object, `thresholded_iou` stands beside the other overlaps, and the means of each source, if several.
    """
    threshold, boundary = contract.threshold, study.foreground_is == "boundary"
    counts, partitions, cells, tables = [], [], [], []
    for probability, truth in predictions(study, contract, predict, samples):
        counts.append(metrics.confusion_counts(probability > threshold, truth))
        tables.append(metrics.reliability(probability, truth))
        if boundary:
            partitions.append(partition_scores(probability, truth, (*THRESHOLDS, threshold)))
            cells.append(metrics.rand_and_info_of(instances(probability, probability > threshold, "boundary"), ~truth))
    if not any(count.true_positive + count.false_negative for count in counts):
        raise DatasetError(f"no label image holds {study.foreground_value}, the foreground: name the value they use")
    names = OVERLAPS if boundary else OF_OBJECTS
    overlaps = {name: over_images([getattr(count, name) for count in counts], threshold) for name in names}
    how = f"Mean over images, not pooled pixels. {study.foreground} where the probability exceeds {threshold:.2f}."
    return Report(
        study=study.name,
        version=contract.version,
        task=study.task,
        split=digest(samples),
        n=len(samples),
        computed=how + (PARTITIONS if partitions else ""),
        metrics=overlaps | (_partitions(np.array(partitions), np.array(cells), threshold) if partitions else {}),
        sources=_by_source(samples, [count.dice for count in counts]),
        curves=(_by_threshold(np.array(partitions)) if partitions else {})
        | {"calibration": calibration(np.sum(tables, axis=0))},
    )


def _by_source(samples: Sequence[Sample], dice: Sequence[float]) -> dict[str, Row]:
    """Mean Dice score of the images of each source; nothing where all are of one."""
    scores: dict[str, list[float]] = {}
    for sample, score in zip(samples, dice, strict=True):
        scores.setdefault(sample.source, []).append(score)
    if len(scores) == 1:
        return {}
    return {source: {"n": len(own), "dice": float(np.mean(own))} for source, own in scores.items()}


def _partitions(scores: NDArray[np.float64], cells: NDArray[np.float64], shipped: float) -> dict[str, Metric]:
    """Summarise (image, threshold, 2): the last threshold is the shipped one, those before are `THRESHOLDS`.

    `cells` (image, 2) are the scores of instances.
    """
    found = {}
    for number, name in enumerate(("v_rand", "v_info")):
        best = int(scores[:, :-1, number].mean(axis=0).argmax())
        found[name] = over_images(scores[:, -1, number], shipped)
        found[f"{name}_best"] = over_images(scores[:, best, number], THRESHOLDS[best])
        found[f"{name}_instances"] = over_images(cells[:, number], shipped)
    return found


def _by_threshold(scores: NDArray[np.float64]) -> dict[str, Curve]:
    """Average (image, threshold, 2) over the images, at `THRESHOLDS`."""
    means = scores[:, :-1].mean(axis=0)
    return {name: points(THRESHOLDS, means[:, number]) for number, name in enumerate(("v_rand", "v_info"))}
