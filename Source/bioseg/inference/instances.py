"""From a map to single things: the cells that a membrane parts, or the objects that a mask marks."""

from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]


def instances(
    probability: NDArray[np.float32], mask: NDArray[np.bool_], foreground_is: Literal["object", "boundary"]
) -> Labels:
    """Number the things in a map.

    Parameters
    ----------
    probability
        (H, W) of the foreground, in [0, 1].
    mask
        (H, W), True where that is foreground.
    foreground_is
        `boundary`: the things are the regions between the foreground, 4-connected as in ISBI 2012, each with its share
        of the foreground around it: they meet where the probability has its ridge. `object`: they are the 8-connected
        regions of the foreground.

    Returns
    -------
    (H, W), 0 for none, else 1 to the number of things; uint16, or uint32 when there are more than 65,535.
    """
    if foreground_is == "boundary":
        labels = _flooded(_components(~mask, connectivity=4), probability)
    else:
        labels = _components(mask, connectivity=8)
    return labels.astype(np.uint16) if labels.max(initial=0) < 2**16 else labels.astype(np.uint32)


def _flooded(seeds: NDArray[np.int32], height: NDArray[np.float32]) -> NDArray[np.int32]:
    """Let seeds, labels (H, W) from 1 on, grow over the 0 between them until they meet on the ridges of a height.

    A watershed as the cut of a minimum spanning forest (Cousty et al., "Watershed cuts", 2009), in which a step
    between two pixels costs the sum of their heights.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    count, between = int(seeds.max(initial=0)), seeds == 0
    node = seeds.astype(np.int64)
    node[between] = count + 1 + np.arange(np.count_nonzero(between))  # 0 is the root, which reaches all seeds for less
    total = 1 + count + np.count_nonzero(between)
    first = np.concatenate([node[1:].ravel(), node[:, 1:].ravel()])
    second = np.concatenate([node[:-1].ravel(), node[:, :-1].ravel()])
    cost = 1 + np.concatenate([(height[1:] + height[:-1]).ravel(), (height[:, 1:] + height[:, :-1]).ravel()])
    parted = first != second
    ends, least = _least(np.minimum(first, second)[parted] * total + np.maximum(first, second)[parted], cost[parted])
    ends = np.concatenate([np.arange(1, count + 1), ends])
    graph = csr_array((np.concatenate([np.full(count, 0.5), least]), divmod(ends, total)), shape=(total, total))
    forest = minimum_spanning_tree(graph).tocoo()
    kept = forest.row > 0
    trees = csr_array((forest.data[kept], (forest.row[kept], forest.col[kept])), shape=(total, total))
    _, tree = connected_components(trees, directed=False)
    label = np.zeros(total, np.int32)
    label[tree[1 : count + 1]] = np.arange(1, count + 1)
    return np.asarray(label[tree[node]], np.int32)


def _least(keys: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sort different keys, and give the least value of each."""
    order = np.argsort(values)
    different, first = np.unique(keys[order], return_index=True)
    return different, values[order][first]


def _components(mask: NDArray[np.bool_], connectivity: Literal[4, 8]) -> NDArray[np.int32]:
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    return np.asarray(labels, np.int32)
