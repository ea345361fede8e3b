"""Whether the exported graph computes what the network in its own framework computes."""

import numpy as np

from bioseg import runtime
from bioseg.bundles import Bundle
from bioseg.errors import BundleError, RuntimeUnavailable
from bioseg.gate.prediction import use
from bioseg.images import Image
from bioseg.policy.offline import Guardrail
from bioseg.runtime import Arm

TECHNOLOGIES = ("openvino", "reference")


def check(bundle: Bundle, picture: Image, threads: int) -> Guardrail:
    """Run a bundle's graph in OpenVINO and its weights in Keras or torch on one picture.

    Where the framework is not installed nothing is checked. That blocks nothing: all figures of the gate are measured
    on the graph that serves, and `replay` compares it with what the framework gave when the bundle was written. Nor is
    it where the graph computes in a cheaper precision than the weights: what that costs is the loss in quality.
    """
    if bundle.contract.precision != "f32":
        reason = f"the graph computes in {bundle.contract.precision} what the weights say in float32"
        return Guardrail("parity", "not checked", reason)
    try:
        served, reference = (runtime.loader(name)(bundle, threads) for name in TECHNOLOGIES)
    except (RuntimeUnavailable, ModuleNotFoundError) as error:
        return Guardrail("parity", "not checked", str(error))
    except BundleError as error:
        return Guardrail("parity", "broken", str(error))
    contract = bundle.contract
    difference = float(np.abs(use(served, contract, picture) - use(reference, contract, picture)).max())
    limit = contract.tolerance
    reason = (
        f"graph and {contract.framework} weights differ by {difference:.2g} at most on a held-out image; "
        f"{limit:g} is allowed"
    )
    return Guardrail("parity", "passed" if difference <= limit else "broken", reason, difference, limit=limit)


def replay(arm: Arm) -> Guardrail:
    """Run a loaded version on its bundle's own sample."""
    try:
        runtime.replay(arm)
    except BundleError as error:
        return Guardrail("sample replay", "broken", str(error))
    return Guardrail("sample replay", "passed", "the bundle gives on its own sample what it says")
