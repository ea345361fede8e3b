"""Where a boundary is all that keeps two regions apart."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

REACH = 4


def closeness(boundary: NDArray[np.bool_], width: float) -> NDArray[np.float32]:
    """How near each pixel of a boundary is to the two regions that it parts.

    Parameters
    ----------
    boundary
        (H, W); the regions are the 4-connected components that it leaves.
    width
        Scale of the distances, pixels.

    Returns
    -------
    (H, W) in [0, 1]: exp(-(d1 + d2)**2 / (2 * width**2)) on the boundary, with d1 and d2 the distances to the nearest
    and the second nearest region, and 0 elsewhere. Regions further than four widths away do not count. Ronneberger,
    Fischer and Brox, "U-Net", 2015.
    """
    labels, _ = ndimage.label(~boundary)
    nearest, second = (np.full(boundary.shape, np.inf, np.float32) for _ in range(2))
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        around = tuple(
            slice(max(0, int(part.start - REACH * width)), int(np.ceil(part.stop + REACH * width))) for part in place
        )
        distance = cv2.distanceTransform(
            (labels[around] != number).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        second[around] = np.minimum(second[around], np.maximum(nearest[around], distance))
        nearest[around] = np.minimum(nearest[around], distance)
    near: NDArray[np.float32] = np.exp(-((nearest + second) ** 2) / (2 * width**2))
    return np.where(boundary, near, np.float32(0))
