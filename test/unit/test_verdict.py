"""What the evidence of a rollout says of its challenger."""

import json
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioseg.errors import InvalidInput
from bioseg.policy.claims import gains, harms, quality_kept_at
from bioseg.policy.verdict import Errors, Evidence, Rule, course, decide
from bioseg.testing import simulated_rollouts as simulated

SUPERIOR = Rule()
NOT_WORSE = Rule(goal="not_worse")
SOON = Rule(first_look=5, promote_from=10, last_look=60)
SOON_NOT_WORSE = replace(SOON, goal="not_worse", margin=0.3)
STREAMS = ("quality", "preferences", "latency", "cpu", "memory", "failures")


def numbers(n: int, mean: float, deviation: float = 0.045):
    return np.random.default_rng(n).normal(mean, deviation, n).clip(-1, 1)


def signs(plus: int, minus: int, zero: int):
    return np.random.default_rng(0).permutation(np.repeat([1, -1, 0], [plus, minus, zero])).astype(np.int8)


def passed(**observed) -> Evidence:
    return Evidence(gate="promote", **observed)


def exchanged(evidence: Evidence) -> Evidence:
    return replace(evidence, **{name: -getattr(evidence, name) for name in STREAMS})


def until(evidence: Evidence, n: int) -> Evidence:
    return replace(evidence, **{name: getattr(evidence, name)[:n] for name in STREAMS})


def lists(elements, kind):
    return st.lists(elements, max_size=60).map(lambda values: np.array(values, kind))


reals = lists(st.one_of(st.floats(-1, 1), st.sampled_from([-0.9, 0.9, 0.1])), np.float64)
choices = lists(st.sampled_from([-1, 0, 1]), np.int8)
evidences = st.builds(
    Evidence,
    quality=reals,
    preferences=choices,
    latency=reals,
    memory=reals,
    failures=choices,
    gate=st.sampled_from([None, "promote", "inconclusive", "rollback"]),
    expected=st.one_of(st.none(), st.integers(0, 200)),
)
rules = st.sampled_from([SOON, SOON_NOT_WORSE])


@pytest.mark.parametrize("rule", [SUPERIOR, NOT_WORSE])
@pytest.mark.parametrize("gate", [None, "promote", "inconclusive", "rollback"])
def test_no_data_is_neither_success_nor_failure(rule, gate):
    verdict = decide(Evidence(gate=gate), rule)
    assert ("continue", None, {}, False) == (verdict.verdict, verdict.forecast, verdict.intervals, verdict.live_quality)


HARM = {
    "worse masks": (
        {"quality": numbers(200, -0.05)},
        "The challenger's masks are worse: -0.0567 on average (at best -0.0445), over 200 audited pairs.",
    ),
    "rare catastrophes": (
        {"quality": np.where(np.arange(400) % 25 == 24, -0.6, 0.005)},
        "The challenger alone drops badly on 16 of 400 audited images, the champion alone on 0.",
    ),
    "failures": (
        {"failures": signs(20, 0, 180)},
        "The challenger alone failed on 20 of 200 images, the champion alone on 0.",
    ),
    "dislike": (
        {"preferences": signs(5, 45, 20)},
        "Reviewers, not knowing which was which, preferred the champion's mask 45 times and the challenger's 5 times.",
    ),
    "latency": (
        {"latency": numbers(100, 0.3, 0.1)},
        "The challenger is slower: 1.36 times the champion's time (at least 1.19; allowed is 1.05), over 100 pairs.",
    ),
    "cpu": (
        {"cpu": numbers(100, 0.3, 0.1)},
        "The challenger is dearer: 1.36 times the champion's CPU time (at least 1.17; allowed is 1.05), over 100"
        " pairs.",
    ),
    "memory": (
        {"memory": numbers(100, 0.3, 0.1)},
        "The challenger is larger: 1.36 times the champion's peak memory (at least 1.17; allowed is 1.10), over 100"
        " pairs.",
    ),
}


@pytest.mark.parametrize(("observed", "reason"), HARM.values(), ids=HARM)
def test_proof_of_harm_rolls_back(observed, reason):
    verdict = decide(passed(**observed), SUPERIOR)
    assert ("rollback", reason) == (verdict.verdict, verdict.reason)


@pytest.mark.parametrize("observed", [observed for observed, _ in HARM.values()], ids=HARM)
def test_the_champions_harm_rolls_nothing_back(observed):
    assert decide(exchanged(passed(**observed)), SUPERIOR).verdict in {"continue", "promote"}


@pytest.mark.parametrize("observed", [observed for observed, _ in HARM.values()], ids=HARM)
def test_harm_is_not_judged_before_the_first_look(observed):
    assert decide(until(passed(**observed), 49), SUPERIOR).verdict == "continue"


def test_a_better_challenger_is_promoted():
    verdict = decide(passed(quality=numbers(300, 0.03)), SUPERIOR)
    assert verdict.verdict == "promote"
    assert verdict.reason == (
        "The challenger's masks are better: +0.0299 on average (at least +0.0079), over 300 audited pairs."
    )


@pytest.mark.parametrize("gate", [None, "inconclusive", "rollback"])
def test_without_the_offline_gate_nothing_is_promoted(gate):
    verdict = decide(Evidence(quality=numbers(300, 0.03), gate=gate), SUPERIOR)
    assert verdict.verdict == "continue"
    assert verdict.reason.endswith("but the offline gate has not passed.")


def test_preferences_alone_never_promote():
    verdict = decide(passed(preferences=signs(180, 2, 18)), SUPERIOR)
    assert ("continue", True) == (verdict.verdict, verdict.live_quality)


FAST = numbers(900, -0.7, 0.1)


def test_an_equal_and_faster_challenger_is_promoted_under_not_worse():
    verdict = decide(passed(quality=numbers(900, 0.0), latency=FAST), NOT_WORSE)
    assert verdict.verdict == "promote"
    assert verdict.reason == (
        "The challenger's masks are not worse by 0.01: +0.0004 on average (at least -0.0074), over 900 audited pairs;"
        " it is faster: 0.50 times the champion's time (at most 0.51)."
    )


def test_a_smaller_one_too():
    assert decide(passed(quality=numbers(900, 0.0), memory=FAST), NOT_WORSE).verdict == "promote"


def test_without_a_gain_nothing_is_promoted_under_not_worse():
    verdict = decide(passed(quality=numbers(900, 0.0), latency=numbers(900, 0.0)), NOT_WORSE)
    assert verdict.verdict == "continue"
    assert verdict.reason.endswith("but that it is faster or smaller is not proved.")


def test_not_worse_promotes_from_300_pairs():
    verdicts = [decide(passed(quality=numbers(n, 0.1), latency=FAST), NOT_WORSE).verdict for n in (299, 300)]
    assert ["continue", "promote"] == verdicts


def test_rare_catastrophes_hold_a_promotion_back_before_they_are_proved():
    quality = numbers(300, 0.05)
    quality[10:60:10] = -0.5
    verdict = decide(passed(quality=quality), SUPERIOR)
    assert verdict.verdict == "continue"
    assert verdict.reason.endswith(
        "the challenger alone drops badly on 5 of 300 audited images, the champion alone on 0."
    )


def test_harm_outranks_benefit():
    better = passed(quality=numbers(300, 0.03))
    assert decide(replace(better, failures=signs(30, 0, 100)), SUPERIOR).verdict == "rollback"


def test_undecided_at_the_last_look_is_inconclusive():
    verdicts = [decide(passed(quality=numbers(1000, 0.0)[:n]), SUPERIOR).verdict for n in (999, 1000)]
    assert ["continue", "inconclusive"] == verdicts


def test_a_promotion_is_proved_within_the_last_look_or_not_at_all():
    late = np.concatenate([numbers(1000, 0.0), numbers(1000, 0.2)])
    assert decide(passed(quality=late), SUPERIOR).verdict == "inconclusive"


def test_harm_is_looked_for_as_long_as_pairs_come():
    late = np.concatenate([numbers(1000, 0.0), numbers(1000, -0.1)])
    assert decide(passed(quality=late), SUPERIOR).verdict == "rollback"


def test_shadow_pairs_without_audits_end_inconclusive():
    verdict = decide(passed(latency=numbers(1000, 0.0), failures=signs(1, 1, 998)), SUPERIOR)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == (
        "Undecided at the last look: live quality not measured, no masks of audited images were corrected yet."
    )


@pytest.mark.parametrize(
    ("n", "expected", "verdict"),
    [
        (0, 49, "inconclusive"),
        (0, 50, "continue"),
        (40, 9, "inconclusive"),
        (40, 10, "continue"),
        (200, 100, "inconclusive"),
        (200, 800, "continue"),
        (200, 0, "inconclusive"),
    ],
)
def test_traffic_that_can_never_decide_is_inconclusive(n, expected, verdict):
    assert decide(passed(quality=numbers(200, 0.015)[:n], expected=expected), SUPERIOR).verdict == verdict


OFF = {"clients": np.array([600, 400]), "share": 0.5}


def test_a_split_that_is_off_lets_nothing_be_promoted():
    verdict = decide(passed(quality=numbers(300, 0.03), **OFF), SUPERIOR)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason.startswith("600 clients with the champion and 400 with the challenger do not fit the share")


def test_a_split_that_is_off_hides_no_harm():
    assert decide(passed(quality=numbers(200, -0.05), **OFF), SUPERIOR).verdict == "rollback"


@pytest.mark.parametrize(
    ("mean", "forecast"),
    [
        (0.03, "about 67 more pairs at the present variance"),
        (-0.012, "about 27 more pairs at the present variance"),
        (0.002, "more than the 850 pairs that are left until the last look, at the present variance"),
    ],
)
def test_the_forecast_counts_the_pairs_that_are_missing(mean, forecast):
    spread = np.resize([0.045, -0.045], 150)
    assert forecast == decide(passed(quality=spread + mean), SUPERIOR).forecast


@pytest.mark.parametrize(("mean", "forecast"), [(0.03, None), (-0.012, "about 27 more pairs at the present variance")])
def test_without_the_offline_gate_only_a_rollback_is_forecast(mean, forecast):
    spread = np.resize([0.045, -0.045], 150)
    assert forecast == decide(Evidence(quality=spread + mean), SUPERIOR).forecast


def test_a_handful_of_pairs_allows_no_forecast():
    assert decide(passed(quality=numbers(19, 0.03)), SUPERIOR).forecast is None


def test_the_verdict_is_json():
    verdict = decide(passed(quality=numbers(60, 0.0), latency=numbers(80, 0.0)), SUPERIOR).as_json()
    assert verdict == json.loads(json.dumps(verdict))
    assert ["quality", "winsorised", "tail", "latency"] == list(verdict["intervals"])
    assert {"estimate", "low", "high", "n"} == set(verdict["intervals"]["quality"])


@settings(max_examples=40, deadline=None)
@given(evidences, rules)
def test_equal_evidence_is_judged_equally(evidence, rule):
    copy = replace(evidence, **{name: getattr(evidence, name).copy() for name in STREAMS})
    assert decide(evidence, rule) == decide(copy, rule)


@settings(max_examples=40, deadline=None)
@given(evidences, rules)
def test_exchanged_arms_mirror_the_intervals(evidence, rule):
    seen, mirrored = decide(evidence, rule).intervals, decide(exchanged(evidence), rule).intervals
    assert seen == {name: (-i.estimate, -i.high, -i.low, i.n) for name, i in mirrored.items()}


@settings(max_examples=40, deadline=None)
@given(evidences)
def test_two_versions_are_never_each_better_than_the_other(evidence):
    evidence = replace(evidence, gate="promote")
    assert {decide(evidence, SOON).verdict, decide(exchanged(evidence), SOON).verdict} != {"promote"}


@settings(max_examples=40, deadline=None)
@given(evidences, rules, st.floats(0, 0.5))
def test_better_masks_never_make_the_verdict_worse(evidence, rule, by):
    better = replace(evidence, quality=(evidence.quality + by).clip(-1, 1))
    before, after = decide(evidence, rule).verdict, decide(better, rule).verdict
    assert not (before == "promote" and after != "promote")
    assert not (before != "rollback" and after == "rollback")


@settings(max_examples=40, deadline=None)
@given(evidences, rules)
def test_the_intervals_say_what_the_verdict_says(evidence, rule):
    verdict = decide(replace(evidence, gate="promote"), rule)
    if verdict.verdict == "promote":
        assert verdict.intervals["quality"].low > (-rule.margin if rule.goal == "not_worse" else 0) - 1e-5
    worse = verdict.intervals.get("winsorised")
    if worse is not None and worse.n >= rule.first_look and worse.high < 0:
        assert verdict.verdict == "rollback"


@pytest.mark.parametrize("mean", [-0.25, 0.0, 0.25])
@pytest.mark.parametrize("rule", [SOON, SOON_NOT_WORSE])
def test_watching_pair_by_pair_concludes_the_same_first(rule, mean):
    evidence = passed(quality=numbers(60, mean, 0.1), latency=numbers(60, -0.5, 0.1))
    watched = [decide(until(evidence, n), rule).verdict for n in range(61)]
    concluded = next((verdict for verdict in watched if verdict != "continue"), "continue")
    assert concluded == decide(evidence, rule).verdict
    assert watched == sorted(watched, key=lambda verdict: verdict != "continue")


@settings(max_examples=20, deadline=None)
@given(evidences, rules)
def test_a_rollback_is_never_taken_back_and_a_promotion_only_for_harm(evidence, rule):
    watched = [decide(until(evidence, n), rule).verdict for n in range(0, 61, 4)]
    allowed = {"rollback": {"rollback"}, "promote": {"promote", "rollback"}}
    assert all(after in allowed.get(before, {after}) for before, after in pairwise(watched))


@pytest.mark.parametrize("by", [-0.1, 0.0, 0.1])
def test_the_simulations_judge_as_decide_does(by):
    """For rollouts of one world, pair by pair: those claims that the simulation watches against the verdict."""
    rng = np.random.default_rng(5)
    quality = simulated.moved(simulated.catastrophes, by)(rng, (4, 60))
    latency = simulated.log_ratios(rng, (4, 60), 0.4)
    for rule in (SOON, SOON_NOT_WORSE):
        together = passed(quality=quality, latency=latency)
        harmed = np.minimum.reduce([c.proved_at() for c in harms(together, rule) if c.measure.values.ndim == 2])
        kept = quality_kept_at(together, rule)
        gained = [c.proved_at() for c in gains(together, rule) if c.measure.values.ndim == 2]
        promoted = np.maximum(kept, gained[0]) if gained else kept
        for one in range(4):
            alone = passed(quality=quality[one], latency=latency[one])
            for n in range(59):
                expected = "rollback" if harmed[one] <= n else "promote" if promoted[one] <= n else "continue"
                assert expected == decide(until(alone, n), rule).verdict


def test_the_course_ends_with_the_verdicts_intervals():
    evidence = passed(quality=numbers(130, 0.0), failures=signs(1, 1, 60))
    ran = course(evidence, SUPERIOR, looks=10)
    assert {name: looks[-1] for name, looks in ran.items()} == {
        name: pytest.approx(interval) for name, interval in decide(evidence, SUPERIOR).intervals.items()
    }
    assert [13 * look for look in range(1, 11)] == [look.n for look in ran["quality"]]


def test_a_short_course_shows_every_pair_once():
    assert [1, 2, 3] == [look.n for look in course(passed(quality=numbers(3, 0.0)), SUPERIOR)["quality"]]


@pytest.mark.parametrize(
    "observed",
    [
        {"quality": np.array([1.2])},
        {"quality": np.array([np.nan])},
        {"latency": np.array([np.inf])},
        {"failures": np.array([2], np.int8)},
        {"preferences": np.array([-3], np.int8)},
        {"clients": np.array([1, 2])},
        {"share": 0.5},
        {"clients": np.array([1, -2]), "share": 0.5},
        {"clients": np.array([1, 2]), "share": 1.5},
        {"gate": "passed"},
        {"expected": -1},
    ],
)
def test_what_cannot_be_is_no_evidence(observed):
    with pytest.raises(InvalidInput):
        Evidence(**observed)


def test_a_verdict_is_of_one_rollout():
    with pytest.raises(InvalidInput, match="several rollouts"):
        decide(Evidence(quality=np.zeros((2, 3))), SUPERIOR)


@pytest.mark.parametrize(
    "rule",
    [
        {"goal": "better"},
        {"margin": 0.0},
        {"drop": 1.5},
        {"lean": 1.0},
        {"latency_limit": 0.9},
        {"first_look": 0},
        {"promote_from": 2000},
    ],
)
def test_what_cannot_be_asked_is_no_rule(rule):
    with pytest.raises(InvalidInput):
        Rule(**rule)


def test_the_error_budgets_are_spent_and_not_more():
    assert 0.02 == pytest.approx(Errors().spent)
    with pytest.raises(InvalidInput, match=r"sum to 0\.0210"):
        Errors(quality=0.006)


@pytest.mark.parametrize("name", [field.name for field in fields(Errors)])
def test_every_error_budget_is_a_chance(name):
    with pytest.raises(InvalidInput, match=name):
        Errors(**{name: 0.0})
