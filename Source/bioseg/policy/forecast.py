"""How many more pairs a decision would take, if they are like those so far."""

import math

from bioseg.policy.claims import Claim, gains, harms, quality_kept
from bioseg.policy.evidence import Evidence
from bioseg.policy.rule import Rule
from bioseg.policy.sequential import pairs_needed

FORECAST_FROM = 20
"""Pairs below which their variance says too little."""


def more_pairs(evidence: Evidence, rule: Rule) -> float | None:
    """Forecast the pairs until the masks are proved worse, or everything is proved that a promotion needs.

    Returns
    -------
    The smaller number; infinity when the observations so far lead to neither, None when they are too few to
    say, or when the offline gate is what is missing.
    """
    if evidence.quality.size < FORECAST_FROM:
        return None
    worse = min(_needed(claim) for claim in harms(evidence, rule) if claim.measure.kind in {"tail", "winsorised"})
    if evidence.gate != "promote":
        return worse if math.isfinite(worse) else None
    gain = min((_needed(claim) for claim in gains(evidence, rule)), default=0.0)
    return min(worse, max(_needed(quality_kept(evidence, rule)), gain))


def _needed(claim: Claim) -> float:
    if claim.measure.values.size == 0:
        return math.inf
    if math.isfinite(float(claim.proved_at())):
        return 0.0
    return max(pairs_needed(*claim.towards), claim.first_look - claim.measure.values.size)
