"""Two versions scored on the same units: their mean difference, and how sure it is."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bioseg.errors import InvalidInput
from bioseg.metrics import Interval, mean_interval

FEW = 10
POWER = 0.8
WHOLE = (-1.0, 1.0)

Values = NDArray[np.float64]


class Unit(NamedTuple):
    """What both versions scored, in [0, 1], on the same thing; units of one cluster are alike and not independent."""

    name: str
    cluster: str
    champion: float
    candidate: float

    @property
    def difference(self) -> float:
        """Candidate minus champion."""
        return self.candidate - self.champion


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference candidate minus champion over units, each cluster counting once.

    Parameters
    ----------
    champion, candidate
        Means over clusters.
    mean, low, high, confidence
        Of the difference, with its interval.
    units, clusters
        How many.
    method
        How the interval was computed.
    detectable
        Size of a true difference that four of five such comparisons would tell from none; None when one cluster
        tells nothing of the spread.
    values
        Difference of each cluster by name, when there are fewer than ten.
    """

    champion: float
    candidate: float
    mean: float
    low: float
    high: float
    confidence: float
    units: int
    clusters: int
    method: str
    detectable: float | None
    values: Mapping[str, float]


def compare_scores(units: Sequence[Unit], confidence: float = 0.95) -> Comparison:
    """Compare scores such as Dice: Student's t over the mean difference of each cluster."""
    return _compared(units, confidence, lambda values: mean_interval(values, confidence, WHOLE))


def compare_hits(units: Sequence[Unit], confidence: float = 0.95) -> Comparison:
    """Compare right (1) and wrong (0): as `compare_scores`, adjusted for few units on which the two differ.

    Half a unit that only the candidate gets right, half a unit that only the champion gets right, and one on which
    they agree are added (Agresti and Min, "Simple improved confidence intervals for comparing matched proportions",
    Statistics in Medicine 2005). Without them, no difference among ten images would pass for proof of none.
    """
    return _compared(units, confidence, lambda values: _adjusted(values, confidence))


def median_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Median of independent values (N,), and the order statistics around it; nothing is assumed of their shape.

    The k-th value from either end, with k the largest for which P(Binomial(N, 1/2) < k) <= (1 - confidence) / 2. Under
    six values tell nothing at 95 %: the interval is the whole line.

    Raises InvalidInput when there is no value or one is not finite.
    """
    ordered = np.sort(np.fromiter(values, np.float64))
    if ordered.size == 0 or not np.isfinite(ordered).all():
        raise InvalidInput("the median of no values, or of NaN or infinity, is undefined: give finite numbers")
    n = ordered.size
    below = special.bdtr(np.arange(n // 2 + 1), n, 0.5)
    k = int(np.searchsorted(below, (1 - confidence) / 2, side="right"))
    low, high = (ordered[k - 1], ordered[-k]) if k else (-math.inf, math.inf)
    return Interval(float(np.median(ordered)), float(low), float(high), n, "median, order statistics")


def cluster_means(units: Sequence[Unit]) -> dict[str, Values]:
    """Mean scores (champion, candidate) of each cluster by name, in the order of their first units."""
    found: dict[str, list[tuple[float, float]]] = {}
    for unit in units:
        found.setdefault(unit.cluster, []).append((unit.champion, unit.candidate))
    return {name: np.mean(scores, axis=0) for name, scores in found.items()}


def _compared(units: Sequence[Unit], confidence: float, interval_of: Callable[[Values], Interval]) -> Comparison:
    if not units:
        raise InvalidInput("no units to compare on: score both versions on at least one")
    means = cluster_means(units)
    both = np.array(list(means.values()))
    differences = both[:, 1] - both[:, 0]
    interval = interval_of(differences)
    champion, candidate = both.mean(axis=0).tolist()
    listed = dict(zip(means, differences.tolist(), strict=True)) if len(means) < FEW else {}
    return Comparison(
        champion=champion,
        candidate=candidate,
        mean=float(differences.mean()),
        low=interval.low,
        high=interval.high,
        confidence=confidence,
        units=len(units),
        clusters=len(means),
        method=f"{interval.method} over cluster means, n = {len(means)}",
        detectable=_detectable(differences, confidence),
        values=listed,
    )


def _adjusted(values: Values, confidence: float) -> Interval:
    n = values.size
    if n == 1:
        return mean_interval(values, confidence, WHOLE)
    centre = float(values.sum()) / (n + 2)
    variance = (float(np.square(values).sum()) + 1) / (n + 2) - centre**2
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * math.sqrt(variance / (n + 2))
    low, high = np.clip([centre - half, centre + half], *WHOLE)
    return Interval(float(values.mean()), float(low), float(high), n, "Student t, adjusted after Agresti and Min 2005,")


def _detectable(differences: Values, confidence: float) -> float | None:
    """Quantiles of t for the interval and for the power, in standard errors."""
    n = differences.size
    if n == 1:
        return None
    reach = special.stdtrit(n - 1, (1 + confidence) / 2) + special.stdtrit(n - 1, POWER)
    return float(reach * differences.std(ddof=1) / math.sqrt(n))
