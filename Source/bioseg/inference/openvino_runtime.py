"""OpenVINO runs the exported graph: what serves."""

from threading import Lock

import openvino

from bioseg.bundles import Bundle, inspection
from bioseg.errors import BundleError
from bioseg.inference import Floats, Predictor
from bioseg.inference.layout import from_stored, to_stored

# the precision of a quantised graph stands in the graph; what is not quantised runs in f32
HINTS = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "int8": "INT8"}


def load(bundle: Bundle, threads: int) -> Predictor:
    """Compile the graph of a bundle for the CPU.

    The predictor may be called from any thread; calls run one after the other.

    Raises
    ------
    BundleError
        When the graph leads out of the bundle, or OpenVINO cannot read or compile it.
    """
    contract = bundle.contract
    inspection.check(bundle.onnx)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": HINTS[contract.precision],
        "INFERENCE_NUM_THREADS": threads,
        # several workers would pin their threads to the same cores
        "ENABLE_CPU_PINNING": False,
        # kernels kept by image size: without a limit each new size adds 2 MB for ever, and keeping more is no faster
        "CPU_RUNTIME_CACHE_CAPACITY": "32",
    }
    try:
        request = openvino.Core().compile_model(bundle.onnx, "CPU", settings).create_infer_request()
    except RuntimeError as error:
        raise BundleError(f"OpenVINO cannot run {bundle.onnx}: {error}; export the bundle again") from error
    lock = Lock()

    def predict(batch: Floats) -> Floats:
        with lock:
            request.infer([to_stored(batch, contract)], share_inputs=True)
            output = from_stored(request.get_output_tensor().data, contract)
        _require_same_sides(bundle, batch, output)
        return output

    return predict


def has(precision: str) -> bool:
    """Tell whether this CPU computes in a precision of the contract; OpenVINO emulates bfloat16 where it does not."""
    return CAPABILITIES[precision] in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _require_same_sides(bundle: Bundle, batch: Floats, output: Floats) -> None:
    """See that an output is of this batch; raises BundleError.

    With one thread, OpenVINO 2026.4 does not report that memory for a new size ran out, and leaves the output before.
    """
    shared = 3 if bundle.contract.task == "segmentation" else 1
    if output.shape[:shared] != batch.shape[:shared]:
        raise BundleError(
            f"{bundle.onnx} gave {output.shape} for {batch.shape}: it is no network of this task, or memory ran out"
        )
