import time

import pytest

from bioseg.training.schedules import Budget, WarmCosine, one_cycle


def rates(steps):
    cosine, budget = WarmCosine(2e-3), Budget(steps)
    return [cosine.rate(step, budget.done(step)) for step in range(steps)]


def test_the_rate_rises_for_two_hundred_steps_to_its_peak_and_falls_to_nearly_nothing():
    found = rates(2700)
    assert found[0] == pytest.approx(1e-4)
    assert max(found) == found[200] == pytest.approx(2e-3, rel=1e-5)
    assert found[1450] == pytest.approx((2e-3 + 1e-5) / 2, rel=1e-3)
    assert found[-1] == pytest.approx(1e-5, rel=0.01)


def test_a_short_fit_warms_up_for_a_tenth_of_it():
    found = rates(100)
    assert found.index(max(found)) == 10


def test_one_cycle_rises_for_fifteen_percent_with_momentum_against_it():
    assert one_cycle(2e-3, 0.0) == pytest.approx((8e-5, 0.95))
    assert one_cycle(2e-3, 0.15) == pytest.approx((2e-3, 0.85))
    assert one_cycle(2e-3, 1.0) == pytest.approx((8e-9, 0.95))


def test_a_budget_of_steps_is_used_up_by_steps():
    assert [Budget(4).done(step) for step in range(6)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_budget_of_no_steps_is_used_up_at_once():
    assert Budget(0).done(0) == 1.0


def test_a_budget_of_minutes_is_used_up_by_the_clock():
    halfway = Budget(10, minutes=2, started=time.perf_counter() - 60)
    over = Budget(10, minutes=2, started=time.perf_counter() - 200)
    assert (halfway.done(9), over.done(0)) == (pytest.approx(0.5, abs=0.01), 1.0)
