"""Bundles of Keras networks on the torch backend: the compressed `.keras` file, and a graph with float16 weights."""

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from bioseg.bundles import ONNX, WEIGHTS, Bundle, Contract, Floats, onnx_graph
from bioseg.bundles.sealing import assemble
from bioseg.bundles.torch_onnx import to_onnx
from bioseg.errors import InvalidInput


def round_to_float16(model: keras.Model) -> None:
    """Round weights, the statistics of batch normalisation among them, to what float16 holds, in place.

    Measure afterwards: the rounded network is the one that a bundle stores.

    Raises
    ------
    InvalidInput
        When a value is beyond the range of float16, naming the weight.
    """
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            with np.errstate(over="ignore"):
                rounded = keras.ops.convert_to_numpy(weight.value).astype(np.float16).astype(weight.dtype)
            if not np.isfinite(rounded).all():
                raise InvalidInput(f"{weight.path} holds values beyond float16 (65504) or NaN: train with a lower rate")
            weight.assign(rounded)


def write(
    model: keras.Model,
    contract: Contract,
    folder: Path,
    sample_input: Floats,
    *,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Bundle:
    """Write a network, rounded to float16 and without its optimizer, as a bundle; the model itself stays as it is.

    Parameters
    ----------
    model
        On the torch backend, channels first: takes (N, C, H, W), as the contract's axes `NCHW` say.
    contract
        Of the framework `keras`.
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
    rounded = type(model).from_config(model.get_config())
    rounded.set_weights(model.get_weights())
    round_to_float16(rounded)
    batch = np.ascontiguousarray(sample_input.transpose(0, 3, 1, 2), np.float32)

    def write_network(path: Path) -> None:
        _save_compressed(rounded, path / WEIGHTS["keras"])
        graph = to_onnx(rounded, batch, any_size=contract.side is None, fold=True)
        onnx_graph.halve(graph)
        onnx.save(graph, path / ONNX)

    output = rounded.predict_on_batch(batch).transpose(0, 2, 3, 1)
    return assemble(folder, contract, write_network, (sample_input, output), metrics=metrics, provenance=provenance)


def _save_compressed(model: keras.Model, file: Path) -> None:
    """Save a `.keras` file, a zip archive that Keras stores uncompressed; rounded weights shrink by more than half."""
    with tempfile.TemporaryDirectory() as temporary:
        plain = Path(temporary) / file.name
        model.save(plain)
        with zipfile.ZipFile(plain) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                with source.open(name) as content, target.open(name, "w") as packed:
                    shutil.copyfileobj(content, packed)
