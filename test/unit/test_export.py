"""Exported networks: rounded, small, and equal to what was trained."""

import stat
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file
from torch import nn

from bioseg import bundles
from bioseg.bundles import Bundle, Contract, onnx_graph, torch_export
from bioseg.errors import InvalidInput
from bioseg.inference import keras_runtime, openvino_runtime
from bioseg.models import keras_torch_backend

RNG = np.random.default_rng(3)


def is_rounded(values: np.ndarray) -> bool:
    return bool((values.astype(np.float16).astype(values.dtype) == values).all())


@pytest.fixture(scope="module")
def keras():
    keras_torch_backend.use_torch()
    import keras

    return keras


@pytest.fixture(scope="module")
def segmenter(tiny_models: Path) -> Bundle:
    return bundles.read(tiny_models / "membrane/tiny")


@pytest.fixture(scope="module")
def classifier(tiny_models: Path) -> Bundle:
    return bundles.read(tiny_models / "kinds/tiny")


class TestRoundTorch:
    def test_parameters_and_buffers_become_what_float16_holds(self):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
        model[1].running_var.uniform_(0.1, 3)
        torch_export.round_to_float16(model)
        assert all(is_rounded(tensor.numpy()) for tensor in model.state_dict().values())

    def test_integers_stay(self):
        model = nn.BatchNorm2d(4)
        model.num_batches_tracked.fill_(70_001)
        torch_export.round_to_float16(model)
        assert int(model.num_batches_tracked) == 70_001

    def test_values_beyond_float16_are_named(self):
        model = nn.BatchNorm2d(2)
        model.running_var.fill_(1e6)
        with pytest.raises(InvalidInput, match="running_var"):
            torch_export.round_to_float16(model)


class TestRoundKeras:
    def test_weights_and_statistics_become_what_float16_holds(self, keras):
        from bioseg.bundles import keras_export
        from bioseg.models.keras_unet import unet

        model = unet((2, 4))
        for weight in model.weights:
            weight.assign(RNG.uniform(0.1, 1, weight.shape))
        keras_export.round_to_float16(model)
        assert all(is_rounded(keras.ops.convert_to_numpy(weight)) for weight in model.weights)

    def test_values_beyond_float16_are_named(self, keras):
        from bioseg.bundles import keras_export

        model = keras.Sequential([keras.Input((1, 8, 8)), keras.layers.BatchNormalization(axis=1)])
        model.layers[0].moving_variance.assign([1e6])
        with pytest.raises(InvalidInput, match="moving_variance"):
            keras_export.round_to_float16(model)


class TestKerasBundle:
    def test_large_weights_of_the_graph_are_float16(self, segmenter):
        graph = onnx.load(segmenter.onnx).graph
        large = [tensor.data_type for tensor in graph.initializer if np.prod(tensor.dims) >= onnx_graph.SMALLEST]
        assert set(large) == {TensorProto.FLOAT16}

    def test_weights_are_stored_compressed(self, segmenter):
        with zipfile.ZipFile(segmenter.weights) as archive:
            assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_DEFLATED}

    def test_weights_are_stored_rounded(self, segmenter, keras):
        model = keras.saving.load_model(segmenter.weights, compile=False)
        assert all(is_rounded(keras.ops.convert_to_numpy(weight)) for weight in model.weights)

    def test_the_optimizer_stays_at_home(self, segmenter, keras):
        assert not keras.saving.load_model(segmenter.weights).compiled

    @pytest.mark.parametrize("shape", [(2, 64, 64, 1), (1, 130, 34, 1)])
    def test_the_graph_equals_the_stored_network_at_any_size(self, segmenter, shape):
        batch = RNG.normal(size=shape).astype(np.float32)
        served, reference = (runtime.load(segmenter, 1)(batch) for runtime in (openvino_runtime, keras_runtime))
        np.testing.assert_allclose(served, reference, atol=1e-5)

    def test_a_network_of_one_size_is_exported_with_that_size(self, keras, tmp_path):
        from bioseg.bundles import keras_export
        from bioseg.models.keras_unet import plain_unet

        contract = Contract(
            study="membrane",
            version="seed",
            task="segmentation",
            framework="keras",
            architecture="plain_unet",
            axes="NCHW",
            channels=1,
            normalisation="unit",
            side=256,
            classes=("membrane",),
        )
        sample = RNG.random((1, 256, 256, 1), np.float32)
        model = plain_unet((2, 2, 2))
        bundle = keras_export.write(model, contract, tmp_path / "seed", sample, metrics={}, provenance={})
        np.testing.assert_allclose(openvino_runtime.load(bundle, 1)(sample), bundle.sample()[1], atol=1e-5)

    def test_the_given_model_is_left_alone(self, keras, segmenter, tmp_path):
        from bioseg.bundles import keras_export
        from bioseg.models.keras_unet import unet

        model = unet((2, 4))
        before = model.get_weights()
        sample = RNG.random((1, 8, 8, 1), np.float32)
        keras_export.write(model, segmenter.contract, tmp_path / "tiny", sample, metrics={}, provenance={})
        assert all(map(np.array_equal, before, model.get_weights()))


class TestTorchBundle:
    def test_the_graph_holds_no_second_copy_of_the_weights(self, classifier):
        assert classifier.onnx.stat().st_size < 64_000

    def test_the_graph_reads_every_weight_from_the_safetensors(self, classifier):
        graph = onnx.load(classifier.onnx, load_external_data=False).graph
        places = {entry.value for tensor in graph.initializer for entry in tensor.external_data[:1]}
        assert places == {"model.safetensors"}

    def test_the_graph_is_valid(self, classifier):
        onnx.checker.check_model(classifier.onnx)

    def test_weights_are_stored_as_float16(self, classifier):
        types = {tensor.dtype for tensor in load_file(classifier.weights).values()}
        assert types == {torch.float16, torch.int64}

    def test_the_given_model_is_left_alone(self, classifier, tmp_path):
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).train()
        before = model[1].weight.clone()
        sample = RNG.random((1, 2, 2, 3), np.float32)
        torch_export.write(model, classifier.contract, tmp_path / "tiny", sample, metrics={}, provenance={})
        assert model.training
        assert torch.equal(before, model[1].weight)


@pytest.mark.parametrize("study", ["membrane", "kinds"])
def test_whoever_serves_may_read_every_file(tiny_models, study):
    modes = {file.stat().st_mode & stat.S_IROTH for file in (tiny_models / study / "tiny").iterdir()}
    assert modes == {stat.S_IROTH}


class TestHalve:
    def model(self, values: np.ndarray) -> onnx.ModelProto:
        weight = numpy_helper.from_array(values, "weight")
        node = helper.make_node("Add", ["image", "weight"], ["output"])
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name in ("image", "output")]
        return helper.make_model(helper.make_graph([node], "add", ends[:1], ends[1:], [weight]))

    def halved(self, values: np.ndarray) -> TensorProto:
        model = self.model(values)
        onnx_graph.halve(model)
        onnx.checker.check_model(model)
        return model.graph.initializer[0]

    def test_stores_exact_values_in_half_the_bytes(self):
        values = RNG.normal(size=512).astype(np.float16).astype(np.float32)
        tensor = self.halved(values)
        assert tensor.data_type == TensorProto.FLOAT16
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), values)

    @pytest.mark.parametrize("odd", [1.0001, 1e6, np.nan])
    def test_leaves_values_that_float16_cannot_hold(self, odd):
        values = np.ones(512, np.float32)
        values[7] = odd
        assert self.halved(values).data_type == TensorProto.FLOAT

    def test_leaves_small_tensors(self):
        assert self.halved(np.ones(8, np.float32)).data_type == TensorProto.FLOAT
