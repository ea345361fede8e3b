"""Small real bundles: networks fitted in seconds on drawn images, in the layout of the shipped ones.

They mark the membranes of `twins.membrane_section` and screen it from drawn pictures of other kinds; nothing is claimed
beyond that. Each function takes the folder of all bundles, so a test session writes them once.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bioseg import bundles, images, studies
from bioseg.bundles import Bundle, Contract
from bioseg.datasets import kinds, synthetic_other
from bioseg.models.receptive_field import unet_halo
from bioseg.registry.folder_registry import CHAMPIONS
from bioseg.study import Study
from bioseg.testing import twins

VERSION = "tiny"
SIDE = 64
SECTION_SIDES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
EASY = 8


def tiny_models(models_dir: Path) -> Path:
    """Write a bundle of every study and make them champions; returns the folder."""
    segmenter, screen = tiny_segmenter(models_dir), tiny_kinds(models_dir)
    for study in studies.all_studies().values():
        if study.name not in {segmenter.contract.study, screen.contract.study}:
            tiny_sibling(models_dir, study, segmenter)
    champions = dict.fromkeys(studies.all_studies(), VERSION)
    (models_dir / CHAMPIONS).write_text(json.dumps(champions), encoding="utf-8")
    return models_dir


def tiny_sibling(models_dir: Path, study: Study, segmenter: Bundle) -> None:
    """Write a bundle that is right in form only: the given segmenter's network, or a CNN of random weights."""
    folder = models_dir / study.name / VERSION
    if study.task == "classification":
        _random_classifier(folder, study)
        return
    shutil.copytree(segmenter.path, folder, ignore=shutil.ignore_patterns(bundles.MANIFEST))
    contract = segmenter.contract.model_copy(update={"study": study.name, "classes": (study.foreground,)})
    bundles.seal(folder, contract, created=segmenter.manifest.created, metrics={}, provenance={})


def _random_classifier(folder: Path, study: Study) -> None:
    import torch

    from bioseg.bundles import torch_export
    from bioseg.models.torch_classifiers import classifier

    contract = Contract(
        study=study.name,
        version=VERSION,
        task="classification",
        framework="torch",
        architecture="cnn",
        axes="NCHW",
        channels=3,
        normalisation="unit",
        side=SIDE,
        evidence="place",
        classes=study.classes,
    )
    torch.manual_seed(1)
    model = classifier(contract.architecture, len(study.classes), SIDE)
    sample = np.random.default_rng(1).random((1, SIDE, SIDE, 3), np.float32)
    torch_export.write(model, contract, folder, sample, metrics={}, provenance={})


def tiny_segmenter(models_dir: Path) -> Bundle:
    """Write `membrane/tiny`, a Keras U-Net of two levels."""
    from bioseg.models import keras_torch_backend

    keras_torch_backend.use_torch()
    keras_torch_backend.use_threads(1)
    from bioseg.bundles import keras_export
    from bioseg.testing import tiny_keras_unet

    levels = len(tiny_keras_unet.LEVELS)
    contract = Contract(
        study="membrane",
        version=VERSION,
        task="segmentation",
        framework="keras",
        architecture="unet",
        axes="NCHW",
        channels=1,
        normalisation="standard",
        multiple=2 ** (levels - 1),
        halo=unet_halo(levels),
        classes=("membrane",),
    )
    sample = images.standardise(images.grayscale(twins.membrane_section(0, SIDE)[0]))[np.newaxis, ..., np.newaxis]
    model = tiny_keras_unet.fitted()
    return keras_export.write(model, contract, _folder(models_dir, contract), sample, metrics={}, provenance={})


def tiny_kinds(models_dir: Path) -> Bundle:
    """Write `kinds/tiny`, a torch ResNet-18."""
    from bioseg.bundles import torch_export
    from bioseg.models import keras_torch_backend
    from bioseg.testing import tiny_torch_resnet

    contract = Contract(
        study="kinds",
        version=VERSION,
        task="classification",
        framework="torch",
        architecture="resnet18",
        axes="NCHW",
        channels=3,
        normalisation="unit",
        side=SIDE,
        classes=kinds.KINDS,
        accept_at=0.6,
        reject_below=0.3,
    )
    # these networks are too small to share out
    keras_torch_backend.use_threads(1)
    pictures, labels = zip(*_drawn_kinds(), strict=True)
    stack = np.stack([_square(picture) for picture in pictures])
    model = tiny_torch_resnet.fitted(stack, labels, len(kinds.KINDS))
    return torch_export.write(model, contract, _folder(models_dir, contract), stack[:1], metrics={}, provenance={})


def as_version(source: Path, version: str, models_dir: Path | None = None, **changes: object) -> Bundle:
    """Write the network of a bundle as another version, its contract changed.

    Parameters
    ----------
    models_dir
        Folder of all bundles; None: the one that `source` lies in.
    """
    bundle = bundles.read(source)
    folder = (models_dir or source.parents[1]) / bundle.contract.study / version
    shutil.copytree(source, folder)
    (folder / bundles.MANIFEST).unlink()
    contract = bundle.contract.model_copy(update={"version": version, **changes})
    return bundles.seal(folder, contract, created="2026-01-01T00:00:00Z", metrics={}, provenance={})


def _folder(models_dir: Path, contract: Contract) -> Path:
    return models_dir / contract.study / contract.version


def _drawn_kinds() -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Pictures of every kind at several sizes, with their class numbers."""
    with tempfile.TemporaryDirectory() as data:
        twins.write_all(Path(data))
        for sample in kinds.splits(Path(data)).fit:
            yield np.asarray(cv2.imread(str(sample.image)), np.uint8)[..., ::-1], kinds.KINDS.index(str(sample.label))
    for number, side in enumerate(SECTION_SIDES * 10):
        yield twins.membrane_section(60_000 + number, side)[0], kinds.KINDS.index("membrane EM")
    # from cracks on, drawings are too like sections for so small a network
    for number in range(96):
        if number % len(synthetic_other.PAINTERS) < EASY:
            yield synthetic_other.draw(number), kinds.KINDS.index("other")


def _square(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    square = images.resize_square(np.ascontiguousarray(picture), SIDE)
    rgb = square if square.ndim == 3 else np.repeat(square[..., np.newaxis], 3, axis=2)
    return np.divide(rgb, 255, dtype=np.float32)
