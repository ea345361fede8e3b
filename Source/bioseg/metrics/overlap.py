"""How well a predicted mask covers the true one, pixel by pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bioseg.metrics.arguments import require_bool, require_same_shape

LEAST_USEFUL_IOU = 0.65


@dataclass(frozen=True, slots=True)
class Counts:
    """Pixels of one image by prediction and truth, and the overlap scores in [0, 1] that follow from them.

    Where neither mask has foreground every score is 1.0; where only a score's denominator is empty it is 0.0.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def dice(self) -> float:
        """2 |P ∩ T| / (|P| + |T|)."""
        return self._ratio(2 * self.true_positive, self.false_positive + self.false_negative)

    @property
    def iou(self) -> float:
        """Jaccard index |P ∩ T| / |P ∪ T|, which is D / (2 - D) of the Dice score D."""
        return self._ratio(self.true_positive, self.false_positive + self.false_negative)

    @property
    def thresholded_iou(self) -> float:
        """Jaccard index, or 0 where it is below 0.65: an outline that would have to be drawn anew.

        Codella et al., "Skin lesion analysis toward melanoma detection 2018", arXiv:1902.03368.
        """
        return self.iou if self.iou >= LEAST_USEFUL_IOU else 0.0

    @property
    def precision(self) -> float:
        """Share of the predicted foreground that is foreground."""
        return self._ratio(self.true_positive, self.false_positive)

    @property
    def recall(self) -> float:
        """Share of the foreground that was found."""
        return self._ratio(self.true_positive, self.false_negative)

    @property
    def accuracy(self) -> float:
        """Share of all pixels that are right."""
        return self._ratio(self.true_positive + self.true_negative, self.false_positive + self.false_negative)

    def _ratio(self, hits: int, misses: int) -> float:
        if self.true_positive + self.false_positive + self.false_negative == 0:
            return 1.0
        return hits / (hits + misses) if hits else 0.0


def confusion_counts(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Counts:
    """Count the pixels of two foreground masks (H, W).

    Raises InvalidInput when the shapes differ or a mask is not boolean.

    Examples
    --------
    >>> confusion_counts(np.array([[True, True]]), np.array([[True, False]])).precision
    0.5
    """
    require_same_shape(predicted, truth)
    require_bool(predicted)
    require_bool(truth)
    both, either, found = (int(np.count_nonzero(mask)) for mask in (predicted & truth, predicted | truth, predicted))
    return Counts(both, found - both, either - found, predicted.size - either)
