"""The champions' networks in this process, by each runtime that can run them."""

from bioseg import images
from bioseg.benchmark import champions, figures, onnxruntime_predictor
from bioseg.benchmark.figures import Summary
from bioseg.decoding import formats
from bioseg.settings import Settings


def compare(settings: Settings, picture: bytes, rounds: int) -> dict[str, dict[str, Summary]]:
    """Time each champion in OpenVINO, in ONNX Runtime and in the framework that it was trained in, on one section; ms.

    Raises
    ------
    RuntimeUnavailable
        When a framework is not installed.
    """
    image = formats.decode(picture, images.Limits(settings.max_upload_mb * 2**20, settings.max_pixels))
    served = champions.arms(settings)
    reference = champions.arms(settings.model_copy(update={"runtime": "reference"}))
    other = champions.arms(settings, onnxruntime_predictor.load)
    report = {}
    for study, arm in served.items():
        compared = {"openvino": arm, "onnxruntime": other[study], arm.contract.framework: reference[study]}
        ways = {name: champions.network(one, image) for name, one in compared.items()}
        report[study] = {name: figures.summary(values) for name, values in figures.interleaved(ways, rounds).items()}
    return report
