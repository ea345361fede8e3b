"""Rollouts whose truth is known: what the decision rule does to many of them is its error rate and its power.

Arrays are (rollouts, pairs). Dice scores and differences stay within their bounds; no distribution knows the rule.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bioseg.policy.claims import Claim, gains, harms, quality_kept_at
from bioseg.policy.evidence import Evidence
from bioseg.policy.rule import Rule

Numbers = NDArray[np.float64]
Shape = tuple[int, int]
World = Callable[[np.random.Generator, Shape], Evidence]
Differences = Callable[[np.random.Generator, Shape], Numbers]

SPREAD = 0.045
"""Standard deviation of paired Dice differences: of arms with 0.10 each that correlate by 0.9."""

AT_ONCE = 50
"""Rollouts of one draw: few enough for the cache of a core."""


class Watched(NamedTuple):
    """After how many pairs each rollout would have been promoted or rolled back, (rollouts,); infinity for never."""

    promoted: Numbers
    rolled_back: Numbers


def watch(world: World, rule: Rule, rollouts: int, pairs: int, seed: int) -> Watched:
    """Look at many rollouts of a world after every pair, by the claims that `decide` judges by; the gate has passed."""
    rng = np.random.default_rng(seed)
    parts = [_watch(world(rng, (AT_ONCE, pairs)), rule) for _ in range(rollouts // AT_ONCE)]
    promoted, rolled_back = zip(*parts, strict=True)
    return Watched(np.concatenate(promoted), np.concatenate(rolled_back))


def _watch(evidence: Evidence, rule: Rule) -> tuple[Numbers, Numbers]:
    quality = quality_kept_at(evidence, rule)
    gained = _earliest(gains(evidence, rule)) if gains(evidence, rule) else 0.0
    return _each(np.maximum(quality, gained)), _each(_earliest(harms(evidence, rule)))


def _earliest(claims: Sequence[Claim]) -> Numbers:
    return reduce(np.minimum, (claim.proved_at() for claim in claims))


def _each(times: Numbers) -> Numbers:
    return np.broadcast_to(times, AT_ONCE)


def normal(rng: np.random.Generator, shape: Shape) -> Numbers:
    """Draw differences of equal arms: normal."""
    return rng.normal(0, SPREAD, shape).clip(-1, 1)


def spiky(rng: np.random.Generator, shape: Shape) -> Numbers:
    """Draw differences of equal arms: Student's t, 2 degrees of freedom, whose variance only the bounds keep finite."""
    return (0.02 * rng.standard_t(2, shape)).clip(-1, 1)


def catastrophes(rng: np.random.Generator, shape: Shape) -> Numbers:
    """Draw differences of equal arms: on 1 % of the images one of them, either, loses 0.3 to 0.9."""
    lost = rng.uniform(0.3, 0.9, shape) * rng.choice([-1.0, 1.0], shape)
    return np.where(rng.random(shape) < 0.01, lost, normal(rng, shape))


def skewed(rng: np.random.Generator, shape: Shape) -> Numbers:
    """Draw differences of equal mean: the challenger loses 0.1 to 0.2 on 5 % of images, gains a little on others."""
    lost = rng.random(shape) < 0.05
    return np.where(lost, -rng.uniform(0.1, 0.2, shape), normal(rng, shape) + 0.05 * 0.15 / 0.95)


def one_sided(share: float) -> Differences:
    """Make differences of equal mean whose challenger alone loses 0.3 to 0.9 on a share of the images."""

    def draw(rng: np.random.Generator, shape: Shape) -> Numbers:
        lost = rng.random(shape) < share
        gain = share * 0.6 / (1 - share)
        return np.where(lost, -rng.uniform(0.3, 0.9, shape), normal(rng, shape) + gain)

    return draw


def scored(drop: float, correlation: float = 0.9) -> Differences:
    """Make differences of two Dice scores, each of a beta distribution: mean 0.8, less the challenger's drop, sd 0.10.

    They are tied by a normal copula, so that the scores correlate about as stated.
    """
    places = np.linspace(-7, 7, 8001)
    champions, challengers = (_beta_quantiles(mean, 0.10, special.ndtr(places)) for mean in (0.8, 0.8 - drop))

    def draw(rng: np.random.Generator, shape: Shape) -> Numbers:
        shared = rng.standard_normal(shape)
        other = correlation * shared + np.sqrt(1 - correlation**2) * rng.standard_normal(shape)
        challenger, champion = np.interp(other, places, challengers), np.interp(shared, places, champions)
        return np.asarray(challenger - champion)

    return draw


def _beta_quantiles(mean: float, deviation: float, chances: Numbers) -> Numbers:
    weight = mean * (1 - mean) / deviation**2 - 1
    return np.asarray(special.betaincinv(mean * weight, (1 - mean) * weight, chances))


def moved(differences: Differences, by: float) -> Differences:
    """Move differences, within their bounds."""
    return lambda rng, shape: (differences(rng, shape) + by).clip(-1, 1)


def log_ratios(rng: np.random.Generator, shape: Shape, ratio: float = 1.0, noise: float = 0.15) -> Numbers:
    """Draw log ratios of two times of the same image.

    Times are log-normal, sigma 0.4 between images and `noise` between runs; 2 % of the runs take longer by a Pareto
    factor (shape 1.5). The challenger's are `ratio` times as long.
    """
    image = 0.4 * rng.standard_normal(shape)
    champion, challenger = (image + _run(rng, shape, noise) for _ in range(2))
    return np.asarray(challenger + math.log(ratio) - champion)


def log_ratios_split(rng: np.random.Generator, shape: Shape, ratio: float, noise: float = 0.15) -> Numbers:
    """Draw log ratios of the times of two images, one served by each arm, as a split without shadow gives them."""
    champion, challenger = (0.4 * rng.standard_normal(shape) + _run(rng, shape, noise) for _ in range(2))
    return np.asarray(challenger + math.log(ratio) - champion)


def _run(rng: np.random.Generator, shape: Shape, noise: float) -> Numbers:
    slow = np.where(rng.random(shape) < 0.02, np.log1p(rng.pareto(1.5, shape)), 0.0)
    return noise * rng.standard_normal(shape) + slow


def failures(rng: np.random.Generator, shape: Shape, champion: float, challenger: float) -> NDArray[np.int8]:
    """Draw which arm alone failed, each by its own rate."""
    return (rng.random(shape) < challenger).astype(np.int8) - (rng.random(shape) < champion).astype(np.int8)


def preferences(rng: np.random.Generator, shape: Shape, champion: float, challenger: float) -> NDArray[np.int8]:
    """Draw reviewers' choices by the shares that prefer either arm's mask; the rest sees no difference."""
    drawn = rng.random(shape)
    return np.where(drawn < challenger, 1, np.where(drawn < challenger + champion, -1, 0)).astype(np.int8)


def equal_arms(differences: Differences) -> World:
    """Make rollouts of a version against itself, every measure observed with every pair."""

    def world(rng: np.random.Generator, shape: Shape) -> Evidence:
        return Evidence(
            quality=differences(rng, shape),
            preferences=preferences(rng, shape, 0.3, 0.3),
            latency=log_ratios(rng, shape),
            cpu=log_ratios(rng, shape),
            memory=rng.normal(0, 0.05, shape),
            failures=failures(rng, shape, 0.01, 0.01),
        )

    return world


def faster(differences: Differences, ratio: float = 0.5) -> World:
    """Make rollouts of a challenger that takes `ratio` of the champion's time."""
    return lambda rng, shape: Evidence(quality=differences(rng, shape), latency=log_ratios(rng, shape, ratio))


def judged(differences: Differences) -> World:
    """Make rollouts of which only the quality was observed."""
    return lambda rng, shape: Evidence(quality=differences(rng, shape))
