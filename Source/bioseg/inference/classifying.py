"""From an image to the probability of each class, as the contract of the bundle says."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bioseg import images
from bioseg.bundles import Contract
from bioseg.errors import BundleError
from bioseg.inference import Floats, Predictor
from bioseg.inference.normalising import UNIT, normalised, standard_scale

CROP = 0.8

Float = TypeVar("Float", bound=np.floating)


class Classified(NamedTuple):
    """Probability of each class (classes,), and the evidence (h, w, classes) where the network gives it by place."""

    probabilities: Floats
    evidence: Floats | None

    @property
    def heat(self) -> Floats | None:
        """Where the evidence for the likeliest class lies: (h, w), 0 (none) to 1 (most); None without evidence.

        Evidence that all classes share changes no probability, so the mean over the classes is taken away; what then
        speaks against the class counts as none (Zhou et al., "Learning deep features for discriminative localization",
        CVPR 2016; the rectification is that of Selvaraju et al., "Grad-CAM", ICCV 2017).
        """
        if self.evidence is None:
            return None
        own = self.evidence[..., int(self.probabilities.argmax())] - self.evidence.mean(axis=-1)
        most = float(own.max())
        return np.asarray(np.maximum(own, 0) / most if most > 0 else np.zeros_like(own), np.float32)


def class_probabilities(predict: Predictor, contract: Contract, image: images.Image) -> Floats:
    """Probability of each class: (classes,) float32 that sum to 1, as `classify` tells them; raises as it does."""
    return classify(predict, contract, image).probabilities


def classify(predict: Predictor, contract: Contract, image: images.Image) -> Classified:
    """Tell the probability of each class, and where the evidence lies in the whole picture.

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
    Probabilities, float32 that sum to 1, in the order of `contract.classes`.

    Raises
    ------
    BundleError
        When the contract names no side, or the network gives another output than the contract says.
    """
    if contract.side is None:
        raise BundleError(f"{contract.study} {contract.version} names no side: a classifier needs one; export it again")
    picture = images.to_uint8(image)
    pictures = [picture] if contract.judged == "whole" else crops(picture)
    output = predict(np.stack([_as_fed(each, contract, contract.side) for each in pictures]))
    by_place = contract.evidence == "place" and output.ndim == 4 and output.size > 0
    logits = (output.mean(axis=(1, 2)) if by_place else output).mean(axis=0)
    if logits.shape != (len(contract.classes),):
        raise BundleError(f"{logits.size} logits for {len(contract.classes)} classes: export the bundle again")
    return Classified(softmax(logits / np.float32(contract.temperature)), output[0] if by_place else None)


def _as_fed(picture: NDArray[np.uint8], contract: Contract, side: int) -> Floats:
    """(side, side, channels) on the scale that the contract names."""
    square = images.resize_square(picture, side)
    scale = standard_scale(square, contract.channels) if contract.normalisation == "standard" else UNIT
    return normalised(square, contract.channels, scale)


def crops(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Give a picture (H, W[, 3]), its middle and its four corners, `CROP` of its sides each, and all of them mirrored.

    As networks on ImageNet were judged (Krizhevsky et al. 2012), with the whole picture beside them: what lies at the
    rim of one view lies in the middle of another.
    """
    height, width = picture.shape[:2]
    down, across = max(1, round(CROP * height)), max(1, round(CROP * width))
    corners = [(top, left) for top in (0, height - down) for left in (0, width - across)]
    starts = [((height - down) // 2, (width - across) // 2), *corners]
    upright = [picture, *(picture[top : top + down, left : left + across] for top, left in starts)]
    return [*upright, *(each[:, ::-1] for each in upright)]


def softmax(logits: NDArray[Float]) -> NDArray[Float]:
    """(..., classes) logits -> (..., classes) probabilities of the same precision, safe for logits of any size."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), logits.dtype)
