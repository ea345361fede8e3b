"""The folder registry keeps the contract, and joins shipped and trained bundles."""

import json
from pathlib import Path

import pytest

from bioseg import bundles
from bioseg.bundles import Bundle, Contract
from bioseg.errors import BundleError
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.testing.contracts import RegistryContract


def sealed(folder: Path, study: str = "membrane", version: str = "1.0.0") -> Bundle:
    """A bundle without a network."""
    contract = Contract(
        study=study,
        version=version,
        task="segmentation",
        framework="keras",
        architecture="none",
        axes="NCHW",
        channels=1,
        normalisation="standard",
        classes=("membrane",),
    )
    folder.mkdir(parents=True)
    (folder / bundles.CARD).write_text("card")
    return bundles.seal(folder, contract, created="2026-01-01T00:00:00Z", metrics={}, provenance={})


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    return FolderRegistry(tmp_path / "shipped", tmp_path / "state/models")


class TestFolderRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, registry: FolderRegistry) -> FolderRegistry:
        return registry

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Bundle:
        return sealed(tmp_path / "elsewhere")


def appoint(root: Path, **champions: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "champions.json").write_text(json.dumps(champions))


def test_lists_shipped_and_trained_versions(registry, tmp_path):
    sealed(tmp_path / "shipped/membrane/2.0.0", version="2.0.0")
    registry.add(sealed(tmp_path / "new").path)
    assert registry.versions("membrane") == ("1.0.0", "2.0.0")


def test_a_trained_version_cannot_take_the_name_of_a_shipped_one(registry, tmp_path):
    sealed(tmp_path / "shipped/membrane/1.0.0")
    with pytest.raises(BundleError, match="never changes"):
        registry.add(sealed(tmp_path / "new").path)


def test_shipped_bundles_stay_untouched(registry, tmp_path):
    sealed(tmp_path / "shipped/membrane/1.0.0")
    registry.add(sealed(tmp_path / "new", version="2").path)
    assert [folder.name for folder in (tmp_path / "shipped/membrane").iterdir()] == ["1.0.0"]


def test_the_shipped_champion_serves_at_first(registry, tmp_path):
    appoint(tmp_path / "shipped", membrane="1.0.0")
    assert registry.champion("membrane") == "1.0.0"


def test_a_champion_of_the_installation_goes_before_the_shipped_one(registry, tmp_path):
    appoint(tmp_path / "shipped", membrane="1.0.0", kinds="3")
    appoint(tmp_path / "state/models", membrane="2.0.0")
    assert (registry.champion("membrane"), registry.champion("kinds")) == ("2.0.0", "3")


def test_a_malformed_list_of_champions_is_named(registry, tmp_path):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped/champions.json").write_text('{"membrane": 1}')
    with pytest.raises(BundleError, match=r"champions\.json"):
        registry.champion("membrane")


def test_a_bundle_in_a_folder_of_another_name_is_refused(registry, tmp_path):
    sealed(tmp_path / "shipped/membrane/2.0.0", version="1.0.0")
    with pytest.raises(BundleError, match="move it"):
        registry.open("membrane", "2.0.0")


def test_a_half_copied_bundle_is_no_version(registry, tmp_path):
    sealed(tmp_path / "state/models/membrane/_new-1/1.0.0")
    assert registry.versions("membrane") == ()


@pytest.mark.parametrize("name", [{"version": ".."}, {"study": "../kinds"}])
def test_a_contract_cannot_name_a_place_outside(registry, tmp_path, name):
    with pytest.raises(BundleError, match="cannot be a folder"):
        registry.add(sealed(tmp_path / "new", **name).path)
