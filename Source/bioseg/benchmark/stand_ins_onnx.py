"""Champions that compute nothing: bundles whose graphs answer a constant, to see the servers alone."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from bioseg import studies
from bioseg.benchmark.champions import SCREEN, SEGMENTER
from bioseg.bundles import ONNX, Bundle, Contract, Floats, sealing
from bioseg.registry.folder_registry import CHAMPIONS

VERSION = "stand-in"
FOREGROUND = 0.9
SIDE = 16
SURE_LOGIT = 20.0
OPSET = 17
INPUT, OUTPUT = "image", "output"


def write(models_dir: Path) -> Path:
    """Write constant champions of the lead study and of its screen, which accepts everything; returns the folder.

    Each is fed as a network of its study is; the segmenter marks everything as foreground.

    Raises
    ------
    BundleError
        When the folder holds them already.
    """
    bundles = _segmenter(models_dir), _screen(models_dir)
    champions = {bundle.contract.study: bundle.contract.version for bundle in bundles}
    (models_dir / CHAMPIONS).write_text(json.dumps(champions), encoding="utf-8")
    return models_dir


def _segmenter(models_dir: Path) -> Bundle:
    contract = Contract(
        study=SEGMENTER,
        version=VERSION,
        task="segmentation",
        framework="torch",
        architecture="constant",
        axes="NCHW",
        channels=1,
        normalisation="unit",
        classes=("membrane",),
    )
    node = helper.make_node("Clip", [INPUT, "foreground", "foreground"], [OUTPUT])
    constants = [numpy_helper.from_array(np.array(FOREGROUND, np.float32), "foreground")]
    graph = _graph([node], constants, ("n", 1, "h", "w"), ("n", 1, "h", "w"))
    shape = (1, SIDE, SIDE, 1)
    return _bundle(models_dir, contract, graph, np.zeros(shape, np.float32), np.full(shape, FOREGROUND, np.float32))


def _screen(models_dir: Path) -> Bundle:
    kinds, accepted = studies.get(SCREEN).classes, studies.get(SEGMENTER).accepts
    contract = Contract(
        study=SCREEN,
        version=VERSION,
        task="classification",
        framework="torch",
        architecture="constant",
        axes="NCHW",
        channels=3,
        normalisation="unit",
        side=SIDE,
        classes=kinds,
    )
    logits = np.array([[SURE_LOGIT if kind in accepted else 0.0 for kind in kinds]], np.float32)
    nodes = [
        helper.make_node("ReduceMean", [INPUT], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["means", "nothing", "logits"], [OUTPUT]),
    ]
    constants = [
        numpy_helper.from_array(np.zeros((3, len(kinds)), np.float32), "nothing"),
        numpy_helper.from_array(logits, "logits"),
    ]
    graph = _graph(nodes, constants, ("n", 3, SIDE, SIDE), ("n", len(kinds)))
    return _bundle(models_dir, contract, graph, np.zeros((1, SIDE, SIDE, 3), np.float32), logits)


def _graph(
    nodes: Sequence[NodeProto],
    constants: Sequence[TensorProto],
    taken: Sequence[int | str],
    given: Sequence[int | str],
) -> onnx.ModelProto:
    """A graph with one input and one output of these shapes; a letter is a side that is free."""
    image = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, taken)
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, given)
    graph = helper.make_graph(nodes, "constant", [image], [output], constants)
    return helper.make_model_gen_version(graph, opset_imports=[helper.make_opsetid("", OPSET)])


def _bundle(models_dir: Path, contract: Contract, graph: onnx.ModelProto, image: Floats, output: Floats) -> Bundle:
    folder = models_dir / contract.study / contract.version
    return sealing.assemble(
        folder, contract, lambda path: onnx.save(graph, path / ONNX), (image, output), metrics={}, provenance={}
    )
