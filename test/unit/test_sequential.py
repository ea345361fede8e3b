"""Always-valid tests and intervals of a bounded mean."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bioseg.policy.sample_ratio import mismatch_evidence
from bioseg.policy.sequential import bounds, course, first, pairs_needed, proved, wealth

series = st.integers(1, 60).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(-1, 1)))
means = st.floats(-0.9, 0.9)
ERROR = 0.05


def noise(n: int, mean: float = 0.0, deviation: float = 0.1):
    return np.random.default_rng(n).normal(mean, deviation, n).clip(-1, 1)


@pytest.mark.parametrize(("high", "chance"), [(1.0, 0.5), (0.25, 0.8), (0.5, 2 / 3)])
def test_no_bet_gains_on_average_while_the_mean_is_as_claimed(high, chance):
    """Every path of a two-valued variable with mean 0, by its probability: the game is fair, not only about so."""
    low = -high * chance / (1 - chance)
    paths = np.array(list(itertools.product([high, low], repeat=10)))
    probabilities = np.where(paths > 0, chance, 1 - chance).prod(axis=1)
    assert probabilities @ wealth(paths, 0.0, 1.0) == pytest.approx(np.ones(10))


def test_the_chance_of_a_false_proof_is_within_the_error():
    paths = np.array(list(itertools.product([1.0, -1.0], repeat=16)))
    assert proved(paths, 0.0, ERROR, 1.0)[:, -1].mean() <= ERROR


@given(series, means, means)
def test_wealth_falls_as_the_claimed_mean_rises(values, one, other):
    low, high = sorted((one, other))
    assert (wealth(values, low, 1.0) >= wealth(values, high, 1.0) * (1 - 1e-9)).all()


@given(series, means)
def test_only_the_ratio_to_the_bound_counts(values, mean):
    assert wealth(values, mean, 1.0) == pytest.approx(wealth(values / 5, mean / 5, 0.2))


@given(series, st.integers(1, 60))
def test_what_is_proved_stays_proved_and_counts_from_the_first_look(values, look):
    proof = proved(values, 0.0, 0.2, 1.0)
    assert (np.sort(proof) == proof).all()
    assert first(proved(values, 0.0, 0.2, 1.0, look)) == (max(first(proof), look) if look <= len(values) else np.inf)


@settings(max_examples=50, deadline=None)
@given(series)
def test_the_interval_lies_beside_what_was_proved(values):
    seen = bounds(values, ERROR, 1.0)
    assert proved(values, seen.low - 1e-6, ERROR, 1.0)[-1] or seen.low < -1 + 1e-5
    assert not proved(values, seen.low + 1e-5, ERROR, 1.0)[-1]


@settings(max_examples=50, deadline=None)
@given(series)
def test_exchanged_arms_mirror_the_interval(values):
    seen, mirrored = bounds(values, ERROR, 1.0), bounds(-values, ERROR, 1.0)
    assert seen == (-mirrored.estimate, -mirrored.high, -mirrored.low, mirrored.n)


@settings(max_examples=50, deadline=None)
@given(series, series)
def test_more_observations_never_widen_the_interval(values, more):
    before, after = bounds(values, ERROR, 1.0), bounds(np.concatenate([values, more]), ERROR, 1.0)
    assert before.low <= after.low
    assert before.high >= after.high


@settings(max_examples=50, deadline=None)
@given(series, st.floats(0, 1))
def test_better_observations_never_lower_the_interval(values, by):
    assert bounds(values, ERROR, 1.0).low <= bounds((values + by).clip(-1, 1), ERROR, 1.0).low


def test_the_course_ends_at_the_interval_and_never_widens():
    values = noise(500, 0.02)
    ran = course(values, ERROR, 1.0, [1, 50, 200, 400, 500])
    assert ran[-1] == pytest.approx(bounds(values, ERROR, 1.0))
    assert [look.low for look in ran] == sorted(look.low for look in ran)
    assert [look.high for look in ran] == sorted((look.high for look in ran), reverse=True)


@pytest.mark.parametrize("n", [50, 200, 400])
def test_the_course_is_no_narrower_than_the_interval_was(n):
    values = noise(500, 0.02)
    drawn, exact = course(values, ERROR, 1.0, [n])[0], bounds(values[:n], ERROR, 1.0)
    assert exact.low - 0.15 * (exact.estimate - exact.low) <= drawn.low <= exact.low
    assert exact.high <= drawn.high <= exact.high + 0.15 * (exact.high - exact.estimate)


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_a_hundred_thousand_extreme_observations_are_no_overflow(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert proved(np.full(100_000, value), 0.0, ERROR, 1.0)[-1] == (value > 0)


def test_the_forecast_is_about_what_it_takes():
    values = noise(200, 0.02, 0.045)
    whole = np.concatenate([values, np.resize(values, 2000)])
    takes = first(proved(whole, 0.0, 0.005, 1.0)) - 200
    assert pairs_needed(values, 0.0, 0.005, 1.0) == pytest.approx(takes, rel=0.3)


def test_nothing_is_forecast_against_the_evidence():
    assert math.inf == pairs_needed(np.full(30, -0.1), 0.0, 0.005, 1.0)


def test_what_is_proved_needs_no_more():
    assert 0 == pairs_needed(np.full(60, 0.5), 0.0, 0.005, 1.0)


@pytest.mark.parametrize(("clients", "share"), [([500, 500], 0.5), ([900, 100], 0.1), ([0, 0], 0.3), ([0, 40], 1.0)])
def test_a_split_as_it_was_set_is_no_mismatch(clients, share):
    assert mismatch_evidence(clients, share) <= 0


@pytest.mark.parametrize(("clients", "share"), [([400, 600], 0.5), ([800, 200], 0.1), ([1, 400], 1.0), ([400, 1], 0.0)])
def test_a_split_that_is_off_is_a_mismatch(clients, share):
    assert mismatch_evidence(clients, share) > math.log(2000)


def test_the_evidence_on_a_split_is_fair_on_average():
    counts = np.arange(21)
    chances = np.array([math.comb(20, k) * 0.3**k * 0.7 ** (20 - k) for k in counts])
    evidence = [math.exp(mismatch_evidence([20 - k, k], 0.3)) for k in counts]
    assert chances @ evidence == pytest.approx(1)


def test_each_step_of_a_growing_share_is_weighed_by_its_own():
    assert mismatch_evidence([[900, 100], [480, 520]], [0.1, 0.5]) == pytest.approx(
        mismatch_evidence([900, 100], 0.1) + mismatch_evidence([480, 520], 0.5)
    )
