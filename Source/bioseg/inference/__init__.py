"""Running a network: numpy in, numpy out, whichever framework stands behind."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Predictor(Protocol):
    """A loaded network."""

    def __call__(self, batch: Floats) -> Floats:
        """Run the network on a normalised batch.

        Parameters
        ----------
        batch
            (N, H, W, C) float32, whatever axes the stored graph takes.

        Returns
        -------
        (N, H, W, 1) probabilities in [0, 1] of a segmenter; (N, classes) logits of a classifier, or (N, h, w, classes)
        whose mean over all places are the logits, as its contract says.
        """
        ...
