"""What evidence may prove, as claims about means: which observations, above or below what, at which error.

One table for a live rollout and for the simulations that measure its error rates: arrays may have leading axes.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from bioseg.policy.evidence import Evidence
from bioseg.policy.rule import Rule
from bioseg.policy.sequential import Numbers, first, proved, wealth

FOURFOLD = math.log(4)
"""Bound of log ratios: a single slow answer counts as four times the other's time at most."""

Kind = Literal["quality", "winsorised", "tail", "failures", "preferences", "latency", "cpu", "memory"]


@dataclass(frozen=True, slots=True)
class Measure:
    """Observations of one kind: (..., n), in [-bound, bound], and the error budget of a side."""

    kind: Kind
    values: Numbers
    bound: float
    error: float

    def up_to(self, n: int) -> Self:
        """Keep the first n observations."""
        return replace(self, values=self.values[..., :n])


@dataclass(frozen=True, slots=True)
class Claim:
    """That the mean of a measure is above a limit (side +1) or below it (side -1)."""

    measure: Measure
    side: Literal[1, -1]
    limit: float
    first_look: int

    @property
    def towards(self) -> tuple[Numbers, float, float, float]:
        """Values, mean, error and bound as `sequential` wants them: turned so that the claim is "above"."""
        return self.side * self.measure.values, self.side * self.limit, self.measure.error, self.measure.bound

    def proved(self) -> NDArray[np.bool_]:
        """Tell after each observation whether the claim is proved, (..., n)."""
        return proved(*self.towards, self.first_look)

    def proved_at(self) -> Numbers:
        """Tell after how many observations the claim was proved, (...); infinity where it is not."""
        return first(self.proved())


def measures(evidence: Evidence, rule: Rule) -> dict[Kind, Measure]:
    """Give every measure, those without observations too.

    `quality` is the plain mean over all images up to the last look, catastrophes with all their weight. For
    `winsorised`, differences beyond the rule's `drop` count as much as the drop: the typical difference, which few
    pairs suffice to prove. `tail` counts what lies beyond: +1 where the challenger alone drops, -1 where the champion
    does.
    """
    quality = np.asarray(evidence.quality, np.float64)
    tail = np.where(np.abs(quality) > rule.drop, -np.sign(quality), 0.0)
    errors = rule.errors
    listed = (
        Measure("quality", quality[..., : rule.last_look], 1.0, errors.quality),
        Measure("winsorised", quality.clip(-rule.drop, rule.drop), rule.drop, errors.winsorised),
        Measure("tail", tail, 1.0, errors.tail),
        Measure("failures", evidence.failures.astype(np.float64), 1.0, errors.failures),
        Measure("preferences", evidence.preferences.astype(np.float64), 1.0, errors.preference),
        Measure("latency", _fourfold(evidence.latency), FOURFOLD, errors.latency),
        Measure("cpu", _fourfold(evidence.cpu), FOURFOLD, errors.cpu),
        Measure("memory", _fourfold(evidence.memory), FOURFOLD, errors.memory),
    )
    return {measure.kind: measure for measure in listed}


def harms(evidence: Evidence, rule: Rule) -> list[Claim]:
    """List what would prove that the challenger harms, gravest first; any one of them is enough to roll back."""
    of = measures(evidence, rule)
    look = rule.first_look
    return [
        Claim(of["tail"], 1, 0.0, look),
        Claim(of["failures"], 1, 0.0, look),
        Claim(of["winsorised"], -1, 0.0, look),
        Claim(of["preferences"], -1, 0.0, look),
        Claim(of["latency"], 1, math.log(rule.latency_limit), look),
        Claim(of["cpu"], 1, math.log(rule.cpu_limit), look),
        Claim(of["memory"], 1, math.log(rule.memory_limit), look),
    ]


def quality_kept(evidence: Evidence, rule: Rule) -> Claim:
    """Give what a promotion must prove of quality, within the last look."""
    quality = measures(evidence, rule)["quality"]
    if rule.goal == "superior":
        return Claim(quality, 1, 0.0, rule.first_look)
    return Claim(quality, 1, -rule.margin, rule.promote_from)


def quality_kept_at(evidence: Evidence, rule: Rule) -> Numbers:
    """Tell after how many pairs quality allowed a promotion, (...); infinity where it does not.

    That is when its claim is proved while the tail guard does not lean: a mean is proved sooner than a rare
    catastrophe, so that one which begins to show holds a promotion back long before it is proved.
    """
    tail = measures(evidence, rule)["tail"].up_to(rule.last_look)
    calm = wealth(tail.values, 0.0, tail.bound) < rule.lean
    return first(quality_kept(evidence, rule).proved() & calm)


def gains(evidence: Evidence, rule: Rule) -> list[Claim]:
    """List the gains one of which `not_worse` must prove: faster, smaller. None for `superior`."""
    if rule.goal == "superior":
        return []
    of = measures(evidence, rule)
    return [Claim(of[kind].up_to(rule.last_look), -1, 0.0, rule.first_look) for kind in ("latency", "memory")]


def _fourfold(ratios: NDArray[np.float64]) -> Numbers:
    return np.asarray(ratios, np.float64).clip(-FOURFOLD, FOURFOLD)
