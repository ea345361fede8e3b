"""The decision rule: what the evidence of a rollout says of its challenger. docs/gate.md derives it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bioseg.errors import InvalidInput
from bioseg.policy import reasons, sequential
from bioseg.policy.claims import Claim, gains, harms, measures, quality_kept, quality_kept_at
from bioseg.policy.evidence import Evidence
from bioseg.policy.forecast import more_pairs
from bioseg.policy.rule import Errors, Goal, Rule
from bioseg.policy.sample_ratio import mismatch_evidence
from bioseg.policy.sequential import Bounds, bounds

__all__ = ["Bounds", "Decision", "Errors", "Evidence", "Goal", "Rule", "Verdict", "course", "decide"]

Decision = Literal["promote", "rollback", "continue", "inconclusive"]
JsonValue = str | bool | None | dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says; equal for equal evidence.

    Parameters
    ----------
    verdict
        `promote` and `rollback` are proved. `continue`: not yet. `inconclusive`: it will not be, or the evidence cannot
        be trusted.
    reason
        One sentence.
    forecast
        Of the pairs that are still needed, when that can be said.
    intervals
        Of each measure that has observations: its mean and the ends of its confidence sequence, as `claims.measures`
        describes them; latency, cpu and memory as logarithms of ratios, tail and failures as differences of rates
        challenger minus champion.
    live_quality
        False: live quality was not measured.
    """

    verdict: Decision
    reason: str
    forecast: str | None
    intervals: Mapping[str, Bounds]
    live_quality: bool

    def as_json(self) -> dict[str, JsonValue]:
        """Give the verdict as JSON holds it; each interval as `estimate`, `low`, `high`, `n`."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "forecast": self.forecast,
            "intervals": {name: interval._asdict() for name, interval in self.intervals.items()},
            "live_quality": self.live_quality,
        }


def decide(evidence: Evidence, rule: Rule) -> Verdict:
    """Judge a challenger by all that was seen so far.

    A look after every pair is allowed, and what was proved once stays proved: the verdict is what watching from the
    first pair would have concluded, except that a later proof of harm outranks an earlier one of benefit. Harm is
    looked for as long as pairs come; a promotion must be proved within the last look. No data is neither success nor
    failure.

    Raises
    ------
    InvalidInput
        When the evidence holds more than one rollout.

    Example
    -------
    >>> verdict = decide(Evidence(quality=np.full(60, -0.15), gate="promote"), Rule())
    >>> verdict.verdict, verdict.reason
    ('rollback', "The challenger's masks are worse: -0.1500 on average (at best -0.1141), over 60 audited pairs.")
    """
    _require_one_rollout(evidence)
    seen: dict[str, Bounds] = {
        kind: bounds(measure.values, measure.error, measure.bound)
        for kind, measure in measures(evidence, rule).items()
        if measure.values.size
    }
    conclusion, reason = _conclude(evidence, rule, seen)
    forecast = _forecast(evidence, rule) if conclusion == "continue" else None
    return Verdict(conclusion, reason, forecast, seen, evidence.live_quality)


def course(evidence: Evidence, rule: Rule, looks: int = 40) -> dict[str, list[Bounds]]:
    """Give each measure's interval as it ran, at up to so many evenly spaced looks, the last one now.

    Returns
    -------
    Of each measure that has observations: its intervals in order, each with the number of observations at that look.
    """
    _require_one_rollout(evidence)
    return {
        measure.kind: sequential.course(
            measure.values, measure.error, measure.bound, _evenly(measure.values.size, looks)
        )
        for measure in measures(evidence, rule).values()
        if measure.values.size
    }


def _evenly(n: int, looks: int) -> list[int]:
    return sorted({math.ceil(n * look / looks) for look in range(1, looks + 1)})


def _conclude(evidence: Evidence, rule: Rule, seen: Mapping[str, Bounds]) -> tuple[Decision, str]:
    for claim in harms(evidence, rule):
        if _proved(claim):
            return "rollback", reasons.harm(claim, seen[claim.measure.kind])
    if _mismatch(evidence, rule):
        return "inconclusive", reasons.mismatch(_clients(evidence))
    gain = next((claim for claim in gains(evidence, rule) if _proved(claim)), None)
    missing = _missing(evidence, rule, gain, seen)
    if missing is None:
        return "promote", reasons.promotion(quality_kept(evidence, rule), gain, seen)
    hopeless = _hopeless(evidence, rule)
    return ("inconclusive", f"{hopeless}: {missing}.") if hopeless else ("continue", reasons.sentence(missing))


def _missing(evidence: Evidence, rule: Rule, gain: Claim | None, seen: Mapping[str, Bounds]) -> str | None:
    quality = quality_kept(evidence, rule)
    if not _proved(quality):
        return reasons.open_quality(seen.get("quality"), rule.first_look)
    if math.isinf(quality_kept_at(evidence, rule)):
        return f"{reasons.kept(quality, seen['quality'])}, but {reasons.tail(measures(evidence, rule)['tail'])}"
    if evidence.gate != "promote":
        return f"{reasons.kept(quality, seen['quality'])}, but the offline gate has not passed"
    if rule.goal == "not_worse" and gain is None:
        return f"{reasons.kept(quality, seen['quality'])}, but that it is faster or smaller is not proved"
    return None


def _hopeless(evidence: Evidence, rule: Rule) -> str | None:
    if _pairs(evidence) >= rule.last_look:
        return "Undecided at the last look"
    expected = evidence.expected
    if expected is not None and expected < _needed(evidence, rule):
        return f"Traffic can bring {expected:,} more pairs before the rollout ends, too few to decide"
    return None


def _needed(evidence: Evidence, rule: Rule) -> float:
    missing = rule.first_look - _pairs(evidence)
    return missing if missing > 0 else max(1.0, more_pairs(evidence, rule) or 1.0)


def _forecast(evidence: Evidence, rule: Rule) -> str | None:
    needed = more_pairs(evidence, rule)
    if needed is None:
        return None
    left = rule.last_look - evidence.quality.size
    if needed > left:
        return f"more than the {left:,} pairs that are left until the last look, at the present variance"
    return f"about {reasons.pairs(max(1.0, needed))} more pairs at the present variance"


def _pairs(evidence: Evidence) -> int:
    audited = evidence.quality.size or evidence.preferences.size
    return audited or max(evidence.latency.size, evidence.cpu.size, evidence.memory.size, evidence.failures.size)


def _proved(claim: Claim) -> bool:
    return math.isfinite(float(claim.proved_at()))


def _mismatch(evidence: Evidence, rule: Rule) -> bool:
    if evidence.clients is None or evidence.share is None:
        return False
    return mismatch_evidence(evidence.clients, evidence.share) >= -math.log(rule.errors.mismatch)


def _clients(evidence: Evidence) -> tuple[int, int]:
    champion, challenger = np.atleast_2d(np.asarray(evidence.clients)).sum(axis=0).tolist()
    return champion, challenger


def _require_one_rollout(evidence: Evidence) -> None:
    arrays = (
        evidence.quality,
        evidence.preferences,
        evidence.latency,
        evidence.cpu,
        evidence.memory,
        evidence.failures,
    )
    if any(array.ndim != 1 for array in arrays):
        raise InvalidInput("evidence of several rollouts: give one-dimensional arrays, and decide each for itself")
