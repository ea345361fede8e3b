"""What a rollout has shown so far, as the rule wants it, and what the rule says of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from bioseg import studies
from bioseg.database import gate_reports, pair_digests, pairs
from bioseg.database.pairs import Seen
from bioseg.database.tables import Decision, Pair
from bioseg.policy import verdict
from bioseg.policy.rule import Errors, Rule
from bioseg.policy.verdict import Evidence, Verdict
from bioseg.registry.standing import Standing

SETTLING = timedelta(seconds=30)
"""How long after a move of the shares clients are not counted: not every process has followed yet."""

_ARMS = ("champion", "challenger")
_PREFERRED = {"champion": -1, "same": 0, "challenger": 1}


def rule_of(study: str) -> Rule:
    """The rule by which a study promotes."""
    promotion = studies.get(study).promotion
    return Rule(goal=promotion.goal, margin=promotion.margin)


def collect(session: Session, standing: Standing, expected: int | None = None) -> Evidence:
    """What the pairs, the clients and the offline gate show of the running rollout.

    Parameters
    ----------
    expected
        Pairs that traffic can still bring; None: nobody knows.
    """
    rollout = str(standing.rollout)
    figures = measured(session, rollout, pairs.seen(session, rollout))
    return replace(figures, **_split(session, standing), gate=_gate(session, standing), expected=expected)


def measured(session: Session, rollout: str, seen: Seen) -> Evidence:
    """What the pairs of a rollout show, as much of them as was seen."""
    done = pairs.done(pairs.of(session, rollout, seen))
    both = [pair for pair in done if not (pair.champion_failed or pair.challenger_failed)]
    corrected = _judged(done, "quality_number", seen.qualities)
    preferred = _judged(done, "preference_number", seen.preferences)
    return Evidence(
        quality=np.array(
            [float(pair.challenger_quality or 0) - float(pair.champion_quality or 0) for pair in corrected]
        ),
        preferences=np.array([_PREFERRED[str(pair.preference)] for pair in preferred], np.int8),
        latency=_log_ratios(both, "ms"),
        cpu=_log_ratios(both, "cpu_seconds"),
        memory=_log_ratios(both, "memory_mb"),
        failures=np.array([pair.challenger_failed - pair.champion_failed for pair in done], np.int8),
    )


def told(session: Session, standing: Standing, expected: int | None = None) -> dict[str, Any]:
    """What a decision on the running rollout rests on, for its row in the ledger; `again` reads it.

    Returns
    -------
    `pairs` (the rollout, how much of it was seen, and its fingerprint), `clients`, `share`, `gate_verdict`, `expected`,
    `rule` and `verdict`.
    """
    rollout = str(standing.rollout)
    seen, evidence, rule = pairs.seen(session, rollout), collect(session, standing, expected), rule_of(standing.study)
    return {
        "pairs": pair_digests.described(session, rollout, seen),
        "clients": None if evidence.clients is None else evidence.clients.tolist(),
        "share": evidence.share,
        "gate_verdict": evidence.gate,
        "expected": expected,
        "rule": asdict(rule),
        "verdict": verdict.decide(evidence, rule).as_json(),
    }


def again(session: Session, of: Mapping[str, Any]) -> Mapping[str, Any]:
    """Work a verdict out anew from what is stored, given what `told` gave; another result means that it was altered."""
    clients = of["clients"]
    evidence = replace(
        measured(session, of["pairs"]["rollout"], pair_digests.until(of["pairs"])),
        clients=None if clients is None else np.array(clients),
        share=of["share"],
        gate=of["gate_verdict"],
        expected=of["expected"],
    )
    rule = Rule(**{**of["rule"], "errors": Errors(**of["rule"]["errors"])})
    return verdict.decide(evidence, rule).as_json()


def described(session: Session, standing: Standing, expected: int | None = None) -> dict[str, Any]:
    """How a study stands and, while a rollout runs, what is known of it, as JSON takes it.

    Returns
    -------
    `study`, `revision`, `champion`, `challenger`, `strategy`, `share`, `rollout`, `frozen`; `pairs` made and `dropped`;
    `verdict` and `course`, None without a rollout.
    """
    known = {**asdict(standing), "revision": standing.sequence}
    del known["sequence"]
    if standing.rollout is None:
        return {**known, "pairs": 0, "dropped": 0, "verdict": None, "course": None}
    seen, rule = collect(session, standing, expected), rule_of(standing.study)
    ran = {kind: [bounds._asdict() for bounds in looks] for kind, looks in verdict.course(seen, rule).items()}
    return {
        **known,
        "pairs": len(seen.failures),
        "dropped": pairs.dropped(session, standing.rollout),
        "verdict": verdict.decide(seen, rule).as_json(),
        "course": ran,
    }


def judge(session: Session, standing: Standing, expected: int | None = None) -> Verdict:
    """What the rule says of the running rollout at this moment."""
    return verdict.decide(collect(session, standing, expected), rule_of(standing.study))


def _gate(session: Session, standing: Standing) -> Any:
    report = gate_reports.latest(session, standing.study, str(standing.champion), str(standing.challenger))
    return None if report is None else report.verdict


def _split(session: Session, standing: Standing) -> dict[str, Any]:
    """Distinct clients by arm since the challenger got its present share; a shadow, or all to one, splits nobody."""
    if not 0 < standing.share < 1:
        return {}
    moved = select(Decision.created_at).filter_by(study=standing.study, sequence=standing.sequence)
    counted = pairs.clients(session, str(standing.rollout), session.scalars(moved).one() + SETTLING)
    return {"clients": np.array([counted.get(arm, 0) for arm in _ARMS]), "share": standing.share}


def _judged(done: Sequence[Pair], number: str, most: int) -> list[Pair]:
    """The pairs that reviewers have judged, in that order."""
    judged = [pair for pair in done if getattr(pair, number) is not None and getattr(pair, number) <= most]
    return sorted(judged, key=lambda pair: int(getattr(pair, number)))


def _log_ratios(both: Iterable[Pair], what: str) -> NDArray[np.float64]:
    """Logarithms of challenger / champion of a figure, where both arms have it."""
    figures = ([getattr(pair, f"{arm}_{what}") for arm in _ARMS] for pair in both)
    return np.array([np.log(challenger / champion) for champion, challenger in figures if champion and challenger])
