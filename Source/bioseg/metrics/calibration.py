"""Whether probabilities say how often they are right, and the temperature that mends logits."""

import math

import numpy as np
from numpy.typing import NDArray

from bioseg.errors import InvalidInput
from bioseg.metrics.arguments import require_bool, require_classes, require_finite, require_range, require_same_shape

TEMPERATURES = (0.05, 20.0)


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = 15
) -> float:
    """Mean gap, in [0, 1], between the confidence in the likeliest class and how often that class is right.

    Takes probabilities (N, C) in [0, 1] and true class numbers (N,). Confidences fall into bins of equal width,
    (k / bins, (k + 1) / bins]; a bin's gap weighs as its samples. Guo et al., "On calibration of modern neural
    networks", ICML 2017.

    Raises InvalidInput when the shapes do not match, N is 0, or a value is out of range.
    """
    require_classes(probabilities, labels)
    require_range(probabilities, 0, 1, "probabilities")
    confidence = probabilities.max(axis=1).astype(np.float64)
    surplus = confidence - (probabilities.argmax(axis=1) == labels)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(bin_of, weights=surplus)).sum() / labels.size)


def reliability(probability: NDArray[np.floating], truth: NDArray[np.bool_], bins: int = 10) -> NDArray[np.float64]:
    """Compare the probability of the foreground with how often it is there, bin by bin of equal width.

    Takes a probability in [0, 1] and the truth of each pixel, of one shape. Returns (bins, 3): the pixels whose
    probability is in (k / bins, (k + 1) / bins], their summed probability, and how many of them are foreground. Tables
    of several images add up.

    Raises InvalidInput when the shapes differ, a probability is out of range, or the truth is not boolean.
    """
    require_same_shape(probability, truth)
    require_bool(truth)
    require_range(probability, 0, 1, "probabilities")
    values = probability.astype(np.float64).ravel()
    bin_of = np.clip(np.ceil(values * bins).astype(np.int64) - 1, 0, bins - 1)
    columns = (np.bincount(bin_of, weights=weights, minlength=bins) for weights in (None, values, truth.ravel()))
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


def negative_log_likelihood(
    logits: NDArray[np.floating], labels: NDArray[np.integer], temperature: float = 1.0
) -> float:
    """Mean surprise, in nats, at the true class numbers (N,) under softmax(logits (N, C) / temperature).

    Raises InvalidInput when the shapes do not match, N is 0, a class number is out of range, a logit is not finite,
    or the temperature is not positive.
    """
    from scipy import special

    require_classes(logits, labels)
    require_finite(logits, "logits")
    if not temperature > 0:
        raise InvalidInput(f"temperature {temperature} is not positive: 1 leaves the logits as they are")
    log_probabilities = special.log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-np.mean(log_probabilities[np.arange(labels.size), labels]))


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Temperature in [0.05, 20] by which to divide logits (N, C) so that true class numbers (N,) are likeliest.

    Fit it on the split that chooses. Logits that are never wrong drive it to the lower limit. Guo et al., ICML 2017.
    Raises as `negative_log_likelihood` does.
    """
    from scipy import optimize

    best = optimize.minimize_scalar(
        lambda log_temperature: negative_log_likelihood(logits, labels, math.exp(log_temperature)),
        bounds=np.log(TEMPERATURES),
        method="bounded",
    )
    return math.exp(best.x)
