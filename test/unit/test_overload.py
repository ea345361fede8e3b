"""Whom to turn away: the rule alone, on a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from bioseg.policy.overload import LONGEST_WAIT, STANDING_SECONDS, may_enter

MOMENTS = st.floats(0, 1e6)
SECONDS = st.floats(0.001, 60)
STANDING = st.floats(0, 0.999 * STANDING_SECONDS)


@given(MOMENTS, SECONDS, SECONDS)
def test_a_burst_may_wait_however_long(now: float, wait: float, takes: float) -> None:
    assert may_enter(now, now + wait, takes, now - 1.01 * STANDING_SECONDS - 1e-6)


@given(MOMENTS, SECONDS, STANDING)
def test_under_a_standing_load_nobody_waits_longer_than_the_longest(now: float, takes: float, ago: float) -> None:
    assert not may_enter(now, now + 1.01 * LONGEST_WAIT * takes, takes, now - ago)


@given(MOMENTS, SECONDS, STANDING)
def test_under_a_standing_load_those_enter_whose_turn_comes_soon(now: float, takes: float, ago: float) -> None:
    assert may_enter(now, now + 0.99 * LONGEST_WAIT * takes, takes, now - ago)


@given(MOMENTS, st.floats(0, 1e3), st.floats(0, 60), STANDING)
def test_idle_networks_take_whoever_comes(now: float, idle: float, takes: float, ago: float) -> None:
    assert may_enter(now, now - idle, takes, now - ago)


@given(MOMENTS, SECONDS, SECONDS, st.floats(-2, 2), SECONDS)
def test_who_may_enter_may_enter_later_too(now: float, wait: float, takes: float, ago: float, later: float) -> None:
    before = may_enter(now, now + wait, takes, now - ago)
    assert may_enter(now + later, now + wait, takes, now - ago) >= before


@given(MOMENTS, SECONDS, st.floats(-2, 2))
def test_before_a_turn_was_ever_taken_nobody_waits_in_vain(now: float, wait: float, ago: float) -> None:
    free_at, takes, last_turned_away = 0.0, 0.0, now - ago
    assert may_enter(now, free_at, takes, last_turned_away)
