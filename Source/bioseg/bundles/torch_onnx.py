"""A torch module as an ONNX graph; a Keras model on the torch backend is one."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

INPUT = "image"
OUTPUT = "output"


def to_onnx(module: nn.Module, example: NDArray[np.float32], *, any_size: bool, fold: bool) -> onnx.ModelProto:
    """Trace a module in evaluation mode.

    Parameters
    ----------
    module
        Takes one tensor (N, C, H, W).
    example
        Such a tensor; it does not matter what it shows.
    any_size
        Height and width are free, as the number of images always is.
    fold
        Compute constant parts of the graph now. Otherwise the initialisers keep the names of the module's state.

    Returns
    -------
    The graph, with one input `image` and one output `output`.
    """
    free = {0: "n", 2: "h", 3: "w"} if any_size else {0: "n"}
    module.eval()
    # the tracer warns of every Python number in Keras's layers; that the graph equals the module is tested
    with torch.no_grad(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "model.onnx"
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.from_numpy(example),),
            file,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: free, OUTPUT: free if any_size else {0: "n"}},
            do_constant_folding=fold,
            # EVAL would merge batch normalisation into the convolutions, whose weights float16 would not hold then
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamo=False,
        )
        return onnx.load(file)
