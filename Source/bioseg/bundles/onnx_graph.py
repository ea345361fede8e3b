"""Weights of an exported graph at half the size: stored as float16, cast to float32 where they are used.

Only weights that float16 holds exactly are changed, so the graph computes what it computed before. Runtimes fold the
casts when they compile.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

SMALLEST = 256
"""Elements below which a cast costs more bytes than it saves."""


def halve(model: ModelProto) -> None:
    """Store every large float32 initialiser that float16 holds exactly as float16, in place."""
    replaced = {tensor.name: _half(tensor) for tensor in model.graph.initializer if _is_halvable(tensor)}
    _replace(model, replaced)


def link(model: ModelProto, weights: Path) -> None:
    """Let the initialisers that stand in a safetensors file point into it, in place, so that no copy is stored.

    Initialisers and tensors are matched by name; the graph must be written beside the file. Format: the length of
    the header (8 bytes, little endian), the header (JSON, offsets from its end), the tensors;
    https://github.com/huggingface/safetensors#format.
    """
    with weights.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    replaced = {
        tensor.name: _external(tensor, weights.name, 8 + length, *header[tensor.name]["data_offsets"])
        for tensor in model.graph.initializer
        if tensor.name in header and header[tensor.name]["dtype"] == "F16"
    }
    _replace(model, replaced)


def _is_halvable(tensor: TensorProto) -> bool:
    if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST:
        return False
    values = numpy_helper.to_array(tensor)
    return bool((_as_half(values).astype(np.float32) == values).all())


def _half(tensor: TensorProto) -> TensorProto:
    return numpy_helper.from_array(_as_half(numpy_helper.to_array(tensor)), f"{tensor.name}.half")


def _as_half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def _external(tensor: TensorProto, file: str, start: int, first: int, last: int) -> TensorProto:
    half = TensorProto(
        name=f"{tensor.name}.half",
        data_type=TensorProto.FLOAT16,
        dims=tensor.dims,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in {"location": file, "offset": start + first, "length": last - first}.items():
        half.external_data.add(key=key, value=str(value))
    return half


def _replace(model: ModelProto, replaced: dict[str, TensorProto]) -> None:
    graph = model.graph
    tensors = [replaced.get(tensor.name, tensor) for tensor in graph.initializer]
    nodes = [*_casts(replaced), *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)


def _casts(replaced: dict[str, TensorProto]) -> Iterable[NodeProto]:
    return (
        helper.make_node("Cast", [half.name], [name], name=f"{name}.cast", to=onnx.TensorProto.FLOAT)
        for name, half in replaced.items()
    )
