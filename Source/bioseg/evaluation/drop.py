"""What one version loses against another on the same images, each at its own threshold."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bioseg import metrics
from bioseg.bundles import Contract
from bioseg.datasets import Sample
from bioseg.evaluation import classification, segmentation
from bioseg.inference import Predictor
from bioseg.policy.paired import Comparison, Unit, compare_hits, compare_scores
from bioseg.study import Study

Scores = Sequence[tuple[str, float]]
"""Figures of one image by name."""


class Version(NamedTuple):
    """A network and how it is read."""

    contract: Contract
    predict: Predictor


def drop(
    study: Study, before: Version, after: Version, samples: Sequence[Sample], drawn: Sequence[int] = ()
) -> Mapping[str, Comparison]:
    """Compare two versions image by image; a negative mean is a loss.

    Parameters
    ----------
    before, after
        Stand as champion and candidate in the comparisons.
    samples, drawn
        As `evaluation.evaluate` takes them.

    Returns
    -------
    Segmentation: `dice`, and `v_rand` where the foreground is a boundary. Classification: `accuracy`.

    Raises
    ------
    DatasetError
        As `evaluation.evaluate` does.
    """
    if study.task == "classification":
        return {"accuracy": compare_hits(list(_hits(study, before, after, samples, drawn)))}
    units: dict[str, list[Unit]] = {}
    for number, pair in enumerate(zip(*(_overlaps(study, each, samples) for each in (before, after)), strict=True)):
        for (name, first), (_, second) in zip(*pair, strict=True):
            units.setdefault(name, []).append(_unit(study, samples[number], first, second))
    return {name: compare_scores(each) for name, each in units.items()}


def _overlaps(study: Study, version: Version, samples: Sequence[Sample]) -> Iterator[Scores]:
    threshold = version.contract.threshold
    for probability, truth in segmentation.predictions(study, version.contract, version.predict, samples):
        found = [("dice", metrics.confusion_counts(probability > threshold, truth).dice)]
        if study.foreground_is == "boundary":
            found.append(("v_rand", float(segmentation.partition_scores(probability, truth, [threshold])[0, 0])))
        yield found


def _unit(study: Study, sample: Sample, before: float, after: float) -> Unit:
    image = f"{sample.source}/{sample.image.name}"
    return Unit(image, image if study.foreground_is == "boundary" else sample.group, before, after)


def _hits(
    study: Study, before: Version, after: Version, samples: Sequence[Sample], drawn: Sequence[int]
) -> Iterator[Unit]:
    first, second = (classification.judge(study, *each, samples, drawn) for each in (before, after))
    right = [each.probabilities.argmax(axis=1) == each.labels for each in (first, second)]
    for number, (one, other) in enumerate(np.stack(right, axis=1).astype(float).tolist()):
        yield Unit(str(number), str(first.groups[number]), one, other)
