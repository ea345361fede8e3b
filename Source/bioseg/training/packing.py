"""From a fitted network to a scored bundle: what is chosen and measured is what is served."""

import importlib.metadata
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bioseg import evaluation
from bioseg.bundles import Bundle, Contract
from bioseg.bundles.sealing import reseal
from bioseg.datasets import Sample, Splits, digest, synthetic_other
from bioseg.images import grayscale, resize_square, standardise
from bioseg.inference import Predictor, openvino_runtime
from bioseg.registry import Registry
from bioseg.runtime import Arm, replay
from bioseg.settings import usable_cpus
from bioseg.study import ClassifierRecipe, Recipe, Study
from bioseg.training.choosing import Choice, choose
from bioseg.training.contracts import draft

LIBRARIES = ("keras", "torch", "torchvision", "numpy", "opencv-python-headless", "onnx", "openvino")
SAMPLE_SIDE = 128
SAMPLE_PICTURE = 7


def pack(
    study: Study,
    recipe: Recipe,
    network: Any,
    splits: Splits,
    registry: Registry,
    *,
    version: str,
    provenance: Mapping[str, Any],
    choice: Choice | None = None,
) -> Bundle:
    """Round a fitted network to float16, export it, choose its settings, score it, and add it to the registry.

    Settings are chosen and figures measured on the exported graph, run by OpenVINO.

    Parameters
    ----------
    network
        What `segmenter.fit` or `torch_classifier.fit` gives; it is left as it is.
    splits
        Samples of the study: `choose` says which set the thresholds; those for scoring make the metrics.
    provenance
        What is known of the fit; recipe, split hashes and library versions join it.
    choice
        Settings chosen before, for a network that was fitted on the samples for choosing too; None: choose them.

    Raises
    ------
    InvalidInput
        When the version is no name, or a weight exceeds float16.
    DatasetError
        When the splits lack samples to choose with or to score on.
    BundleError
        When the exported graph gives something else than the network on the bundle's sample.
    """
    known = {**provenance, **_origin(study, recipe, splits)}
    with tempfile.TemporaryDirectory() as scratch:
        bundle = _export(network, draft(study, recipe, version), Path(scratch) / version, known)
        predict = openvino_runtime.load(bundle, usable_cpus())
        if choice is None:
            choice = choose(study, bundle.contract, predict, splits, _drawn(study, "choose"))
        bundle = _with_choice(bundle, choice)
        drawn = _drawn(study, "score")
        report = evaluation.evaluate(study, bundle.contract, predict, splits.score, drawn=drawn)
        sealed = reseal(bundle, report.as_json())
        replay(Arm(sealed, predict))
        return registry.add(sealed.path)


def settle(study: Study, recipe: Recipe, network: Any, splits: Splits) -> Choice:
    """Choose the settings of a network that is not kept itself; rounds and exports it as `pack` does."""
    with exported(study, recipe, network) as (contract, predict):
        return choose(study, contract, predict, splits, _drawn(study, "choose"))


@contextmanager
def exported(study: Study, recipe: Recipe, network: Any) -> Iterator[tuple[Contract, Predictor]]:
    """Round and export a network that is not kept, as `pack` does; gives its draft contract and the running graph."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = _export(network, draft(study, recipe, "passing"), Path(scratch) / "passing", {})
        yield bundle.contract, openvino_runtime.load(bundle, usable_cpus())


def sample_input(contract: Contract) -> NDArray[np.float32]:
    """Draw the picture (1, H, W, C) float32 that a bundle ships to prove itself with; no lent image is in it."""
    side = contract.side or SAMPLE_SIDE
    picture = resize_square(synthetic_other.draw(SAMPLE_PICTURE), side)
    if contract.channels == 3:
        return np.divide(picture, 255, dtype=np.float32)[np.newaxis]
    gray = grayscale(picture)
    scaled = standardise(gray) if contract.normalisation == "standard" else gray
    return scaled[np.newaxis, ..., np.newaxis]


def _drawn(study: Study, part: Literal["fit", "choose", "score"]) -> Sequence[int]:
    numbers: Sequence[int] = getattr(study.drawn, part) if study.drawn else ()
    return numbers


def _export(network: Any, contract: Contract, folder: Path, provenance: Mapping[str, Any]) -> Bundle:
    sample = sample_input(contract)
    if contract.framework == "keras":
        from bioseg.bundles import keras_export

        return keras_export.write(network, contract, folder, sample, metrics={}, provenance=provenance)
    from bioseg.bundles import torch_export

    return torch_export.write(network, contract, folder, sample, metrics={}, provenance=provenance)


def _with_choice(bundle: Bundle, choice: Choice) -> Bundle:
    """Put chosen settings into a contract; the files follow when the bundle is sealed again."""
    contract = bundle.contract.model_copy(update=asdict(choice))
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"contract": contract}))


def _origin(study: Study, recipe: Recipe, splits: Splits) -> dict[str, Any]:
    parts = {"fit": splits.fit, "choose": splits.choose, "score": splits.score}
    beside = _learnt_beside(recipe, splits)
    return {
        "notice": study.notice,
        "data": _sources(study, (*splits.fit, *splits.choose, *splits.score, *chain.from_iterable(beside.values()))),
        "limits": list(study.known_failures),
        "recipe": asdict(recipe),
        "splits": {name: digest(samples) for name, samples in (parts | beside).items() if samples},
        "images": {name: len(samples) for name, samples in (parts | beside).items()},
        "drawn": {name: str(getattr(study.drawn, name)) for name in parts} if study.drawn else {},
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _learnt_beside(recipe: Recipe, splits: Splits) -> dict[str, Sequence[Sample]]:
    """Samples that a fit by this recipe learns from beside the study's labelled ones, by the part of the splits."""
    if isinstance(recipe, ClassifierRecipe):
        return {"related": splits.related} if recipe.related else {}
    return {"unlabelled": splits.unlabelled} if recipe.taught else {}


def _sources(study: Study, samples: Sequence[Sample]) -> list[dict[str, str]]:
    """What the study says of each source in use."""
    names = {sample.source.split("/")[0] for sample in samples}
    entries = (dataset for dataset in study.datasets if dataset.name in names)
    return [
        {"name": each.name, "what": each.title, "citation": each.citation, "licence": each.licence} for each in entries
    ]


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None
