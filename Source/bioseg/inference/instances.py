"""From a mask to single things: the cells that a membrane parts, or the objects that a mask marks."""

from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]


def instances(mask: NDArray[np.bool_], foreground_is: Literal["object", "boundary"]) -> Labels:
    """Number the things in a mask.

    Parameters
    ----------
    mask
        (H, W), True for the foreground.
    foreground_is
        `boundary`: the things are the 4-connected regions between the foreground, as in ISBI 2012. `object`: they are
        the 8-connected regions of the foreground.

    Returns
    -------
    (H, W), 0 for none, else 1 to the number of things; uint16, or uint32 when there are more than 65,535.
    """
    things, connectivity = (~mask, 4) if foreground_is == "boundary" else (mask, 8)
    count, labels = cv2.connectedComponents(things.astype(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    return labels.astype(np.uint16) if count <= 2**16 else labels.astype(np.uint32)
