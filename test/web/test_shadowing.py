"""Pairs: both arms on the image of a request, while nobody waits; what is kept of them, and what it adds up to."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from bioseg import evidence, images, records, rollouts, service, shadowing
from bioseg.arms import Arms
from bioseg.bundles import Bundle
from bioseg.database import engine, gate_reports, moves, pairs, tasks
from bioseg.database.tables import Pair, RequestRecord, Task
from bioseg.errors import ArmFailed, Busy
from bioseg.inference import Floats, Predictor
from bioseg.inference.confined_runtime import TimeLimit
from bioseg.platform import Platform
from bioseg.registry.standing import Standing
from bioseg.runtime import Runtime
from bioseg.testing import stand_ins
from bioseg.worker import drain, shadow

CHAMPION, CHALLENGER = stand_ins.MEMBRANE.version, "2.0.0"
BY = {"actor": "ann"}
Make = Callable[..., Platform]


class TrialArms:
    """Stand-in arms of `membrane` under trial, which the test may slow down or break, and the order of their runs."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.breaking: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None

    def confine(self, bundle: Bundle, threads: int, limit: TimeLimit) -> Predictor:
        predict, version = stand_ins.load(bundle, threads), bundle.contract.version

        def run(batch: Floats) -> Floats:
            if batch.shape[1] > stand_ins.MEMBRANE.multiple:
                self.order.append(version)
                self.meanwhile()
                if version in self.breaking:
                    raise ArmFailed(f"{version} crashed on purpose")
            return (
                np.clip(predict(batch) + (0.3 if version == CHALLENGER else 0.0), 0, 1)
                if self.order
                else predict(batch)
            )

        return run


@pytest.fixture
def trial() -> TrialArms:
    return TrialArms()


@pytest.fixture
def platform(make_platform: Make, tmp_path: Path, trial: TrialArms) -> Platform:
    """A shadow of 2.0.0 runs in `membrane`."""
    made = make_platform()
    stand_ins.challenger(tmp_path / "models", CHALLENGER)
    runtime = Runtime(made.settings, made.registry, made.runtime.aliases, stand_ins.load, trial.confine)
    made = replace(made, runtime=runtime, arms=Arms(runtime))
    rollouts.start(made, "membrane", "shadow", CHALLENGER, **BY)
    return made


def standing(platform: Platform) -> Standing:
    return platform.runtime.aliases("membrane")


def sent(platform: Platform, data: bytes, owner: str = "a" * 32) -> RequestRecord:
    upload = service.Upload(data, "membrane", owner, time.perf_counter())
    return service.segment(platform, upload)


def waiting(platform: Platform) -> list[Task]:
    with engine.reading(platform.sessions) as session:
        return list(session.scalars(select(Task).where(Task.kind == "shadow", Task.done_at.is_(None))))


def made(platform: Platform) -> list[Pair]:
    with engine.reading(platform.sessions) as session:
        return list(session.scalars(select(Pair).order_by(Pair.id)))


def make_all(platform: Platform, now: datetime | None = None) -> list[Pair]:
    for task in waiting(platform):
        shadowing.make(platform, task, now)
    return made(platform)


@contextmanager
def being_served(platform: Platform) -> Iterator[None]:
    with platform.queue.place():
        yield


class TestTheTask:
    def test_follows_a_request_of_a_rollout(self, platform: Platform, section: bytes) -> None:
        record = sent(platform, section)
        assert [record.seq] == [task.request_seq for task in waiting(platform)]

    def test_follows_no_request_without_a_rollout(self, make_platform: Make, section: bytes) -> None:
        platform = make_platform()
        sent(platform, section)
        assert [] == waiting(platform)

    def test_follows_no_request_that_the_screen_refused(self, platform: Platform, photo: bytes) -> None:
        with pytest.raises(service.Refused):
            sent(platform, photo)
        assert [] == waiting(platform)

    def test_follows_the_sampled_share(self, make_platform: Make, platform: Platform, section: bytes) -> None:
        some = replace(platform, settings=platform.settings.model_copy(update={"shadow_sample": 0.5}))
        records_of = [sent(some, section) for _ in range(24)]
        sampled = {task.request_seq for task in waiting(some)}
        assert {each.seq for each in records_of if int(each.id[:8], 16) < 2**31} == sampled


class TestAPair:
    def test_holds_both_arms(self, platform: Platform, section: bytes) -> None:
        record = sent(platform, section)
        (pair,) = make_all(platform)
        assert ("done", record.seq, standing(platform).rollout) == (pair.status, pair.request_seq, pair.rollout)
        assert not pair.champion_failed
        assert not pair.challenger_failed
        assert min(filter(None, (pair.champion_ms, pair.challenger_ms)), default=0) > 0
        assert min(filter(None, (pair.champion_cpu_seconds, pair.challenger_cpu_seconds)), default=0) > 0

    def test_keeps_both_masks(self, platform: Platform, section: bytes) -> None:
        record = sent(platform, section)
        (pair,) = make_all(platform)
        champion, challenger = (
            images.decode_png(platform.pictures.get(str(key))) > 0 for key in (pair.champion_blob, pair.challenger_blob)
        )
        served = images.decode_png(platform.pictures.get(str(record.mask_blob))) > 0
        np.testing.assert_array_equal(served, champion)
        assert challenger.sum() > champion.sum()
        both = 2 * (champion & challenger).sum() / (champion.sum() + challenger.sum())
        assert pytest.approx(both) == pair.agreement

    def test_is_made_once(self, platform: Platform, section: bytes) -> None:
        sent(platform, section)
        make_all(platform)
        make_all(platform)
        assert 1 == len(made(platform))

    def test_runs_the_arms_in_random_order(self, platform: Platform, section: bytes, trial: TrialArms) -> None:
        for _ in range(24):
            sent(platform, section)
        trial.order.clear()
        make_all(platform)
        firsts = Counter(trial.order[::2])
        assert 48 == len(trial.order)
        assert min(firsts[CHAMPION], firsts[CHALLENGER]) >= 3

    @pytest.mark.parametrize("broken", [CHAMPION, CHALLENGER])
    def test_tells_which_arm_failed(self, platform: Platform, section: bytes, trial: TrialArms, broken: str) -> None:
        sent(platform, section)
        trial.breaking = {broken}
        (pair,) = make_all(platform)
        assert (broken == CHAMPION, broken == CHALLENGER) == (pair.champion_failed, pair.challenger_failed)
        assert f"{broken} crashed on purpose" == pair.error
        assert None is pair.agreement

    def test_is_dropped_and_counted_when_it_comes_late(self, platform: Platform, section: bytes) -> None:
        sent(platform, section)
        make_all(platform, datetime.now(UTC) + shadowing.STALE + timedelta(seconds=1))
        with engine.reading(platform.sessions) as session:
            assert 1 == pairs.dropped(session, str(standing(platform).rollout))
            assert 0 == len(evidence.collect(session, standing(platform)).failures)

    def test_is_dropped_when_the_picture_was_deleted(self, platform: Platform, section: bytes) -> None:
        record = sent(platform, section)
        records.delete(platform, record.id, None)
        assert ["stale"] == [pair.status for pair in make_all(platform)]

    def test_is_not_made_when_the_rollout_is_over(self, platform: Platform, section: bytes) -> None:
        sent(platform, section)
        rollouts.stop(platform, "membrane", **BY)
        assert [] == make_all(platform)

    def test_leaves_with_the_request(self, platform: Platform, section: bytes) -> None:
        record = sent(platform, section)
        (pair,) = make_all(platform)
        records.delete(platform, record.id, None)
        while platform.pictures.settle_waiting():
            pass
        (after,) = made(platform)
        assert (None, None) == (after.champion_blob, after.challenger_blob)
        with engine.reading(platform.sessions) as session:
            assert [None, None] == [moves.data(session, str(key)) for key in (pair.champion_blob, pair.challenger_blob)]
        assert not any(platform.pictures.blobs.exists(str(key)) for key in (pair.champion_blob, pair.challenger_blob))
        assert pair.champion_ms == after.champion_ms


class TestUsersComeFirst:
    def test_nothing_begins_while_somebody_is_served(self, platform: Platform) -> None:
        with being_served(platform):
            assert not shadowing.may_run(platform)

    def test_nor_right_afterwards(self, platform: Platform) -> None:
        with being_served(platform):
            pass
        assert not shadowing.may_run(platform)

    def test_but_soon(self, platform: Platform) -> None:
        with being_served(platform):
            pass
        deadline = time.monotonic() + 20
        while not shadowing.may_run(platform) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert shadowing.may_run(platform)

    def test_a_pair_that_a_request_fell_into_is_not_kept(
        self, platform: Platform, section: bytes, trial: TrialArms
    ) -> None:
        sent(platform, section)
        trial.meanwhile = lambda: sent(platform, section) and None
        with pytest.raises(Busy, match="run again later"):
            shadowing.make(platform, waiting(platform)[0])
        assert [] == made(platform)

    def test_the_worker_claims_nothing_while_somebody_is_served(self, platform: Platform, section: bytes) -> None:
        sent(platform, section)
        with being_served(platform):
            drain(platform.sessions, [shadow(platform)], "worker", threading.Event())
        assert [0] == [task.attempts for task in waiting(platform)]


class TestAChallengerThatFailsOnARequest:
    @pytest.fixture
    def record(self, platform: Platform, section: bytes, trial: TrialArms) -> RequestRecord:
        rollouts.stop(platform, "membrane", **BY)
        rollouts.start(platform, "membrane", "canary", CHALLENGER, 1.0, **BY)
        trial.order.append("the self-test is over")
        trial.breaking = {CHALLENGER}
        return sent(platform, section)

    def test_is_stepped_in_for(self, platform: Platform, record: RequestRecord) -> None:
        assert ("done", "champion", CHAMPION) == (record.status, record.arm, record.version)

    def test_is_evidence_at_once(self, platform: Platform, record: RequestRecord) -> None:
        with engine.reading(platform.sessions) as session:
            assert [1] == evidence.collect(session, standing(platform)).failures.tolist()

    def test_is_told_with_the_pair(self, platform: Platform, record: RequestRecord) -> None:
        (pair,) = made(platform)
        assert (record.seq, True, False, f"{CHALLENGER} crashed on purpose") == (
            pair.request_seq,
            pair.challenger_failed,
            pair.champion_failed,
            pair.error,
        )

    def test_is_not_tried_again_for_a_pair(self, platform: Platform, record: RequestRecord) -> None:
        assert 1 == len(make_all(platform))


class TestEvidence:
    def test_has_a_ratio_for_each_pair(self, platform: Platform, section: bytes) -> None:
        for _ in range(3):
            sent(platform, section)
        figures = make_all(platform)
        with engine.reading(platform.sessions) as session:
            found = evidence.collect(session, standing(platform))
        expected = [np.log((pair.challenger_ms or 0) / (pair.champion_ms or 1)) for pair in figures]
        np.testing.assert_allclose(found.latency, expected)

    def test_counts_discordant_failures(self, platform: Platform, section: bytes, trial: TrialArms) -> None:
        for breaking in ({CHAMPION}, {CHALLENGER}, {CHAMPION, CHALLENGER}, set[str]()):
            trial.breaking = breaking
            sent(platform, section)
            make_all_new(platform)
        with engine.reading(platform.sessions) as session:
            found = evidence.collect(session, standing(platform))
        assert [-1, 1, 0, 0] == found.failures.tolist()
        assert 1 == len(found.latency)

    def test_takes_judgements_in_the_order_in_which_they_were_given(self, platform: Platform, section: bytes) -> None:
        for _ in range(3):
            sent(platform, section)
        make_all(platform)
        said = [("challenger", 3, 0.5, 0.75, 2), ("champion", 1, 0.5, 0.25, 1), ("same", 2, None, None, None)]
        with platform.sessions.begin() as session:
            for pair, (preference, number, champion, challenger, order) in zip(
                session.scalars(select(Pair).order_by(Pair.id)), said, strict=True
            ):
                pair.preference, pair.preference_number = preference, number
                pair.champion_quality, pair.challenger_quality, pair.quality_number = champion, challenger, order
        with engine.reading(platform.sessions) as session:
            found = evidence.collect(session, standing(platform))
            seen = pairs.seen(session, str(standing(platform).rollout))._replace(preferences=2, qualities=1)
            before = evidence.measured(session, str(standing(platform).rollout), seen)
        assert [-1, 0, 1] == found.preferences.tolist()
        assert [-0.25, 0.25] == found.quality.tolist()
        assert ([-1, 0], [-0.25]) == (before.preferences.tolist(), before.quality.tolist())

    def test_knows_the_verdict_of_the_offline_gate(self, platform: Platform) -> None:
        with platform.sessions.begin() as session:
            gate_reports.add(session, "membrane", CHAMPION, CHALLENGER, "promote", {})
        with engine.reading(platform.sessions) as session:
            assert "promote" == evidence.collect(session, standing(platform)).gate

    def test_splits_nobody_in_a_shadow(self, platform: Platform, section: bytes) -> None:
        sent(platform, section)
        with engine.reading(platform.sessions) as session:
            assert None is evidence.collect(session, standing(platform)).clients

    def test_gives_the_same_verdict_again_from_what_is_stored(self, platform: Platform, section: bytes) -> None:
        for _ in range(3):
            sent(platform, section)
        make_all(platform)
        with engine.reading(platform.sessions) as session:
            told = evidence.told(session, standing(platform))
        sent(platform, section)
        make_all_new(platform)
        with engine.reading(platform.sessions) as session:
            assert told["verdict"] == evidence.again(session, told)


def test_clients_are_counted_once_in_the_arm_that_served_them(
    platform: Platform, section: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "SETTLING", timedelta(0))
    rollouts.stop(platform, "membrane", **BY)
    rollouts.start(platform, "membrane", "ab", CHALLENGER, 0.5, **BY)
    owners = [f"{number:032x}" for number in range(12)]
    served = {owner: [sent(platform, section, owner).arm for _ in range(2)] for owner in owners}
    assert all(first == second for first, second in served.values())
    with engine.reading(platform.sessions) as session:
        found = evidence.collect(session, standing(platform))
    assert found.clients is not None
    arms = Counter(str(first) for first, _ in served.values())
    assert [arms["champion"], arms["challenger"]] == found.clients.tolist()
    assert 0.5 == found.share


def make_all_new(platform: Platform) -> None:
    """Make the pairs of tasks that have none, and finish their tasks."""
    open_tasks = waiting(platform)
    for task in open_tasks:
        shadowing.make(platform, task)
    with platform.sessions.begin() as session:
        tasks.finish(session, open_tasks, datetime.now(UTC))
