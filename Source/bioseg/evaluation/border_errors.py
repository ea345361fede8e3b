"""Where a partition into regions goes wrong: the borders that it misses and those that it makes up."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from bioseg import metrics

Mask = NDArray[np.bool_]
Labels = NDArray[np.integer]


class BorderErrors(NamedTuple):
    """Pixels (H, W) along borders: `merges` part true regions that are one in the prediction, `splits` the reverse."""

    merges: Mask
    splits: Mask


def border_errors(predicted_boundary: Mask, true_boundary: Mask) -> BorderErrors:
    """Find false merges and false splits.

    Each region is matched to the one of the other partition with which it shares most pixels; the boundaries of the
    truth do not count. A border between two regions that are matched to the same one should not be, or is missed.

    Parameters
    ----------
    predicted_boundary, true_boundary
        (H, W); the regions are the 4-connected components that they leave, grown until they meet.
    """
    truth, _ = ndimage.label(~true_boundary)
    predicted = metrics.regions(~predicted_boundary)
    shared = sparse.coo_array((np.ones(truth.size), (predicted.ravel(), truth.ravel()))).tolil()
    shared[:, 0] = 0
    table = shared.tocsr()
    return BorderErrors(
        merges=_borders(metrics.regions(~true_boundary), _best(table.T.tocsr())),
        splits=_borders(predicted, _best(table)),
    )


def _best(shared: sparse.csr_array) -> Labels:
    """Label that each row shares most with, 0 when none."""
    best: Labels = np.asarray(shared.argmax(axis=1)).ravel()
    return best


def _borders(labels: Labels, match: Labels) -> Mask:
    """Mark both sides of each border between two regions with the same match."""
    marked = np.zeros(labels.shape, bool)
    matches = match[labels]
    for first, second in (np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:]):
        same = (matches[first] == matches[second]) & (matches[first] != 0)
        wrong = same & (labels[first] != labels[second])
        marked[first] |= wrong
        marked[second] |= wrong
    return marked
