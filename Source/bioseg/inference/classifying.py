"""From an image to the probability of each class, as the contract of the bundle says."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bioseg import images
from bioseg.bundles import Contract
from bioseg.errors import BundleError
from bioseg.inference import Floats, Predictor
from bioseg.inference.normalising import UNIT, normalised, standard_scale

Float = TypeVar("Float", bound=np.floating)


def class_probabilities(predict: Predictor, contract: Contract, image: images.Image) -> Floats:
    """Probability of each class.

    The image is shown to the network as people see it: 8 bits, squeezed to `contract.side`. The logits are divided by
    the contract's temperature (Guo et al., "On calibration of modern neural networks", ICML 2017).

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
    (classes,) float32 that sum to 1, in the order of `contract.classes`.

    Raises
    ------
    BundleError
        When the contract names no side, or the network gives another number of logits than the contract has classes.
    """
    if contract.side is None:
        raise BundleError(f"{contract.study} {contract.version} names no side: a classifier needs one; export it again")
    square = images.resize_square(images.to_uint8(image), contract.side)
    scale = standard_scale(square, contract.channels) if contract.normalisation == "standard" else UNIT
    logits = predict(normalised(square, contract.channels, scale)[np.newaxis])[0]
    if logits.shape != (len(contract.classes),):
        raise BundleError(f"{logits.size} logits for {len(contract.classes)} classes: export the bundle again")
    return softmax(logits / np.float32(contract.temperature))


def softmax(logits: NDArray[Float]) -> NDArray[Float]:
    """(..., classes) logits -> (..., classes) probabilities of the same precision, safe for logits of any size."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), logits.dtype)
