"""Between the axes that predictors take, channels last, and those that a stored graph takes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioseg.bundles import Contract
from bioseg.inference import Floats


def to_stored(batch: Floats, contract: Contract) -> Floats:
    """(N, H, W, C) -> the contract's axes, contiguous."""
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2) if contract.axes == "NCHW" else batch, np.float32)


def from_stored(output: NDArray[Any], contract: Contract) -> Floats:
    """Output of the stored graph -> a fresh array as a `Predictor` gives it, channels or classes last."""
    maps = contract.axes == "NCHW" and (contract.task == "segmentation" or contract.evidence == "place")
    return np.array(output.transpose(0, 2, 3, 1) if maps else output, np.float32, order="C")
