"""What a study asks of a challenger, and how often a decision may be wrong."""

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from bioseg.errors import InvalidInput

BUDGET = 0.02
ROUNDING = 1e-12

Goal = Literal["superior", "not_worse"]


@dataclass(frozen=True, slots=True)
class Errors:
    """Chance of a false proof, over all looks together, of each test and side that decides something.

    Parameters
    ----------
    quality
        That the mean difference is above its limit, when it is not: a promotion.
    winsorised, preference
        That the challenger's masks are worse, by the metric or by reviewers' choice: a rollback. Together as much as
        `quality`.
    tail
        That the challenger alone drops badly more often than the champion alone.
    failures
        That the challenger alone fails more often than the champion alone.
    latency, memory
        That the challenger needs more than its limit (a rollback), and as much again that it needs less than the
        champion (the goal of `not_worse`).
    cpu
        That the challenger needs more than its limit.
    mismatch
        That clients were not split as they should have been.
    """

    quality: float = 0.005
    winsorised: float = 0.004
    preference: float = 0.001
    tail: float = 0.005
    failures: float = 0.001
    latency: float = 0.001
    memory: float = 0.0005
    cpu: float = 0.0005
    mismatch: float = 0.0005

    def __post_init__(self) -> None:
        for error in fields(self):
            if not 0 < getattr(self, error.name) < 1:
                raise InvalidInput(f"error budget {error.name} = {getattr(self, error.name)}: give one between 0 and 1")
        if self.spent > BUDGET + ROUNDING:
            raise InvalidInput(f"the error budgets sum to {self.spent:.4f}: give {BUDGET} or less together")

    @property
    def spent(self) -> float:
        """Bound of the chance of any wrong decision; latency and memory are tested on both sides."""
        return math.fsum(getattr(self, error.name) for error in fields(self)) + self.latency + self.memory


@dataclass(frozen=True, slots=True)
class Rule:
    """A study's promotion rule.

    Parameters
    ----------
    goal
        `superior`: better in quality. `not_worse`: not worse in quality by the margin or more, and faster or smaller.
    margin
        Loss in the primary metric that `not_worse` accepts for the gain, in (0, 1).
    drop
        Loss in the primary metric, on one image, from above which it counts as a catastrophe; in (0, 1]. Beyond it the
        winsorised difference does not reach, so that each catastrophe is counted by the tail guard, not averaged.
    lean
        Wealth of the tail guard, of the 1/error that would be proof, from which a promotion waits; above 1.
    latency_limit, cpu_limit, memory_limit
        Ratios challenger / champion, 1 or more, from above which the challenger is too expensive.
    first_look
        Pairs from which a test may decide.
    promote_from
        Audited pairs from which `not_worse` may promote.
    last_look
        Audited pairs (without audits: shadow pairs) within which a promotion must be proved.
    errors
        Error budget of each test.

    Raises
    ------
    InvalidInput
        When a number is out of its range.
    """

    goal: Goal = "superior"
    margin: float = 0.01
    drop: float = 0.2
    lean: float = 4.0
    latency_limit: float = 1.05
    cpu_limit: float = 1.05
    memory_limit: float = 1.1
    first_look: int = 50
    promote_from: int = 300
    last_look: int = 1000
    errors: Errors = field(default_factory=Errors)

    def __post_init__(self) -> None:
        if self.goal not in {"superior", "not_worse"}:
            raise InvalidInput(f"goal {self.goal!r}: give superior or not_worse")
        if not 0 < self.margin < 1 or not 0 < self.drop <= 1:
            raise InvalidInput(f"margin {self.margin}, drop {self.drop}: give differences between 0 and 1")
        if not self.lean > 1:
            raise InvalidInput(f"lean {self.lean}: give a wealth above 1")
        for name in ("latency_limit", "cpu_limit", "memory_limit"):
            if not 1 <= getattr(self, name) <= 4:
                raise InvalidInput(f"{name} {getattr(self, name)}: give a ratio from 1 to 4")
        if not 1 <= self.first_look <= self.promote_from <= self.last_look:
            raise InvalidInput(
                f"looks at {self.first_look}, {self.promote_from} and {self.last_look} pairs: give them in rising order"
            )
