"""Learning rates over the course of a fit, which is measured in steps or, when time is short, by the clock."""

import math
import time
from dataclasses import dataclass, field

WARM_UP_STEPS = 200
WARM_UP_SHARE = 0.1
WARM_UP_FROM = 0.05
COSINE_LAST = 0.005

ONE_CYCLE_RISE = 0.15
ONE_CYCLE_FIRST = 1 / 25
ONE_CYCLE_LAST = 4e-6
MOMENTUM = (0.85, 0.95)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a fit may take: `steps`, or `minutes` from `started` on when they are given."""

    steps: int
    minutes: float | None = None
    started: float = field(default_factory=time.perf_counter)

    def done(self, step: int) -> float:
        """Share of the budget that is used before a step, numbered from 0; 1 when it is used up."""
        if self.minutes is None:
            return step / self.steps if step < self.steps else 1.0
        return min(1.0, (time.perf_counter() - self.started) / (60 * self.minutes))


class WarmCosine:
    """Linear warm-up over 200 steps or a tenth of the budget, whichever is less, then half a cosine to nearly zero.

    Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts.
    """

    def __init__(self, peak: float) -> None:
        self._peak = peak
        self._warm_at = 0.0

    def rate(self, step: int, done: float) -> float:
        """Learning rate of a step; call it in the order of the steps. `done` is the share of the budget in [0, 1]."""
        risen = max(step / WARM_UP_STEPS, done / WARM_UP_SHARE)
        if risen < 1:
            self._warm_at = done
            return self._peak * (WARM_UP_FROM + (1 - WARM_UP_FROM) * risen)
        fallen = (done - self._warm_at) / (1 - self._warm_at) if done < 1 else 1.0
        return _between(self._peak, COSINE_LAST * self._peak, fallen)


def one_cycle(peak: float, done: float) -> tuple[float, float]:
    """Learning rate, and momentum moving against it, at a share of the budget in [0, 1].

    Smith and Topin, "Super-convergence", 2018, with cosine flanks: 15 % of the way up from a 25th of the peak, then
    down to four millionths of it.
    """
    if done < ONE_CYCLE_RISE:
        risen = done / ONE_CYCLE_RISE
        return _between(ONE_CYCLE_FIRST * peak, peak, risen), _between(MOMENTUM[1], MOMENTUM[0], risen)
    fallen = (done - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE)
    return _between(peak, ONE_CYCLE_LAST * peak, fallen), _between(MOMENTUM[0], MOMENTUM[1], fallen)


def _between(first: float, last: float, share: float) -> float:
    """Half a cosine wave from the first value to the last."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
