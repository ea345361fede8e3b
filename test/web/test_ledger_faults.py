"""A process ends at any write of a move, or two move a study at once: one champion, and an unbroken ledger."""

import itertools
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from bioseg import rollouts
from bioseg.database import gate_reports
from bioseg.platform import Platform
from bioseg.testing import stand_ins
from bioseg.testing.crashes import FAILED, Crash, crashing
from bioseg.testing.fault_injection import EXITED, breaking_writes

CHAMPION = stand_ins.MEMBRANE.version
VERSIONS = ("2", "3")
NEVER = sys.maxsize
"""A step that no process reaches."""
promote = partial(rollouts.promote, actor="ann")
rollback = partial(rollouts.rollback, actor="ann")


@pytest.fixture(scope="module")
def crash() -> Iterator[Callable[[Crash], int]]:
    with crashing("bioseg.registry.mlflow_registry") as crash:
        yield crash


@pytest.fixture
def models_of_mlflow(mlflow_server: str) -> Iterator[str]:
    """The address of a server without models."""
    from mlflow import MlflowClient

    yield mlflow_server
    client = MlflowClient(mlflow_server)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)


@pytest.fixture
def platform(request: pytest.FixtureRequest, make_platform: Callable[..., Platform], tmp_path: Path) -> Platform:
    """On each registry: two versions of `membrane` that have passed the gate against the champion and each other."""
    chosen = {} if request.param == "folder" else {"mlflow_uri": request.getfixturevalue("models_of_mlflow")}
    platform = make_platform(registry=request.param, **chosen)
    for version in VERSIONS:
        publish(platform, tmp_path, version)
    return platform


def publish(platform: Platform, folder: Path, version: str) -> None:
    """Add a version that has passed the gate against any other."""
    contract = stand_ins.MEMBRANE.model_copy(update={"version": version})
    bundle = platform.registry.add(stand_ins.seal(folder / "new" / version, contract).path)
    with platform.sessions.begin() as session:
        for other in {CHAMPION, *VERSIONS} - {version}:
            gate_reports.add(session, "membrane", other, version, "promote", {"candidate": {"bundle": bundle.digest}})


def champion(platform: Platform) -> str:
    """Version of the one champion, which can be loaded; every row of the ledger is checked."""
    rows = rollouts.history(platform, "membrane")
    served = platform.runtime.champion("membrane").contract.version
    assert served == (rows[-1].champion if rows else CHAMPION)
    return served


def forget_copies(platform: Platform) -> None:
    """Of bundles in MLflow, so that the next call fetches them again."""
    shutil.rmtree(platform.settings.state_dir / "models-from-mlflow", ignore_errors=True)


# What MLflow adds are the many writes that fetch a bundle, each of them alike and slow.
@pytest.mark.parametrize(
    ("platform", "stride"),
    [("folder", 1), ("mlflow", 4), pytest.param("mlflow", 1, marks=pytest.mark.e2e)],
    indirect=["platform"],
)
def test_a_process_that_ends_at_any_write_of_a_promotion_leaves_one_champion(
    platform: Platform, stride: int, crash: Callable[[Crash], int]
) -> None:
    for number in itertools.count(1, stride):
        before = champion(platform)
        candidate = next(version for version in VERSIONS if version != before)
        forget_copies(platform)
        arguments = ("membrane", candidate)
        status = crash(Crash(platform.settings, number, promote, arguments, breaking_writes))
        if status != EXITED:
            assert (0, candidate, True) == (status, champion(platform), number > 5)
            return
        after = champion(platform)
        assert after in {before, candidate}, f"step {number}"
        if after == before:
            promote(platform, *arguments)
        assert candidate == champion(platform), f"step {number}, tried again"


@pytest.mark.parametrize("platform", ["folder"], indirect=True)
def test_a_process_that_ends_at_any_write_of_a_rollback_leaves_one_champion(
    platform: Platform, crash: Callable[[Crash], int]
) -> None:
    for number in itertools.count(1):
        promote(platform, "membrane", "2")
        status = crash(Crash(platform.settings, number, rollback, ("membrane",), breaking_writes))
        if status != EXITED:
            assert (0, CHAMPION, True) == (status, champion(platform), number > 5)
            return
        if champion(platform) == "2":
            rollback(platform, "membrane")
        assert CHAMPION == champion(platform), f"step {number}"


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
def test_of_two_operators_in_two_processes_one_is_told_that_the_study_moved_on(
    make_platform: Callable[..., Platform], database_url: str, tmp_path: Path, crash: Callable[[Crash], int]
) -> None:
    platform = make_platform(database_url=database_url)
    for version in VERSIONS:
        publish(platform, tmp_path, version)
    first = partial(promote, revision=0)
    moves = [Crash(platform.settings, NEVER, first, ("membrane", version)) for version in VERSIONS]
    with crashing() as crash_too, ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(lambda process, move: process(move), (crash, crash_too), moves))
    winner = VERSIONS[statuses.index(0)]
    assert ([0, FAILED], [winner]) == (
        sorted(statuses),
        [row.champion for row in rollouts.history(platform, "membrane")],
    )
