"""The moves of a study's aliases: a rollout starts, takes its next step and ends; a version becomes the champion.

Each move is one row of the ledger, written by one statement: a process that dies before it leaves the study as it was.
What it needs is looked up and tested before, so nobody waits for a move.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Required, TypedDict, Unpack, get_args

from bioseg import evidence, fitness, studies
from bioseg.database import engine
from bioseg.database.tables import Decision
from bioseg.errors import (
    Frozen,
    InvalidInput,
    NoRollout,
    NotProven,
)
from bioseg.platform import Platform
from bioseg.registry import ledger
from bioseg.registry.ledger import Action, Move
from bioseg.registry.standing import Standing, Strategy

STEPS = (0.1, 0.5, 1.0)
"""Shares of the clients that a canary serves, one after the other."""

FIRST_SHARES: Mapping[str, float] = {"shadow": 0.0, "canary": STEPS[0], "ab": 0.5}

PATIENCE = 3
"""Automatic rollbacks in a row that freeze a study."""

_ENDED: Mapping[str, Any] = {"challenger": None, "strategy": "single", "share": 0.0, "rollout": None}


class Why(TypedDict, total=False):
    """Who moves a study, and why; every move takes these by name.

    Parameters
    ----------
    actor
        Who decided.
    reason
        In a sentence; the move has one of its own when it is left out.
    automatic
        Whether the platform decided by itself.
    evidence
        What it rests on, anything that JSON takes.
    revision
        Number of the study's last row that `actor` saw; None: whatever it is now.
    """

    actor: Required[str]
    reason: str
    automatic: bool
    evidence: Mapping[str, Any]
    revision: int | None


def start(
    platform: Platform,
    study: str,
    strategy: str,
    challenger: str | None = None,
    share: float | None = None,
    **why: Unpack[Why],
) -> Decision:
    """Let a challenger take part, after its bundle was checked and its network replayed on its sample, apart.

    Parameters
    ----------
    strategy
        `shadow`, `canary` or `ab`.
    challenger
        Its version; None: the only one there is beside the champion.
    share
        Of the clients that it serves, 0 to 1; None: 0.1 of a canary, 0.5 of an `ab`. A shadow serves nobody.

    Raises
    ------
    UnknownStudy, VersionNotFound, InvalidInput
        When the call itself is wrong.
    ArmFailed
        When the challenger cannot serve.
    Frozen, NoRollout
        When the study is frozen, has no champion, or a rollout runs.
    StaleRevision
        When somebody else moved the study meanwhile.
    BundleError, RuntimeUnavailable
        When the champion itself cannot be used.
    """
    served = _share_of(strategy, share)
    before = _look(platform, study, why)
    _require_thawed(before)
    if before.rollout is not None:
        raise NoRollout(f"a {before.strategy} of {study} {before.challenger} runs; stop it first")
    if before.champion is None:
        raise NoRollout(f"{study} has no champion to compare with; promote a version first")
    version = challenger or _only_candidate(platform, before)
    if version == before.champion:
        raise InvalidInput(f"{study} {version} is the champion; a challenger has to be another version")
    fitness.require_trial(platform, study, version)
    changes: dict[str, Any] = {"challenger": version, "strategy": strategy, "share": served}
    return _move(platform, before, "start", why, f"{strategy} of {version}", **changes, rollout=secrets.token_hex(16))


def step(platform: Platform, study: str, **why: Unpack[Why]) -> Decision:
    """Let the canary serve the next larger share of the clients: 0.1, 0.5, then all.

    Raises
    ------
    NoRollout
        When no canary runs, or it serves everybody already.
    UnknownStudy, Frozen, StaleRevision
        As in `start`.
    """
    before = _look(platform, study, why)
    _require_thawed(before)
    if before.strategy != "canary":
        raise NoRollout(f"{study} has no canary that could take a step; the strategy is {before.strategy}")
    share = next((share for share in STEPS if share > before.share), None)
    if share is None:
        raise NoRollout(f"{study} {before.challenger} serves everybody already; promote it or roll it back")
    return _move(platform, before, "step", why, f"{before.challenger} serves {share:.0%}", share=share)


def stop(platform: Platform, study: str, **why: Unpack[Why]) -> Decision:
    """End the rollout without a verdict; the champion stays. Raises NoRollout, UnknownStudy and StaleRevision."""
    before = _look(platform, study, why)
    if before.rollout is None:
        raise NoRollout(f"{study} has no rollout to stop")
    return _move(platform, before, "stop", why, f"the {before.strategy} of {before.challenger} is over", **_ENDED)


def promote(platform: Platform, study: str, version: str | None = None, **why: Unpack[Why]) -> Decision:
    """Make a version the champion, after its bundle was checked and its network replayed on its sample.

    The report of the offline gate that allows it is named in the evidence, with its hash.

    Parameters
    ----------
    version
        None: the challenger of the rollout.

    Raises
    ------
    NotProven
        When the offline gate has not said `promote` of the version against the present champion, or the rollout has
        shown harm; a study without a champion needs no gate.
    NoRollout
        When no rollout tells the version, or one of another version runs.
    UnknownStudy, VersionNotFound, InvalidInput, ArmFailed, Frozen, StaleRevision
        As in `start`.
    """
    before = _look(platform, study, why)
    _require_thawed(before)
    chosen = version or before.challenger
    if chosen is None:
        raise NoRollout(f"{study} has no rollout whose challenger could be promoted; name a version")
    if before.challenger not in (None, chosen):
        raise NoRollout(f"a {before.strategy} of {study} {before.challenger} runs; stop it before you promote {chosen}")
    if chosen == before.champion:
        raise InvalidInput(f"{study} {chosen} is the champion already")
    fitness.require_champion(platform, study, chosen)
    proof = {"former": before.champion, **fitness.passed_gate(platform, before, chosen), **_live(platform, before)}
    if proof.get("verdict", {}).get("verdict") == "rollback":
        raise NotProven(f"{study} {chosen} must not serve: {proof['verdict']['reason']}; roll it back")
    return _move(platform, before, "promote", why, f"{chosen} has passed the gate", proof, champion=chosen, **_ENDED)


def rollback(platform: Platform, study: str, **why: Unpack[Why]) -> Decision:
    """End the rollout, the champion stays; without a rollout, go back to the champion before the last promotion.

    Promotions are undone one after the other. The third automatic rollback in a row freezes the study.

    Raises
    ------
    NoRollout
        When there is nothing to go back to.
    UnknownStudy, VersionNotFound, ArmFailed, StaleRevision
        As in `start`.
    """
    before = _look(platform, study, why)
    with engine.reading(platform.sessions) as session:
        rows = ledger.rows(session, study)
    failures = ledger.failures(rows) + 1 if why.get("automatic") else 0
    changes: dict[str, Any] = {**_ENDED, "frozen": before.frozen or failures >= PATIENCE}
    proof = _live(platform, before)
    reason = f"the {before.strategy} of {before.challenger} is rolled back"
    if before.rollout is None:
        changes["champion"] = ledger.former_champion(rows)
        if changes["champion"] is None:
            raise NoRollout(f"{study} has neither a rollout nor a promotion to roll back")
        fitness.require_champion(platform, study, changes["champion"])
        reason = f"{changes['champion']} serves again in place of {before.champion}"
    return _move(platform, before, "rollback", why, reason, proof, **changes)


def unfreeze(platform: Platform, study: str, **why: Unpack[Why]) -> Decision:
    """Let a frozen study take new versions again. Raises InvalidInput, UnknownStudy and StaleRevision."""
    before = _look(platform, study, why)
    if not before.frozen:
        raise InvalidInput(f"{study} is not frozen")
    return _move(platform, before, "unfreeze", why, "new versions are welcome again", frozen=False)


def history(platform: Platform, study: str) -> list[Decision]:
    """Every move of a study in its order, checked; raises UnknownStudy and LedgerBroken."""
    studies.get(study)
    with engine.reading(platform.sessions) as session:
        return ledger.history(session, study)


def verdict(platform: Platform, study: str) -> dict[str, Any]:
    """What is known of the running rollout, as `evidence.described` says it; raises UnknownStudy and NoRollout."""
    studies.get(study)
    standing = platform.runtime.aliases(study)
    if standing.rollout is None:
        raise NoRollout(f"{study} has no rollout to judge; start one with `bioseg rollout {study} --strategy shadow`")
    with engine.reading(platform.sessions) as session:
        return evidence.described(session, standing, platform.expected_pairs)


def _share_of(strategy: str, share: float | None) -> float:
    """The challenger's share of the clients under a strategy; raises InvalidInput."""
    if strategy not in FIRST_SHARES:
        allowed = ", ".join(name for name in get_args(Strategy) if name in FIRST_SHARES)
        raise InvalidInput(f"strategy {strategy!r} starts no rollout; allowed are {allowed}")
    if share is None:
        return FIRST_SHARES[strategy]
    if not 0 <= share <= 1:
        raise InvalidInput(f"share {share:g} is outside 0 to 1")
    if strategy == "shadow" and share > 0:
        raise InvalidInput(f"a shadow serves nobody: leave share {share:g} out, or choose canary or ab")
    return share


def _look(platform: Platform, study: str, why: Why) -> Standing:
    """How a study stands; raises UnknownStudy, and StaleRevision when the caller saw another row."""
    studies.get(study)
    now = platform.runtime.aliases(study)
    seen = why.get("revision")
    if seen not in (None, now.sequence):
        raise ledger.stale(study, int(seen))
    return now


def _require_thawed(before: Standing) -> None:
    if before.frozen:
        raise Frozen(
            f"{before.study} is frozen after {PATIENCE} automatic rollbacks in a row; find out why, then run "
            f"`bioseg unfreeze {before.study}`"
        )


def _only_candidate(platform: Platform, before: Standing) -> str:
    """The version beside the champion, when there is exactly one; raises InvalidInput."""
    candidates = [version for version in platform.registry.versions(before.study) if version != before.champion]
    if len(candidates) != 1:
        raise InvalidInput(f"name the challenger; versions beside the champion are: {', '.join(candidates) or 'none'}")
    return candidates[0]


def _live(platform: Platform, before: Standing) -> dict[str, Any]:
    """What the running rollout has shown, if one runs."""
    if before.rollout is None:
        return {}
    with engine.reading(platform.sessions) as session:
        return evidence.told(session, before, platform.expected_pairs)


def _move(
    platform: Platform,
    before: Standing,
    action: Action,
    why: Why,
    reason: str,
    proof: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Decision:
    """Write the row; `reason` stands for one that was not given, `proof` joins the evidence."""
    move = Move(
        action=action,
        actor=why["actor"],
        reason=why.get("reason") or reason,
        automatic=why.get("automatic", False),
        evidence={**why.get("evidence", {}), **(proof or {})},
    )
    with platform.sessions.begin() as session:
        return ledger.append(session, before, move, **changes)
