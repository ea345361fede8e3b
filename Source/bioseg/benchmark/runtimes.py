"""The champions' networks in this process, by each runtime that can run them."""

from dataclasses import replace

from bioseg import images
from bioseg.benchmark import champions, figures, onnxruntime_predictor
from bioseg.benchmark.figures import Summary
from bioseg.decoding import formats
from bioseg.runtime import Arm, loader
from bioseg.settings import Settings


def compare(settings: Settings, picture: bytes, rounds: int) -> dict[str, dict[str, Summary]]:
    """Time each champion in OpenVINO, in ONNX Runtime and in the framework that it was trained in, on one section; ms.

    Of a champion in 8 bits the framework runs the float weights that it was made from.

    Raises
    ------
    RuntimeUnavailable
        When a framework is not installed.
    """
    image = formats.decode(picture, images.Limits(settings.max_upload_mb * 2**20, settings.max_pixels))
    report = {}
    for study, arm in champions.arms(settings).items():
        framework, threads = arm.contract.framework, settings.inference_threads()
        reference = loader("reference")
        in_float = arm.contract.model_copy(update={"precision": "f32"})
        own = replace(arm.bundle, manifest=arm.bundle.manifest.model_copy(update={"contract": in_float}))
        compared = {
            "openvino": arm,
            "onnxruntime": Arm(arm.bundle, onnxruntime_predictor.load(arm.bundle, threads)),
            framework: Arm(own, reference(own, threads)),
        }
        ways = {name: champions.network(one, image) for name, one in compared.items()}
        report[study] = {name: figures.summary(values) for name, values in figures.interleaved(ways, rounds).items()}
    return report
