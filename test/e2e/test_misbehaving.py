"""A challenger that fails on users' images: the champion serves all of them, and its failures roll it back."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bioseg import images
from bioseg.testing import misbehaving_onnx, twins
from bioseg.testing.bundles import VERSION
from bioseg.testing.installations import Installation, serving
from bioseg.testing.visitors import Answer, Visitor, coming

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SIDE = 96
VISITORS = 8
PAUSE_SECONDS = 5.0


@pytest.fixture(scope="module")
def installation(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("misbehaving")
    shutil.copytree(tiny_models, folder / "models")
    for way in misbehaving_onnx.WAYS:
        misbehaving_onnx.write(folder / "models", way)
    environment = {
        "BIOSEG_MODELS_DIR": str(folder / "models"),
        "BIOSEG_STATE_DIR": str(folder / "state"),
        "BIOSEG_MLFLOW_URI": "http://127.0.0.1:9",
        "BIOSEG_AUTOMATIC": "act",
        "BIOSEG_SYNC_SECONDS": "0.5",
        "BIOSEG_QUEUE": str(VISITORS),
    }
    with serving(environment, {}, folder / "log") as started:
        yield started


@pytest.fixture(scope="module")
def sections() -> list[bytes]:
    return [images.encode_png(twins.membrane_section(seed, SIDE)[0]) for seed in range(16)]


class Users:
    """Clients of an installation, all of whom a challenger is to serve."""

    def __init__(self, installation: Installation, sections: list[bytes]) -> None:
        self.installation, self.sections = installation, sections

    def meet(self, way: str, until: Callable[[list[Answer]], bool]) -> list[Answer]:
        """They come until something is true of their answers, or of the installation; gives the answers."""
        visitors = [Visitor(self.installation.port, self.installation.processes) for _ in range(VISITORS)]
        self.installation.move("membrane", "start", strategy="canary", share=1.0, challenger=way)
        with coming(visitors, itertools.cycle(self.sections), PAUSE_SECONDS) as answers:
            self.installation.wait(lambda: until(answers))
        return answers

    def see_it_rolled_back(self, _answers: list[Answer]) -> bool:
        return self.last()["action"] == "rollback"

    def wait_for_a_pair(self) -> None:
        self.installation.wait(lambda: bool(self.installation.rollout("membrane")["pairs"]))

    def last(self) -> dict[str, Any]:
        return self.installation.decisions("membrane")[-1]


@pytest.fixture
def users(installation: Installation, sections: list[bytes]) -> Users:
    return Users(installation, sections)


def served(answers: list[Answer]) -> set[tuple[int, str, str]]:
    """Status, arm and version of all answers."""
    return {(answer.status, answer.said.get("arm", ""), answer.said.get("version", "")) for answer in answers}


@pytest.mark.parametrize("way", ["crashes", "bloats"])
def test_the_champion_serves_and_failures_roll_it_back(users: Users, way: str) -> None:
    answers = users.meet(way, until=users.see_it_rolled_back)
    row = users.last()
    assert {(200, "champion", VERSION)} == served(answers)
    assert (VERSION, None, "worker", True) == (row["champion"], row["challenger"], row["actor"], row["automatic"])
    assert 1.0 == row["evidence"]["verdict"]["intervals"]["failures"]["estimate"]


def test_the_champion_serves_while_it_hangs(users: Users) -> None:
    answers = users.meet("hangs", until=lambda answers: len(answers) >= 2 * VISITORS)
    users.wait_for_a_pair()
    verdict = users.installation.rollout("membrane")["verdict"]
    users.installation.move("membrane", "stop")
    assert {(200, "champion", VERSION)} == served(answers)
    assert 1.0 == verdict["intervals"]["failures"]["estimate"]


def test_all_processes_live_on(users: Users) -> None:
    assert [] == [process.pid for process in users.installation.processes if not process.is_running()]
