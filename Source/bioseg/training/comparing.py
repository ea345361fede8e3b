"""Recipes of a study against each other: the same samples, seed and time for each, and what their difference proves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bioseg import metrics, studies
from bioseg.bundles import Contract
from bioseg.datasets import Splits, digest, folds
from bioseg.errors import InvalidInput
from bioseg.evaluation import classification, segmentation
from bioseg.inference import Predictor
from bioseg.metrics import Interval
from bioseg.policy.guardrails import secondary_confidence
from bioseg.policy.resampling import mcnemar, mean_over_groups
from bioseg.settings import Settings
from bioseg.study import Recipe, Study
from bioseg.telemetry import tracking_server
from bioseg.training import Progress, Run
from bioseg.training.choosing import Choice, choose
from bioseg.training.packing import exported
from bioseg.training.train import SEED, fit, kept_on_failure, recipe_of

FOLDED = "Out of fold: each image is scored by a fit that saw nothing of its group. Settings keep their defaults."
HELD_OUT = "On the held-out split; settings are chosen on the samples for choosing."
INTERVALS = (
    " Means over images. Intervals, 95 %: percentiles of resamples of whole groups; those of differences hold for all"
    " pairs together."
)


class Scores(NamedTuple):
    """What one recipe reaches: figures of each image (N,) in [0, 1] by name, and of a classifier what it says."""

    images: Mapping[str, NDArray[np.float64]]
    groups: Sequence[str]
    judged: classification.Judged | None


@dataclass(frozen=True, slots=True)
class Rated:
    """Figures of one recipe: means over images with intervals, and of a classifier area and confusion table."""

    metrics: Mapping[str, Interval]
    auc: float | None = None
    confusion: Sequence[Sequence[int]] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Second recipe minus first, with the interval in words; `mcnemar` is the p value for classifiers."""

    first: str
    second: str
    difference: Interval
    confidence: float
    words: str
    mcnemar: float | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """The report of a comparison; `metric` is the figure that pairs are compared by."""

    study: str
    metric: str
    split: str
    images: int
    computed: str
    recipes: Mapping[str, Rated]
    pairs: Sequence[Difference]

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON takes it."""
        return asdict(self)

    def as_text(self) -> str:
        """Lay the figures out for a terminal."""
        lines = [f"{self.study}: {self.images} images, split {self.split[:12]}", self.computed, ""]
        for name, rated in self.recipes.items():
            figures = [f"{figure} {_shown(interval)}" for figure, interval in rated.metrics.items()]
            area = [] if rated.auc is None else [f"auc {rated.auc:.4f}"]
            lines.append(f"{name}: {', '.join([*figures, *area])}")
            lines += [f"    {row}" for row in rated.confusion]
        return "\n".join([*lines, "", *(pair.words for pair in self.pairs)])


def compare(
    study_name: str,
    recipe_names: Sequence[str],
    settings: Settings,
    data_dir: Path,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    parts: int | None = None,
    progress: Progress = lambda _done, _line: None,
) -> Compared:
    """Fit recipes of a study on the same samples, each fit tracked in MLflow, and compare what they reach.

    Parameters
    ----------
    epochs, minutes
        Of each fit, instead of the recipe's.
    parts
        Score all samples out of fold, dealt to so many parts; None: fit, choose and score as `train` does.
    progress
        Told the share of all fits that is done, and the figures of the one that goes on.

    Raises
    ------
    UnknownStudy, InvalidInput
        When there is no such study or recipe, or fewer than two recipes.
    DatasetError
        When samples are missing or damaged, or too few for the parts.
    """
    study = studies.get(study_name)
    recipes = {name: recipe_of(study, name, epochs) for name in recipe_names}
    if len(recipes) < 2:
        raise InvalidInput("a comparison takes two recipes: name --recipe twice or more")
    tracking_server.limit_patience()
    from bioseg.training.mlflow_tracking import tracked

    splits = study.splits(data_dir)
    rounds = [splits] if parts is None else list(folds(splits, parts))
    found: dict[str, list[Scores]] = {name: [] for name in recipes}
    fits = list(product(enumerate(rounds, start=1), recipes.items()))
    for done, ((number, part), (name, recipe)) in enumerate(fits):
        title = f"{name}, part {number} of {len(rounds)}"
        report = _within(progress, done, len(fits), title)
        folder = settings.state_dir / "training" / study.name / f"compare-{name}-{number}"
        with tracked(settings, study.name, f"compare {title}") as tracker, kept_on_failure(folder) as checkpoints:
            tracker.parameters({**asdict(recipe), "seed": SEED, "minutes": minutes, "part": number, "of": len(rounds)})
            scores = fit_and_score(study, recipe, part, Run(tracker, report, checkpoints, SEED, minutes))
            tracker.curve(0, {f"score_{figure}": float(each.mean()) for figure, each in scores.images.items()})
        found[name].append(scores)
    computed = (HELD_OUT if parts is None else FOLDED) + INTERVALS
    scored = [sample for part in rounds for sample in part.score]
    pooled = {name: joined(each) for name, each in found.items()}
    return summed_up(study, pooled, split=digest(scored), computed=computed)


def fit_and_score(study: Study, recipe: Recipe, splits: Splits, run: Run) -> Scores:
    """Fit a recipe, choose its settings where there are samples for choosing, and score the exported graph."""
    network = fit(study, recipe, splits, run)
    with exported(study, recipe, network) as (contract, predict):
        choice = Choice()
        if splits.choose:
            choice = choose(study, contract, predict, splits, study.drawn.choose if study.drawn else ())
        return _scores(study, contract.model_copy(update=asdict(choice)), predict, splits)


def _scores(study: Study, contract: Contract, predict: Predictor, splits: Splits) -> Scores:
    groups = [sample.group for sample in splits.score]
    if study.task == "classification":
        judged = classification.judge(study, contract, predict, splits.score)
        right = judged.probabilities.argmax(axis=1) == judged.labels
        return Scores({"accuracy": right.astype(np.float64)}, groups, judged)
    counts = [
        metrics.confusion_counts(probability > contract.threshold, truth)
        for probability, truth in segmentation.predictions(study, contract, predict, splits.score)
    ]
    figures = {name: np.array([getattr(count, name) for count in counts]) for name in segmentation.OVERLAPS}
    return Scores(figures, groups, None)


def joined(scores: Sequence[Scores]) -> Scores:
    """Pool what a recipe reaches in each part."""
    images = {name: np.concatenate([each.images[name] for each in scores]) for name in scores[0].images}
    judged = [each.judged for each in scores if each.judged is not None]
    said = classification.Judged(*map(np.concatenate, zip(*map(_parts, judged), strict=True))) if judged else None
    return Scores(images, [group for each in scores for group in each.groups], said)


def summed_up(study: Study, scores: Mapping[str, Scores], *, split: str, computed: str) -> Compared:
    """Put the figures of each recipe and the difference of each pair into a report.

    Intervals of the differences hold for all pairs together at 95 % (Bonferroni).

    Raises
    ------
    InvalidInput
        When the study is promoted by a figure that is no mean over images.
    """
    metric = study.promotion.metric
    rated = {name: _rated(each, len(study.classes)) for name, each in scores.items()}
    pairs = list(combinations(scores, 2))
    if any(metric not in each.images for each in scores.values()):
        raise InvalidInput(f"{study.name} is promoted by {metric!r}, which no single image has: nothing to compare by")
    confidence = secondary_confidence(len(pairs))
    images = len(next(iter(scores.values())).groups)
    return Compared(
        study=study.name,
        metric=metric,
        split=split,
        images=images,
        computed=computed,
        recipes=rated,
        pairs=[_difference(metric, pair, [scores[name] for name in pair], confidence) for pair in pairs],
    )


def _rated(scores: Scores, classes: int) -> Rated:
    figures = {name: mean_over_groups(each.tolist(), scores.groups) for name, each in scores.images.items()}
    if scores.judged is None:
        return Rated(figures)
    probabilities, labels = scores.judged.probabilities, scores.judged.labels
    table = metrics.confusion_table(labels, probabilities.argmax(axis=1), classes)
    return Rated(figures, classification.area(probabilities, labels), table.tolist())


def _difference(metric: str, names: tuple[str, str], scores: Sequence[Scores], confidence: float) -> Difference:
    first, second = (each.images[metric] for each in scores)
    interval = mean_over_groups((second - first).tolist(), scores[0].groups, confidence)
    proof = mcnemar(first > 0, second > 0) if scores[0].judged is not None else None
    return Difference(*names, interval, confidence, _in_words(metric, names, interval, proof), proof)


def _in_words(metric: str, names: tuple[str, str], interval: Interval, proof: float | None) -> str:
    first, second = names
    if interval.low > 0 or interval.high < 0:
        better, worse = (second, first) if interval.mean > 0 else (first, second)
        verdict = f"{better} is better than {worse}"
    else:
        verdict = f"no evidence of a difference between {first} and {second}"
    test = "" if proof is None else f"; McNemar p = {proof:.3g}"
    return f"{verdict}: {metric} {interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]{test}"


def _shown(interval: Interval) -> str:
    return f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def _parts(judged: classification.Judged) -> Iterable[NDArray[Any]]:
    return judged.probabilities, judged.labels, judged.sources, judged.groups


def _within(progress: Progress, done: int, count: int, title: str) -> Progress:
    """Report one of several fits as a part of all."""
    return lambda share, line: progress((done + share) / count, f"{title}: {line}")
