"""On real sections, under traffic: the better network becomes the champion by itself, the worse one is rolled back."""

import itertools
import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bioseg import analysis, bundles, images, studies
from bioseg.datasets import isbi2012, pixels
from bioseg.inference import openvino_runtime
from bioseg.models import keras_torch_backend
from bioseg.registry.folder_registry import CHAMPIONS, FolderRegistry
from bioseg.runtime import Arm
from bioseg.study import SegmenterRecipe
from bioseg.testing.fake_tracker import FakeTracker
from bioseg.testing.installations import Installation, command, serving
from bioseg.testing.visitors import Answer, Visitor, coming
from bioseg.training import Run
from bioseg.training.train import fit_once

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.realdata,
    pytest.mark.timeout(900),
    pytest.mark.skipif("BIOSEG_DATA_DIR" not in os.environ, reason="BIOSEG_DATA_DIR is not set"),
]
SHIPPED = Path(__file__).parents[2] / "data/models"
SERVED = json.loads((SHIPPED / CHAMPIONS).read_text())
SCREEN, BETTER, WORSE = SERVED["kinds"], SERVED["membrane"], "worse"
STEPS = 10
SQUARE = 256
FOLLOWED_SECONDS = 5.0
VISITORS, NEWCOMERS = 6, 20
PAUSE_SECONDS = 1.5
FEW_PAIRS = 20

Pictures = Sequence[bytes]
Truths = Mapping[bytes, bytes]


@pytest.fixture(scope="module")
def sections() -> tuple[Pictures, Truths]:
    """Quarters of the sections that no network was fitted on, turned and mirrored; and the true masks by pixels.

    Those that the screen accepts: a refusal says nothing of a rollout.
    """
    bundle = bundles.read(SHIPPED / "kinds" / SCREEN)
    screen, study = Arm(bundle, openvino_runtime.load(bundle, 2)), studies.get("membrane")
    pictures, truths, refused = [], {}, 0
    for sample in isbi2012.splits(Path(os.environ["BIOSEG_DATA_DIR"])).score:
        both = pixels.image(sample), pixels.foreground(sample, isbi2012.MEMBRANE)
        for picture, truth in zip(*(_views(each) for each in both), strict=True):
            if analysis.screen(screen, study, picture).verdict != "accept":
                refused += 1
                continue
            pictures.append(images.encode_png(picture))
            truths[picture.tobytes()] = images.encode_mask(truth)
    assert refused <= len(pictures) / 20
    random.Random(0).shuffle(pictures)
    return pictures, truths


def _views(section: NDArray[Any]) -> list[NDArray[Any]]:
    squares = [section[y:, x:][:SQUARE, :SQUARE] for y in (0, SQUARE) for x in (0, SQUARE)]
    turned = [np.rot90(square, turns) for square in squares for turns in range(4)]
    return [np.ascontiguousarray(view) for square in turned for view in (square, square[:, ::-1])]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An installation whose champion is a network that was fitted for a moment only."""
    folder = tmp_path_factory.mktemp("rollout")
    models = folder / "models"
    fit_for_a_moment(folder / "checkpoints", models)
    shutil.copytree(SHIPPED / "kinds", models / "kinds")
    (models / CHAMPIONS).write_text(json.dumps({"kinds": SCREEN, "membrane": WORSE}))
    return {
        "BIOSEG_MODELS_DIR": str(models),
        "BIOSEG_STATE_DIR": str(folder / "state"),
        "BIOSEG_MLFLOW_URI": "http://127.0.0.1:9",
        "BIOSEG_AUTOMATIC": "act",
        "BIOSEG_SYNC_SECONDS": str(FOLLOWED_SECONDS),
        "BIOSEG_QUEUE": str(VISITORS),
    }


def fit_for_a_moment(checkpoints: Path, models: Path) -> None:
    """As large a network as the default recipe's, so that it costs the same, after a few steps on small crops."""
    study = studies.get("membrane")
    default = study.recipes["default"]
    assert isinstance(default, SegmenterRecipe)
    recipe = replace(default, size=64, epochs=1, steps=STEPS, averaging=0.0)
    checkpoints.mkdir()
    keras_torch_backend.use_torch()
    keras_torch_backend.use_threads(1)  # crops this small are not worth sharing out
    run = Run(FakeTracker(), lambda _done, _line: None, checkpoints, seed=7)
    splits = study.splits(Path(os.environ["BIOSEG_DATA_DIR"]))
    fit_once(study, recipe, splits, run, FolderRegistry(models.with_name("none"), models), WORSE, "a test")


@dataclass
class Story:
    """What happened, for the tests to look at."""

    installation: Installation
    gate: dict[str, Any]
    promoted: dict[str, Any]
    rolled_back: dict[str, Any]
    verdict: str
    answers: list[Answer]
    newcomers: list[list[Answer]]


@pytest.fixture(scope="module")
def story(environment: dict[str, str], sections: tuple[Pictures, Truths]) -> Iterator[Story]:
    """The shipped network passes the gate and a shadow and is promoted; then the former champion is tried again."""
    pictures, truths = sections

    def truth(picture: bytes) -> bytes:
        return truths[images.decode_png(picture).tobytes()]

    succeed(environment, "publish", str(SHIPPED / "membrane" / BETTER))
    gate = json.loads(succeed(environment, "gate", "membrane", "--candidate", BETTER, "--json"))
    log = Path(environment["BIOSEG_STATE_DIR"]).with_name("log")
    with serving(environment, {"BIOSEG_SYNC_SECONDS": "0.5"}, log) as installation:
        visitors = [Visitor(installation.port, installation.processes) for _ in range(VISITORS)]
        with coming(visitors, itertools.cycle(pictures), PAUSE_SECONDS) as answers:
            succeed(environment, "rollout", "membrane", "--strategy", "shadow", "--challenger", BETTER)
            installation.review("membrane", truth, FEW_PAIRS)
            verdict = succeed(environment, "verdict", "membrane")
            installation.review("membrane", truth)
            promoted = installation.decisions("membrane")[-1]
            wait_until_followed(installation, promoted, answers)
            newcomers = canary(installation, pictures)
            installation.move("membrane", "start", strategy="shadow", challenger=WORSE)
            installation.review("membrane", truth)
            rolled_back = installation.decisions("membrane")[-1]
        yield Story(installation, gate, promoted, rolled_back, verdict, answers, newcomers)


def succeed(environment: dict[str, str], *arguments: str) -> str:
    """Run a command that has to exit with 0; gives its output."""
    done = command(environment, *arguments)
    assert (0, arguments) == (done.returncode, arguments), done.stdout + done.stderr
    return done.stdout


def moment(decision: dict[str, Any]) -> float:
    return datetime.fromisoformat(decision["created_at"]).timestamp()


def after(decision: dict[str, Any], answers: Sequence[Answer]) -> list[Answer]:
    """Those to what was sent when a decision should have been followed everywhere."""
    return [answer for answer in answers if answer.sent > moment(decision) + FOLLOWED_SECONDS]


def wait_until_followed(installation: Installation, decision: dict[str, Any], answers: Sequence[Answer]) -> None:
    """Wait until every web process has answered after the time in which it has to follow."""
    everybody = {process.pid for process in installation.processes}
    installation.wait(lambda: {answer.process for answer in after(decision, answers)} >= everybody)


def canary(installation: Installation, pictures: Pictures) -> list[list[Answer]]:
    """Let the worse network serve half of the clients for a while; gives what each of some newcomers was answered."""
    started = installation.move("membrane", "start", strategy="canary", share=0.5, challenger=WORSE)
    time.sleep(FOLLOWED_SECONDS)
    newcomers = [Visitor(installation.port, installation.processes) for _ in range(NEWCOMERS)]
    first, second = ([visitor.upload(pictures[0]) for visitor in newcomers] for _ in range(2))
    installation.move("membrane", "stop", revision=started["revision"])
    return [list(both) for both in zip(first, second, strict=True)]


def test_the_gate_lets_the_better_one_pass_and_its_report_is_kept(story: Story) -> None:
    assert "promote" == story.gate["verdict"]
    assert "promote" == story.promoted["evidence"]["gate"]["verdict"]


def test_the_better_one_is_promoted_by_the_worker(story: Story) -> None:
    row = story.promoted
    assert ("promote", BETTER, True, "worker") == (row["action"], row["champion"], row["automatic"], row["actor"])
    assert row["evidence"]["verdict"]["intervals"]["quality"]["low"] > 0


def test_the_worse_one_is_rolled_back_by_the_worker(story: Story) -> None:
    row = story.rolled_back
    assert ("rollback", BETTER, True, "worker") == (row["action"], row["champion"], row["automatic"], row["actor"])
    assert row["evidence"]["verdict"]["intervals"]["quality"]["high"] < 0


def test_both_are_decided_by_masks_of_reviewers(story: Story) -> None:
    assert all(row["evidence"]["verdict"]["live_quality"] for row in (story.promoted, story.rolled_back))


def test_no_request_fails_meanwhile(story: Story) -> None:
    everything = [*story.answers, *itertools.chain(*story.newcomers)]
    assert Counter({200: len(everything)}) == Counter(answer.status for answer in everything)


def test_both_processes_follow_in_time(story: Story) -> None:
    served = after(story.promoted, [answer for answer in story.answers if answer.said["arm"] == "champion"])
    assert {(process.pid, BETTER) for process in story.installation.processes} == {
        (answer.process, answer.said["version"]) for answer in served
    }


def test_an_answer_names_the_arm_that_served(story: Story) -> None:
    assert {("champion", BETTER), ("challenger", WORSE)} == {
        (answer.said["arm"], answer.said["version"]) for answer in itertools.chain(*story.newcomers)
    }


def test_a_client_stays_with_its_arm(story: Story) -> None:
    assert [] == [both for both in story.newcomers if both[0].said["arm"] != both[1].said["arm"]]


def test_the_verdict_tells_of_pairs_and_quality(story: Story) -> None:
    assert f"shadow of {BETTER} against {WORSE}" in story.verdict
    assert "quality" in story.verdict


def test_the_history_names_every_move(story: Story) -> None:
    rows = json.loads(succeed(dict(story.installation.environment), "history", "membrane", "--json"))
    assert ["start", "promote", "start", "stop", "start", "rollback"] == [row["action"] for row in rows]


@pytest.mark.parametrize("decision", ["promoted", "rolled_back"])
def test_an_automatic_decision_can_be_worked_out_again(story: Story, decision: str) -> None:
    named = getattr(story, decision)["id"]
    checks = json.loads(succeed(dict(story.installation.environment), "replay", named, "--json"))
    assert {"ledger", "pairs", "verdict"} <= {check["what"] for check in checks}
    assert [] == [check for check in checks if not check["ok"]]
