"""What an arm makes of an image: a probability for every pixel, a class, or the screen's verdict."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bioseg import images
from bioseg.inference import classifying, segmenting
from bioseg.policy import admission
from bioseg.policy.admission import Admission
from bioseg.runtime import Arm
from bioseg.study import Study


class Segmented(NamedTuple):
    """Probability of the foreground (H, W) float32, and the threshold above which a pixel is foreground."""

    probability: NDArray[np.float32]
    threshold: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), True for the foreground."""
        return self.probability > self.threshold


class Classified(NamedTuple):
    """The class that was told, the probability of each, and where its evidence lies: see `classifying.Classified`."""

    label: str
    probabilities: dict[str, float]
    heat: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Screening(Admission):
    """The screen's verdict on one image, and the `version` of the model that gave it."""

    version: str


def run(arm: Arm, image: images.Image) -> Segmented | Classified:
    """Let an arm do what its study is for."""
    return segment(arm, image) if arm.contract.task == "segmentation" else classify(arm, image)


def segment(arm: Arm, image: images.Image) -> Segmented:
    """Let an arm of a segmentation study tell the foreground of an image."""
    probability = segmenting.foreground_probability(arm.predict, arm.contract, image)
    return Segmented(probability, arm.contract.threshold)


def classify(arm: Arm, image: images.Image) -> Classified:
    """Let an arm of a classification study tell the class of an image."""
    found = classifying.classify(arm.predict, arm.contract, image)
    named = dict(zip(arm.contract.classes, map(float, found.probabilities), strict=True))
    return Classified(arm.contract.classes[int(found.probabilities.argmax())], named, found.heat)


def screen(arm: Arm, study: Study, image: images.Image) -> Screening:
    """Tell whether a study accepts an image, by an arm of the study that screens it."""
    contract = arm.contract
    probabilities = classifying.class_probabilities(arm.predict, contract, image)
    verdict = admission.admit(probabilities, contract.classes, study.accepts, contract.accept_at, contract.reject_below)
    return Screening(**asdict(verdict), version=contract.version)
