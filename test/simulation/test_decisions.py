"""Error rates and power of the decision rule, on rollouts whose truth is known; docs/gate.md shows what is measured."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bioseg.policy.evidence import Evidence
from bioseg.policy.rule import Rule
from bioseg.testing import simulated_rollouts as simulated
from bioseg.testing.simulated_rollouts import Watched, World, watch

SUPERIOR = Rule()
NOT_WORSE = Rule(goal="not_worse")
MARGIN = NOT_WORSE.margin
PAGE = (Path(__file__).parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")


def measured(name: str, world: World, rule: Rule, *, pairs: int = 1000, rollouts: int = 2000) -> Watched:
    """Watch the rollouts, and insist that the page shows what was seen."""
    seen = watch(world, rule, rollouts, pairs, seed=20261121)
    shares = " | ".join(f"{_share(times)} | {_median(times)}" for times in seen)
    row = f"| {name} | `{rule.goal}` | {rollouts:,} x {pairs:,} | {shares} |"
    assert row in PAGE.splitlines(), f"not in docs/gate.md, where it replaces the row of that name:\n{row}"
    return seen


def _share(times) -> str:
    return f"{np.isfinite(times).mean():.2%}".replace("%", " %")


def _median(times) -> str:
    median = np.quantile(times, 0.5, method="higher")
    return f"{median:.0f}" if np.isfinite(median) else "-"


def share(times) -> float:
    return float(np.isfinite(times).mean())


@pytest.mark.parametrize("differences", [simulated.normal, simulated.spiky, simulated.catastrophes, simulated.skewed])
def test_a_version_against_itself_is_decided_wrongly_in_2_of_100_at_most(differences):
    seen = measured(f"equal, {differences.__name__}", simulated.equal_arms(differences), SUPERIOR)
    assert share(np.minimum(*seen)) <= 0.02


def test_an_equal_version_without_a_gain_is_not_promoted():
    seen = measured("equal, no gain", simulated.equal_arms(simulated.normal), NOT_WORSE)
    assert share(np.minimum(*seen)) <= 0.02


def test_rare_catastrophes_at_an_equal_mean_are_rolled_back():
    seen = measured("2 % catastrophes at an equal mean", simulated.judged(simulated.one_sided(0.02)), SUPERIOR)
    assert share(seen.rolled_back) >= 0.95
    assert share(seen.promoted) <= 0.005


def test_rare_catastrophes_are_seldom_promoted_for_their_speed():
    world = simulated.faster(simulated.one_sided(0.02))
    seen = measured("2 % catastrophes at an equal mean, 2x faster", world, NOT_WORSE)
    assert share(seen.rolled_back) >= 0.95
    assert np.mean(seen.promoted < seen.rolled_back) <= 0.05


@pytest.mark.parametrize(
    ("name", "differences"),
    [
        ("worse by the margin, normal, 2x faster", simulated.moved(simulated.normal, -MARGIN)),
        ("worse by the margin, spiky, 2x faster", simulated.moved(simulated.spiky, -MARGIN)),
        ("worse by the margin, 1 % catastrophes, 2x faster", simulated.moved(simulated.catastrophes, -MARGIN)),
        ("worse by the margin in 1.6 % catastrophes, 2x faster", simulated.moved(simulated.one_sided(0.0164), -MARGIN)),
    ],
)
def test_a_challenger_at_the_margin_is_not_promoted(name, differences):
    assert share(measured(name, simulated.faster(differences), NOT_WORSE).promoted) <= 0.01


def test_an_equal_challenger_that_is_twice_as_fast_is_promoted():
    seen = measured("equal scores, 2x faster", simulated.faster(simulated.scored(0.0)), NOT_WORSE)
    assert share(seen.promoted) >= 0.95


def test_a_drop_of_a_hundredth_is_rolled_back():
    seen = measured("scores lower by 0.01", simulated.judged(simulated.scored(0.01)), SUPERIOR)
    assert share(seen.rolled_back) >= 0.99
    assert np.median(seen.rolled_back) <= 250


def slower(noise: float) -> World:
    return lambda rng, shape: Evidence(latency=simulated.log_ratios(rng, shape, 1.2, noise))


def failing(champion: float, challenger: float) -> World:
    return lambda rng, shape: Evidence(failures=simulated.failures(rng, shape, champion, challenger))


def test_20_percent_more_latency_is_caught():
    assert share(measured("20 % slower, runs vary by 0.15", slower(0.15), SUPERIOR, pairs=500).rolled_back) >= 0.95


def test_failures_are_caught():
    assert share(measured("failures 0 to 5 %", failing(0, 0.05), SUPERIOR, pairs=500).rolled_back) >= 0.95


def slower_split(rng, shape) -> Evidence:
    return Evidence(latency=simulated.log_ratios_split(rng, shape, 1.2))


def disliked(rng, shape) -> Evidence:
    return Evidence(preferences=simulated.preferences(rng, shape, champion=0.5, challenger=0.2))


published = partial(measured, rollouts=1000)


@pytest.mark.parametrize(
    ("name", "world", "rule", "pairs"),
    [
        ("better by 0.01, normal", simulated.judged(simulated.moved(simulated.normal, 0.01)), SUPERIOR, 1000),
        ("better by 0.02, normal", simulated.judged(simulated.moved(simulated.normal, 0.02)), SUPERIOR, 1000),
        ("better by 0.05, normal", simulated.judged(simulated.moved(simulated.normal, 0.05)), SUPERIOR, 1000),
        ("equal, spiky, 2x faster", simulated.faster(simulated.spiky), NOT_WORSE, 1000),
        ("equal, 1 % catastrophes, 2x faster", simulated.faster(simulated.catastrophes), NOT_WORSE, 1000),
        ("worse by 0.01, spiky", simulated.judged(simulated.moved(simulated.spiky, -0.01)), SUPERIOR, 1000),
        (
            "worse by 0.01, catastrophes",
            simulated.judged(simulated.moved(simulated.catastrophes, -0.01)),
            SUPERIOR,
            1000,
        ),
        ("20 % slower, runs vary by 0.3", slower(0.3), SUPERIOR, 500),
        ("20 % slower, runs vary by 0.4", slower(0.4), SUPERIOR, 500),
        ("failures 1 to 6 %", failing(0.01, 0.06), SUPERIOR, 500),
        ("reviewers prefer the champion 50 : 20", disliked, SUPERIOR, 200),
        ("split only: 500 requests, 20 % slower", slower_split, SUPERIOR, 250),
        ("split only: 2,000 requests, 20 % slower", slower_split, SUPERIOR, 1000),
        ("split only: 500 requests, failures 0 to 5 %", failing(0, 0.05), SUPERIOR, 250),
        ("split only: 2,000 audits, scores lower by 0.01", simulated.judged(simulated.scored(0.01, 0)), SUPERIOR, 1000),
    ],
)
def test_what_is_published_of_the_power_was_measured(name, world, rule, pairs):
    published(name, world, rule, pairs=pairs)
