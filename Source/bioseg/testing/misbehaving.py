"""Stand-in networks that pass their own sample and misbehave on every image, as their version's name says."""

import os
import time

import numpy as np

from bioseg.bundles import Bundle
from bioseg.inference import Floats, Predictor
from bioseg.testing import stand_ins

WAYS = ("crashes", "hangs", "bloats", "raises", "gives-nan")


def load(bundle: Bundle, threads: int) -> Predictor:
    """Load a bundle that `stand_ins` wrote; one whose version is none of `WAYS` behaves."""
    behave, version = stand_ins.load(bundle, threads), bundle.contract.version
    if version not in WAYS:
        return behave

    def predict(batch: Floats) -> Floats:
        return behave(batch) if batch.shape[1] == stand_ins.MEMBRANE.multiple else misbehave(version, behave(batch))

    return predict


def misbehave(way: str, output: Floats) -> Floats:
    """Do it; what returns gives nonsense."""
    if way == "crashes":
        os.abort()
    if way == "hangs":
        time.sleep(3600)
    if way == "bloats":
        return np.concatenate([np.empty(2**28, np.float32) for _ in range(64)])  # what is asked for counts, used or not
    if way == "raises":
        raise RuntimeError("no kernel for this shape")
    return np.full_like(output, np.nan)
