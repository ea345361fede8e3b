"""Figures of a classifier, as such and as a screen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bioseg import images, metrics, studies
from bioseg.bundles import Contract
from bioseg.datasets import Sample, digest, pixels
from bioseg.errors import DatasetError
from bioseg.evaluation.report import (
    Curve,
    Metric,
    Report,
    Row,
    Screening,
    calibration,
    from_interval,
    mean_of_shares,
    points,
    share,
)
from bioseg.inference import Predictor, classifying
from bioseg.policy import admission
from bioseg.study import Study

Change = Callable[[images.Image], images.Image]

RESAMPLES = 500
LEAST = 1e-30


@dataclass(frozen=True, slots=True)
class Judged:
    """What a classifier says of N images whose class is known.

    `probabilities` (N, classes) in [0, 1], true class numbers `labels` (N,), and the source and group of each image.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]

    @property
    def log_probabilities(self) -> NDArray[np.float64]:
        """Natural logarithms (N, classes), never minus infinity."""
        return np.log(np.maximum(self.probabilities, LEAST))


def judge(
    study: Study,
    contract: Contract,
    predict: Predictor,
    samples: Sequence[Sample],
    drawn: Sequence[int] = (),
    change: Change = lambda image: image,
) -> Judged:
    """Classify samples, and the study's drawn pictures with these numbers, each image changed first.

    Raises
    ------
    DatasetError
        When a label is none of the contract's classes.
    """
    probabilities, labels, sources, groups = [], [], [], []
    for picture, label, source, group in _labelled(study, samples, drawn):
        if label not in contract.classes:
            raise DatasetError(f"{group} is labelled {label!r}; the classes are: {', '.join(contract.classes)}")
        probabilities.append(classifying.class_probabilities(predict, contract, change(picture)))
        labels.append(contract.classes.index(label))
        sources.append(source)
        groups.append(group)
    return Judged(np.array(probabilities, np.float64), np.array(labels), np.array(sources), np.array(groups))


def screened_by(name: str) -> tuple[Study, ...]:
    """Studies whose uploads this classification study screens."""
    return tuple(study for study in studies.all_studies().values() if study.screened_by == name)


def accepted(study: Study, contract: Contract, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the class numbers (N,) that a screened study accepts."""
    wanted: NDArray[np.bool_] = np.isin(labels, [contract.classes.index(kind) for kind in study.accepts])
    return wanted


def evaluate(
    study: Study, contract: Contract, predict: Predictor, samples: Sequence[Sample], drawn: Sequence[int] = ()
) -> Report:
    """Score the likeliest class, the probabilities, and the verdicts on behalf of each study that it screens."""
    judged = judge(study, contract, predict, samples, drawn)
    predicted = judged.probabilities.argmax(axis=1)
    right = predicted == judged.labels
    by_class, screened = recalls(contract, judged), screened_by(study.name)
    pictures = f" {len(drawn)} of them are drawn, numbers {drawn[0]} to {drawn[-1]}." if drawn else ""
    return Report(
        study=study.name,
        version=contract.version,
        task=study.task,
        split=digest(samples),
        n=len(judged.labels),
        computed=f"Each image counts once, as if independent of the others of its group.{pictures}",
        metrics={
            "accuracy": share(right),
            "balanced_accuracy": mean_of_shares(list(by_class.values())),
            **_area(judged),
            "ece": _calibration_error(judged),
            "nll": _surprise(judged),
        },
        classes=by_class,
        sources={
            source: {
                "n": int(own.sum()),
                "groups": len(np.unique(judged.groups[own])),
                "accuracy": float(right[own].mean()),
            }
            for source, own in _by_source(judged)
        },
        confusion=metrics.confusion_table(judged.labels, predicted, len(contract.classes)).tolist(),
        screens={other.name: screening(other, contract, judged, screened) for other in screened},
        admitted=admitted(screened, contract, judged),
        curves={"calibration": calibration(metrics.reliability(judged.probabilities.max(axis=1), right))}
        | dict(_characteristics(study, contract, judged)),
    )


def _labelled(
    study: Study, samples: Sequence[Sample], drawn: Sequence[int]
) -> Iterator[tuple[images.Image, str | None, str, str]]:
    """Picture, label, source and group of every sample, then of every drawn picture."""
    for sample in samples:
        yield pixels.image(sample), sample.label, sample.source, sample.group
    if study.drawn is not None:
        for number in drawn:
            source, label = study.drawn.origin(number)
            yield study.drawn.draw(number), label, source, f"{source}/{number}"


def _by_source(judged: Judged) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for source in np.unique(judged.sources):
        yield str(source), judged.sources == source


def _calibration_error(judged: Judged) -> Metric:
    rng = np.random.default_rng(0)
    n = len(judged.labels)
    draws = (rng.integers(n, size=n) for _ in range(RESAMPLES))
    gaps = [metrics.expected_calibration_error(judged.probabilities[draw], judged.labels[draw]) for draw in draws]
    low, high = np.quantile(gaps, [0.025, 0.975])
    gap = metrics.expected_calibration_error(judged.probabilities, judged.labels)
    # resampling adds noise to every bin, so the gap itself may lie below its quantiles
    method = f"15 bins of equal width; percentiles of {RESAMPLES} resamples"
    return Metric(gap, min(float(low), gap), max(float(high), gap), n, method)


def area(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    """Area under the receiver operating characteristic, each class against the others and averaged over the classes.

    Takes probabilities (N, C) and class numbers (N,). The chance that an image of the class has a larger probability of
    it than another image (Hanley and McNeil, Radiology 1982). Classes that no image or every image has are left out;
    None when that leaves none.
    """
    present = [number for number in np.unique(labels) if not (labels == number).all()]
    corners = [metrics.roc(probabilities[:, number], labels == number) for number in present]
    return float(np.mean([np.trapezoid(each[:, 1], each[:, 0]) for each in corners])) if corners else None


def _area(judged: Judged) -> dict[str, Metric]:
    """The area with its interval, when there is one."""
    found = area(judged.probabilities, judged.labels)
    if found is None:
        return {}
    rng = np.random.default_rng(0)
    n = len(judged.labels)
    draws = (rng.integers(n, size=n) for _ in range(RESAMPLES))
    areas = [area(judged.probabilities[draw], judged.labels[draw]) for draw in draws]
    low, high = np.quantile([each for each in areas if each is not None], [0.025, 0.975])
    method = f"one class against the others, mean over classes; percentiles of {RESAMPLES} resamples"
    return {"auc": Metric(found, min(float(low), found), max(float(high), found), n, method)}


def _surprise(judged: Judged) -> Metric:
    at_truth = judged.log_probabilities[np.arange(len(judged.labels)), judged.labels]
    return from_interval(metrics.mean_interval(-at_truth, bounds=(0.0, -np.log(LEAST))))


def _characteristics(study: Study, contract: Contract, judged: Judged) -> Iterator[tuple[str, Curve]]:
    """The receiver operating characteristic for each study that is screened, if there are images on both sides."""
    for other in screened_by(study.name):
        wanted = accepted(other, contract, judged.labels)
        if wanted.any() and not wanted.all():
            kinds = [contract.classes.index(kind) for kind in other.accepts]
            corners = metrics.roc(judged.probabilities[:, kinds].sum(axis=1), wanted)
            yield f"roc {other.name}", points(corners[:, 0], corners[:, 1])


def recalls(contract: Contract, judged: Judged) -> dict[str, Metric]:
    """Share of the images of each class that are taken for it, classes without images left out."""
    right = judged.probabilities.argmax(axis=1) == judged.labels
    return {contract.classes[number]: share(right[judged.labels == number]) for number in np.unique(judged.labels)}


def screening(study: Study, contract: Contract, judged: Judged, screened: Sequence[Study] = ()) -> Screening:
    """How the classifier does as the screen of a study, on all images and on those of the `screened` studies alone."""
    verdicts = _admissions(study, contract, judged)
    wanted = accepted(study, contract, judged.labels)
    right = verdicts == np.where(wanted, "accept", "reject")
    siblings = ~wanted & np.any([accepted(other, contract, judged.labels) for other in (study, *screened)], axis=0)
    sides = {name: share(right[side]) for name, side in (("accepted", wanted), ("rejected", ~wanted)) if side.any()}
    figures = {"balanced_accuracy": mean_of_shares(list(sides.values())), **sides, "asked": share(verdicts == "ask")}
    if wanted.any() and siblings.any():
        figures["among_studies"] = mean_of_shares([share(right[wanted]), share(right[siblings])])
    return Screening(
        metrics=figures,
        sources={source: _verdicts(verdicts[own], right[own]) for source, own in _by_source(judged)},
    )


def admitted(screened: Sequence[Study], contract: Contract, judged: Judged) -> dict[str, Row]:
    """Share of the images of each true class that each screened study accepts; empty when none is screened."""
    accepts = {study.name: _admissions(study, contract, judged) == "accept" for study in screened}
    if not accepts:
        return {}
    own = {contract.classes[number]: judged.labels == number for number in np.unique(judged.labels)}
    return {
        kind: {"n": int(images.sum())} | {name: float(taken[images].mean()) for name, taken in accepts.items()}
        for kind, images in own.items()
    }


def _admissions(study: Study, contract: Contract, judged: Judged) -> NDArray[np.str_]:
    """Verdict (N,) on each image as an upload of a study."""
    admissions = (
        admission.admit(row, contract.classes, study.accepts, contract.accept_at, contract.reject_below)
        for row in judged.probabilities.astype(np.float32)
    )
    return np.array([each.verdict for each in admissions])


def _verdicts(verdicts: NDArray[np.str_], right: NDArray[np.bool_]) -> Row:
    counts = {name: int(np.sum(verdicts == name)) for name in ("accept", "ask", "reject")}
    return {"n": len(verdicts), **counts, "right": float(right.mean())}
