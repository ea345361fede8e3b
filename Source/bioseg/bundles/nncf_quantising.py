"""A graph in 8-bit integers, by NNCF's post-training quantisation."""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from bioseg.bundles.onnx_fusing import fuse

Floats = NDArray[np.float32]

LEFT_IN_FLOAT = ["Concat"]
"""The skips of a U-Net and what they join differ in range: one scale for both would waste bits."""
HALF = 128


def quantise(model: ModelProto, batches: Sequence[Floats]) -> ModelProto:
    """Round weights to 8 bits by output channel, and activations to 8 bits by the range that they take on batches.

    Parameters
    ----------
    model
        A float graph with one input; it is left as it is.
    batches
        What that input takes, in its own axes.

    Returns
    -------
    The graph with a pair of QuantizeLinear and DequantizeLinear at each place that rounds. Its weights lie in it.
    """
    entry = model.graph.input[0].name
    with redirect_stdout(sys.stderr):  # it draws progress bars there
        nncf = _quiet_nncf()
        data = nncf.Dataset(list(batches), lambda batch: {entry: batch})
        scope = nncf.IgnoredScope(types=LEFT_IN_FLOAT, validate=False)
        # a CPU without VNNI adds products of 8 bits in 16: half the range of the weights keeps the sums in it
        safe = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
        quantised: ModelProto = nncf.quantize(
            fuse(model), data, subset_size=len(batches), ignored_scope=scope, advanced_parameters=safe
        )
    _unsigned(quantised)
    return quantised


def _quiet_nncf() -> Any:
    """Import NNCF, which reports its use to its makers unless it is told before that it runs in a test."""
    os.environ["NNCF_CI"] = "1"
    import nncf

    nncf.set_log_level(logging.WARNING)
    return nncf


def _unsigned(model: ModelProto) -> None:
    """Count activations from 0 to 255 around 128, not from -128 to 127 around 0, in place; it is the same rounding.

    OpenVINO 2026.4 takes some signed activations that follow a ReLU for unsigned ones.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made = {name for node in graph.node for name in node.output} | {each.name for each in graph.input}
    zeros = {
        node.input[2]
        for node in graph.node
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"} and node.input[0] in made
    }
    for name in zeros:
        if constants[name].data_type == TensorProto.INT8:
            shifted = numpy_helper.to_array(constants[name]).astype(np.int16) + HALF
            constants[name].CopyFrom(numpy_helper.from_array(shifted.astype(np.uint8), name))
    del graph.value_info[:]  # it names the types from before
