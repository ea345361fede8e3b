"""What the platform does by itself on a verdict: nothing by default, and with `act` what the verdict says."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bioseg import judging, rollouts
from bioseg.database import engine, gate_reports, requests
from bioseg.database.tables import Decision, Pair, RequestRecord
from bioseg.errors import NotProven
from bioseg.judging import Judge
from bioseg.platform import Platform
from bioseg.registry import ledger
from bioseg.registry.standing import Standing
from bioseg.testing import stand_ins

CHAMPION, CHALLENGER = stand_ins.MEMBRANE.version, "2.0.0"
BY = {"actor": "ann"}
Make = Callable[..., Platform]


@pytest.fixture
def open_platform(make_platform: Make, tmp_path: Path) -> Make:
    def made(**given: object) -> Platform:
        platform = make_platform(**given)
        stand_ins.challenger(tmp_path / "models", CHALLENGER)
        return platform

    return made


@pytest.fixture
def acting(open_platform: Make, database_url: str) -> Platform:
    return open_platform(automatic="act", database_url=database_url)


def start(platform: Platform, strategy: str = "shadow", share: float | None = None) -> None:
    rollouts.start(platform, "membrane", strategy, CHALLENGER, share, **BY)


def pass_the_gate(platform: Platform) -> None:
    judged = {"candidate": {"bundle": platform.registry.open("membrane", CHALLENGER).digest}}
    with platform.sessions.begin() as session:
        gate_reports.add(session, "membrane", CHAMPION, CHALLENGER, "promote", judged)


def pair_up(platform: Platform, number: int, **figures: object) -> None:
    """Make pairs as the worker would have found them."""
    rollout = str(standing(platform).rollout)
    with platform.sessions.begin() as session:
        for count in range(number):
            record = requests.add(session, request(f"{rollout[:8]}{count:024x}"))
            given = {name: value(count) if callable(value) else value for name, value in figures.items()}
            session.add(pair(rollout, record.seq, **given))


def request(request_id: str) -> RequestRecord:
    costs = {"latency_ms": 1.0, "cpu_seconds": 1.0, "cpu_percent": 1.0, "memory_rss_mb": 1.0}
    return RequestRecord(
        id=request_id, created_at=datetime.now(UTC), owner="a" * 32, study="membrane", task="segmentation",
        status="done", **costs,
    )  # fmt: skip


def pair(rollout: str, seq: int, **figures: object) -> Pair:
    alike = {f"{arm}_{what}": 1.0 for arm in ("champion", "challenger") for what in ("ms", "cpu_seconds", "memory_mb")}
    drawn = {"rank": 0.5, "left": "champion", "corrected_from": "champion", "status": "done"}
    failed = {"champion_failed": False, "challenger_failed": False}
    moment = datetime.now(UTC) + timedelta(seconds=1)
    return Pair(rollout=rollout, request_seq=seq, created_at=moment, **(alike | drawn | failed | figures))


def standing(platform: Platform) -> Standing:
    return platform.runtime.aliases("membrane")


def last(platform: Platform) -> Decision:
    with engine.reading(platform.sessions) as session:
        return ledger.history(session, "membrane")[-1]


FAILING = {"challenger_failed": True, "challenger_ms": None}


def corrected(champion: float, challenger: float) -> dict[str, object]:
    """Figures of pairs whose mask a reviewer has corrected."""
    return {
        "champion_quality": champion,
        "challenger_quality": challenger,
        "quality_number": lambda count: count + 1,
    }


def test_by_default_nothing_happens(open_platform: Make, caplog: pytest.LogCaptureFixture) -> None:
    platform = open_platform()
    start(platform)
    pair_up(platform, 60, **FAILING)
    caplog.set_level(logging.INFO)
    Judge(platform).look()
    assert "start" == last(platform).action
    assert any(each.message.startswith(f"membrane {CHALLENGER}: rollback, ") for each in caplog.records)


def test_a_proven_harm_is_rolled_back(acting: Platform) -> None:
    start(acting)
    pair_up(acting, 60, **FAILING)
    Judge(acting).look()
    row = last(acting)
    assert ("rollback", True, "worker", CHAMPION, None) == (
        row.action, row.automatic, row.actor, row.champion, row.challenger,
    )  # fmt: skip
    assert "rollback" == ledger.evidence_of(row)["verdict"]["verdict"]


def test_a_proven_gain_is_promoted(acting: Platform) -> None:
    start(acting)
    pass_the_gate(acting)
    pair_up(acting, 200, **corrected(0.7, 0.8))
    Judge(acting).look()
    row = last(acting)
    assert ("promote", True, CHALLENGER) == (row.action, row.automatic, row.champion)
    assert "promote" == ledger.evidence_of(row)["verdict"]["verdict"]


def test_nothing_is_promoted_without_the_offline_gate(acting: Platform) -> None:
    start(acting)
    pair_up(acting, 200, **corrected(0.7, 0.8))
    Judge(acting).look()
    assert "start" == last(acting).action


def test_equal_arms_stay_as_they_are(acting: Platform) -> None:
    start(acting)
    pass_the_gate(acting)
    pair_up(acting, 200, **corrected(0.7, 0.7))
    Judge(acting).look()
    assert "start" == last(acting).action


def test_three_automatic_rollbacks_freeze_the_study(acting: Platform) -> None:
    for _ in range(3):
        start(acting)
        pair_up(acting, 60, **FAILING)
        Judge(acting).look()
    assert standing(acting).frozen


class TestACanary:
    def test_grows_after_enough_pairs_without_harm(self, acting: Platform) -> None:
        start(acting, "canary", 0.2)
        pair_up(acting, judging.PAIRS_OF_A_STEP)
        Judge(acting).look()
        assert ("step", 0.5) == (last(acting).action, last(acting).share)

    def test_waits_for_them(self, acting: Platform) -> None:
        start(acting, "canary", 0.2)
        pair_up(acting, judging.PAIRS_OF_A_STEP - 1)
        Judge(acting).look()
        assert ("start", 0.2) == (last(acting).action, last(acting).share)

    def test_counts_only_those_since_its_last_step(self, acting: Platform) -> None:
        start(acting, "canary", 0.2)
        pair_up(acting, judging.PAIRS_OF_A_STEP)
        judge = Judge(acting)
        with acting.sessions.begin() as session:
            for each in session.query(Pair):
                each.created_at = last(acting).created_at
        judge.look()
        assert 0.2 == standing(acting).share

    def test_does_not_grow_by_itself_unless_it_may(self, open_platform: Make) -> None:
        platform = open_platform()
        start(platform, "canary", 0.2)
        pair_up(platform, judging.PAIRS_OF_A_STEP)
        Judge(platform).look()
        assert 0.2 == standing(platform).share


def test_a_rollout_is_judged_again_only_when_something_new_is_known(
    open_platform: Make, caplog: pytest.LogCaptureFixture
) -> None:
    platform = open_platform()
    start(platform)
    pair_up(platform, 3)
    caplog.set_level(logging.INFO)
    judge = Judge(platform)
    judge.look()
    judge.look()
    assert 1 == sum("continue" in each.message for each in caplog.records)


def test_of_two_workers_one_moves_the_study(acting: Platform, open_platform: Make) -> None:
    start(acting)
    pair_up(acting, 60, **FAILING)
    first, second = Judge(acting), Judge(acting)
    first.look()
    second.look()
    with engine.reading(acting.sessions) as session:
        assert ["start", "rollback"] == [row.action for row in ledger.history(session, "membrane")]


def test_an_operator_cannot_promote_what_has_done_harm(open_platform: Make) -> None:
    platform = open_platform()
    start(platform)
    pass_the_gate(platform)
    pair_up(platform, 60, **FAILING)
    with pytest.raises(NotProven, match="must not serve"):
        rollouts.promote(platform, "membrane", **BY)


def test_an_operator_may_promote_while_live_quality_is_not_measured(open_platform: Make) -> None:
    platform = open_platform()
    start(platform)
    pass_the_gate(platform)
    pair_up(platform, 60)
    rollouts.promote(platform, "membrane", **BY)
    assert CHALLENGER == standing(platform).champion
    assert ledger.evidence_of(last(platform))["verdict"]["live_quality"] is False


def test_a_rollout_whose_requests_are_not_sampled_can_never_be_decided(open_platform: Make) -> None:
    platform = open_platform(shadow_sample=0)
    start(platform)
    found = rollouts.verdict(platform, "membrane")["verdict"]
    assert "inconclusive" == found["verdict"]
    assert "Traffic can bring 0 more pairs" in found["reason"]
