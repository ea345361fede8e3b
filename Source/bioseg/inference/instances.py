"""From a mask to single things: the cells that a membrane parts, or the objects that a mask marks."""

from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]

NECK = 1.5
"""Pixels from the boundary up to which a place counts as a gap in it, not as inside; chosen by V_rand on ISBI 2012."""


def instances(mask: NDArray[np.bool_], foreground_is: Literal["object", "boundary"]) -> Labels:
    """Number the things in a mask.

    Parameters
    ----------
    mask
        (H, W), True for the foreground.
    foreground_is
        `boundary`: the things are the regions between the foreground, 4-connected as in ISBI 2012, and parted where
        they hang together by necks only: gaps in a membrane that was not seen whole. `object`: they are the 8-connected
        regions of the foreground.

    Returns
    -------
    (H, W), 0 for none, else 1 to the number of things; uint16, or uint32 when there are more than 65,535.
    """
    labels = _flooded(_seeds(~mask), mask) if foreground_is == "boundary" else _components(mask, connectivity=8)
    return labels.astype(np.uint16) if labels.max(initial=0) < 2**16 else labels.astype(np.uint32)


def _seeds(interior: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number what is left of the regions far from their boundary, and as a whole those of which nothing is left."""
    wide = _distance(interior) > NECK
    regions = _components(interior, connectivity=4)
    kept = np.zeros(int(regions.max(initial=0)) + 1, bool)
    kept[regions[wide]] = True
    return _components(wide | (interior & ~kept[regions]), connectivity=4)


def _distance(interior: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance to the boundary; the rim of the image is none."""
    framed = np.pad(interior.astype(np.uint8), 1, mode="edge")
    inner = (slice(1, -1), slice(1, -1))
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[inner], np.float32)


def _flooded(seeds: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Let seeds grow until they meet, over the interior before the mask; where they meet, and on the mask, is none."""
    dam = np.pad(mask.astype(np.uint8) * 255, 1, mode="edge")
    labels = cv2.watershed(cv2.merge([dam] * 3), np.pad(seeds, 1))  # it marks the rim
    return np.where(mask, 0, np.maximum(labels[1:-1, 1:-1], 0)).astype(np.int32)


def _components(mask: NDArray[np.bool_], connectivity: Literal[4, 8]) -> NDArray[np.int32]:
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    return np.asarray(labels, np.int32)
