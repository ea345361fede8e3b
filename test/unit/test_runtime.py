"""Networks that serve: proved before use, swapped with the champion, one request at a time."""

import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from bioseg.bundles import Bundle, Contract
from bioseg.bundles.sealing import assemble
from bioseg.errors import BundleError, RuntimeUnavailable, UnknownVersion
from bioseg.inference import Floats, Predictor
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.registry.standing import shipped
from bioseg.runtime import Runtime, technology
from bioseg.settings import Settings
from bioseg.testing.fakes import FakeSegmenter

SAMPLE = np.random.default_rng(2).random((1, 8, 8, 1), np.float32)


def write_version(root: Path, version: str) -> None:
    contract = Contract(
        study="membrane",
        version=version,
        task="segmentation",
        framework="keras",
        architecture="fake",
        axes="NCHW",
        channels=1,
        normalisation="standard",
        classes=("membrane",),
    )
    folder = root / "membrane" / version
    assemble(folder, contract, lambda _: None, (SAMPLE, FakeSegmenter()(SAMPLE)), metrics={}, provenance={})


def appoint(root: Path, **champions: str) -> None:
    (root / "champions.json").write_text(json.dumps(champions))


class Loader:
    """Loads fakes, and keeps what it was asked for."""

    def __init__(self, predict: Predictor | None = None) -> None:
        self.predict = predict or FakeSegmenter()
        self.asked: list[tuple[str, int]] = []

    def __call__(self, bundle: Bundle, threads: int) -> Predictor:
        self.asked.append((bundle.contract.version, threads))
        return self.predict


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_version(tmp_path, "1")
    write_version(tmp_path, "2")
    appoint(tmp_path, membrane="1")
    return tmp_path


def runtime(models: Path, loader: Loader | None = None, **changes: object) -> Runtime:
    settings = Settings.model_validate({"threads": 3, **changes})
    registry = FolderRegistry(models, models / "none")
    return Runtime(settings, registry, shipped(registry), loader or Loader())


class TestChampion:
    def test_is_the_version_that_the_registry_names(self, models):
        assert runtime(models).champion("membrane").contract.version == "1"

    def test_is_loaded_once(self, models):
        loader = Loader()
        serving = runtime(models, loader)
        assert serving.champion("membrane") is serving.champion("membrane")
        assert loader.asked == [("1", 3)]

    def test_is_loaded_once_for_many_threads(self, models):
        loader = Loader()
        serving = runtime(models, loader)
        threads = [threading.Thread(target=serving.champion, args=("membrane",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert loader.asked == [("1", 3)]

    def test_is_swapped_when_another_is_appointed(self, models):
        serving = runtime(models)
        serving.champion("membrane")
        appoint(models, membrane="2")
        assert serving.champion("membrane").contract.version == "2"

    def test_is_refused_while_the_next_one_is_missing_and_serves_again_afterwards(self, models):
        serving = runtime(models)
        serving.champion("membrane")
        appoint(models, membrane="3")
        with pytest.raises(UnknownVersion):
            serving.champion("membrane")
        appoint(models, membrane="1")
        assert serving.champion("membrane").contract.version == "1"

    def test_may_be_missing(self, models):
        with pytest.raises(UnknownVersion, match="kinds has no champion"):
            runtime(models).champion("kinds")

    def test_takes_all_cpus_unless_told(self, models):
        loader = Loader()
        runtime(models, loader, threads=0).champion("membrane")
        assert loader.asked[0][1] == len(os.sched_getaffinity(0))


def off_by(difference: float) -> Predictor:
    def predict(batch: Floats) -> Floats:
        return FakeSegmenter()(batch) + np.float32(difference)

    return predict


class TestReplay:
    @pytest.mark.parametrize("difference", [2e-4, -0.5, float("nan"), float("inf")])
    def test_refuses_a_network_that_differs(self, models, difference):
        with pytest.raises(BundleError, match="differs by"):
            runtime(models, Loader(off_by(difference))).champion("membrane")

    def test_allows_the_tolerance(self, models):
        assert runtime(models, Loader(off_by(5e-5))).champion("membrane")

    def test_refuses_another_shape(self, models):
        loader = Loader(lambda batch: FakeSegmenter()(batch)[:, ::2])
        with pytest.raises(BundleError, match=r"\(1, 4, 8, 1\)"):
            runtime(models, loader).champion("membrane")

    def test_a_refused_network_never_serves(self, models):
        serving = runtime(models, Loader(off_by(1)))
        for _ in range(2):
            with pytest.raises(BundleError):
                serving.champion("membrane")


class Failing:
    """Reproduces the sample until it `broke`; counts how often it was asked."""

    def __init__(self) -> None:
        self.broke = False
        self.runs = 0

    def __call__(self, batch: Floats) -> Floats:
        self.runs += 1
        return FakeSegmenter()(batch) + np.float32(self.broke)


class TestProveAgain:
    def test_refuses_a_network_that_broke_while_it_served(self, models):
        network = Failing()
        serving = runtime(models, Loader(network))
        arm = serving.champion("membrane")
        serving.prove_again(arm, 0)
        network.broke = True
        with pytest.raises(BundleError, match="differs by 1 "):
            serving.prove_again(arm, 0)

    @pytest.mark.parametrize("broke", [False, True])
    def test_is_cheap_however_often_it_is_asked(self, models, broke):
        network = Failing()
        serving = runtime(models, Loader(network))
        arm = serving.champion("membrane")
        network.broke, network.runs = broke, 0
        for _ in range(20):
            with suppress(BundleError):
                serving.prove_again(arm, 3600)
        assert 1 == network.runs

    def test_remembers_what_was_wrong(self, models):
        network = Failing()
        serving = runtime(models, Loader(network))
        arm = serving.champion("membrane")
        network.broke = True
        for _ in range(2):
            with pytest.raises(BundleError):
                serving.prove_again(arm, 3600)


class TestTechnologies:
    @pytest.mark.parametrize("technology", ["openvino", "reference"])
    @pytest.mark.parametrize("study", ["membrane", "kinds"])
    def test_real_bundles_pass_their_own_sample(self, tiny_models, technology, study):
        settings = Settings.model_validate({"threads": 1, "runtime": technology})
        registry = FolderRegistry(tiny_models, tiny_models / "none")
        serving = Runtime(settings, registry, shipped(registry))
        assert serving.champion(study).contract.version == "tiny"

    def test_a_missing_framework_is_named(self, tiny_models, monkeypatch):
        monkeypatch.setitem(sys.modules, "openvino", None)
        monkeypatch.delitem(sys.modules, "bioseg.inference.openvino_runtime", raising=False)
        registry = FolderRegistry(tiny_models, tiny_models / "none")
        serving = Runtime(Settings.model_validate({}), registry, shipped(registry))
        with pytest.raises(RuntimeUnavailable, match=r"needs openvino .* bioseg\[serve\]"):
            serving.champion("kinds")


@pytest.mark.parametrize(("precision", "module"), [("f32", "keras_runtime"), ("int8", "openvino_runtime")])
def test_the_reference_runs_what_is_in_float32_in_its_own_framework(models: Path, precision: str, module: str) -> None:
    bundle = FolderRegistry(models, models / "trained").open("membrane", "1")
    contract = bundle.contract.model_copy(update={"precision": precision})
    assert technology("reference", contract) == f"bioseg.inference.{module}"
