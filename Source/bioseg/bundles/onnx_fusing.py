"""A graph as a quantiser wants it: float32 weights, and what scales and shifts channels merged into convolutions.

Every operator between a convolution and its activation would round once more. Nothing else changes: the graph computes
what it computed before, but for the order of additions.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, shape_inference

Floats = NDArray[np.float32]
Affine = tuple[Floats, Floats]
"""Factor and summand of each channel (C,), or of all (1,)."""

OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1}
"""Axis of the weights that counts a convolution's output channels."""
AFFINE: Mapping[str, Callable[[Floats], Affine]] = {
    "Add": lambda value: (np.ones_like(value), value),
    "Sub": lambda value: (np.ones_like(value), -value),
    "Mul": lambda value: (value, np.zeros_like(value)),
    "Div": lambda value: (np.reciprocal(value), np.zeros_like(value)),
}
DEFAULT_EPSILON = 1e-5


@dataclass(slots=True)
class _Graph:
    """What is known of the nodes so far: constants, which tensor stands for which, and who makes a tensor."""

    constants: dict[str, Floats]
    uses: Counter[str]
    floats: frozenset[str]
    same: dict[str, str] = field(default_factory=dict)
    makers: dict[str, NodeProto] = field(default_factory=dict)


def fuse(model: ModelProto) -> ModelProto:
    """Make a graph without casts of float32 to itself, whose weights are float32 and lie in it.

    Merged into the convolution before it, when nothing else reads that: batch normalisation, and additions,
    subtractions, multiplications and divisions by a constant of each channel.

    Parameters
    ----------
    model
        In float32, of one group of channels per convolution; weights may be stored as float16. It is left as it is.
    """
    fused = ModelProto()
    fused.CopyFrom(model)
    graph = fused.graph
    known = _Graph(
        {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer},
        Counter(name for node in graph.node for name in node.input),
        _float32(model),
    )
    kept = [node for node in graph.node if not _absorbed(node, known)]
    for output in graph.output:
        _rename(known.same.get(output.name, output.name), output.name, kept)
    read = {name for node in kept for name in node.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in known.constants.items() if name in read
    )
    onnx.checker.check_model(fused)
    return fused


def _float32(model: ModelProto) -> frozenset[str]:
    """Names of the tensors that are known to be float32."""
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    return frozenset(each.name for each in values if each.type.tensor_type.elem_type == TensorProto.FLOAT)


def _absorbed(node: NodeProto, known: _Graph) -> bool:
    """Take a node into what is known of its inputs, if that can be done; else note what it makes."""
    node.input[:] = [known.same.get(name, name) for name in node.input]
    first, output = node.input[0], node.output[0]
    if node.op_type in {"Cast", "Identity"}:
        if first in known.constants:
            known.constants[output] = known.constants[first].astype(_type(node, known.constants[first].dtype))
            return True
        if node.op_type == "Identity" or (_type(node, None) == np.float32 and first in known.floats):
            _stand_for(output, first, known)
            return True
    maker, affine = known.makers.get(first), _affine(node, known.constants)
    if maker is not None and affine is not None and known.uses[first] == 1 and _merged(maker, affine, known):
        _stand_for(output, first, known)
        return True
    known.makers[output] = node
    return False


def _type(node: NodeProto, otherwise: np.dtype | None) -> np.dtype | None:
    """Type that a cast makes; that of the input for an identity."""
    to = [attribute.i for attribute in node.attribute if attribute.name == "to"]
    return onnx.helper.tensor_dtype_to_np_dtype(to[0]) if to else otherwise


def _stand_for(output: str, first: str, known: _Graph) -> None:
    """Whoever read the output reads the input from now on."""
    known.same[output] = first
    known.uses[first] += known.uses[output] - 1


def _affine(node: NodeProto, constants: Mapping[str, Floats]) -> Affine | None:
    """Factor and summand of each channel, when that is all a node does."""
    others = [constants[name] for name in node.input[1:] if name in constants]
    if len(others) < len(node.input) - 1:
        return None
    if node.op_type == "BatchNormalization":
        scale, shift, mean, variance = others
        epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), DEFAULT_EPSILON)
        factor = np.asarray(scale / np.sqrt(variance + np.float32(epsilon)), np.float32)
        return factor, shift - mean * factor
    value = _channels(others[0]) if node.op_type in AFFINE else None
    return None if value is None else AFFINE[node.op_type](value)


def _channels(value: Floats) -> Floats | None:
    """(1, C, 1, 1), (C, 1, 1) or a single number as (C,) or (1,); None for any other shape."""
    *batch, channels, height, width = (1,) * (4 - value.ndim) + value.shape
    return value.reshape(channels) if (*batch, height, width) == (1, 1, 1) else None


def _merged(maker: NodeProto, affine: Affine, known: _Graph) -> bool:
    """Put factor and summand into the weights and the bias of a convolution that nothing else shares."""
    names = maker.input[1:]
    if maker.op_type not in OUTPUT_AXIS or any(known.uses[name] != 1 for name in names):
        return False
    weights = known.constants.get(names[0])
    if weights is None or not all(name in known.constants for name in names):
        return False
    axis = OUTPUT_AXIS[maker.op_type]
    factor, summand = (np.broadcast_to(value, weights.shape[axis]) for value in affine)
    shape = [-1 if each == axis else 1 for each in range(weights.ndim)]
    bias = known.constants[names[1]] if len(names) > 1 else np.zeros(len(factor), np.float32)
    named = names[1] if len(names) > 1 else f"{names[0]}.bias"
    known.constants[names[0]] = weights * factor.reshape(shape)
    known.constants[named] = bias * factor + summand
    known.uses[named] = 1
    maker.input[1:] = [names[0], named]
    return True


def _rename(old: str, new: str, nodes: Sequence[NodeProto]) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
