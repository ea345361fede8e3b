"""The champions that every way of the benchmark uses, loaded as ours loads them."""

from collections.abc import Callable

from bioseg import images, studies
from bioseg.inference import Floats, classifying, segmenting
from bioseg.platform import open_models
from bioseg.runtime import Arm
from bioseg.settings import Settings

SEGMENTER, SCREEN = "membrane", "kinds"


def arms(settings: Settings) -> dict[str, Arm]:
    """Load the champion of the lead study and that of its screen; raises as `Runtime.champion` does."""
    runtime = open_models(settings).runtime
    return {study: runtime.champion(study) for study in (SEGMENTER, SCREEN)}


def network(arm: Arm, image: images.Image) -> Callable[[], Floats]:
    """One use of an arm on a decoded image, preparation included."""
    task = studies.get(arm.contract.study).task
    use = segmenting.foreground_probability if task == "segmentation" else classifying.class_probabilities
    return lambda: use(arm.predict, arm.contract, image)
