"""What an image costs in time, candidate against champion, back to back in one process."""

import time
from collections.abc import Callable, Sequence
from math import exp, log

from bioseg.gate.scores import Arms
from bioseg.images import Image
from bioseg.inference import Floats, classifying, segmenting
from bioseg.metrics import Interval
from bioseg.policy.paired import median_interval
from bioseg.runtime import Arm

PAIRS = 24
"""At least; the median's interval then runs from the 7th to the 18th ratio."""
MOST_PAIRS = 240
SECONDS = 6.0
"""For which more pairs are made where pairs are quick."""


def ratio(arms: Arms, pictures: Sequence[Image]) -> Interval:
    """Median of the ratio candidate / champion of seconds for one image, preparation included.

    Both run on the same image one after the other, in an order that alternates, so that what else the machine does
    meets both alike. Pictures come round until `PAIRS` pairs are made and `SECONDS` are over.
    """
    for picture in pictures:
        for arm in arms:
            use(arm, picture)
    ratios: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(ratios) < PAIRS or (len(ratios) < MOST_PAIRS and time.perf_counter() < end):
        number = len(ratios)
        ratios.append(_log_ratio(arms, pictures[number // 2 % len(pictures)], candidate_first=bool(number % 2)))
    found = median_interval(ratios)
    return Interval(exp(found.mean), exp(found.low), exp(found.high), found.n, found.method)


def use(arm: Arm, picture: Image) -> Floats:
    """Run a version on a decoded picture as a request does."""
    run: Callable[..., Floats] = {
        "segmentation": segmenting.foreground_probability,
        "classification": classifying.class_probabilities,
    }[arm.contract.task]
    return run(arm.predict, arm.contract, picture)


def _log_ratio(arms: Arms, picture: Image, *, candidate_first: bool) -> float:
    if candidate_first:
        candidate, champion = _seconds(arms.candidate, picture), _seconds(arms.champion, picture)
    else:
        champion, candidate = _seconds(arms.champion, picture), _seconds(arms.candidate, picture)
    return log(candidate / champion)


def _seconds(arm: Arm, picture: Image) -> float:
    start = time.perf_counter()
    use(arm, picture)
    return time.perf_counter() - start
