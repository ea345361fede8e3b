"""The champions' networks in this process: what serves, and what is the reference."""

import logging
from collections.abc import Callable, Mapping

from bioseg import images, studies
from bioseg.benchmark import figures
from bioseg.benchmark.figures import Summary
from bioseg.errors import RuntimeUnavailable
from bioseg.inference import Floats, classifying, segmenting
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.runtime import Arm, Runtime
from bioseg.settings import Settings

log = logging.getLogger(__name__)

SEGMENTER, SCREEN = "membrane", "kinds"


def arms(settings: Settings) -> dict[str, Arm]:
    """Load the champion of the lead study and that of its screen; raises as `Runtime.champion` does."""
    runtime = Runtime(settings, FolderRegistry(settings.models_dir, settings.state_dir / "models"))
    return {study: runtime.champion(study) for study in (SEGMENTER, SCREEN)}


def network(arm: Arm, image: images.Image) -> Callable[[], Floats]:
    """One use of an arm on a decoded image, preparation included."""
    task = studies.get(arm.contract.study).task
    use = segmenting.foreground_probability if task == "segmentation" else classifying.class_probabilities
    return lambda: use(arm.predict, arm.contract, image)


def compare(
    settings: Settings, served: Mapping[str, Arm], picture: bytes, rounds: int
) -> dict[str, dict[str, Summary]]:
    """Time each champion in OpenVINO and in the framework that it was trained in, on one section; ms.

    Empty when the frameworks are not installed.
    """
    try:
        reference = arms(settings.model_copy(update={"runtime": "reference"}))
    except RuntimeUnavailable as error:
        log.warning("the reference runtimes are left out: %s", error)
        return {}
    image = images.decode(picture, images.Limits(settings.max_upload_mb * 2**20, settings.max_pixels))
    report = {}
    for study, arm in served.items():
        ways = {"openvino": network(arm, image), arm.contract.framework: network(reference[study], image)}
        report[study] = {name: figures.summary(values) for name, values in figures.interleaved(ways, rounds).items()}
    return report
