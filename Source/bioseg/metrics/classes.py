"""How well a classifier tells classes apart."""

import numpy as np
from numpy.typing import NDArray

from bioseg.metrics.arguments import require_bool, require_range, require_same_shape, require_some


def confusion_table(y_true: NDArray[np.integer], y_pred: NDArray[np.integer], n_classes: int) -> NDArray[np.int64]:
    """Count class numbers (N,) in 0..n_classes - 1 into a table (truth, prediction).

    Raises InvalidInput when the lengths differ or a class number is out of range.
    """
    require_same_shape(y_true, y_pred)
    numbers = np.stack([y_true, y_pred]).astype(np.int64)
    require_range(numbers, 0, n_classes - 1, "class numbers")
    cells = numbers[0] * n_classes + numbers[1]
    return np.bincount(cells, minlength=n_classes**2).astype(np.int64).reshape(n_classes, n_classes)


def roc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Corners of the receiver operating characteristic: what a falling limit on a score lets in.

    Takes scores (N,) and which of them are positive (N,). Returns (corners, 2), from (0, 0) to (1, 1): the share of the
    negatives and of the positives at or above each limit. Equal scores pass together.

    Raises InvalidInput when the shapes differ, or the positives or the negatives are none.
    """
    require_same_shape(scores, positive)
    require_bool(positive)
    require_some(scores[positive], "positives")
    require_some(scores[~positive], "negatives")
    falling = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.diff(scores[falling]) != 0, True)
    passed = [np.cumsum(side[falling])[last_of_equals] / side.sum() for side in (~positive, positive)]
    points = np.vstack([(0.0, 0.0), np.stack(passed, axis=1)])
    steps = np.diff(points, axis=0)
    turns = steps[:-1, 0] * steps[1:, 1] != steps[:-1, 1] * steps[1:, 0]
    corners: NDArray[np.float64] = points[np.concatenate([[True], turns, [True]])]
    return corners
