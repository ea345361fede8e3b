"""Versions in a cheaper precision: made from one in float32, judged on images that neither has seen."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from bioseg import studies
from bioseg.datasets import isbi2012, kinds
from bioseg.errors import BundleError, InvalidInput, RuntimeUnavailable
from bioseg.inference import openvino_runtime
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.runtime import proved
from bioseg.testing import twins
from bioseg.training import precision
from bioseg.training.choosing import choose
from bioseg.training.precision import cheapen


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.write_all(folder)
    return folder


@pytest.fixture
def registry(tiny_models, tmp_path):
    return FolderRegistry(tiny_models, tmp_path / "trained")


@pytest.fixture(scope="module")
def made(tiny_models, tmp_path_factory, data):
    """A registry that holds a segmenter and the same in 8 bits, and what was said of that."""
    registry = FolderRegistry(tiny_models, tmp_path_factory.mktemp("made"))
    return registry, in_8_bits(registry, data)


def arm(registry, study="membrane", version="tiny"):
    bundle = registry.open(study, version)
    return proved(bundle, openvino_runtime.load(bundle, 1))


def in_8_bits(registry, data, version="small", start="tiny"):
    study, splits, first = studies.get("membrane"), isbi2012.splits(data), arm(registry, version=start)
    # as a version that was trained has it; that of the tiny one is nobody's choice, and the loss would be its
    threshold = choose(study, first.contract, first.predict, splits).threshold
    contract = first.contract.model_copy(update={"threshold": threshold})
    manifest = first.bundle.manifest.model_copy(update={"contract": contract})
    chosen = replace(first, bundle=replace(first.bundle, manifest=manifest))
    return cheapen(study, chosen, "int8", version, splits, registry, 1)


def in_bfloat16(registry, data):
    splits = isbi2012.splits(data)
    return cheapen(studies.get("membrane"), arm(registry), "bf16", "brief", splits, registry, 1)


def test_a_segmenter_in_8_bits_is_a_version_that_reproduces_its_sample(made):
    registry, found = made
    reopened = arm(registry, version="small")
    assert reopened.contract.precision == "int8"
    assert reopened.bundle.digest == found.bundle.digest


def test_weights_and_activations_are_8_bits_wide(made):
    graph = onnx.load(made[1].bundle.onnx).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    read = [node.input for node in graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    weights = {types[names[0]] for names in read if names[0] in types}
    activations = {types[names[2]] for names in read if names[0] not in types}
    assert (weights, activations) == ({TensorProto.INT8}, {TensorProto.UINT8})


def test_weights_take_half_of_the_range_so_that_16_bits_hold_the_sum_of_two_products(made):
    graph = onnx.load(made[1].bundle.onnx).graph
    eight_bits = [
        tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1
    ]
    largest = [int(np.abs(numpy_helper.to_array(tensor).astype(int)).max()) for tensor in eight_bits]
    assert largest
    assert 2 * 255 * max(largest) < 2**15


def test_it_says_what_it_was_made_from_and_what_it_lost(made):
    registry, found = made
    manifest = found.bundle.manifest
    assert manifest.provenance["made_from"] == {"version": "tiny", "digest": registry.open("membrane", "tiny").digest}
    assert manifest.provenance["calibration"]["images"] == 18
    assert manifest.provenance["lost"]["dice"]["mean"] == found.lost["dice"].mean
    assert manifest.metrics["metrics"]["dice"]["mean"] == pytest.approx(found.lost["dice"].candidate)
    assert found.lost["v_rand"].units == 5


def test_the_weights_in_their_own_framework_are_those_it_was_made_from(made):
    registry, found = made
    assert found.bundle.weights.read_bytes() == registry.open("membrane", "tiny").weights.read_bytes()


def test_a_classifier_in_8_bits_is_calibrated_on_drawn_pictures_too(registry, data):
    study, splits = studies.get("kinds"), kinds.splits(data)
    study = replace(study, drawn=replace(study.drawn, fit=range(4), choose=range(100, 108), score=range(200, 208)))
    few = replace(splits, fit=splits.fit[::24], choose=splits.choose[::2], score=splits.score[::8])
    found = cheapen(study, arm(registry, "kinds"), "int8", "small", few, registry, 1)
    assert found.lost["accuracy"].units == len(few.score) + 8
    before, after = found.graph_bytes
    assert after < 0.6 * before


def test_what_is_in_8_bits_already_is_refused(made, data):
    with pytest.raises(InvalidInput, match="small is in int8: name the version that it was made from"):
        in_8_bits(made[0], data, "smaller", "small")


def test_a_version_that_exists_is_refused(registry, data):
    with pytest.raises(BundleError, match="tiny exists and a version never changes"):
        in_8_bits(registry, data, "tiny")


def test_a_precision_that_this_cpu_only_emulates_is_refused(registry, data, monkeypatch):
    monkeypatch.setitem(openvino_runtime.CAPABILITIES, "bf16", "NONE")
    with pytest.raises(RuntimeUnavailable, match="only emulates bf16"):
        in_bfloat16(registry, data)


def test_in_bfloat16_the_graph_stays(registry, data, monkeypatch):
    monkeypatch.setitem(openvino_runtime.CAPABILITIES, "bf16", "FP32")
    found = in_bfloat16(registry, data)
    assert found.bundle.contract.precision == "bf16"
    assert found.bundle.onnx.read_bytes() == registry.open("membrane", "tiny").onnx.read_bytes()


def test_what_loses_too_much_is_not_kept_and_the_command_ends_with_4(bioseg, data, tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSEG_DATA_DIR", str(data))
    monkeypatch.setattr(precision, "MAY_LOSE", dict.fromkeys(precision.MAY_LOSE, -1.0))
    outcome = bioseg("quantise", "membrane")
    assert outcome.code == 4
    assert "membrane tiny-int8 (int8) loses too much and is not kept" in outcome.out
    assert not (tmp_path / "state" / "models").exists()
