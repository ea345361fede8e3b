"""One use of a network on a decoded picture, as a request makes it."""

from collections.abc import Callable

from bioseg.bundles import Contract
from bioseg.images import Image
from bioseg.inference import Floats, Predictor, classifying, segmenting


def use(predict: Predictor, contract: Contract, picture: Image) -> Floats:
    """Give the foreground probability (H, W) or the probability of each class (classes,)."""
    run: Callable[..., Floats] = {
        "segmentation": segmenting.foreground_probability,
        "classification": classifying.class_probabilities,
    }[contract.task]
    return run(predict, contract, picture)
