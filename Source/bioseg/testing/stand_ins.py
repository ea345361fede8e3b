"""Stand-in networks with bundles of their own: a platform on them needs no framework and answers at once."""

import json
from pathlib import Path

import numpy as np

from bioseg import bundles
from bioseg.bundles import Bundle, Contract
from bioseg.datasets.kinds import KINDS
from bioseg.inference import Floats, Predictor
from bioseg.inference.confined_runtime import TimeLimit
from bioseg.registry.folder_registry import CHAMPIONS

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
    """Write sealed bundles of `membrane` and `kinds`, without networks, as champions; gives the folder."""
    for contract in (MEMBRANE, SCREEN):
        seal(models_dir / contract.study / contract.version, contract)
    (models_dir / CHAMPIONS).write_text(json.dumps({"membrane": MEMBRANE.version, "kinds": SCREEN.version}))
    return models_dir


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
    return dark_is_membrane if contract.task == "segmentation" else gray_is_membrane


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
