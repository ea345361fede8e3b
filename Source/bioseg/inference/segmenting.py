"""From an image to the probability of its foreground, as the contract of the bundle says."""

import cv2
import numpy as np

from bioseg.bundles import Contract
from bioseg.images import Image
from bioseg.inference import Floats, Predictor
from bioseg.inference.eightfold import eightfold
from bioseg.inference.normalising import UNIT, normalised, standard_scale
from bioseg.inference.tiling import tiled

WHOLE_LIMIT = 576 * 576
"""Pixels up to which an image runs in one piece; with `TILE` it bounds the memory of a run."""
TILE = 384


def foreground_probability(predict: Predictor, contract: Contract, image: Image) -> Floats:
    """Probability that each pixel is foreground.

    The image is made gray (unless the network takes colour) and normalised over all its pixels. It is squeezed to
    `contract.side` when that is set; else it runs whole up to `WHOLE_LIMIT` pixels and in seamless tiles above. That
    once, or in all flips and quarter turns, whose mean is taken, as `contract.judged` says.

    Parameters
    ----------
    predict
        The loaded network.
    contract
        Of the bundle that it was loaded from.
    image
        (H, W) gray or (H, W, 3) RGB, uint8 or uint16, of any size.

    Returns
    -------
    (H, W) float32 in [0, 1]; 0 in regions above the threshold beyond `contract.most_regions`.
    """
    turned = eightfold(predict) if contract.judged == "eightfold" else predict
    probability = _everywhere(turned, contract, image)
    if contract.most_regions is None:
        return probability
    return _largest_regions(probability, contract.threshold, contract.most_regions)


def _everywhere(predict: Predictor, contract: Contract, image: Image) -> Floats:
    channels = contract.channels
    scale = standard_scale(image, channels) if contract.normalisation == "standard" else UNIT
    if contract.side is not None:
        return _stretched_back(predict, normalised(image, channels, scale), contract.side)
    height, width = (_round_up(length, contract.multiple) for length in image.shape[:2])
    whole = height * width <= WHOLE_LIMIT
    probability = tiled(
        lambda windows: predict(normalised(windows[0], channels, scale)[np.newaxis]),
        image,
        tile=max(height, width) if whole else _round_up(TILE, contract.multiple),
        halo=_round_up(contract.halo, contract.multiple),
        multiple=contract.multiple,
    )
    return probability[..., 0]


def _largest_regions(probability: Floats, threshold: float, number: int) -> Floats:
    """Take the probability from all 4-connected regions above a threshold but the largest ones."""
    above = (probability > threshold).astype(np.uint8)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(above, connectivity=4)
    smaller = np.argsort(facts[1:, cv2.CC_STAT_AREA], kind="stable")[:-number] + 1
    return np.where(np.isin(labels, smaller), np.float32(0), probability)


def squeezed(values: Floats, side: int) -> Floats:
    """(H, W[, C]) -> (side, side, C): the whole image as a network of a fixed side takes it, in training too."""
    shrinking = cv2.INTER_AREA if min(values.shape[:2]) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (side, side), interpolation=shrinking), np.float32).reshape(side, side, -1)


def _stretched_back(predict: Predictor, values: Floats, side: int) -> Floats:
    height, width = values.shape[:2]
    probability = predict(squeezed(values, side)[np.newaxis])[0, ..., 0]
    stretched = cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(stretched, np.float32)


def _round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
