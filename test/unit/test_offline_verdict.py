"""The verdict of the offline gate, and what each guardrail does to it."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bioseg.errors import InvalidInput
from bioseg.metrics import Interval
from bioseg.policy import guardrails
from bioseg.policy.offline import Findings, Guardrail, decide
from bioseg.policy.paired import Unit, compare_scores

MARGIN = 0.01
ORDER = ("rollback", "inconclusive", "promote")
MIRROR = {"rollback": "promote", "promote": "rollback", "inconclusive": "inconclusive"}
BOUNDS = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)
FASTER = Guardrail("latency", "passed", "", 0.8, 0.7, 0.9, 1.2)
SAME = Guardrail("latency", "passed", "", 1.0, 0.95, 1.05, 1.2)


def verdict(low, high, *rails, goal="superior"):
    return decide(Findings("dice", low, high, rails), goal, MARGIN).verdict


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.02, "promote"),
        (0.0, 0.02, "inconclusive"),
        (0.0, 0.0, "inconclusive"),
        (-0.02, 0.0, "inconclusive"),
        (-0.02, -0.001, "rollback"),
    ],
)
def test_a_better_version_is_wanted(low, high, expected):
    assert expected == verdict(low, high)


@pytest.mark.parametrize(
    ("low", "high", "rail", "expected"),
    [
        (-0.005, 0.005, FASTER, "promote"),
        (-0.005, 0.005, SAME, "inconclusive"),
        (0.001, 0.005, SAME, "inconclusive"),
        (-0.01, 0.005, FASTER, "inconclusive"),
        (-0.005, -0.001, FASTER, "rollback"),
    ],
)
def test_a_cheaper_version_that_is_not_worse_is_wanted(low, high, rail, expected):
    assert expected == verdict(low, high, rail, goal="not_worse")


@pytest.mark.parametrize("goal", ["superior", "not_worse"])
def test_a_version_against_itself_is_inconclusive(goal):
    assert "inconclusive" == verdict(0.0, 0.0, SAME, goal=goal)


@pytest.mark.parametrize(
    ("state", "expected"),
    [("passed", "promote"), ("not checked", "promote"), ("unclear", "inconclusive"), ("broken", "rollback")],
)
def test_what_a_guardrail_does_to_a_better_version(state, expected):
    assert expected == verdict(0.01, 0.02, Guardrail("memory", state, "found"))


def test_what_was_not_checked_is_named():
    unchecked = Guardrail("parity", "not checked", "Keras is not installed")
    assert "not checked: parity" in decide(Findings("dice", 0.01, 0.02, [unchecked]), "superior", MARGIN).reason


def test_the_reason_of_a_rollback_names_what_broke():
    slow = guardrails.cost("latency", Interval(1.5, 1.4, 1.6, 16, ""))
    reason = decide(Findings("dice", 0.01, 0.02, [slow]), "superior", MARGIN).reason
    assert "Latency: the candidate needs 1.50 times" in reason


def test_an_open_question_tells_what_would_have_shown():
    reason = decide(Findings("dice", -0.01, 0.02, [], 0.0167), "superior", MARGIN).reason
    assert "a difference of about 0.0167 would show" in reason


@pytest.mark.parametrize(("low", "high"), [(math.nan, math.nan), (0.1, math.nan), (0.2, 0.1)])
def test_nothing_measured_is_no_verdict(low, high):
    with pytest.raises(InvalidInput, match="measure the difference first"):
        verdict(low, high)


@given(BOUNDS)
def test_exchanged_versions_get_the_opposite_verdict(bounds):
    low, high = bounds
    assert MIRROR[verdict(low, high)] == verdict(-high, -low)


@pytest.mark.parametrize("goal", ["superior", "not_worse"])
@given(before=BOUNDS, after=BOUNDS, rail=st.sampled_from([FASTER, SAME]))
def test_a_higher_interval_never_gets_a_worse_verdict(goal, before, after, rail):
    assume(before[0] <= after[0] and before[1] <= after[1])
    assert ORDER.index(verdict(*before, rail, goal=goal)) <= ORDER.index(verdict(*after, rail, goal=goal))


@pytest.mark.parametrize("goal", ["superior", "not_worse"])
@given(bounds=BOUNDS, rail=st.sampled_from(["unclear", "broken"]))
def test_no_spoiled_guardrail_helps(goal, bounds, rail):
    spoiled = verdict(*bounds, FASTER, Guardrail("memory", rail, ""), goal=goal)
    assert "promote" != spoiled
    assert ORDER.index(spoiled) <= ORDER.index(verdict(*bounds, FASTER, goal=goal))


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.9, 1.2, "passed"), (1.1, 1.3, "unclear"), (1.21, 1.4, "broken")]
)
def test_a_cost_breaks_when_it_is_proven_too_high(low, high, expected):
    assert expected == guardrails.cost("memory", Interval(1.2, low, high, 3, "")).state


def test_a_cost_that_cannot_be_measured_is_not_checked():
    assert "not checked" == guardrails.cost("memory", None).state


@pytest.mark.parametrize(("loss", "expected"), [(0.19, "passed"), (0.21, "broken")])
def test_a_single_unit_that_falls_far_breaks(loss, expected):
    units = [Unit("a", "a", 0.5, 1.0), Unit("b", "b", 0.9, 0.9 - loss)]
    assert expected == guardrails.worst_drop(units).state


def test_the_unit_that_falls_most_is_named():
    units = [Unit("a", "a", 0.5, 0.4), Unit("b", "b", 0.9, 0.6)]
    assert "b loses most, from 0.900 to 0.600" in guardrails.worst_drop(units).reason


@pytest.mark.parametrize(
    ("growths", "expected"),
    [((0.0, 0.01), "unclear"), ((0.001, 0.002, 0.001), "passed"), ((0.05, 0.051, 0.049), "broken")],
)
def test_probabilities_may_not_lose_their_meaning(growths, expected):
    errors = [Unit(str(n), str(n), 0.03, 0.03 + growth) for n, growth in enumerate(growths)]
    assert expected == guardrails.calibration(compare_scores(errors)).state


@pytest.mark.parametrize(("shift", "expected"), [(-0.1, "broken"), (0.0, "passed"), (0.1, "passed")])
def test_a_further_figure_breaks_when_it_is_proven_worse(shift, expected):
    units = [Unit(str(n), str(n), 0.5, 0.5 + shift + noise) for n, noise in enumerate((-0.01, 0.0, 0.01))]
    assert [expected] == [rail.state for rail in guardrails.secondary({"v_rand": compare_scores(units)})]


def test_several_further_figures_share_the_error():
    assert pytest.approx((0.95, 0.975)) == (guardrails.secondary_confidence(1), guardrails.secondary_confidence(2))
