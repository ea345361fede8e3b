"""What a decision rests on, worked out again from what is stored, and compared with what its row says."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from bioseg.database import engine, gate_reports, pair_digests
from bioseg.database.tables import Decision, GateReport
from bioseg.errors import LedgerBroken
from bioseg.evidence import again
from bioseg.platform import Platform
from bioseg.registry import ledger

Judge = Callable[[Session, Mapping[str, Any]], Mapping[str, Any]]
"""Gives the verdict on the pairs that a decision's evidence names, by the rule that it names, as JSON takes it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a decision rests on: whether it still is what it was, and what was found."""

    what: str
    ok: bool
    found: str


def replay(platform: Platform, decision: str, judge: Judge = again) -> list[Check]:
    """Check a decision, `STUDY/SEQUENCE`: its row, the report of the offline gate, the pairs, and the verdict on them.

    When the ledger is broken, nothing else is looked at.

    Parameters
    ----------
    judge
        Works a verdict on pairs out again.

    Raises
    ------
    UnknownDecision
        When the ledger has no such row.
    """
    with engine.reading(platform.sessions) as session:
        row = ledger.find(session, decision)
        chain = _chain(session, row)
        return [chain, *_evidence(session, row, judge)] if chain.ok else [chain]


def require(decision: str, checks: list[Check]) -> None:
    """Raise LedgerBroken with the first check that failed, if one did."""
    for check in checks:
        if not check.ok:
            raise LedgerBroken(f"{decision} does not hold: {check.what}: {check.found}")


def _chain(session: Session, row: Decision) -> Check:
    try:
        ledger.history(session, row.study)
    except LedgerBroken as error:
        return Check("ledger", ok=False, found=str(error))
    return Check("ledger", ok=True, found=f"{ledger.id_of(row)} follows from the rows before it")


def _evidence(session: Session, row: Decision, judge: Judge) -> Iterator[Check]:
    evidence = ledger.evidence_of(row)
    if "gate" in evidence:
        yield _gate(session, row, evidence)
    if "pairs" in evidence:
        yield _pairs(session, evidence["pairs"])
    if "verdict" in evidence:
        yield _verdict(session, evidence, judge)


def _gate(session: Session, row: Decision, evidence: Mapping[str, Any]) -> Check:
    named = evidence["gate"]
    report = session.get(GateReport, named["id"])
    if report is None:
        return Check("gate", ok=False, found=f"report {named['id']} is missing")
    if (named["sha256"], named["verdict"]) != (gate_reports.sha256_of(report), report.verdict):
        return Check("gate", ok=False, found=f"report {report.id} was altered since")
    if (row.study, evidence["former"], row.champion) != (report.study, report.champion, report.candidate):
        return Check("gate", ok=False, found=f"report {report.id} is of other versions")
    return Check("gate", ok=True, found=f"report {report.id} says {report.verdict}, as it did")


def _pairs(session: Session, named: Mapping[str, Any]) -> Check:
    who = f"the pairs of rollout {named['rollout']} up to {named['last_pair']}"
    found = pair_digests.sha256_of(session, named["rollout"], pair_digests.until(named))
    if found != named["sha256"]:
        return Check("pairs", ok=False, found=f"{who} were altered since")
    return Check("pairs", ok=True, found=f"{who} are as they were")


def _verdict(session: Session, evidence: Mapping[str, Any], judge: Judge) -> Check:
    now = judge(session, evidence)
    if _canonical(now) != _canonical(evidence["verdict"]):
        return Check("verdict", ok=False, found=f"the stored pairs give another one: {_canonical(now)}")
    return Check("verdict", ok=True, found="the stored pairs give the same one")


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)
