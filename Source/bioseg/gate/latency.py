"""What an image costs in time, candidate against champion, back to back in one process."""

import time
from collections.abc import Sequence
from math import exp, log

from bioseg.gate.prediction import use
from bioseg.gate.scores import Both
from bioseg.images import Image
from bioseg.metrics import Interval
from bioseg.policy.paired import median_interval
from bioseg.runtime import Arm

PAIRS = 16
"""At least; the median's interval then runs from the 4th to the 13th ratio."""
MOST_PAIRS = 120
SECONDS = 4.0
"""For which more pairs are made where pairs are quick."""


def ratio(arms: Both, pictures: Sequence[Image]) -> Interval:
    """Median of the ratio candidate / champion of seconds for one image, preparation included.

    Both run on the same image one after the other, in an order that alternates, so that what else the machine does
    meets both alike. Pictures come round until `PAIRS` pairs are made and `SECONDS` are over.
    """
    for picture in {picture.shape: picture for picture in pictures}.values():  # the first run of a size plans it
        for arm in arms:
            use(arm.predict, arm.contract, picture)
    ratios: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(ratios) < PAIRS or (len(ratios) < MOST_PAIRS and time.perf_counter() < end):
        number = len(ratios)
        ratios.append(_log_ratio(arms, pictures[number // 2 % len(pictures)], candidate_first=bool(number % 2)))
    found = median_interval(ratios)
    return Interval(exp(found.mean), exp(found.low), exp(found.high), found.n, found.method)


def _log_ratio(arms: Both, picture: Image, *, candidate_first: bool) -> float:
    if candidate_first:
        candidate, champion = _seconds(arms.candidate, picture), _seconds(arms.champion, picture)
    else:
        champion, candidate = _seconds(arms.champion, picture), _seconds(arms.candidate, picture)
    return log(candidate / champion)


def _seconds(arm: Arm, picture: Image) -> float:
    start = time.perf_counter()
    use(arm.predict, arm.contract, picture)
    return time.perf_counter() - start
