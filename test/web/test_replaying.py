"""A decision is checked against what it rests on: its row, the gate's report, the pairs, and the verdict on them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from bioseg import replaying
from bioseg.database import gate_reports, pair_digests, pairs, requests
from bioseg.database.tables import Decision, GateReport, Pair, RequestRecord
from bioseg.errors import LedgerBroken, UnknownDecision
from bioseg.platform import Platform
from bioseg.registry import ledger
from bioseg.registry.ledger import Move
from bioseg.registry.standing import Standing
from bioseg.replaying import Check, Judge

ROLLOUT = "a" * 32
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BEFORE = Standing("membrane", champion="1", challenger="2", strategy="shadow", rollout=ROLLOUT)


@pytest.fixture
def platform(make_platform: Callable[..., Platform], database_url: str) -> Platform:
    """On each kind of database: `2` was promoted after three pairs, of which one was preferred and one corrected."""
    platform = make_platform(database_url=database_url)
    with platform.sessions.begin() as session:
        for number in range(3):
            session.add(pair(session, number))
        session.flush()
        prefer(session, 1, 1)
        session.get_one(Pair, 2).quality_number = 1
        report = gate_reports.add(session, "membrane", "1", "2", "promote", {"difference": 0.0625})
        evidence = {
            "former": "1",
            "gate": {"id": report.id, "sha256": gate_reports.sha256_of(report), "verdict": "promote"},
            "pairs": pair_digests.described(session, ROLLOUT, pairs.seen(session, ROLLOUT)),
            "verdict": judge(session, {"pairs": {"last_pair": 3}}),
        }
        move = Move("promote", "ann", "better", evidence=evidence)
        ledger.append(session, BEFORE, move, champion="2", challenger=None, rollout=None)
    return platform


def pair(session: Session, number: int) -> Pair:
    record = RequestRecord(
        id=f"{number:032x}",
        created_at=NOON,
        owner="b" * 32,
        study="membrane",
        task="segmentation",
        status="done",
        latency_ms=1,
        cpu_seconds=1,
        cpu_percent=1,
        memory_rss_mb=1,
    )
    return Pair(
        rollout=ROLLOUT,
        request_seq=requests.add(session, record).seq,
        created_at=NOON,
        status="done",
        champion_ms=100.5,
        challenger_ms=50.25,
        champion_blob="c" * 64,
        rank=0.5,
        left="champion",
        corrected_from="challenger",
    )


def prefer(session: Session, pair_id: int, number: int) -> None:
    found = session.get_one(Pair, pair_id)
    found.preference, found.preference_number, found.preferred_at = "challenger", number, NOON


def judge(session: Session, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict: the sum of the challenger's times."""
    seen = session.query(Pair).filter(Pair.id <= evidence["pairs"]["last_pair"])
    return {"verdict": "promote", "intervals": {"ms": sum(each.challenger_ms or 0 for each in seen)}}


def replay(platform: Platform, judge: Judge = judge) -> dict[str, bool]:
    return {check.what: check.ok for check in replaying.replay(platform, "membrane/1", judge)}


def test_a_decision_that_was_left_alone_holds(platform: Platform) -> None:
    assert {"ledger": True, "gate": True, "pairs": True, "verdict": True} == replay(platform)


def test_what_came_after_a_decision_changes_nothing(platform: Platform) -> None:
    with platform.sessions.begin() as session:
        prefer(session, 3, 2)
        later = session.get_one(Pair, 1)
        later.quality_number, later.challenger_quality, later.corrected_at = 2, 0.5, NOON
        later.champion_blob = None
        session.add(pair(session, 4))
    assert all(replay(platform).values())


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        (update(Pair).where(Pair.id == 2).values(challenger_ms=50.5), {"pairs", "verdict"}),
        (update(Pair).where(Pair.id == 1).values(preference="champion"), {"pairs"}),
        (delete(Pair).where(Pair.id == 3), {"pairs", "verdict"}),
        (update(GateReport).values(report='{"difference": 0.5}'), {"gate"}),
        (update(GateReport).values(verdict="rollback"), {"gate"}),
        (update(GateReport).values(candidate="3"), {"gate"}),
        (delete(GateReport), {"gate"}),
        (update(Decision).values(champion="3"), {"ledger"}),
        (update(Decision).values(evidence="{}"), {"ledger"}),
    ],
    ids=[
        "a measured number",
        "a preference",
        "a missing pair",
        "a number of the gate",
        "the verdict of the gate",
        "the version judged by the gate",
        "a missing report",
        "the row",
        "the evidence",
    ],
)
def test_what_was_altered_since_is_noticed(platform: Platform, statement: Any, broken: set[str]) -> None:
    with platform.sessions.begin() as session:
        session.execute(statement)
    assert broken == {what for what, ok in replay(platform).items() if not ok}


def test_a_promotion_of_another_version_than_its_gate_judged_does_not_hold(platform: Platform) -> None:
    with platform.sessions.begin() as session:
        row = ledger.find(session, "membrane/1")
        row.champion = "3"
        row.hash = ledger.hash_of(row)
    assert {"ledger": True, "gate": False, "pairs": True, "verdict": True} == replay(platform)


def test_an_unknown_decision_is_named(platform: Platform) -> None:
    with pytest.raises(UnknownDecision, match="membrane/2"):
        replaying.replay(platform, "membrane/2")


def test_the_first_check_that_failed_is_the_reason() -> None:
    checks = [Check("ledger", ok=True, found="fine"), Check("gate", ok=False, found="report 1 was altered since")]
    with pytest.raises(LedgerBroken, match="membrane/1 does not hold: gate: report 1 was altered since"):
        replaying.require("membrane/1", checks)
