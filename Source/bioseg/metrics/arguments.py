"""What the scores ask of their arguments; each raises InvalidInput with the remedy."""

import numpy as np
from numpy.typing import NDArray

from bioseg.errors import InvalidInput

ROUNDING = 1e-6


def require_same_shape(first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
    """Refuse arrays that cannot be compared element by element."""
    if first.shape != second.shape:
        raise InvalidInput(f"shapes {first.shape} and {second.shape} differ: give arrays of one shape")


def require_bool(mask: NDArray[np.generic]) -> None:
    """Refuse a mask whose values could mean anything."""
    if mask.dtype != np.bool_:
        raise InvalidInput(f"a mask of {mask.dtype} is ambiguous: give bool, for instance `label == 255`")


def require_some(values: NDArray[np.generic], what: str) -> None:
    """Refuse what is empty: a mean of nothing is no score."""
    if values.size == 0:
        raise InvalidInput(f"no {what}: the score is undefined, give at least one")


def require_finite(values: NDArray[np.floating], what: str) -> None:
    """Refuse NaN and infinity, which would go through every sum."""
    if not np.isfinite(values).all():
        raise InvalidInput(f"{what} hold NaN or infinity: give finite numbers")


def require_range(values: NDArray[np.number], low: float, high: float, what: str) -> None:
    """Refuse values outside [low, high]."""
    # a softmax in float32 may round a little above 1
    if values.size and not (values.min() >= low - ROUNDING and values.max() <= high + ROUNDING):
        raise InvalidInput(f"{what} span {values.min()} to {values.max()}: give values in [{low}, {high}]")


def require_classes(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    """Refuse scores (N, C) and true class numbers (N,) that do not belong together."""
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise InvalidInput(f"scores {scores.shape} and labels {labels.shape} do not match: give (N, C) and (N,)")
    require_some(labels, "samples")
    require_range(labels, 0, scores.shape[1] - 1, "class numbers")
