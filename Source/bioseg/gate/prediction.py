"""One use of a version on a decoded picture, as a request makes it."""

from collections.abc import Callable

from bioseg.images import Image
from bioseg.inference import Floats, classifying, segmenting
from bioseg.runtime import Arm


def use(arm: Arm, picture: Image) -> Floats:
    """Run a version on a decoded picture as a request does."""
    run: Callable[..., Floats] = {
        "segmentation": segmenting.foreground_probability,
        "classification": classifying.class_probabilities,
    }[arm.contract.task]
    return run(arm.predict, arm.contract, picture)
