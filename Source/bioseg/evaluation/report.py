"""The figures of one version: what every one of them carries, as JSON and as text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bioseg import metrics

SHARE = (0.0, 1.0)
FEW = 10
ADMITTED = "Share of the images of each class that each screened study accepts"

Row = Mapping[str, int | float]
Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its mean, 95 % interval, number of units, the interval's method, and where it was read off.

    `values` lists every image when there are fewer than ten; `threshold` is a probability of the foreground.
    """

    mean: float
    low: float
    high: float
    n: int
    method: str
    values: tuple[float, ...] = ()
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Screening:
    """How a classifier does as the screen of one study; the verdict `ask` counts as wrong on either side.

    `sources` gives, per source, the images, how many got each verdict, and the share of right ones. `among_studies` is
    the balanced accuracy over the images that one study or another accepts.
    """

    metrics: Mapping[str, Metric]
    sources: Mapping[str, Row]


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one version on one set of samples.

    Parameters
    ----------
    split
        `datasets.digest` of the samples.
    n
        Images scored.
    computed
        How the figures came about, in words.
    classes
        Recall of each class (classification).
    sources
        By source: images, groups and accuracy (classification), or images and mean Dice score (segmentation).
    confusion
        Images by true class (row) and predicted class (column), in the contract's order.
    screens
        By study that the version screens.
    admitted
        By true class: images, and the share of them that each screened study accepts.
    corruptions
        Figures of the same images after each corruption, see `corruptions.corrupted`.
    curves
        Points (x, y) by name. `calibration`, in ten bins: share of foreground among the pixels of all images by their
        mean probability, or of right classes among images by confidence. `v_rand`, `v_info`: mean over images at each
        threshold. `roc STUDY`: share of wanted images that a screen lets in by that of unwanted ones.
    """

    study: str
    version: str
    task: str
    split: str
    n: int
    computed: str
    metrics: Mapping[str, Metric]
    classes: Mapping[str, Metric] = field(default_factory=dict)
    sources: Mapping[str, Row] = field(default_factory=dict)
    confusion: Sequence[Sequence[int]] = ()
    screens: Mapping[str, Screening] = field(default_factory=dict)
    admitted: Mapping[str, Row] = field(default_factory=dict)
    corruptions: Mapping[str, Row] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON takes it, without what is empty."""
        return asdict(self, dict_factory=_filled)

    def as_text(self) -> str:
        """Lay the figures out as a table for a terminal."""
        lines = [f"{self.study} {self.version}: {self.n} images, split {self.split[:12]}", self.computed, ""]
        lines += _metric_lines(self.metrics)
        lines += _titled("Recall of each class", _metric_lines(self.classes))
        lines += _titled("Sources", _row_lines(self.sources))
        lines += _titled("Corruptions", _row_lines(self.corruptions))
        lines += _titled(ADMITTED, _row_lines(self.admitted))
        for name, screening in self.screens.items():
            rows = [*_metric_lines(screening.metrics), *_row_lines(screening.sources)]
            lines += _titled(f"As the screen of {name} (asking counts as wrong)", rows)
        return "\n".join(lines)


def over_images(values: ArrayLike, threshold: float | None = None) -> Metric:
    """Mean of a score in [0, 1] over images (N,), with a t interval."""
    scores = np.asarray(values, np.float64)
    listed = tuple(scores.tolist()) if scores.size < FEW else ()
    return from_interval(metrics.mean_interval(scores, bounds=SHARE), listed, threshold)


def points(x: ArrayLike, y: ArrayLike) -> Curve:
    """Pair the coordinates (N,) of a curve."""
    return [(float(one), float(other)) for one, other in zip(np.asarray(x), np.asarray(y), strict=True)]


def calibration(table: NDArray[np.float64]) -> Curve:
    """Turn what `metrics.reliability` counts into a curve; bins without any are left out."""
    count, probability, hits = table[table[:, 0] > 0].T
    return points(probability / count, hits / count)


def share(right: NDArray[np.bool_]) -> Metric:
    """Share of images (N,) that are right, with Wilson's interval."""
    return from_interval(metrics.wilson(int(right.sum()), right.size))


def mean_of_shares(shares: Sequence[Metric]) -> Metric:
    """Average shares; the interval adds the squared distances to their Wilson limits (Newcombe, Stat. Med. 1998)."""
    value = float(np.mean([each.mean for each in shares]))
    below = float(np.linalg.norm([each.mean - each.low for each in shares])) / len(shares)
    above = float(np.linalg.norm([each.high - each.mean for each in shares])) / len(shares)
    n = sum(each.n for each in shares)
    return Metric(value, value - below, value + above, n, "mean of recalls, squares of Wilson's limits added")


def from_interval(interval: metrics.Interval, values: tuple[float, ...] = (), threshold: float | None = None) -> Metric:
    """Take over an interval."""
    return Metric(interval.mean, interval.low, interval.high, interval.n, interval.method, values, threshold)


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    rows = list(lines)
    return ["", title, *rows] if rows else []


def _metric_lines(figures: Mapping[str, Metric]) -> list[str]:
    width = max(map(len, figures), default=0)
    return [f"{name:{width}}  {_figure(metric)}" for name, metric in figures.items()]


def _figure(metric: Metric) -> str:
    at = "" if metric.threshold is None else f" at {metric.threshold:.2f}"
    listed = "".join(f" {value:.4f}" for value in metric.values)
    values = f":{listed}" if listed else ""
    return f"{metric.mean:.4f} [{metric.low:.4f}, {metric.high:.4f}] n = {metric.n}{at}{values}"


def _row_lines(rows: Mapping[str, Row]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"{name:{width}}  {_cells(row)}" for name, row in rows.items()]


def _cells(row: Row) -> str:
    return "  ".join(f"{key} {f'{value:.4f}' if isinstance(value, float) else value}" for key, value in row.items())


def _filled(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if value not in (None, (), {})}
