"""Versions are published, take part, become the champion and go back; what was altered afterwards is noticed."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from bioseg import bundles
from bioseg.bundles import Bundle
from bioseg.database import engine, gate_reports

Bioseg = Callable[..., Any]


@pytest.fixture
def bundle(tmp_path: Path, tiny_models: Path) -> Bundle:
    """The tiny segmenter as version `2`, sealed and outside of the registry."""
    return sealed(tmp_path / "new", tiny_models)


def sealed(folder: Path, tiny_models: Path, card: str = "another card") -> Bundle:
    tiny = bundles.read(tiny_models / "membrane" / "tiny")
    shutil.copytree(tiny.path, folder)
    (folder / bundles.CARD).write_text(card, encoding="utf-8")
    contract = tiny.contract.model_copy(update={"version": "2"})
    return bundles.seal(folder, contract, created="2026-01-01T00:00:00Z", metrics={}, provenance={})


@pytest.fixture
def published(bioseg: Bioseg, bundle: Bundle) -> Bundle:
    """The same, in the registry."""
    assert 0 == bioseg("publish", bundle.path).code
    return bundle


@pytest.fixture
def sessions(bioseg: Bioseg, tmp_path: Path) -> Iterator[sessionmaker[Session]]:
    """The database of the commands."""
    url = f"sqlite:///{tmp_path / 'state' / 'bioseg.db'}"
    engine.migrate(url)
    opened = engine.connect(url)
    yield sessionmaker(opened, expire_on_commit=False)
    opened.dispose()


@pytest.fixture
def promoted(bioseg: Bioseg, published: Bundle, sessions: sessionmaker[Session]) -> str:
    """The decision that made `2` the champion."""
    with sessions.begin() as session:
        gate_reports.add(
            session,
            "membrane",
            "tiny",
            "2",
            "promote",
            {"candidate": {"bundle": published.digest}, "difference": 0.0625},
        )
    assert 0 == bioseg("promote", "membrane", "2", "--reason", "sharper").code
    return "membrane/1"


def alter(sessions: sessionmaker[Session], statement: str) -> None:
    with sessions.begin() as session:
        assert 1 == session.execute(text(statement)).rowcount  # type: ignore[attr-defined]


def moves(bioseg: Bioseg) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(bioseg("history", "membrane", "--json").out)
    return rows


def test_a_published_bundle_lies_in_the_registry(bioseg: Bioseg, bundle: Bundle, tmp_path: Path) -> None:
    place = tmp_path / "state/models/membrane/2"
    assert f"membrane 2: {place}\n" == bioseg("publish", bundle.path).out
    assert bundle.manifest == bundles.read(place).manifest


def test_publishing_the_same_bundle_again_changes_nothing(bioseg: Bioseg, published: Bundle) -> None:
    assert 0 == bioseg("publish", published.path).code


def test_another_bundle_of_the_same_name_is_not_published(
    bioseg: Bioseg, published: Bundle, tmp_path: Path, tiny_models: Path
) -> None:
    other = sealed(tmp_path / "other", tiny_models, card="a third card")
    assert "membrane 2 is another bundle" in bioseg("publish", other.path).failure


def test_a_folder_that_is_no_bundle_is_not_published(bioseg: Bioseg, tmp_path: Path) -> None:
    assert "is no bundle" in bioseg("publish", tmp_path).failure


def test_a_rollout_starts_and_stops(bioseg: Bioseg, published: Bundle) -> None:
    assert 0 == bioseg("rollout", "membrane", "--strategy", "canary", "--share", "0.2").code
    assert 0 == bioseg("rollout", "membrane", "--strategy", "single").code
    expected = [("start", "2", "canary", 0.2), ("stop", None, "single", 0.0)]
    fields = ("action", "challenger", "strategy", "share")
    assert expected == [tuple(row[name] for name in fields) for row in moves(bioseg)]


def test_without_a_rollout_there_is_none_to_stop(bioseg: Bioseg) -> None:
    assert "no rollout to stop" in bioseg("rollout", "membrane", "--strategy", "single").failure


def test_a_version_without_a_gate_report_is_told_what_to_run(bioseg: Bioseg, published: Bundle) -> None:
    assert "run `bioseg gate membrane --candidate 2`" in bioseg("promote", "membrane", "2").failure


def test_a_challenger_that_is_damaged_is_not_started(bioseg: Bioseg, published: Bundle, tmp_path: Path) -> None:
    (tmp_path / "state/models/membrane/2/model.onnx").write_bytes(b"")
    assert "membrane 2 cannot serve" in bioseg("rollout", "membrane", "--strategy", "shadow").failure


def test_a_promotion_is_in_the_history_with_its_reason(bioseg: Bioseg, promoted: str) -> None:
    (row,) = moves(bioseg)
    assert (promoted, "promote", "2", "sharper") == (row["id"], row["action"], row["champion"], row["reason"])
    assert f"{promoted} {row['created_at'][:10]}" in bioseg("history", "membrane").out


def test_a_promotion_is_rolled_back(bioseg: Bioseg, promoted: str) -> None:
    assert "rollback: champion tiny" in bioseg("rollback", "membrane").out


def test_a_stale_revision_is_told(bioseg: Bioseg, promoted: str) -> None:
    assert "has moved on from revision 0" in bioseg("rollback", "membrane", "--revision", "0").failure


def test_a_decision_that_still_holds_is_replayed(bioseg: Bioseg, promoted: str) -> None:
    checks = json.loads(bioseg("replay", promoted, "--json").out)
    assert [("ledger", True), ("gate", True)] == [(check["what"], check["ok"]) for check in checks]


def test_an_altered_number_of_the_evidence_is_noticed_by_replay(
    bioseg: Bioseg, promoted: str, sessions: sessionmaker[Session]
) -> None:
    alter(sessions, "UPDATE gate_reports SET report = replace(report, '0.0625', '0.5')")
    outcome = bioseg("replay", promoted)
    assert (1, "bioseg: membrane/1 does not hold: gate: report 1 was altered since\n") == (outcome.code, outcome.err)
    assert "FAIL gate" in outcome.out


def test_the_doctor_counts_the_decisions(bioseg: Bioseg, promoted: str) -> None:
    assert "ok   ledger: 1 decisions, each as it was written" in bioseg("doctor").out


def test_the_doctor_finds_an_altered_row(bioseg: Bioseg, promoted: str, sessions: sessionmaker[Session]) -> None:
    alter(sessions, "UPDATE decisions SET champion = 'tiny'")
    outcome = bioseg("doctor")
    assert (1, True) == (outcome.code, "FAIL ledger: membrane/1 was altered" in outcome.out)


@pytest.mark.parametrize("command", ["history membrane", "history membrane --json", "replay membrane/1"])
def test_an_altered_row_is_noticed_and_named(
    bioseg: Bioseg, promoted: str, sessions: sessionmaker[Session], command: str
) -> None:
    alter(sessions, "UPDATE decisions SET champion = 'tiny'")
    outcome = bioseg(*command.split())
    assert (1, True) == (outcome.code, "membrane/1 was altered" in outcome.err)
