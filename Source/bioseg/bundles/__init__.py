"""The bundle: one immutable model version on disk, with its contract, its evidence and the hash of every file.

A bundle is a folder `<study>/<version>/` that holds

- `bundle.json`: the manifest below,
- `model.onnx`: the graph that is served,
- `model.keras` or `model.safetensors`: the weights in their own framework, in float whatever the graph computes in,
- `sample.npz`: `input` (N, H, W, C) float32 as the network takes it, and `output` that it must give,
- `CARD.md`: the model card.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bioseg.bundles import inspection
from bioseg.bundles.inspection import CARD, MANIFEST, ONNX, SAMPLE, WEIGHTS
from bioseg.bundles.json_text import parse, shown
from bioseg.errors import BundleError

__all__ = [
    "CARD",
    "MANIFEST",
    "ONNX",
    "SAMPLE",
    "VERSION_NAME",
    "WEIGHTS",
    "Bundle",
    "Contract",
    "Floats",
    "Manifest",
    "read",
    "seal",
    "sha256_of",
]

VERSION_NAME = re.compile(r"[a-z0-9.-]{1,64}")

LARGEST_SIDE = 4096
"""Pixels of an image that is resized to one side, and of what is added to it; also the most classes."""

Floats = NDArray[np.float32]


class Contract(BaseModel):
    """What a network takes and gives, and how its output is read.

    Parameters
    ----------
    study, version
        The name under which the registry holds the bundle; the version matches `[a-z0-9.-]{1,64}`.
    task
        `segmentation`: output (N, H, W, 1), probability of the foreground in [0, 1].
        `classification`: output as `evidence` says.
    framework, architecture
        What rebuilds the network from its weights.
    axes
        Order that the exported graph takes; predictors always take NHWC.
    channels
        1: grayscale, 3: RGB.
    normalisation
        `standard`: zero mean, unit variance over the whole image. `unit`: [0, 1].
    side
        Images are resized to (side, side) when set; None: any size.
    multiple
        Height and width are padded to a multiple of this.
    halo
        Pixels of context on each side that make a tile equal to the whole image, from the receptive field.
    precision
        OpenVINO's inference precision.
    evidence
        Classification: what the network gives. `image`: logits (N, classes). `place`: (N, h, w, classes), whose mean
        over all places are the logits, so that they show where the evidence for a class lies (class activation map,
        Zhou et al. 2016).
    judged
        `whole` pictures, once. Classification: `crops`, the mean logits of the whole picture and five overlapping
        crops, each of them mirrored as well. Segmentation: `eightfold`, the mean probability over all flips and quarter
        turns.
    classes
        Classes in the order of the logits; for segmentation the name of the foreground.
    threshold
        Segmentation: foreground where the probability is above it.
    most_regions
        Segmentation: so many regions above the threshold, the largest ones, keep their probability. None: all.
    temperature
        Classification: logits are divided by it (Guo et al. 2017).
    accept_at, reject_below
        Screening: summed probability of the accepted kinds at which an image is accepted, and under which rejected.
    tolerance
        Largest absolute difference at which the replayed sample still counts as reproduced.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    study: str
    version: str = Field(pattern=rf"^{VERSION_NAME.pattern}$")
    task: Literal["segmentation", "classification"]
    framework: Literal["keras", "torch"]
    architecture: str
    axes: Literal["NHWC", "NCHW"]
    channels: Literal[1, 3]
    normalisation: Literal["standard", "unit"]
    side: int | None = Field(default=None, ge=1, le=LARGEST_SIDE)
    multiple: int = Field(default=1, ge=1, le=LARGEST_SIDE)
    halo: int = Field(default=0, ge=0, le=LARGEST_SIDE)
    precision: Literal["f32", "bf16", "int8"] = "f32"
    evidence: Literal["image", "place"] = "image"
    judged: Literal["whole", "crops", "eightfold"] = "whole"
    classes: tuple[str, ...] = Field(min_length=1, max_length=LARGEST_SIDE)
    threshold: float = Field(default=0.5, ge=0, le=1)
    most_regions: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    accept_at: float = Field(default=0.9, ge=0, le=1)
    reject_below: float = Field(default=0.5, ge=0, le=1)
    tolerance: float = Field(default=1e-4, gt=0, le=1)


class Manifest(BaseModel):
    """Content of `bundle.json`.

    Parameters
    ----------
    contract
        How the network is fed and read.
    files
        Sha256 of every other file of the bundle, by name.
    metrics
        Figures with split hash, n and interval, as `bioseg evaluate --json` gives them.
    provenance
        Recipe, split hashes, library versions, seed, tracking run: what is needed to fit the same network again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    created: str
    contract: Contract
    files: dict[str, str]
    metrics: dict[str, Any] = {}
    provenance: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def contract(self) -> Contract:
        """How the network is fed and read."""
        return self.manifest.contract

    @property
    def onnx(self) -> Path:
        """The exported graph."""
        return self.path / ONNX

    @property
    def weights(self) -> Path:
        """The weights in the network's own framework."""
        return self.path / WEIGHTS[self.contract.framework]

    @property
    def digest(self) -> str:
        """Sha256 of the manifest, which holds those of all other files: what tells one content from another."""
        return sha256_of(self.path / MANIFEST)

    def sample(self) -> tuple[Floats, Floats]:
        """Input (N, H, W, C) and the output that the network must reproduce on it; raises BundleError."""
        inspection.check(self.path / SAMPLE)
        with np.load(self.path / SAMPLE, allow_pickle=False) as arrays:
            return arrays["input"], arrays["output"]


def read(path: Path) -> Bundle:
    """Open a bundle, check every file against its hash, and see that none can do harm.

    Raises
    ------
    BundleError
        When the manifest is missing or malformed, a file is missing, added or altered, or `inspection` refuses one.
    """
    names = inspection.files(path) - {MANIFEST}
    manifest = _manifest(path / MANIFEST)
    if names != set(manifest.files):
        different = shown(", ".join(sorted(names ^ set(manifest.files))))
        raise BundleError(f"{path} and its manifest disagree on: {different}; publish the bundle again")
    inspection.require_known(path, names)
    for name, expected in manifest.files.items():
        if sha256_of(path / name) != expected:
            raise BundleError(f"{path / name} was altered (sha256 differs from the manifest); publish the bundle again")
    for name in sorted(names):
        inspection.check(path / name)
    return Bundle(path, manifest)


def _manifest(file: Path) -> Manifest:
    try:
        return Manifest.model_validate(parse(file.read_bytes(), file))
    except FileNotFoundError as error:
        raise BundleError(f"{file.parent} is no bundle: it lacks {MANIFEST}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = shown(".".join(str(part) for part in first["loc"]))
        raise BundleError(f"{file} is malformed: {where}: {first['msg']}; publish the bundle again") from error


def seal(
    path: Path, contract: Contract, *, created: str, metrics: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Bundle:
    """Hash the files of a folder, write its manifest, and read the bundle back."""
    files = {file.name: sha256_of(file) for file in sorted(path.iterdir()) if file.name != MANIFEST}
    manifest = Manifest(
        created=created, contract=contract, files=files, metrics=dict(metrics), provenance=dict(provenance)
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True)
    (path / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return read(path)


def sha256_of(file: Path) -> str:
    """Sha256 of a file's bytes, 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
