"""How sure we are of a mean or of a share."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bioseg.errors import InvalidInput
from bioseg.metrics.arguments import require_finite, require_some

UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, the confidence interval around it, the number `n` of independent units, and the method used."""

    mean: float
    low: float
    high: float
    n: int
    method: str


def mean_interval(values: ArrayLike, confidence: float = 0.95, bounds: tuple[float, float] = UNBOUNDED) -> Interval:
    """Student's t interval of the mean of independent values (N,), clipped to the range `bounds` of the metric.

    The quantile is t's at any N (1 % above the normal one at N = 120). A single value tells nothing of the spread,
    so its interval is all of `bounds`.

    Raises InvalidInput when there is no value, one is not finite, or the confidence is not inside (0, 1).
    """
    from scipy import special

    numbers = np.asarray(values, dtype=np.float64).ravel()
    require_some(numbers, "values")
    require_finite(numbers, "values")
    n, mean, level = numbers.size, float(numbers.mean()), _upper_level(confidence)
    if n == 1:
        return Interval(mean, *bounds, n, "one value: the whole range")
    half = special.stdtrit(n - 1, level) * numbers.std(ddof=1) / math.sqrt(n)
    low, high = np.clip([mean - half, mean + half], *bounds)
    return Interval(mean, float(low), float(high), n, "Student t")


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share of n independent trials (JASA 1927); it stays inside [0, 1].

    Raises InvalidInput when n is not positive, `successes` is not in 0..n, or the confidence is not inside (0, 1).
    """
    from scipy import special

    if not 0 <= successes <= n or n < 1:
        raise InvalidInput(f"{successes} successes of {n} trials: give at least one trial and 0 to n successes")
    share, z2 = successes / n, float(special.ndtri(_upper_level(confidence))) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), n, "Wilson score")


def _upper_level(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence {confidence} is not inside (0, 1): give for instance 0.95")
    return (1 + confidence) / 2
