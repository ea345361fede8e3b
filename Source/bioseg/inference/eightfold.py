"""Test-time averaging: the mean prediction over the eight flips and quarter turns of an image."""

import numpy as np

from bioseg.inference import Floats, Predictor


def eightfold(predict: Predictor) -> Predictor:
    """Wrap a segmenter so that it predicts eight times, each view turned back, and gives the mean."""

    def average(batch: Floats) -> Floats:
        total = np.zeros((*batch.shape[:3], 1), np.float32)
        for turns in range(4):
            for mirror in (slice(None), slice(None, None, -1)):
                view = np.rot90(batch[:, :, mirror], turns, axes=(1, 2))
                back = np.rot90(predict(np.ascontiguousarray(view)), -turns, axes=(1, 2))
                total += back[:, :, mirror]
        return np.asarray(total / 8, np.float32)

    return average
