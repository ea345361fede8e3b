"""From a measured figure to the state of a guardrail, and what each may cost."""

from collections.abc import Iterable, Mapping

from bioseg.metrics import Interval
from bioseg.policy.offline import Guardrail, State
from bioseg.policy.paired import Comparison, Unit

COST_LIMIT = 1.20
"""How many times the champion's latency and memory a candidate may need."""
CALIBRATION_LIMIT = 0.02
"""How much the expected calibration error, in [0, 1], may grow."""
DROP_LIMIT = 0.2
"""How much a single unit may lose; means hide rare catastrophes."""


def cost(name: str, ratio: Interval | None) -> Guardrail:
    """Guard a ratio candidate / champion, of latency or of memory; None: it could not be measured."""
    if ratio is None:
        return Guardrail(name, "not checked", "this system does not tell it")
    state = _state(ratio.low, ratio.high, COST_LIMIT)
    reason = (
        f"the candidate needs {ratio.mean:.2f} times what the champion needs ({ratio.low:.2f} to {ratio.high:.2f}, "
        f"n = {ratio.n}); up to {COST_LIMIT:.2f} is allowed"
    )
    return Guardrail(name, state, reason, ratio.mean, ratio.low, ratio.high, COST_LIMIT)


def calibration(growth: Comparison) -> Guardrail:
    """Guard the expected calibration error: people and the screen rely on what the probabilities mean."""
    state = _state(growth.low, growth.high, CALIBRATION_LIMIT)
    reason = (
        f"the error of the probabilities goes from {growth.champion:.4f} to {growth.candidate:.4f} "
        f"({growth.low:+.4f} to {growth.high:+.4f}); it may grow by {CALIBRATION_LIMIT:g}"
    )
    return Guardrail("calibration", state, reason, growth.mean, growth.low, growth.high, CALIBRATION_LIMIT)


def worst_drop(units: Iterable[Unit]) -> Guardrail:
    """Guard every single unit: what is seen to fall is no matter of chance."""
    worst = min(units, key=lambda unit: unit.difference)
    state: State = "broken" if worst.difference < -DROP_LIMIT else "passed"
    lost = f"{worst.name} loses most, from {worst.champion:.3f} to {worst.candidate:.3f}"
    reason = (
        f"{lost if worst.difference < 0 else 'nothing is lost anywhere'}; no unit may lose more than {DROP_LIMIT:g}"
    )
    return Guardrail("worst unit", state, reason, worst.difference, limit=-DROP_LIMIT)


def secondary(compared: Mapping[str, Comparison]) -> list[Guardrail]:
    """Guard each further figure: it breaks when it is proven worse, which takes a whole interval below 0."""
    return [_not_worse(name, difference) for name, difference in compared.items()]


def secondary_confidence(figures: int) -> float:
    """Confidence of each of so many figures at which 95 % hold for all of them together (Bonferroni)."""
    return 1 - 0.05 / max(1, figures)


def _not_worse(name: str, difference: Comparison) -> Guardrail:
    state: State = "broken" if difference.high < 0 else "passed"
    reason = (
        f"it goes from {difference.champion:.4f} to {difference.candidate:.4f} "
        f"({difference.low:+.4f} to {difference.high:+.4f}), {'worse' if state == 'broken' else 'not proven worse'}"
    )
    return Guardrail(name, state, reason, difference.mean, difference.low, difference.high, 0.0)


def _state(low: float, high: float, limit: float) -> State:
    return "broken" if low > limit else "passed" if high <= limit else "unclear"
