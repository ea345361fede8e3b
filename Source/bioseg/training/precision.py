"""The network of a version in a cheaper precision: made, set up anew, and kept when it loses next to nothing."""

import importlib.metadata
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bioseg import evaluation
from bioseg.bundles import ONNX, Bundle, Contract, Floats
from bioseg.bundles.sealing import assemble
from bioseg.datasets import Sample, Splits, digest, pixels
from bioseg.errors import BundleError, DatasetError, InvalidInput, RuntimeUnavailable
from bioseg.evaluation.drop import Version, drop
from bioseg.images import Image
from bioseg.inference import classifying, openvino_runtime, segmenting
from bioseg.inference.layout import to_stored
from bioseg.policy.paired import Comparison
from bioseg.registry import Registry
from bioseg.registry.folder_registry import is_name
from bioseg.runtime import Arm
from bioseg.study import Study
from bioseg.training.choosing import choose

Precision = Literal["int8", "bf16"]

CALIBRATED_ON = 36
"""Images for fitting, and drawn ones as many, whose activations set the ranges of 8 bits."""
TOLERANCE = 0.05
"""Of the sample: CPUs add floats in different orders, and what lies between two steps of 8 bits goes either way."""
MAY_LOSE = {"dice": 0.003, "v_rand": 0.005, "accuracy": 0.003}
LIBRARIES = ("nncf", "onnx", "openvino")


@dataclass(frozen=True, slots=True)
class Cheaper:
    """A version beside the one that it was made from.

    Parameters
    ----------
    bundle
        As the registry holds it; None: it loses more than `MAY_LOSE`, and is gone.
    graph_bytes
        Sizes of the graph with its weights, before and after.
    lost
        By figure, image by image on the held-out split: a negative mean is a loss.
    """

    contract: Contract
    made_from: str
    bundle: Bundle | None
    graph_bytes: tuple[int, int]
    lost: Mapping[str, Comparison]

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON takes it, with the limits."""
        return {
            "study": self.contract.study,
            "version": self.contract.version,
            "made_from": self.made_from,
            "precision": self.contract.precision,
            "threshold": self.contract.threshold,
            "kept": self.bundle is not None,
            "graph_bytes": list(self.graph_bytes),
            "lost": {name: asdict(each) | {"may_lose": MAY_LOSE[name]} for name, each in self.lost.items()},
        }

    def as_text(self) -> str:
        """Lay the comparison out for a terminal."""
        before, after = (size / 2**20 for size in self.graph_bytes)
        where = f"kept in {self.bundle.path}" if self.bundle else "loses too much and is not kept"
        head = f"{self.contract.study} {self.contract.version} ({self.contract.precision}) {where}"
        lines = [f"{head}: graph of {before:.1f} MiB now {after:.1f}", f"against {self.made_from}:"]
        lines += [f"{name:8} {_line(each)}, may lose {MAY_LOSE[name]:g}" for name, each in self.lost.items()]
        return "\n".join(lines)


def _line(each: Comparison) -> str:
    interval = f"{each.mean:+.4f} [{each.low:+.4f}, {each.high:+.4f}]"
    return f"{each.champion:.4f} -> {each.candidate:.4f}  {interval} n = {each.clusters}"


def cheapen(
    study: Study, arm: Arm, precision: Precision, version: str, splits: Splits, registry: Registry, threads: int
) -> Cheaper:
    """Make a version in a cheaper precision of one in float32.

    `int8`: its graph is quantised, with ranges from samples for fitting. `bf16`: it stays as it is, and OpenVINO
    computes in bfloat16. Thresholds and temperature are chosen again, as `choose` does; the loss is measured
    on those for scoring. The weights in the network's own framework are those it was made from, in float.

    Raises
    ------
    InvalidInput
        When the version to make it from is no float32 one, or the new name is none.
    BundleError
        When there is a version of that name.
    RuntimeUnavailable
        When this CPU only emulates the precision: neither speed nor quality would be those of one that has it.
    DatasetError
        When samples are missing.
    """
    _require(arm, precision, version, registry)
    calibration = _evenly(splits.fit)
    drawn = study.drawn
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_network(study, arm, precision, calibration, folder)
        changed = {"version": version, "precision": precision, "tolerance": TOLERANCE}
        contract = arm.contract.model_copy(update=changed)
        manifest = arm.bundle.manifest.model_copy(update={"contract": contract})
        predict = openvino_runtime.load(Bundle(folder, manifest), threads)
        choice = choose(study, contract, predict, splits, drawn.choose if drawn else ())
        contract = contract.model_copy(update=asdict(choice))
        scored = (splits.score, drawn.score if drawn else ())
        lost = drop(study, Version(arm.contract, arm.predict), Version(contract, predict), *scored)
        sizes = (_graph_bytes(arm.bundle.path), _graph_bytes(folder))
        found = Cheaper(contract, arm.contract.version, None, sizes, lost)
        if any(-each.mean > MAY_LOSE[name] for name, each in lost.items()):
            return found
        report = evaluation.evaluate(study, contract, predict, scored[0], drawn=scored[1])
        given, _ = arm.bundle.sample()
        bundle = assemble(
            folder / version,
            contract,
            lambda path: _copy(folder, path),
            (given, predict(given)),
            metrics=report.as_json(),
            provenance=_provenance(arm, found, calibration),
        )
        return replace(found, bundle=registry.add(bundle.path))


def _require(arm: Arm, precision: Precision, version: str, registry: Registry) -> None:
    contract = arm.contract
    if contract.precision != "f32":
        raise InvalidInput(
            f"{contract.study} {contract.version} is in {contract.precision}: name the version that it was made from"
        )
    if not is_name(version):
        raise InvalidInput(f"version {version!r} is no name: use 1 to 64 of a-z, 0-9, dot and hyphen")
    if version in registry.versions(contract.study):
        raise BundleError(f"version {version} exists and a version never changes; choose another name")
    if not openvino_runtime.has(precision):
        raise RuntimeUnavailable(
            f"this CPU only emulates {precision}, so nothing would be learnt of one that has it: run this on such a CPU"
        )


def _write_network(study: Study, arm: Arm, precision: Precision, calibration: Sequence[Sample], folder: Path) -> None:
    """Write weights and graph."""
    if not calibration:
        raise DatasetError(f"no samples to calibrate {study.name} on: this copy of the data lacks them")
    shutil.copyfile(arm.bundle.weights, folder / arm.bundle.weights.name)
    if precision == "bf16":
        shutil.copyfile(arm.bundle.onnx, folder / ONNX)
        return
    import onnx

    from bioseg.bundles.nncf_quantising import quantise

    onnx.save(quantise(onnx.load(arm.bundle.onnx), _batches(study, arm, calibration)), folder / ONNX)


def _batches(study: Study, arm: Arm, calibration: Sequence[Sample]) -> list[Floats]:
    """What the network is given for these images and for drawn ones, in the axes of its graph."""
    given: list[Floats] = []

    def predict(batch: Floats) -> Floats:
        given.append(to_stored(batch, arm.contract))
        return arm.predict(batch)

    pictures: list[Image] = [pixels.image(sample) for sample in calibration]
    if study.drawn:
        pictures += [study.drawn.draw(number) for number in _evenly(study.drawn.fit)]
    analyse = {"segmentation": segmenting.foreground_probability, "classification": classifying.class_probabilities}
    for picture in pictures:
        analyse[study.task](predict, arm.contract, picture)
    return given


def _evenly(every: Any) -> Any:
    """At most `CALIBRATED_ON` of a sequence, evenly spaced."""
    return every[:: max(1, math.ceil(len(every) / CALIBRATED_ON))]


def _graph_bytes(folder: Path) -> int:
    """Size of a graph, and of the weights beside it when they lie there."""
    import onnx

    tensors = onnx.load(folder / ONNX, load_external_data=False).graph.initializer
    outside = sum(int(each.value) for tensor in tensors for each in tensor.external_data if each.key == "length")
    return (folder / ONNX).stat().st_size + outside


def _copy(folder: Path, target: Path) -> None:
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, target / file.name)


def _provenance(arm: Arm, found: Cheaper, calibration: Sequence[Sample]) -> dict[str, Any]:
    contract = found.contract
    return {
        **arm.bundle.manifest.provenance,
        "command": f"bioseg quantise {contract.study} --version {found.made_from} --precision {contract.precision}",
        "made_from": {"version": found.made_from, "digest": arm.bundle.digest},
        "calibration": {"images": len(calibration), "split": digest(calibration)},
        "lost": {name: {"mean": each.mean, "low": each.low, "high": each.high} for name, each in found.lost.items()},
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }
