"""The moves of a study's aliases: what each does, what it refuses, and that one row of the ledger is all of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from bioseg import rollouts
from bioseg.bundles import Contract
from bioseg.database import gate_reports
from bioseg.database.tables import Decision
from bioseg.errors import (
    ArmFailed,
    BiosegError,
    Frozen,
    InvalidInput,
    NoRollout,
    NotProven,
    StaleRevision,
    UnknownStudy,
    VersionNotFound,
)
from bioseg.platform import Platform
from bioseg.registry import aliases, ledger
from bioseg.registry.standing import Standing
from bioseg.testing import stand_ins

CHAMPION = stand_ins.MEMBRANE.version
BY = {"actor": "ann"}


@pytest.fixture
def platform(make_platform: Callable[..., Platform], tmp_path: Path) -> Platform:
    """`membrane` has a challenger, `2`."""
    platform = make_platform()
    publish(platform, tmp_path, "2")
    return platform


@pytest.fixture
def on_each_database(make_platform: Callable[..., Platform], tmp_path: Path, database_url: str) -> Platform:
    """The same, on SQLite and on PostgreSQL."""
    platform = make_platform(database_url=database_url)
    publish(platform, tmp_path, "2")
    return platform


def publish(
    platform: Platform, folder: Path, version: str, like: Contract = stand_ins.MEMBRANE, **changes: object
) -> None:
    contract = like.model_copy(update={"version": version, **changes})
    platform.registry.add(stand_ins.seal(folder / "new" / version, contract).path)


def judge(platform: Platform, version: str, champion: str = CHAMPION, verdict: str = "promote") -> int:
    """Keep a report of the offline gate; gives its id."""
    report = {"candidate": {"bundle": platform.registry.open("membrane", version).digest}}
    with platform.sessions.begin() as session:
        return gate_reports.add(session, "membrane", champion, version, verdict, report).id


def promote(platform: Platform, folder: Path, *versions: str) -> None:
    """Publish, judge and promote versions one after the other."""
    for version in versions:
        publish(platform, folder, version)
        judge(platform, version, str(now(platform).champion))
        rollouts.promote(platform, "membrane", version, **BY)


def now(platform: Platform, study: str = "membrane") -> Standing:
    return aliases.kept(platform.registry, platform.sessions)(study)


def history(platform: Platform) -> list[Decision]:
    with platform.sessions() as session:
        return ledger.history(session, "membrane")


@pytest.mark.parametrize(
    ("strategy", "share", "served"),
    [
        ("shadow", None, 0),
        ("shadow", 0, 0),
        ("canary", None, 0.1),
        ("canary", 0.2, 0.2),
        ("ab", None, 0.5),
        ("ab", 1, 1),
    ],
)
def test_a_rollout_starts_with_the_share_of_its_strategy(
    platform: Platform, strategy: str, share: float | None, served: float
) -> None:
    row = rollouts.start(platform, "membrane", strategy, "2", share, **BY)
    expected = Standing("membrane", 1, CHAMPION, "2", strategy, served, row.rollout)
    assert (expected, 32) == (now(platform), len(str(row.rollout)))


def test_the_only_other_version_is_the_challenger(platform: Platform) -> None:
    assert "2" == rollouts.start(platform, "membrane", "shadow", **BY).challenger


def test_one_of_several_other_versions_has_to_be_named(platform: Platform, tmp_path: Path) -> None:
    publish(platform, tmp_path, "3")
    with pytest.raises(InvalidInput, match="2, 3"):
        rollouts.start(platform, "membrane", "shadow", **BY)


@pytest.mark.parametrize(
    ("call", "error", "reason"),
    [
        (("nerves", "shadow", "2"), UnknownStudy, "there are: "),
        (("membrane", "blue-green", "2"), InvalidInput, "allowed are shadow, canary, ab"),
        (("membrane", "single", "2"), InvalidInput, "allowed are shadow, canary, ab"),
        (("membrane", "shadow", "9"), VersionNotFound, "there are: 1.2.3, 2"),
        (("membrane", "shadow", "../2"), VersionNotFound, "there are: 1.2.3, 2"),
        (("membrane", "shadow", CHAMPION), InvalidInput, "is the champion"),
        (("membrane", "canary", "2", -0.1), InvalidInput, "outside 0 to 1"),
        (("membrane", "canary", "2", 1.5), InvalidInput, "outside 0 to 1"),
        (("membrane", "ab", "2", float("nan")), InvalidInput, "outside 0 to 1"),
        (("membrane", "shadow", "2", 0.5), InvalidInput, "a shadow serves nobody"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused_and_leaves_no_row(
    platform: Platform, call: tuple[Any, ...], error: type[BiosegError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        rollouts.start(platform, *call, **BY)
    assert [] == history(platform)


def test_a_second_rollout_has_to_wait(platform: Platform) -> None:
    rollouts.start(platform, "membrane", "shadow", "2", **BY)
    with pytest.raises(NoRollout, match="a shadow of membrane 2 runs; stop it first"):
        rollouts.start(platform, "membrane", "canary", "2", **BY)


def test_a_challenger_that_was_altered_never_takes_part(platform: Platform) -> None:
    (platform.registry.open("membrane", "2").path / "sample.npz").write_bytes(b"other")
    with pytest.raises(ArmFailed, match=r"membrane 2 cannot serve: .*altered"):
        rollouts.start(platform, "membrane", "shadow", "2", **BY)
    assert [] == history(platform)


def test_a_challenger_that_fails_its_self_test_never_takes_part(platform: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "colour"
    stand_ins.seal(folder, stand_ins.SCREEN.model_copy(update={"version": "3"}))
    published = stand_ins.MEMBRANE.model_copy(update={"version": "3", "channels": 3})
    stand_ins.bundles.seal(folder, published, created="2026-01-01T00:00:00Z", metrics={}, provenance={})
    platform.registry.add(folder)
    with pytest.raises(ArmFailed, match="on its sample"):
        rollouts.start(platform, "membrane", "shadow", "3", **BY)


def test_a_challenger_of_another_task_never_takes_part(platform: Platform, tmp_path: Path) -> None:
    publish(platform, tmp_path, "3", stand_ins.SCREEN, study="membrane")
    with pytest.raises(ArmFailed, match="it does classification, and the study segmentation"):
        rollouts.start(platform, "membrane", "shadow", "3", **BY)


def test_a_challenger_with_other_classes_never_takes_part(platform: Platform, tmp_path: Path) -> None:
    publish(platform, tmp_path, "5", stand_ins.SCREEN, classes=(*stand_ins.SCREEN.classes[:-1], "cats"))
    with pytest.raises(ArmFailed, match="differ in cats, other"):
        rollouts.start(platform, "kinds", "shadow", "5", **BY)


def test_a_study_without_a_champion_has_nothing_to_compare_with(
    make_platform: Callable[..., Platform], tmp_path: Path
) -> None:
    platform = make_platform(models_dir=tmp_path / "none")
    publish(platform, tmp_path, "2")
    with pytest.raises(NoRollout, match="promote a version first"):
        rollouts.start(platform, "membrane", "shadow", "2", **BY)


def test_stopping_ends_the_rollout_and_keeps_the_champion(platform: Platform) -> None:
    rollouts.start(platform, "membrane", "ab", "2", **BY)
    rollouts.stop(platform, "membrane", **BY)
    assert Standing("membrane", 2, CHAMPION) == now(platform)


@pytest.mark.parametrize("move", [rollouts.stop, rollouts.step, rollouts.promote, rollouts.rollback])
def test_without_a_rollout_there_is_nothing_to_move(platform: Platform, move: Callable[..., Decision]) -> None:
    with pytest.raises(NoRollout):
        move(platform, "membrane", **BY)
    assert [] == history(platform)


@pytest.mark.parametrize("move", [rollouts.stop, rollouts.step, rollouts.promote, rollouts.rollback, rollouts.unfreeze])
def test_an_unknown_study_is_named(platform: Platform, move: Callable[..., Decision]) -> None:
    with pytest.raises(UnknownStudy, match="nerves"):
        move(platform, "nerves", **BY)


def test_a_canary_takes_its_steps_in_the_same_rollout(on_each_database: Platform) -> None:
    rollout = rollouts.start(on_each_database, "membrane", "canary", "2", 0.2, **BY).rollout
    steps = [rollouts.step(on_each_database, "membrane", **BY) for _ in range(2)]
    assert [(0.5, rollout), (1.0, rollout)] == [(row.share, row.rollout) for row in steps]
    with pytest.raises(NoRollout, match="serves everybody already"):
        rollouts.step(on_each_database, "membrane", **BY)


def test_a_fixed_split_takes_no_steps(platform: Platform) -> None:
    rollouts.start(platform, "membrane", "ab", "2", **BY)
    with pytest.raises(NoRollout, match="the strategy is ab"):
        rollouts.step(platform, "membrane", **BY)


def test_a_version_that_passed_the_gate_becomes_the_champion(platform: Platform) -> None:
    judge(platform, "2")
    rollouts.promote(platform, "membrane", "2", **BY)
    assert Standing("membrane", 1, "2") == now(platform)


def test_the_challenger_becomes_the_champion_and_its_rollout_ends(platform: Platform) -> None:
    rollouts.start(platform, "membrane", "canary", "2", **BY)
    judge(platform, "2")
    rollouts.promote(platform, "membrane", **BY)
    assert Standing("membrane", 2, "2") == now(platform)


def test_a_promotion_names_its_gate_report_and_keeps_the_evidence_given(on_each_database: Platform) -> None:
    report = judge(on_each_database, "2")
    row = rollouts.promote(on_each_database, "membrane", "2", **BY, evidence={"pairs": {"last_id": 7}})
    with on_each_database.sessions() as session:
        sha256 = gate_reports.sha256_of(session.get_one(gate_reports.GateReport, report))
    expected = {
        "former": CHAMPION,
        "gate": {"id": report, "sha256": sha256, "verdict": "promote"},
        "pairs": {"last_id": 7},
    }
    assert expected == ledger.evidence_of(row)


def test_a_version_that_was_never_judged_is_not_promoted(platform: Platform) -> None:
    with pytest.raises(NotProven, match="run `bioseg gate membrane --candidate 2`"):
        rollouts.promote(platform, "membrane", "2", **BY)
    assert [] == history(platform)


@pytest.mark.parametrize("verdict", ["rollback", "inconclusive", "continue"])
def test_a_version_that_the_gate_does_not_praise_is_not_promoted(platform: Platform, verdict: str) -> None:
    judge(platform, "2")
    judge(platform, "2", verdict=verdict)
    with pytest.raises(NotProven, match=f"the offline gate says {verdict}"):
        rollouts.promote(platform, "membrane", "2", **BY)


def test_a_gate_against_another_champion_proves_nothing(platform: Platform) -> None:
    judge(platform, "2", champion="1.0.0")
    with pytest.raises(NotProven, match=f"never judged against the champion {CHAMPION}"):
        rollouts.promote(platform, "membrane", "2", **BY)


def test_a_gate_on_other_files_of_that_name_proves_nothing(platform: Platform) -> None:
    with platform.sessions.begin() as session:
        gate_reports.add(session, "membrane", CHAMPION, "2", "promote", {"candidate": {"bundle": "0" * 64}})
    with pytest.raises(NotProven, match="other files"):
        rollouts.promote(platform, "membrane", "2", **BY)


def test_the_first_champion_of_a_study_needs_no_gate(make_platform: Callable[..., Platform], tmp_path: Path) -> None:
    platform = make_platform(models_dir=tmp_path / "none")
    publish(platform, tmp_path, "2")
    rollouts.promote(platform, "membrane", "2", **BY)
    assert Standing("membrane", 1, "2") == now(platform)
    with pytest.raises(NoRollout, match="neither a rollout nor a promotion"):
        rollouts.rollback(platform, "membrane", **BY)


@pytest.mark.parametrize(
    ("version", "error", "reason"),
    [("9", VersionNotFound, "no version '9'"), (CHAMPION, InvalidInput, "is the champion already")],
)
def test_a_promotion_that_makes_no_sense_is_refused(
    platform: Platform, version: str, error: type[BiosegError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        rollouts.promote(platform, "membrane", version, **BY)


def test_another_version_is_not_promoted_while_a_rollout_runs(platform: Platform, tmp_path: Path) -> None:
    publish(platform, tmp_path, "3")
    judge(platform, "3")
    rollouts.start(platform, "membrane", "shadow", "2", **BY)
    with pytest.raises(NoRollout, match="stop it before you promote 3"):
        rollouts.promote(platform, "membrane", "3", **BY)


def test_a_version_that_cannot_serve_is_not_promoted(platform: Platform) -> None:
    judge(platform, "2")
    (platform.registry.open("membrane", "2").path / "sample.npz").write_bytes(b"other")
    with pytest.raises(ArmFailed, match="altered"):
        rollouts.promote(platform, "membrane", "2", **BY)
    assert [] == history(platform)


def test_rolling_back_ends_the_rollout_first(platform: Platform, tmp_path: Path) -> None:
    promote(platform, tmp_path, "3")
    rollouts.start(platform, "membrane", "canary", "2", **BY)
    rollouts.rollback(platform, "membrane", **BY)
    assert Standing("membrane", 3, "3") == now(platform)


def test_promotions_are_undone_one_after_the_other(on_each_database: Platform, tmp_path: Path) -> None:
    promote(on_each_database, tmp_path, "3", "4")
    champions = [rollouts.rollback(on_each_database, "membrane", **BY).champion for _ in range(2)]
    assert ["3", CHAMPION] == champions
    with pytest.raises(NoRollout, match="neither a rollout nor a promotion"):
        rollouts.rollback(on_each_database, "membrane", **BY)


def test_an_undone_promotion_can_be_made_again_and_undone_again(platform: Platform, tmp_path: Path) -> None:
    promote(platform, tmp_path, "3")
    rollouts.rollback(platform, "membrane", **BY)
    rollouts.promote(platform, "membrane", "3", **BY)
    rollouts.start(platform, "membrane", "shadow", "2", **BY)
    rollouts.rollback(platform, "membrane", **BY)
    assert CHAMPION == rollouts.rollback(platform, "membrane", **BY).champion


def fail(platform: Platform, *, automatic: bool = True) -> bool:
    """Start a rollout and roll it back; tells whether the study is frozen then."""
    rollouts.start(platform, "membrane", "shadow", "2", **BY)
    return rollouts.rollback(platform, "membrane", **BY, automatic=automatic).frozen


def test_the_third_automatic_rollback_in_a_row_freezes_the_study(on_each_database: Platform) -> None:
    assert [False, False, True] == [fail(on_each_database) for _ in range(3)]


@pytest.mark.parametrize("move", [rollouts.start, rollouts.promote])
def test_a_frozen_study_takes_no_new_version(platform: Platform, move: Callable[..., Decision]) -> None:
    for _ in range(3):
        fail(platform)
    judge(platform, "2")
    version = ("shadow", "2") if move is rollouts.start else ("2",)
    with pytest.raises(Frozen, match="bioseg unfreeze membrane"):
        move(platform, "membrane", *version, **BY)


def test_a_frozen_study_can_still_go_back(platform: Platform, tmp_path: Path) -> None:
    promote(platform, tmp_path, "3")
    for _ in range(3):
        fail(platform)
    row = rollouts.rollback(platform, "membrane", **BY)
    assert (CHAMPION, True) == (row.champion, row.frozen)


def test_an_unfrozen_study_may_fail_three_times_again(platform: Platform) -> None:
    for _ in range(3):
        fail(platform)
    rollouts.unfreeze(platform, "membrane", **BY)
    assert [False, False, True] == [fail(platform) for _ in range(3)]


def test_a_rollback_by_a_person_does_not_count_as_automatic(platform: Platform) -> None:
    frozen = [fail(platform), fail(platform), fail(platform, automatic=False), fail(platform), fail(platform)]
    assert [False] * 5 == frozen


def test_a_promotion_ends_the_row_of_failures(platform: Platform, tmp_path: Path) -> None:
    fail(platform)
    fail(platform)
    promote(platform, tmp_path, "3")
    assert not fail(platform)


def test_only_a_frozen_study_is_unfrozen(platform: Platform) -> None:
    with pytest.raises(InvalidInput, match="membrane is not frozen"):
        rollouts.unfreeze(platform, "membrane", **BY)


def test_a_move_says_who_made_it_and_why(platform: Platform) -> None:
    row = rollouts.start(platform, "membrane", "shadow", "2", actor="ann", reason="smaller", automatic=True)
    assert ("start", "ann", "smaller", True) == (row.action, row.actor, row.reason, row.automatic)


@pytest.mark.parametrize("revision", [0, 2, 99])
def test_who_saw_another_row_moves_nothing(platform: Platform, revision: int) -> None:
    rollouts.start(platform, "membrane", "shadow", "2", **BY, revision=0)
    with pytest.raises(StaleRevision, match=f"from revision {revision}"):
        rollouts.stop(platform, "membrane", **BY, revision=revision)
    assert 2 == rollouts.stop(platform, "membrane", **BY, revision=1).sequence


def test_one_of_two_operators_at_once_is_told_that_the_study_moved_on(
    on_each_database: Platform, tmp_path: Path
) -> None:
    for version in ("3", "4"):
        publish(on_each_database, tmp_path, version)
        judge(on_each_database, version)
    together = Barrier(2)

    def operator(version: str) -> str:
        together.wait()
        with suppress(StaleRevision):
            return str(rollouts.promote(on_each_database, "membrane", version, actor=version, revision=0).champion)
        return "stale"

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(operator, ("3", "4"))
    (row,) = history(on_each_database)
    assert {row.champion, "stale"} == {first, second}
