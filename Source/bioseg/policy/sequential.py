"""Always-valid inference about a mean: tests and intervals that hold however often, and whenever, one looks.

Whoever claims that a mean is above m may bet on it. On observations x_1, x_2, ... in [-c, c] a gambler who stakes the
share b of what they have holds, after n of them, the product of 1 + b (x_i - m) / (c + m). While the mean is m or less
given the past, no such bet gains on average, so the chance of ever holding 1/error times what one began with is at most
`error` (Ville's inequality): whoever holds that much has refuted that the mean is m or less, at whatever moment they
look. No distribution is assumed, no number of observations is too small, and only running products are needed.

Nobody knows the best stake beforehand, so the capital is spread over eight: half of it on the boldest, a quarter on
half that stake, and so on. The sum is again such a game, and grows nearly as fast as the best of them.

Sources: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86(1), 2024 (the game
and its inversion to intervals); Howard, Ramdas, McAuliffe and Sekhon, Time-uniform, nonparametric, nonasymptotic
confidence sequences, Annals of Statistics 49(2), 2021 (mixtures, running intersection); Robbins, Annals of Mathematical
Statistics 41(5), 1970. How the stakes were chosen stands in docs/gate.md.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

STAKES = 0.95 * 2.0 ** -np.arange(8)
"""Shares of the capital that are bet each time; below 1, so that no single observation ruins anybody."""

CAPITAL = 2.0 ** -np.arange(1, 9) / (1 - 2.0**-8)
"""What each stake begins with, 1 together."""

HALVINGS = 22
"""Of the range in the search for an interval's end: to 5e-7 of it."""

STEPS = np.geomspace(1e-4, 1, 100)
"""Where a course of an interval's end is followed: shares of the way back from where it is now to where it began."""


class Bounds(NamedTuple):
    """A mean as observed, and the ends of its confidence sequence after n observations."""

    estimate: float
    low: float
    high: float
    n: int


def wealth(values: Numbers, mean: float, bound: float) -> Numbers:
    """Give what has been won, after each observation, by betting that the mean is above the one given.

    Parameters
    ----------
    values
        (..., n), in [-bound, bound]; the last axis is time, in the order of observation.
    mean
        Above -bound, at most bound.

    Returns
    -------
    (..., n), from 0 up; 1 is what one began with. It is an e-process: the evidence against "the mean is `mean` or
    less", of which 1/error or more is proof at that error.

    >>> wealth(np.array([1.0, 1.0, -1.0]), 0.0, 1.0).round(2).tolist()
    [1.64, 2.79, 0.66]
    """
    gain = (values - mean) / (bound + mean)
    factors = 1 + np.multiply.outer(STAKES, gain)
    with np.errstate(over="ignore"):  # beyond 1e308 it is proof enough
        held = np.cumprod(factors, axis=-1, out=factors)
        return np.tensordot(CAPITAL, held, axes=1)


def proved(values: Numbers, mean: float, error: float, bound: float, first_look: int = 1) -> NDArray[np.bool_]:
    """Tell after each observation whether it is proved that the mean is above the one given.

    What was proved stays so, and proof found before the first look counts from there.

    Parameters
    ----------
    values
        (..., n), in [-bound, bound], in the order of observation.
    error
        Chance of a false proof, over all looks together.

    Returns
    -------
    (..., n).
    """
    proof = np.logical_or.accumulate(wealth(values, mean, bound) * error >= 1, axis=-1)
    proof[..., : first_look - 1] = False
    return proof


def first(proof: NDArray[np.bool_]) -> Numbers:
    """Give the number of observations (...) at which (..., n) turned true; infinity where it did not.

    >>> first(np.array([[False, True, True], [False, False, False]])).tolist()
    [2.0, inf]
    """
    if proof.shape[-1] == 0:
        return np.full(proof.shape[:-1], np.inf)
    return np.where(proof.any(axis=-1), proof.argmax(axis=-1) + 1.0, np.inf)


def bounds(values: Numbers, error: float, bound: float) -> Bounds:
    """Give the interval that holds the mean at all times, each side but for a chance of `error`.

    It is the running intersection: whatever mean was refuted at any moment stays outside.

    Parameters
    ----------
    values
        (n,), n >= 1, in [-bound, bound], in the order of observation.

    >>> bounds(np.tile([0.1, -0.1], 200), 0.005, 1.0)._asdict()  # doctest: +ELLIPSIS
    {'estimate': 0.0, 'low': -0.0199..., 'high': 0.0202..., 'n': 400}
    """
    return Bounds(float(values.mean()), _low(values, error, bound), -_low(-values, error, bound), len(values))


def course(values: Numbers, error: float, bound: float, looks: Sequence[int]) -> list[Bounds]:
    """Give the intervals as they ran, after each of some numbers of observations.

    Parameters
    ----------
    values
        (n,), n >= 1, in [-bound, bound], in the order of observation.
    looks
        Numbers of observations, from 1 to n.
    """
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    low, high = _lows(values, error, bound), -_lows(-values, error, bound)
    return [Bounds(float(means[n - 1]), float(low[n - 1]), float(high[n - 1]), n) for n in looks]


def pairs_needed(values: Numbers, mean: float, error: float, bound: float) -> float:
    """Forecast how many more observations like those so far would prove that the mean is above the one given.

    The best stake's capital grows by the average of its logarithm; what is missing to 1/error comes at that rate.

    Parameters
    ----------
    values
        (n,), n >= 1, in [-bound, bound].

    Returns
    -------
    From 0 up; infinity when the observations so far speak against it.
    """
    gain = (values - mean) / (bound + mean)
    growth = max(float(np.log1p(stake * gain).mean()) for stake in STAKES)
    if growth <= 0:
        return math.inf
    reached = float(wealth(values, mean, bound)[-1])
    return max(0.0, -math.log(error * reached) / growth) if reached > 0 else math.inf


def _low(values: Numbers, error: float, bound: float) -> float:
    """Find the largest mean that was ever refuted: wealth falls as the mean rises, so halving finds it."""
    low, high = -bound, bound
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if (wealth(values, middle, bound) * error >= 1).any():
            low = middle
        else:
            high = middle
    return low


def _lows(values: Numbers, error: float, bound: float) -> Numbers:
    """Give `_low` after each observation, (n,), to within a step: means further back were refuted earlier."""
    end = _low(values, error, bound)
    steps = end - (end + bound) * STEPS[-2::-1]
    refuted = [float(first(proved(values, mean, error, bound))) for mean in steps]
    places = np.searchsorted(refuted, np.arange(1, len(values) + 1), side="right")
    lows = np.concatenate([[-bound], steps])[places]
    lows[-1] = end
    return lows
