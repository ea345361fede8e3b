"""Every predictor keeps the contract, and all runtimes of a bundle agree."""

from pathlib import Path

import numpy as np
import pytest

from bioseg import bundles
from bioseg.bundles import Bundle, Contract
from bioseg.errors import BundleError
from bioseg.inference import Predictor, keras_runtime, openvino_runtime, torch_runtime
from bioseg.testing.contracts import PredictorContract
from bioseg.testing.fakes import FakeSegmenter, fake_classifier

RUNTIMES = {
    "openvino membrane": (openvino_runtime, "membrane"),
    "openvino kinds": (openvino_runtime, "kinds"),
    "keras membrane": (keras_runtime, "membrane"),
    "torch kinds": (torch_runtime, "kinds"),
    "openvino brain": (openvino_runtime, "brain"),
    "torch brain": (torch_runtime, "brain"),
}


@pytest.fixture(scope="module", params=RUNTIMES)
def loaded(request: pytest.FixtureRequest, tiny_models: Path) -> tuple[Bundle, Predictor]:
    runtime, study = RUNTIMES[request.param]
    bundle = bundles.read(tiny_models / study / "tiny")
    return bundle, runtime.load(bundle, 1)


class TestRuntimes(PredictorContract):
    @pytest.fixture
    def predict(self, loaded: tuple[Bundle, Predictor]) -> Predictor:
        return loaded[1]

    @pytest.fixture
    def contract(self, loaded: tuple[Bundle, Predictor]) -> Contract:
        return loaded[0].contract

    def test_the_sample_is_reproduced(self, loaded):
        bundle, predict = loaded
        batch, expected = bundle.sample()
        np.testing.assert_allclose(predict(batch), expected, rtol=1e-5, atol=1e-5)


class TestFakes(PredictorContract):
    @pytest.fixture(params=["segmenter", "classifier"])
    def contract(self, request: pytest.FixtureRequest) -> Contract:
        common = {"version": "fake", "framework": "torch", "architecture": "fake", "axes": "NCHW"}
        if request.param == "segmenter":
            task = {"study": "membrane", "task": "segmentation", "channels": 1, "normalisation": "standard"}
            return Contract(**common, **task, multiple=4, halo=12, classes=("membrane",))
        task = {"study": "kinds", "task": "classification", "channels": 3, "normalisation": "unit"}
        return Contract(**common, **task, side=16, classes=("a", "b"))

    @pytest.fixture
    def predict(self, contract: Contract) -> Predictor:
        return FakeSegmenter() if contract.task == "segmentation" else fake_classifier(1, 2)


def copied(bundle: Bundle, folder: Path, **changes: object) -> Bundle:
    """The same weights under another contract."""
    contract = bundle.contract.model_copy(update=changes)
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"contract": contract}))


def test_torch_refuses_an_architecture_that_it_cannot_build(tiny_models, tmp_path):
    bundle = copied(bundles.read(tiny_models / "kinds/tiny"), tmp_path, architecture="resnet19")
    with pytest.raises(BundleError, match=r"resnet19.*resnet18"):
        torch_runtime.load(bundle, 1)


def test_torch_refuses_weights_of_another_shape(tiny_models, tmp_path):
    bundle = copied(bundles.read(tiny_models / "kinds/tiny"), tmp_path, classes=("a", "b"))
    with pytest.raises(BundleError, match="does not fit"):
        torch_runtime.load(bundle, 1)


@pytest.mark.parametrize(
    ("runtime", "name", "framework"),
    [(openvino_runtime, bundles.ONNX, "torch"), (keras_runtime, "model.keras", "keras")],
)
def test_a_damaged_network_is_refused(runtime, name, framework, tiny_models, tmp_path):
    bundle = copied(bundles.read(tiny_models / "kinds/tiny"), tmp_path, framework=framework)
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(BundleError, match="export the bundle again"):
        runtime.load(Bundle(tmp_path, bundle.manifest), 1)
