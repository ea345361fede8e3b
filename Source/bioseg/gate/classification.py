"""Champion and candidate of a classification study on the same images."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bioseg import metrics
from bioseg.bundles import Contract
from bioseg.datasets import Sample
from bioseg.errors import BundleError, InvalidInput
from bioseg.evaluation.classification import Judged, accepted, judge, screened_by
from bioseg.gate.scores import Both, Scores
from bioseg.policy import admission
from bioseg.policy.guardrails import secondary_confidence
from bioseg.policy.paired import Comparison, Unit, compare_hits
from bioseg.study import Study

METRIC = "accuracy"
RESAMPLES = 500
COMPUTED = (
    "Share of images whose likeliest class is right, the images of a group counting as one: they are alike. Screens:"
    " share of the images to accept that are accepted, and of the others that are rejected; asking counts as wrong."
)

Hits = NDArray[np.bool_]


def score(
    study: Study, arms: Both, samples: Sequence[Sample], drawn: Sequence[int], scored: Callable[[int], None]
) -> Scores:
    """Score both versions image by image, clustered by the sample's group, drawn pictures too.

    Parameters
    ----------
    drawn
        Numbers of the study's drawn pictures that join the samples.
    scored
        Told how many versions are done.

    Raises
    ------
    DatasetError
        When a label is none of a version's classes.
    BundleError
        When a version gives anything but probabilities.
    InvalidInput
        When the study's primary metric is not the accuracy.
    """
    if study.promotion.metric != METRIC:
        raise InvalidInput(f"{study.name} is promoted by {study.promotion.metric!r}; the gate compares {METRIC}")
    judged = []
    for number, arm in enumerate(arms, start=1):
        judged.append(judge(study, arm.contract, arm.predict, samples, drawn))
        if not np.isfinite(judged[-1].probabilities).all():
            raise BundleError(f"{arm.bundle.path} gives no probabilities; train it again")
        scored(number)
    names = [f"{sample.source}/{sample.image.name}" for sample in samples]
    names += [f"{study.drawn.origin(number)[0]}/{number}" for number in drawn] if study.drawn else []
    groups = judged[0].groups.tolist()
    units = _units(names, groups, [_right(each) for each in judged])
    sides = _screen_sides(study, arms, judged, names, groups)
    confidence = secondary_confidence(len(sides))
    return Scores(
        computed=COMPUTED,
        units=units,
        quality=compare_hits(units),
        secondary={name: compare_hits(side, confidence) for name, side in sides.items()},
        calibration=_calibration(judged, groups),
        guarded=_recalls(arms.champion.contract, judged[0].labels, units),
    )


def _right(judged: Judged) -> Hits:
    right: Hits = judged.probabilities.argmax(axis=1) == judged.labels
    return right


def _units(
    names: Sequence[str], groups: Sequence[str], hits: Sequence[Hits], chosen: Hits | None = None
) -> tuple[Unit, ...]:
    """Images that both versions judged, or the chosen ones of them."""
    champion, candidate = (each.astype(float).tolist() for each in hits)
    kept = [True] * len(names) if chosen is None else chosen.tolist()
    rows = zip(names, groups, champion, candidate, kept, strict=True)
    return tuple(Unit(*row) for *row, wanted in rows if wanted)


def _screen_sides(
    study: Study, arms: Both, judged: Sequence[Judged], names: Sequence[str], groups: Sequence[str]
) -> dict[str, tuple[Unit, ...]]:
    """Right verdicts on behalf of each study that this one screens, on the images to accept and on the others."""
    sides = {}
    for other in screened_by(study.name):
        hits = [_admitted(other, arm.contract, each) for arm, each in zip(arms, judged, strict=True)]
        wanted = accepted(other, arms.champion.contract, judged[0].labels)
        for name, side in (("accepted", wanted), ("rejected", ~wanted)):
            if side.any():
                sides[f"{other.name} {name}"] = _units(names, groups, hits, side)
    return sides


def _admitted(other: Study, contract: Contract, judged: Judged) -> Hits:
    """Mark the images on which the screen's verdict is right."""
    verdicts = [
        admission.admit(row, contract.classes, other.accepts, contract.accept_at, contract.reject_below).verdict
        for row in judged.probabilities.astype(np.float32)
    ]
    wanted = np.where(accepted(other, contract, judged.labels), "accept", "reject")
    right: Hits = np.array(verdicts) == wanted
    return right


def _recalls(contract: Contract, labels: NDArray[np.int64], units: Sequence[Unit]) -> tuple[Unit, ...]:
    """Recall of each class that occurs."""
    scores = np.array([(unit.champion, unit.candidate) for unit in units])
    return tuple(
        Unit(f"recall of {contract.classes[label]}", contract.classes[label], *scores[labels == label].mean(axis=0))
        for label in np.unique(labels)
    )


def _calibration(judged: Sequence[Judged], groups: Sequence[str]) -> Comparison:
    """Expected calibration errors, and how their difference scatters when whole groups are drawn again."""
    members = [np.flatnonzero(np.array(groups) == group) for group in dict.fromkeys(groups)]
    rng = np.random.default_rng(0)
    everything = np.arange(len(groups))
    draws = [
        np.concatenate([members[chosen] for chosen in rng.integers(len(members), size=len(members))])
        for _ in range(RESAMPLES)
    ]
    champion, candidate = _errors(judged, everything)
    growth = [after - before for before, after in (_errors(judged, draw) for draw in draws)]
    low, high = np.quantile(growth, [0.025, 0.975])
    # resampling adds noise to every bin, so the difference itself may lie outside its quantiles
    mean = candidate - champion
    return Comparison(
        champion=champion,
        candidate=candidate,
        mean=mean,
        low=min(float(low), mean),
        high=max(float(high), mean),
        confidence=0.95,
        units=len(groups),
        clusters=len(members),
        method=f"percentiles of {RESAMPLES} resamples of whole groups, n = {len(members)}",
        detectable=None,
        values={},
    )


def _errors(judged: Sequence[Judged], chosen: NDArray[np.int64]) -> tuple[float, float]:
    champion, candidate = (
        metrics.expected_calibration_error(each.probabilities[chosen], each.labels[chosen]) for each in judged
    )
    return champion, candidate
