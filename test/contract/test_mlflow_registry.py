"""The registry in MLflow keeps the contract against a real server, and serves on while it is away."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from bioseg import bundles
from bioseg.bundles import Bundle
from bioseg.errors import BundleError, RegistryUnavailable, TrackingError, UnknownVersion
from bioseg.registry.mlflow_aliases import reconcile
from bioseg.registry.mlflow_models import FOLDER, SHA256, VERSION, MlflowModels, model_of
from bioseg.registry.mlflow_registry import MlflowRegistry
from bioseg.registry.standing import Standing
from bioseg.testing import stand_ins
from bioseg.testing.contracts import RegistryContract

STUDY, CHAMPION = "membrane", stand_ins.MEMBRANE.version
Machine = Callable[..., MlflowRegistry]


@pytest.fixture
def client(mlflow_server: str) -> Iterator[MlflowClient]:
    """Of a server without models."""
    client = MlflowClient(mlflow_server)
    yield client
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)


@pytest.fixture
def models(client: MlflowClient) -> MlflowModels:
    return MlflowModels(client.tracking_uri)


@pytest.fixture
def machine(models: MlflowModels, tmp_path: Path) -> Machine:
    """Gives the registry of a machine, by its name."""

    def give(name: str = "first", models: MlflowModels = models) -> MlflowRegistry:
        return MlflowRegistry(models, tmp_path / "shipped", tmp_path / name / "copies")

    return give


@pytest.fixture
def registry(machine: Machine) -> MlflowRegistry:
    return machine()


@pytest.fixture
def away(free_port: int) -> MlflowModels:
    """Of a server that does not answer."""
    return MlflowModels(f"http://user:hunter2@127.0.0.1:{free_port}")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return sealed(tmp_path / "elsewhere", "1.0.0")


def sealed(folder: Path, version: str, card: str = "") -> Bundle:
    contract = stand_ins.MEMBRANE.model_copy(update={"version": version})
    stand_ins.seal(folder, contract)
    (folder / bundles.CARD).write_text(card)
    return bundles.seal(folder, contract, created="2026-01-01T00:00:00Z", metrics={}, provenance={})


class TestMlflowRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, registry: MlflowRegistry) -> MlflowRegistry:
        return registry

    @pytest.fixture
    def bundle(self, bundle: Bundle) -> Bundle:
        return bundle


def test_another_machine_opens_what_was_added(machine: Machine, bundle: Bundle) -> None:
    machine().add(bundle.path)
    second = machine("second")
    assert (("1.0.0",), bundle.manifest) == (second.versions(STUDY), second.open(STUDY, "1.0.0").manifest)


def test_an_unknown_version_names_those_that_no_machine_has_opened(machine: Machine, bundle: Bundle) -> None:
    machine().add(bundle.path)
    with pytest.raises(UnknownVersion, match=r"no version '9'; there are: 1\.0\.0"):
        machine("second").open(STUDY, "9")


def test_what_was_opened_serves_on_while_mlflow_is_away(machine: Machine, bundle: Bundle, away: MlflowModels) -> None:
    machine().add(bundle.path)
    offline = machine(models=away)
    assert (("1.0.0",), bundle.manifest) == (offline.versions(STUDY), offline.open(STUDY, "1.0.0").manifest)


def test_what_was_never_opened_waits_for_mlflow(machine: Machine, bundle: Bundle, away: MlflowModels) -> None:
    machine().add(bundle.path)
    with pytest.raises(RegistryUnavailable, match=r"membrane 1\.0\.0 has no copy here") as refusal:
        machine("second", away).open(STUDY, "1.0.0")
    assert "hunter2" not in str(refusal.value)


def test_nothing_is_added_while_mlflow_is_away(machine: Machine, bundle: Bundle, away: MlflowModels) -> None:
    with pytest.raises(TrackingError):
        machine(models=away).add(bundle.path)


def test_shipped_bundles_stand_beside_those_in_mlflow(machine: Machine, bundle: Bundle, tmp_path: Path) -> None:
    stand_ins.write(tmp_path / "shipped")
    machine().add(bundle.path)
    second = machine("second")
    assert (("1.0.0", CHAMPION), CHAMPION) == (second.versions(STUDY), second.champion(STUDY))
    assert tmp_path / "shipped" == second.open(STUDY, CHAMPION).path.parents[1]


def test_the_name_of_a_shipped_bundle_is_taken(machine: Machine, tmp_path: Path) -> None:
    stand_ins.write(tmp_path / "shipped")
    with pytest.raises(BundleError, match="never changes"):
        machine().add(sealed(tmp_path / "new", CHAMPION).path)


def test_a_version_that_another_machine_added_is_taken(machine: Machine, bundle: Bundle, tmp_path: Path) -> None:
    machine().add(bundle.path)
    with pytest.raises(BundleError, match="never changes"):
        machine("second").add(sealed(tmp_path / "new", "1.0.0", card="another").path)


def test_of_two_that_add_at_once_one_wins_and_both_machines_agree(machine: Machine, tmp_path: Path) -> None:
    names = ("first", "second", "third")
    added = {name: sealed(tmp_path / name / "new", "1.0.0", card=name) for name in names}

    def add(name: str) -> bool:
        try:
            machine(name).add(added[name].path)
        except BundleError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        won = dict(zip(names, pool.map(add, names), strict=True))
    (winner,) = (name for name in names if won[name])
    opened = [machine(f"{name} again").open(STUDY, "1.0.0").manifest for name in names]
    assert [added[winner].manifest] * 3 == opened


def test_threads_that_open_at_once_share_one_copy(machine: Machine, bundle: Bundle) -> None:
    machine().add(bundle.path)
    second = machine("second")
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: second.open(STUDY, "1.0.0").manifest, range(4)))
    assert [bundle.manifest] * 4 == opened


def alter(client: MlflowClient, tmp_path: Path, name: str, content: bytes) -> None:
    """Replace a file of version 1 in MLflow."""
    held = client.get_model_version(model_of(STUDY), "1")
    (tmp_path / name).write_bytes(content)
    client.log_artifact(str(held.run_id), str(tmp_path / name), FOLDER)


def test_a_file_that_was_altered_in_mlflow_is_not_opened(
    client: MlflowClient, machine: Machine, bundle: Bundle, tmp_path: Path
) -> None:
    machine().add(bundle.path)
    alter(client, tmp_path, bundles.CARD, b"better")
    with pytest.raises(BundleError, match="altered"):
        machine("second").open(STUDY, "1.0.0")


def test_a_bundle_that_was_sealed_again_in_mlflow_is_not_opened(
    client: MlflowClient, machine: Machine, bundle: Bundle, tmp_path: Path
) -> None:
    machine().add(bundle.path)
    other = sealed(tmp_path / "other", "1.0.0", card="better")
    for name in (bundles.CARD, bundles.MANIFEST):
        alter(client, tmp_path, name, (other.path / name).read_bytes())
    with pytest.raises(BundleError, match="altered in MLflow"):
        machine("second").open(STUDY, "1.0.0")


def test_a_version_under_another_name_in_mlflow_is_not_opened(
    client: MlflowClient, machine: Machine, bundle: Bundle
) -> None:
    machine().add(bundle.path)
    client.set_model_version_tag(model_of(STUDY), "1", VERSION, "2.0.0")
    with pytest.raises(BundleError, match=r"holds membrane 1\.0\.0 as membrane 2\.0\.0"):
        machine("second").open(STUDY, "2.0.0")


def test_versions_of_the_model_that_are_no_bundles_are_left_alone(
    client: MlflowClient, registry: MlflowRegistry, bundle: Bundle
) -> None:
    client.create_registered_model(model_of(STUDY))
    run = client.create_run("0")
    client.create_model_version(model_of(STUDY), f"runs:/{run.info.run_id}/model", run.info.run_id)
    registry.add(bundle.path)
    assert ("1.0.0",) == registry.versions(STUDY)


def aliases(client: MlflowClient) -> dict[str, str]:
    """Versions of the study's model by their aliases in MLflow."""
    known = client.get_registered_model(model_of(STUDY)).aliases
    return {alias: client.get_model_version(model_of(STUDY), str(n)).tags[VERSION] for alias, n in known.items()}


def test_mlflows_aliases_become_what_the_ledger_says(
    client: MlflowClient, models: MlflowModels, registry: MlflowRegistry, tmp_path: Path
) -> None:
    for version in ("1", "2"):
        registry.add(sealed(tmp_path / version, version).path)
    changed = reconcile(models, registry, Standing(STUDY, champion="1", challenger="2"))
    assert {"champion": "1", "challenger": "2"} == aliases(client)
    assert ["champion of membrane is 1", "challenger of membrane is 2"] == changed


def test_a_second_look_changes_nothing(models: MlflowModels, registry: MlflowRegistry, bundle: Bundle) -> None:
    registry.add(bundle.path)
    standing = Standing(STUDY, champion="1.0.0")
    reconcile(models, registry, standing)
    assert [] == reconcile(models, registry, standing)


def test_aliases_that_were_changed_by_hand_are_mended_and_others_stay(
    client: MlflowClient, models: MlflowModels, registry: MlflowRegistry, tmp_path: Path
) -> None:
    for version in ("1", "2"):
        registry.add(sealed(tmp_path / version, version).path)
    reconcile(models, registry, Standing(STUDY, champion="1"))
    for alias in ("champion", "challenger", "favourite"):
        client.set_registered_model_alias(model_of(STUDY), alias, "2")
    reconcile(models, registry, Standing(STUDY, champion="1"))
    assert {"champion": "1", "favourite": "2"} == aliases(client)


def test_a_shipped_champion_is_uploaded_for_its_alias(
    client: MlflowClient, models: MlflowModels, registry: MlflowRegistry, tmp_path: Path
) -> None:
    stand_ins.write(tmp_path / "shipped")
    reconcile(models, registry, Standing(STUDY, champion=CHAMPION))
    assert {"champion": CHAMPION} == aliases(client)


def test_a_study_without_a_champion_needs_no_model(
    client: MlflowClient, models: MlflowModels, registry: MlflowRegistry
) -> None:
    assert ([], []) == (reconcile(models, registry, Standing(STUDY)), list(client.search_registered_models()))


def test_another_bundle_of_the_same_name_in_mlflow_gets_no_alias(
    client: MlflowClient, models: MlflowModels, registry: MlflowRegistry, bundle: Bundle
) -> None:
    registry.add(bundle.path)
    client.set_model_version_tag(model_of(STUDY), "1", SHA256, "f" * 64)
    with pytest.raises(BundleError, match=r"another bundle as membrane 1\.0\.0"):
        reconcile(models, registry, Standing(STUDY, champion="1.0.0"))


def test_the_aliases_wait_while_mlflow_is_away(registry: MlflowRegistry, bundle: Bundle, away: MlflowModels) -> None:
    registry.add(bundle.path)
    with pytest.raises(TrackingError):
        reconcile(away, registry, Standing(STUDY, champion="1.0.0"))


class Interrupted(MlflowModels):
    """Does not answer from a number of calls on."""

    def __init__(self, tracking_uri: str, calls: int) -> None:
        super().__init__(tracking_uri)
        self.left = calls

    @contextmanager
    def _answered(self) -> Iterator[MlflowClient]:
        self.left -= 1
        if self.left < 0:
            raise TrackingError("away")
        with super()._answered() as client:
            yield client


def test_aliases_that_were_interrupted_at_any_call_are_mended(
    client: MlflowClient, models: MlflowModels, registry: MlflowRegistry, tmp_path: Path
) -> None:
    stand_ins.write(tmp_path / "shipped")
    registry.add(sealed(tmp_path / "new", "2").path)
    standing = Standing(STUDY, champion=CHAMPION, challenger="2")
    for calls in itertools.count():
        for alias in client.get_registered_model(model_of(STUDY)).aliases:
            client.delete_registered_model_alias(model_of(STUDY), alias)
        try:
            reconcile(Interrupted(client.tracking_uri, calls), registry, standing)
        except TrackingError:
            reconcile(models, registry, standing)
            assert {"champion": CHAMPION, "challenger": "2"} == aliases(client)
        else:
            break
    assert (5, 2) == (calls, len(client.search_model_versions(f"name = '{model_of(STUDY)}'")))


def test_mlflows_small_package_is_enough(
    mlflow_server: str, client: MlflowClient, bundle: Bundle, tmp_path: Path
) -> None:
    """What only the whole of mlflow brings cannot be imported here."""
    heavy = ("pandas", "pyarrow", "sklearn", "matplotlib", "docker", "graphene", "huey", "skops", "flask_cors")
    shutil.copytree(bundle.path, tmp_path / "new")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({heavy!r}))\n"
        "from pathlib import Path\n"
        "from bioseg import registry, settings\n"
        "from bioseg.platform import open_models\n"
        f"new = Path({str(tmp_path / 'new')!r})\n"
        "print(registry.publish(open_models(settings.load()).registry, new).contract.version)"
    )
    chosen = {
        "BIOSEG_REGISTRY": "mlflow",
        "BIOSEG_MLFLOW_URI": mlflow_server,
        "BIOSEG_STATE_DIR": str(tmp_path / "state"),
        "BIOSEG_MODELS_DIR": str(tmp_path / "shipped"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **chosen}, capture_output=True, text=True, check=False
    )
    assert ("1.0.0\n", "") == (done.stdout, done.stderr)
