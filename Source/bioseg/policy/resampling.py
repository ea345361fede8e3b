"""What holds when whole groups are drawn again, and whether two classifiers err on different images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bioseg.errors import InvalidInput
from bioseg.metrics import Interval

RESAMPLES = 5000

Values = NDArray[np.float64]


def _draws(groups: Sequence[str], resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """How often each of the G distinct groups, in the order in which they first occur, is drawn: (resamples, G)."""
    count = len(dict.fromkeys(groups))
    if not count:
        raise InvalidInput("no units to draw from: score at least one")
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=resamples)


def mean_over_groups(values: Sequence[float], groups: Sequence[str], confidence: float = 0.95) -> Interval:
    """Mean of values (N,), and percentiles of the means when whole groups are drawn with replacement.

    Each value counts once in every group that is drawn (Davison and Hinkley, "Bootstrap methods", 1997, section 3.8).
    The interval's n is the number of groups. Of differences of two scores on the same units: the paired bootstrap.

    Raises
    ------
    InvalidInput
        When there is no value.
    """
    place = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    numbers = [place[group] for group in groups]
    draws = _draws(groups)
    sums, sizes = np.bincount(numbers, weights=values), np.bincount(numbers)
    means = (draws @ sums) / (draws @ sizes)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    method = f"percentiles of {RESAMPLES} resamples of whole groups"
    return Interval(float(np.mean(values)), float(low), float(high), len(place), method)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Two-sided p value of McNemar's exact test that two classifiers, right or not on (N,) images, are equally good.

    Of the images that only one gets right, each may be the first's or the second's with probability 1/2 (McNemar,
    Psychometrika 1947). Images count as independent.
    """
    ours, theirs = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    if ours == theirs:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(ours, theirs), ours + theirs, 0.5)))
