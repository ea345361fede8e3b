"""Bundles of torch networks: weights as safetensors, and a graph that reads its weights from the same file."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.torch import save
from torch import nn

from bioseg.bundles import ONNX, WEIGHTS, Bundle, Contract, Floats, onnx_graph
from bioseg.bundles.sealing import assemble
from bioseg.bundles.torch_onnx import to_onnx
from bioseg.errors import InvalidInput


def round_to_float16(model: nn.Module) -> None:
    """Round parameters and buffers to what float16 holds, in place; integers stay.

    Measure afterwards: the rounded network is the one that a bundle stores.

    Raises
    ------
    InvalidInput
        When a value is beyond the range of float16, naming the tensor.
    """
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                rounded = tensor.half().to(tensor.dtype)
                if not rounded.isfinite().all():
                    raise InvalidInput(f"{name} holds values beyond float16 (65504) or NaN: train with a lower rate")
                tensor.copy_(rounded)


def write(
    model: nn.Module,
    contract: Contract,
    folder: Path,
    sample_input: Floats,
    *,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Bundle:
    """Write a network, rounded to float16, as a bundle; the model itself stays as it is.

    Parameters
    ----------
    model
        Takes (N, C, H, W), as the contract's axes `NCHW` say.
    contract
        Of the framework `torch`.
    folder
        The bundle's own folder, `<study>/<version>`; must not exist.
    sample_input
        (N, H, W, C) float32 as the network takes it.
    metrics, provenance
        As in the manifest.

    Raises
    ------
    BundleError
        When the folder exists.
    InvalidInput
        When a weight is beyond the range of float16.
    """
    rounded = copy.deepcopy(model).cpu().eval()
    round_to_float16(rounded)
    batch = np.ascontiguousarray(sample_input.transpose(0, 3, 1, 2), np.float32)

    def write_network(path: Path) -> None:
        weights = path / WEIGHTS["torch"]
        state = rounded.state_dict()
        halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        # save_file would make a file that nobody else may read
        weights.write_bytes(save({name: tensor.contiguous() for name, tensor in halves.items()}))
        graph = to_onnx(rounded, batch, any_size=contract.side is None, fold=False)
        onnx_graph.link(graph, weights)
        onnx.save(graph, path / ONNX)

    with torch.no_grad():
        output = rounded(torch.from_numpy(batch)).numpy()
    if output.ndim == 4:
        output = output.transpose(0, 2, 3, 1)
    return assemble(folder, contract, write_network, (sample_input, output), metrics=metrics, provenance=provenance)
