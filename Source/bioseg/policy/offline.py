"""The decision of the offline gate: what a paired comparison and its guardrails say of a candidate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bioseg.errors import InvalidInput

CHEAPER = 0.95
"""Ratio of latency or memory below which a candidate is cheaper; a smaller gain may be where its arrays lie."""
COSTS = ("latency", "memory")

Goal = Literal["superior", "not_worse"]
State = Literal["passed", "broken", "unclear", "not checked"]


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Something that a better candidate must not spoil.

    Parameters
    ----------
    name
        What is guarded.
    state
        `broken`: proven or seen to be beyond the limit. `unclear`: it may be on either side, which holds a promotion
        up. `not checked`: this installation cannot tell; it neither breaks nor holds up anything, and is named.
    reason
        What was found, in a sentence.
    value, low, high, limit
        Measured figure, its interval and what it may be; None where the check has no figures.
    """

    name: str
    state: State
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the decision rests on, and what the reason tells.

    Parameters
    ----------
    metric
        Name of the primary metric.
    low, high
        Interval of its paired difference, candidate minus champion.
    guardrails
        Each of them.
    detectable
        Size of a difference that such a comparison usually shows; it is told, and decides nothing.
    """

    metric: str
    low: float
    high: float
    guardrails: Sequence[Guardrail]
    detectable: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says, and why, in a sentence."""

    verdict: Literal["promote", "inconclusive", "rollback"]
    reason: str


def decide(found: Findings, goal: Goal, margin: float) -> Verdict:
    """Decide on a candidate.

    `rollback` when the whole interval of the difference lies below 0 or a guardrail is broken. `promote` when no
    guardrail is broken or unclear and the goal is reached: `superior`, the whole interval above 0; `not_worse`, the
    whole interval above -margin and latency or memory proven below `CHEAPER`. Else `inconclusive`.

    Raises
    ------
    InvalidInput
        When the interval is none: nothing was measured, and that is no verdict.
    """
    if not found.low <= found.high:
        raise InvalidInput(f"an interval from {found.low} to {found.high} is none: measure the difference first")
    span = f"the difference in {found.metric} lies between {found.low:+.4f} and {found.high:+.4f}"
    if found.high < 0:
        return Verdict("rollback", f"The candidate is worse on the same images: {span}, all below 0.")
    if broken := _in_state(found.guardrails, "broken"):
        return Verdict("rollback", f"The candidate breaks what it must keep. {_told(broken)}")
    shortfall = _shortfall(found, goal, margin)
    if shortfall:
        return Verdict("inconclusive", f"{shortfall}: {span}{_sight(found.detectable)}.")
    if unclear := _in_state(found.guardrails, "unclear"):
        return Verdict("inconclusive", f"The goal is reached ({span}), but it is not clear enough: {_told(unclear)}")
    unchecked = ", ".join(rail.name for rail in _in_state(found.guardrails, "not checked"))
    limits = (
        f"every guardrail that was checked holds (not checked: {unchecked})" if unchecked else "all guardrails hold"
    )
    return Verdict("promote", f"{_gain(found, goal)}: {span}, and {limits}.")


def cheaper(guardrails: Iterable[Guardrail]) -> tuple[str, ...]:
    """Which costs are proven lower than the champion's by more than a trifle."""
    return tuple(
        rail.name for rail in guardrails if rail.name in COSTS and rail.high is not None and rail.high < CHEAPER
    )


def _shortfall(found: Findings, goal: Goal, margin: float) -> str:
    """What is missing for the goal, or nothing."""
    if goal == "superior":
        return "" if found.low > 0 else "It cannot be told whether the candidate is better"
    if found.low <= -margin:
        return f"A loss of {margin:g} or more cannot be excluded"
    return "" if cheaper(found.guardrails) else "The candidate is good enough but neither faster nor smaller"


def _sight(detectable: float | None) -> str:
    return f"; a difference of about {detectable:.4f} would show in four of five such comparisons" if detectable else ""


def _gain(found: Findings, goal: Goal) -> str:
    if goal == "superior":
        return "The candidate is better on the same images"
    return f"The candidate is good enough and needs less {' and '.join(cheaper(found.guardrails))}"


def _in_state(guardrails: Iterable[Guardrail], state: State) -> list[Guardrail]:
    return [rail for rail in guardrails if rail.state == state]


def _told(guardrails: Iterable[Guardrail]) -> str:
    return " ".join(f"{rail.name.capitalize()}: {rail.reason}." for rail in guardrails)
