"""Verdicts in words, for biologists: what was seen, how sure it is, over how many pairs."""

import math
from collections.abc import Mapping

import numpy as np

from bioseg.policy.claims import Claim, Measure
from bioseg.policy.sequential import Bounds

COSTS = {
    "latency": ("slower", "faster", "time"),
    "cpu": ("dearer", "cheaper", "CPU time"),
    "memory": ("larger", "smaller", "peak memory"),
}


def harm(claim: Claim, seen: Bounds) -> str:
    """Say what harm was proved."""
    match claim.measure.kind:
        case "tail":
            said = tail(claim.measure)
        case "failures":
            said = failures(claim.measure)
        case "preferences":
            said = preferences(claim.measure)
        case "latency" | "cpu" | "memory":
            said = dearer(claim, seen)
        case _:
            said = (
                f"the challenger's masks are worse: {seen.estimate:+.4f} on average (at best {seen.high:+.4f}), over"
                f" {seen.n:,} audited pairs"
            )
    return sentence(said)


def promotion(quality: Claim, gain: Claim | None, seen: Mapping[str, Bounds]) -> str:
    """Say what was proved of the quality and, if it was needed, of a gain."""
    said = kept(quality, seen["quality"])
    if gain is not None:
        _, better, what = COSTS[gain.measure.kind]
        ratio, most = math.exp(seen[gain.measure.kind].estimate), math.exp(seen[gain.measure.kind].high)
        said += f"; it is {better}: {ratio:.2f} times the champion's {what} (at most {most:.2f})"
    return sentence(said)


def kept(claim: Claim, seen: Bounds) -> str:
    """Say what was proved of the quality."""
    compared = "better" if claim.limit == 0 else f"not worse by {-claim.limit:g}"
    return (
        f"the challenger's masks are {compared}: {seen.estimate:+.4f} on average (at least {seen.low:+.4f}), over"
        f" {seen.n:,} audited pairs"
    )


def tail(measure: Measure) -> str:
    """Say who drops badly how often."""
    challenger, champion = _alone(measure)
    return (
        f"the challenger alone drops badly on {challenger} of {measure.values.size:,} audited images, the champion"
        f" alone on {champion}"
    )


def failures(measure: Measure) -> str:
    """Say who fails how often."""
    challenger, champion = _alone(measure)
    images = f"{measure.values.size:,} images"
    return f"the challenger alone failed on {challenger} of {images}, the champion alone on {champion}"


def preferences(measure: Measure) -> str:
    """Say whose masks reviewers preferred."""
    challenger, champion = _alone(measure)
    return (
        f"reviewers, not knowing which was which, preferred the champion's mask {champion} times and the challenger's"
        f" {challenger} times"
    )


def dearer(claim: Claim, seen: Bounds) -> str:
    """Say by how much the challenger is slower or larger."""
    worse, _, what = COSTS[claim.measure.kind]
    ratio, least, limit = math.exp(seen.estimate), math.exp(seen.low), math.exp(claim.limit)
    return (
        f"the challenger is {worse}: {ratio:.2f} times the champion's {what} (at least {least:.2f}; allowed is"
        f" {limit:.2f}), over {seen.n:,} pairs"
    )


def open_quality(seen: Bounds | None, first_look: int) -> str:
    """Say that nothing is proved of the quality yet."""
    if seen is None:
        return "live quality not measured, no masks of audited images were corrected yet"
    if seen.n < first_look:
        return f"{seen.n} of the first {first_look} audited pairs, too few to decide"
    return (
        f"over {seen.n:,} audited pairs the difference lies between {seen.low:+.4f} and {seen.high:+.4f}, so nothing is"
        " proved yet"
    )


def mismatch(clients: tuple[int, int]) -> str:
    """Say that the split is off."""
    return (
        f"{clients[0]:,} clients with the champion and {clients[1]:,} with the challenger do not fit the share that was"
        " set: find out why before this rollout's evidence is used."
    )


def sentence(clause: str) -> str:
    """Begin with a capital, end with a full stop."""
    return f"{clause[0].upper()}{clause[1:]}."


def pairs(number: float) -> str:
    """Round a number of pairs to two figures.

    >>> pairs(143.2)
    '140'
    """
    return f"{round(number, 1 - math.floor(math.log10(number))) if number >= 10 else math.ceil(number):,.0f}"


def _alone(measure: Measure) -> tuple[int, int]:
    challenger, champion = (int(np.count_nonzero(measure.values == sign)) for sign in (1, -1))
    return challenger, champion
