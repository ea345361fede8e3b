"""Fused graphs compute what they computed before, with fewer operators."""

import numpy as np
import onnx
import openvino
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from bioseg import bundles
from bioseg.bundles.onnx_fusing import fuse

RNG = np.random.default_rng(11)
IMAGE = RNG.standard_normal((1, 3, 6, 5), np.float32)
WEIGHTS = RNG.standard_normal((4, 3, 3, 3), np.float32)
PER_CHANNEL = RNG.uniform(0.5, 2, (1, 4, 1, 1)).astype(np.float32)


def graph(nodes, output="y", **constants):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, None, None])]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", "k", "h", "w"])]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(model: ModelProto):
    return ReferenceEvaluator(model).run(None, {"x": IMAGE})[0]


def operators(model: ModelProto):
    return [node.op_type for node in model.graph.node]


def convolved(*after, **constants):
    return graph([helper.make_node("Conv", ["x", "w"], ["c"]), *after], w=WEIGHTS, **constants)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_what_scales_or_shifts_channels_is_merged_into_the_convolution(operator):
    model = convolved(helper.make_node(operator, ["c", "v"], ["y"]), v=PER_CHANNEL)
    fused = fuse(model)
    assert operators(fused) == ["Conv"]
    np.testing.assert_allclose(run(fused), run(model), rtol=1e-4, atol=1e-5)


def test_batch_normalisation_is_merged():
    statistics = {name: RNG.uniform(0.5, 2, 4).astype(np.float32) for name in ("scale", "shift", "mean", "variance")}
    model = convolved(helper.make_node("BatchNormalization", ["c", *statistics], ["y"], epsilon=1e-3), **statistics)
    fused = fuse(model)
    assert operators(fused) == ["Conv"]
    np.testing.assert_allclose(run(fused), run(model), rtol=1e-4, atol=1e-5)


def test_a_transposed_convolution_counts_its_channels_along_the_other_axis():
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["c"]), helper.make_node("Mul", ["c", "v"], ["y"])]
    model = graph(nodes, w=RNG.standard_normal((3, 4, 2, 2), np.float32), v=PER_CHANNEL)
    fused = fuse(model)
    assert operators(fused) == ["ConvTranspose"]
    np.testing.assert_allclose(run(fused), run(model), rtol=1e-4, atol=1e-5)


def test_a_convolution_that_something_else_reads_stays_as_it_is():
    model = convolved(
        helper.make_node("Mul", ["c", "v"], ["m"]), helper.make_node("Add", ["m", "c"], ["y"]), v=PER_CHANNEL
    )
    fused = fuse(model)
    assert operators(fused) == ["Conv", "Mul", "Add"]
    np.testing.assert_array_equal(run(fused), run(model))


def test_a_constant_that_differs_between_pixels_stays():
    model = convolved(helper.make_node("Add", ["c", "v"], ["y"]), v=RNG.standard_normal((4, 3), np.float32))
    assert operators(fuse(model)) == ["Conv", "Add"]


def test_weights_in_float16_become_float32_and_casts_of_float32_vanish():
    half = WEIGHTS.astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["half"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["x"], ["same"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["same", "w"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    model = graph(nodes, half=half)
    fused = fuse(model)
    assert operators(fused) == ["Conv"]
    assert [tensor.data_type for tensor in fused.graph.initializer] == [TensorProto.FLOAT]
    np.testing.assert_array_equal(run(fused), run(model))


def test_a_cast_to_another_type_stays():
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["y"], to=TensorProto.FLOAT),
    ]
    model = graph(nodes)
    np.testing.assert_array_equal(run(fuse(model)), run(model))


def test_the_graph_that_is_given_stays_as_it_was():
    model = convolved(helper.make_node("Mul", ["c", "v"], ["y"]), v=PER_CHANNEL)
    before = model.SerializeToString()
    fuse(model)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("study", ["membrane", "kinds"])
def test_exported_networks_compute_what_they_computed(tiny_models, study):
    bundle = bundles.read(tiny_models / study / "tiny")
    given, expected = bundle.sample()
    fused = fuse(onnx.load(bundle.onnx))
    core = openvino.Core()
    read = core.read_model(fused.SerializeToString())
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([np.ascontiguousarray(given.transpose(0, 3, 1, 2))])[0]
    assert not {"BatchNormalization", "Cast"} & set(operators(fused))
    np.testing.assert_allclose(found.ravel(), expected.ravel(), atol=1e-4)
