"""ONNX Runtime runs the exported graph: what else could serve."""

import onnxruntime

from bioseg.bundles import Bundle
from bioseg.inference import Floats, Predictor
from bioseg.inference.layout import from_stored, to_stored


def load(bundle: Bundle, threads: int) -> Predictor:
    """Open the graph of a bundle on the CPU with so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(bundle.onnx, options, providers=["CPUExecutionProvider"])
    contract = bundle.contract
    name = session.get_inputs()[0].name

    def predict(batch: Floats) -> Floats:
        return from_stored(session.run(None, {name: to_stored(batch, contract)})[0], contract)

    return predict
