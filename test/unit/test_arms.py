"""Which arm serves whom, and who steps in."""

import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioseg.arms import Arms
from bioseg.bundles import Bundle
from bioseg.errors import ArmFailed, BundleError, UnknownVersion
from bioseg.inference import Floats, Predictor
from bioseg.inference.confined_runtime import TimeLimit
from bioseg.policy import assignment
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.registry.standing import Standing
from bioseg.runtime import Arm, Runtime
from bioseg.settings import Settings
from bioseg.testing import stand_ins

ROLLOUT = "0123456789abcdef" * 2
CHAMPION, CHALLENGER = stand_ins.MEMBRANE.version, "2.0.0"
CLIENTS = [f"client {number}" for number in range(40)]
SINGLE = Standing("membrane", 1, CHAMPION)
CANARY = Standing("membrane", 2, CHAMPION, CHALLENGER, "canary", 0.5, ROLLOUT)
IMAGE = np.zeros((1, 32, 32, 1), np.float32)


class Study:
    """How a study stands, to be moved by the test; and its arms, of which the challenger may be broken."""

    def __init__(self, folder: Path) -> None:
        stand_ins.write(folder)
        stand_ins.challenger(folder, CHALLENGER)
        self.standing = SINGLE
        self.fails = False
        self.unloadable: set[str] = set()
        self.loaded: list[str] = []
        settings = Settings(threads=1)
        self.runtime = Runtime(settings, FolderRegistry(folder, folder / "none"), self.aliases, self.load, self.confine)
        self.arms = Arms(self.runtime)

    def aliases(self, study: str) -> Standing:
        return self.standing if study == "membrane" else Standing(study, champion=stand_ins.SCREEN.version)

    def load(self, bundle: Bundle, threads: int) -> Predictor:
        if bundle.contract.version in self.unloadable:
            raise BundleError("broken on purpose")
        self.loaded.append(bundle.contract.version)
        return stand_ins.load(bundle, threads)

    def confine(self, bundle: Bundle, threads: int, limit: TimeLimit) -> Predictor:
        if bundle.contract.version in self.unloadable:
            raise ArmFailed("broken on purpose")
        predict = stand_ins.load(bundle, threads)

        def confined(batch: Floats) -> Floats:
            if self.fails:
                raise ArmFailed("crashed on purpose")
            return predict(batch)

        return confined

    def catch_up(self) -> None:
        stop = threading.Event()
        stop.set()
        for study in ("membrane", "kinds"):
            self.arms._catch_up(study)

    def served(self, client: str) -> tuple[str, str]:
        """Arm and version that serve a client."""
        served, version = self.arms.serve("membrane", client, run)
        assert version == served.arm.contract.version
        return served.name, version


def run(arm: Arm) -> str:
    arm.predict(IMAGE)
    return arm.contract.version


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def test_without_a_rollout_the_champion_serves_everybody(study: Study) -> None:
    assert {("champion", CHAMPION)} == {study.served(client) for client in CLIENTS}


def test_a_shadow_serves_nobody(study: Study) -> None:
    study.standing = replace(CANARY, strategy="shadow", share=0.0)
    assert {("champion", CHAMPION)} == {study.served(client) for client in CLIENTS}


@pytest.mark.parametrize("followed", [True, False])
def test_a_canary_serves_the_clients_that_its_hash_assigns(study: Study, followed: bool) -> None:
    study.standing = CANARY
    if followed:
        study.catch_up()
    versions = {"champion": CHAMPION, "challenger": CHALLENGER}
    assigned = [assignment.arm(client, ROLLOUT, 0.5) for client in CLIENTS]
    assert set(assigned) == {"champion", "challenger"}
    assert [(name, versions[name]) for name in assigned] == [study.served(client) for client in CLIENTS]


def test_a_rollout_is_named_to_both_arms(study: Study) -> None:
    study.standing = CANARY
    assert {ROLLOUT} == {study.arms.serve("membrane", client, run)[0].rollout for client in CLIENTS}


class TestWhenTheChallengerFails:
    @pytest.fixture(autouse=True)
    def broken(self, study: Study) -> None:
        study.standing = CANARY
        study.catch_up()
        study.fails = True

    def test_the_champion_does_the_same_work(self, study: Study) -> None:
        assert {("champion", CHAMPION)} == {study.served(client) for client in CLIENTS}

    def test_the_log_tells(self, study: Study, caplog: pytest.LogCaptureFixture) -> None:
        for client in CLIENTS:
            study.served(client)
        assert ["the champion of membrane steps in: crashed on purpose"] == [each.message for each in caplog.records]

    def test_it_rests_for_a_while(self, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        for client in CLIENTS:
            study.served(client)
        study.fails = False
        assert {"champion"} == {study.served(client)[0] for client in CLIENTS}

    def test_another_rollout_is_not_affected(self, study: Study) -> None:
        for client in CLIENTS:
            study.served(client)
        study.fails = False
        study.standing = replace(CANARY, sequence=5, rollout="f" * 32)
        study.catch_up()
        assert {"champion", "challenger"} == {study.served(client)[0] for client in CLIENTS}


def test_a_champion_that_fails_is_no_matter_of_arms(study: Study) -> None:
    def fail(arm: Arm) -> None:
        raise ValueError(arm.contract.version)

    with pytest.raises(ValueError, match=CHAMPION):
        study.arms.serve("membrane", "client", fail)


def test_a_study_without_champion_says_so(study: Study) -> None:
    study.standing = Standing("membrane")
    with pytest.raises(UnknownVersion, match="train a version and promote it"):
        study.served("client")


class Pauses(threading.Event):
    """Ends what waits for it at the first pause, and notes how long that was to be."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        self.set()
        return True


class TestFollowing:
    def test_a_move_counts_once_it_was_followed(self, study: Study) -> None:
        study.catch_up()
        study.standing = replace(SINGLE, sequence=2, champion=CHALLENGER)
        before = study.served("client")
        study.catch_up()
        assert [("champion", CHAMPION), ("champion", CHALLENGER)] == [before, study.served("client")]

    def test_a_version_is_loaded_before_it_takes_requests(self, study: Study) -> None:
        study.catch_up()
        study.standing = replace(SINGLE, sequence=2, champion=CHALLENGER)
        study.catch_up()
        loaded = list(study.loaded)
        study.served("client")
        assert loaded == study.loaded

    def test_a_champion_that_cannot_be_loaded_leaves_the_former_one(
        self, study: Study, caplog: pytest.LogCaptureFixture
    ) -> None:
        study.catch_up()
        study.standing = replace(SINGLE, sequence=2, champion=CHALLENGER)
        study.unloadable = {CHALLENGER}
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        study.arms.follow(stop, seconds=0.05)
        assert ("champion", CHAMPION) == study.served("client")
        assert "membrane stays as it is: broken on purpose" in [each.message for each in caplog.records]

    def test_half_of_the_time_is_left_to_load_what_a_move_names(self, study: Study) -> None:
        stop = Pauses()
        study.arms.follow(stop, seconds=5.0)
        assert [2.5] == stop.seconds

    def test_a_challenger_that_cannot_be_loaded_serves_nobody(
        self, study: Study, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        study.standing, study.unloadable = CANARY, {CHALLENGER}
        study.catch_up()
        assert {("champion", CHAMPION)} == {study.served(client) for client in CLIENTS}
        assert ["the challenger of membrane serves nobody: broken on purpose"] == [
            each.message for each in caplog.records
        ]

    def test_versions_that_serve_no_more_are_forgotten(self, study: Study) -> None:
        study.catch_up()
        study.standing = replace(SINGLE, sequence=2, champion=CHALLENGER)
        study.catch_up()
        study.standing = replace(SINGLE, sequence=3)
        study.catch_up()
        assert study.loaded.count(CHAMPION) == 2


def test_a_challenger_may_take_ten_times_as_long_as_its_champion(tmp_path: Path) -> None:
    limits: list[TimeLimit] = []

    def confine(bundle: Bundle, threads: int, limit: TimeLimit) -> Predictor:
        limits.append(limit)
        return stand_ins.load(bundle, threads)

    made = Study(tmp_path)
    made.standing = CANARY
    runtime = Runtime(Settings(threads=1), FolderRegistry(tmp_path, tmp_path), made.aliases, stand_ins.load, confine)
    champion = replace(runtime.champion("membrane"), pace=1e-6)
    runtime.trial("membrane", CHALLENGER, champion)
    assert [1.0, pytest.approx(11.0)] == [limits[0](0), limits[0](1_000_000)]
