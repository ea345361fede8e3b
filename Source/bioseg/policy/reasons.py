"""Verdicts in words, for biologists: what was seen, how sure it is, over how many pairs."""

import math

import numpy as np

from bioseg.policy.claims import Claim
from bioseg.policy.sequential import Bounds

COSTS = {
    "latency": ("slower", "faster", "time"),
    "cpu": ("dearer", "cheaper", "CPU time"),
    "memory": ("larger", "smaller", "peak memory"),
}


def harm(claim: Claim, seen: Bounds) -> str:
    """Say what harm was proved."""
    challenger, champion = (int(np.count_nonzero(claim.measure.values == sign)) for sign in (1, -1))
    match claim.measure.kind:
        case "tail":
            return (
                f"The challenger alone drops badly on {challenger} of {seen.n:,} audited images, the champion alone on"
                f" {champion}."
            )
        case "failures":
            return (
                f"The challenger alone failed on {challenger} of {seen.n:,} images, the champion alone on {champion}."
            )
        case "preferences":
            return (
                f"Reviewers, not knowing which was which, preferred the champion's mask {champion} times and the"
                f" challenger's {challenger} times."
            )
        case "latency" | "cpu" | "memory" as kind:
            return (
                f"The challenger is {COSTS[kind][0]}: {math.exp(seen.estimate):.2f} times the champion's"
                f" {COSTS[kind][2]} (at least {math.exp(seen.low):.2f}; allowed is {math.exp(claim.limit):.2f}), over"
                f" {seen.n:,} pairs."
            )
    return (
        f"The challenger's masks are worse: {seen.estimate:+.4f} on average (at best {seen.high:+.4f}), over {seen.n:,}"
        " audited pairs."
    )


def kept(claim: Claim, seen: Bounds) -> str:
    """Say what was proved of the quality."""
    compared = "better" if claim.limit == 0 else f"not worse by {-claim.limit:g}"
    return (
        f"The challenger's masks are {compared}: {seen.estimate:+.4f} on average (at least {seen.low:+.4f}), over"
        f" {seen.n:,} audited pairs"
    )


def gained(claim: Claim, seen: Bounds) -> str:
    """Say what gain was proved."""
    _, better, what = COSTS[claim.measure.kind]
    ratio, most = math.exp(seen.estimate), math.exp(seen.high)
    return f"; it is {better}: {ratio:.2f} times the champion's {what} (at most {most:.2f})"


def open_quality(seen: Bounds | None, first_look: int) -> str:
    """Say that nothing is proved of the quality yet."""
    if seen is None:
        return "Live quality not measured: no masks of audited images were corrected yet."
    if seen.n < first_look:
        return f"{seen.n} of the first {first_look} audited pairs: too few to decide."
    return (
        f"Nothing is proved yet: after {seen.n:,} audited pairs the difference lies between {seen.low:+.4f} and"
        f" {seen.high:+.4f}."
    )


def mismatch(clients: tuple[int, int]) -> str:
    """Say that the split is off."""
    return (
        f"{clients[0]:,} clients with the champion and {clients[1]:,} with the challenger do not fit the share that was"
        " set: find out why before this rollout's evidence is used."
    )


def pairs(number: float) -> str:
    """Round a number of pairs to two figures.

    >>> pairs(143.2)
    '140'
    """
    return f"{round(number, 1 - math.floor(math.log10(number))) if number >= 10 else math.ceil(number):,.0f}"
