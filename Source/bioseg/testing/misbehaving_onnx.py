"""Bundles whose networks pass their own sample and misbehave on every larger image, as their version's name says.

They are ONNX graphs of standard operators, which the inspection of bundles has no reason to refuse: what they do
follows from the size of what they are given. So they reach processes that know nothing of tests.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from bioseg.bundles import ONNX, Bundle, Contract, sealing
from bioseg.testing import stand_ins

OPSET = 17
SIDE = stand_ins.MEMBRANE.multiple
FAR_AWAY = 500_000_000
"""Place in a table of four values: two gigabytes behind it."""
TALL = 2**15
"""Its square, in values, is four gigabytes: more than a version under trial may have."""
WIDE, MULTIPLICATIONS = 4096, 400
"""Each takes 0.14 TFLOP: minutes together."""


Constant = NDArray[Any] | np.generic


class Mischief(NamedTuple):
    """Nodes from `larger` (1,), 1 when the image is larger than the sample and else 0, to a scalar `extra` >= 0."""

    nodes: Sequence[NodeProto]
    constants: Mapping[str, Constant]


def crashes() -> Mischief:
    """Read what does not belong to the process."""
    nodes = [
        _node("Mul", "larger", "far", gives="place"),
        _node("Reshape", "place", "one by one", gives="places"),
        _node("GatherND", "table", "places", gives="found"),
        _node("ReduceMax", "found", gives="extra", keepdims=0),
    ]
    table = np.zeros(4, np.float32)
    return Mischief(nodes, {"far": _number(FAR_AWAY), "one by one": np.array([1, 1], np.int64), "table": table})


def hangs() -> Mischief:
    """Multiply large matrices again and again."""
    nodes = [
        _node("Mul", "larger", "width", gives="more"),
        _node("Add", "more", "one", gives="side"),
        _node("Concat", "side", "side", gives="sides", axis=0),
        _node("Expand", "tenth", "sides", gives="matrix 0"),
    ]
    for number in range(MULTIPLICATIONS):
        nodes += [
            _node("MatMul", f"matrix {number}", "matrix 0", gives=f"product {number}"),
            _node("Tanh", f"product {number}", gives=f"matrix {number + 1}"),
        ]
    nodes.append(_node("ReduceMax", f"matrix {MULTIPLICATIONS}", gives="extra", keepdims=0))
    return Mischief(nodes, {"width": _number(WIDE), "one": _number(1), "tenth": np.float32(0.1)})


def bloats() -> Mischief:
    """Multiply a column by a row, for more than a version under trial may have memory."""
    nodes = [
        _node("Mul", "larger", "tall", gives="more"),
        _node("Add", "more", "one", gives="length"),
        _node("Concat", "length", "one", gives="column sides", axis=0),
        _node("Concat", "one", "length", gives="row sides", axis=0),
        _node("Expand", "tenth", "column sides", gives="column"),
        _node("Expand", "tenth", "row sides", gives="row"),
        _node("MatMul", "column", "row", gives="product"),
        _node("ReduceMax", "product", gives="extra", keepdims=0),
    ]
    return Mischief(nodes, {"tall": _number(TALL), "one": _number(1), "tenth": np.float32(0.1)})


WAYS: dict[str, Callable[[], Mischief]] = {"crashes": crashes, "hangs": hangs, "bloats": bloats}


def write(models_dir: Path, way: str) -> Bundle:
    """Write a version of `membrane` that is named after its way to misbehave; it takes dark for membrane."""
    contract = stand_ins.MEMBRANE.model_copy(update={"version": way, "framework": "torch"})
    graph = _graph(WAYS[way]())
    sample = np.random.default_rng(1).random((1, SIDE, SIDE, 1), np.float32)
    return _bundle(models_dir, contract, graph, sample)


def _bundle(models_dir: Path, contract: Contract, graph: onnx.ModelProto, sample: NDArray[np.float32]) -> Bundle:
    return sealing.assemble(
        models_dir / contract.study / contract.version,
        contract,
        lambda folder: onnx.save(graph, folder / ONNX),
        (sample, stand_ins.dark_is_membrane(sample)),
        metrics={},
        provenance={},
    )


def _graph(mischief: Mischief) -> onnx.ModelProto:
    """The network of `stand_ins`; the smaller of `extra` and 0 is added, so that no optimiser can leave it out."""
    nodes = [
        _node("Shape", "image", gives="shape"),
        _node("ReduceProd", "shape", gives="values", keepdims=1),
        _node("Sub", "values", "values of the sample", gives="difference"),
        _node("Sign", "difference", gives="larger"),
        *mischief.nodes,
        _node("Min", "extra", "nothing", gives="nothing more"),
        _node("Mul", "image", "slope", gives="scaled"),
        _node("Add", "scaled", "slope", gives="shifted"),
        _node("Add", "shifted", "nothing more", gives="logit"),
        _node("Sigmoid", "logit", gives="probability"),
    ]
    constants = {
        "values of the sample": _number(SIDE * SIDE),
        "nothing": np.float32(0),
        "slope": np.float32(-3),
        **mischief.constants,
    }
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    taken, given = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 1, "h", "w")) for name in ("image", "probability")
    )
    graph = helper.make_graph(nodes, "misbehaving", [taken], [given], stored)
    return helper.make_model_gen_version(graph, opset_imports=[helper.make_opsetid("", OPSET)])


def _number(value: int) -> Constant:
    """As shapes are made of, (1,)."""
    return np.array([value], np.int64)


def _node(operator: str, *inputs: str, gives: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, inputs, [gives], **attributes)
