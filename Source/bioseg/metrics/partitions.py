"""How well an image is parted into cells."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bioseg.metrics.arguments import require_bool, require_range, require_same_shape, require_some

Shares = NDArray[np.float64]


def regions(interior: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Partition an image into cells: 4-connected components of the interior, grown until they meet.

    Each pixel outside joins the component nearest by Euclidean distance, the limit of thinning the borders. Flooding
    the distance map by watershed gives the same zones but for pixels about equally far from two components, which
    there go by the order of the queue: under 1 % of an EM section and under 0.0002 of V_rand and V_info. The direct
    transform needs no such order and less than half the time.

    Takes a mask (H, W), True inside cells; gives labels (H, W) from 1 on, without background. No interior at all
    makes one region. Raises InvalidInput when the mask is not boolean.
    """
    from scipy import ndimage

    require_bool(interior)
    return grown(ndimage.label(interior)[0])


def grown(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Let regions, labels (H, W) from 1 on, grow over the background 0 until they meet; see `regions`."""
    from scipy import ndimage

    if not labels.any():
        return np.ones(labels.shape, np.int32)
    rows, columns = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.asarray(labels[rows, columns], np.int32)


def v_rand(pred_labels: NDArray[np.integer], truth_labels: NDArray[np.integer]) -> float:
    """Foreground-restricted Rand F-score, alpha 0.5, in (0, 1]; 1 when the partitions are equal.

    With p_ij the share of foreground pixels in predicted region i and true region j, and s_i, t_j its marginals:
    sum p_ij² / (0.5 sum s_i² + 0.5 sum t_j²). Arganda-Carreras et al., Frontiers in Neuroanatomy 2015.

    Both are labels (H, W) from 0 on. In the prediction each value is a region, 0 too; where the truth is 0 it is
    background and does not count.

    Raises InvalidInput when the shapes differ, a label is negative, or the truth has no foreground.
    """
    return _rand(*_joint(pred_labels, truth_labels))


def v_info(pred_labels: NDArray[np.integer], truth_labels: NDArray[np.integer]) -> float:
    """Foreground-restricted information-theoretic F-score, alpha 0.5, in [0, 1]; 1 when the partitions are equal.

    Mutual information over mean entropy, I(S; T) / (0.5 H(S) + 0.5 H(T)), of the distributions in `v_rand`, whose
    parameters, errors and source it shares. 1.0 when each partition is a single region.
    """
    return _info(*_joint(pred_labels, truth_labels))


def rand_and_info(
    membrane_probability: NDArray[np.floating], truth_interior: NDArray[np.bool_], thresholds: Sequence[float]
) -> NDArray[np.float64]:
    """Score a membrane map by `v_rand` and `v_info` at each threshold.

    Parameters
    ----------
    membrane_probability
        (H, W) in [0, 1]. Interior is where one minus this exceeds the threshold; see `regions`.
    truth_interior
        (H, W), True inside cells; its 4-connected components are the true regions.
    thresholds
        Interior probabilities in [0, 1].

    Returns
    -------
    (threshold, score) with V_rand and V_info along the last axis.

    Raises InvalidInput when the shapes differ, a probability is outside [0, 1], or the truth has no interior.
    """
    from scipy import ndimage

    require_bool(truth_interior)
    require_range(membrane_probability, 0, 1, "membrane probabilities")
    truth_labels, _ = ndimage.label(truth_interior)
    interior = 1 - membrane_probability
    joints = [_joint(regions(interior > threshold), truth_labels) for threshold in thresholds]
    return np.array([(_rand(*joint), _info(*joint)) for joint in joints]).reshape(-1, 2)


def rand_and_info_of(labels: NDArray[np.integer], truth_interior: NDArray[np.bool_]) -> tuple[float, float]:
    """Score cells, labels (H, W) from 1 on and 0 between them, by `v_rand` and `v_info`, as `rand_and_info` does a map.

    Raises InvalidInput when the shapes differ or the truth has no interior.
    """
    from scipy import ndimage

    require_bool(truth_interior)
    joint = _joint(grown(labels), ndimage.label(truth_interior)[0])
    return _rand(*joint), _info(*joint)


def _joint(pred_labels: NDArray[np.integer], truth_labels: NDArray[np.integer]) -> tuple[Shares, Shares, Shares]:
    """Shares of foreground pixels: non-zero pairs p_ij, and the marginals s_i, t_j."""
    from scipy import sparse

    require_same_shape(pred_labels, truth_labels)
    foreground = truth_labels != 0
    predicted, truth = pred_labels[foreground], truth_labels[foreground]
    require_some(truth, "foreground pixels in the truth")
    require_range(predicted, 0, math.inf, "predicted labels")
    require_range(truth, 0, math.inf, "true labels")
    pairs = sparse.coo_array((np.ones(truth.size), (predicted, truth))).tocsr()
    return pairs.data / truth.size, np.bincount(predicted) / truth.size, np.bincount(truth) / truth.size


def _rand(pairs: Shares, predicted: Shares, truth: Shares) -> float:
    return min(1.0, float(2 * np.sum(pairs**2) / (np.sum(predicted**2) + np.sum(truth**2))))


def _info(pairs: Shares, predicted: Shares, truth: Shares) -> float:
    from scipy import special

    joint, separate = special.entr(pairs).sum(), special.entr(predicted).sum() + special.entr(truth).sum()
    if separate == 0:
        return 1.0
    return float(np.clip(2 * (separate - joint) / separate, 0, 1))
