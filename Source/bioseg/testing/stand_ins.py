"""Stand-in networks with bundles of their own: a platform on them needs no framework and answers at once."""

import json
from functools import partial
from pathlib import Path

import numpy as np

from bioseg import bundles, studies
from bioseg.bundles import Bundle, Contract
from bioseg.datasets.kinds import KINDS
from bioseg.inference import Floats, Predictor
from bioseg.inference.confined_runtime import TimeLimit
from bioseg.registry.folder_registry import CHAMPIONS
from bioseg.study import Study

MEMBRANE = Contract(
    study="membrane",
    version="1.2.3",
    task="segmentation",
    framework="keras",
    architecture="none",
    axes="NCHW",
    channels=1,
    normalisation="standard",
    multiple=16,
    halo=16,
    classes=("membrane",),
)
SCREEN = Contract(
    study="kinds",
    version="4.5.6",
    task="classification",
    framework="torch",
    architecture="none",
    axes="NCHW",
    channels=3,
    normalisation="unit",
    side=32,
    classes=KINDS,
)


def write(models_dir: Path) -> Path:
    """Write a sealed bundle of every study, without a network, as its champion; gives the folder."""
    contracts = [contract_of(study) for study in studies.all_studies().values()]
    for contract in contracts:
        seal(models_dir / contract.study / contract.version, contract)
    (models_dir / CHAMPIONS).write_text(json.dumps({contract.study: contract.version for contract in contracts}))
    return models_dir


def contract_of(study: Study) -> Contract:
    """The contract of a study's stand-in; those of other classification studies give their evidence by place."""
    if study.name == SCREEN.study:
        return SCREEN
    if study.task == "segmentation":
        return MEMBRANE.model_copy(update={"study": study.name, "classes": (study.foreground,)})
    return SCREEN.model_copy(update={"study": study.name, "classes": study.classes, "evidence": "place"})


def seal(folder: Path, contract: Contract) -> Bundle:
    """Write a sealed bundle without a network into a new folder."""
    folder.mkdir(parents=True)
    side = contract.side or contract.multiple
    batch = np.random.default_rng(1).random((1, side, side, contract.channels), np.float32)
    np.savez(folder / bundles.SAMPLE, input=batch, output=_predictor(contract)(batch))
    return bundles.seal(folder, contract, created="2026-01-01T00:00:00Z", metrics={}, provenance={})


def challenger(models_dir: Path, version: str) -> str:
    """Write another version of `membrane`, which `load` runs as it runs the champion; gives its name."""
    seal(models_dir / MEMBRANE.study / version, MEMBRANE.model_copy(update={"version": version}))
    return version


def load(bundle: Bundle, _threads: int) -> Predictor:
    """Load a bundle that `write` wrote."""
    return _predictor(bundle.contract)


def confine(bundle: Bundle, threads: int, _limit: TimeLimit) -> Predictor:
    """The same of a version under trial, though in this process."""
    return load(bundle, threads)


def _predictor(contract: Contract) -> Predictor:
    if contract.task == "segmentation":
        return dark_is_membrane
    return gray_is_membrane if contract.study == SCREEN.study else partial(bright_is_the_last, contract)


def dark_is_membrane(batch: Floats) -> Floats:
    """(N, H, W, 1) standardised -> probability, high where it is dark."""
    return np.asarray(1 / (1 + np.exp(3 * batch + 3)), np.float32)


def gray_is_membrane(batch: Floats) -> Floats:
    """(N, H, W, 3) -> logits: gray is EM, strong colour a photo, faint colour leaves it open."""
    colour = float(np.abs(batch[..., 0] - batch[..., 2]).mean())
    photo = 12.0 if colour > 0.2 else 6.0 if colour < 0.02 else 8.0
    logits = np.zeros((len(batch), len(KINDS)), np.float32)
    logits[:, KINDS.index("membrane EM")] = 12.0 if colour < 0.02 else 9.0 if colour <= 0.2 else 0.0
    logits[:, KINDS.index("photo")] = photo
    return logits


def bright_is_the_last(contract: Contract, batch: Floats) -> Floats:
    """(N, 32, 32, 3) -> evidence (N, 4, 4, classes): for the last class where it is bright, against it elsewhere."""
    bright = batch.mean(axis=3).reshape(len(batch), 4, 8, 4, 8).mean(axis=(2, 4))
    evidence = np.zeros((*bright.shape, len(contract.classes)), np.float32)
    evidence[..., -1] = 40 * bright - 1
    return evidence
