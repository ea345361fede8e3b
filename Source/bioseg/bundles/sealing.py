"""Assembling a bundle, whole or not at all, and adding the figures that are measured on the finished one."""

import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bioseg.bundles import CARD, SAMPLE, Bundle, Contract, Floats, card, read, seal
from bioseg.errors import BundleError


def assemble(
    folder: Path,
    contract: Contract,
    write_network: Callable[[Path], None],
    sample: tuple[Floats, Floats],
    *,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Bundle:
    """Write a bundle beside its place and move it there when it is complete.

    Parameters
    ----------
    folder
        The bundle's own folder, `<study>/<version>`; must not exist.
    contract
        How the network is fed and read.
    write_network
        Writes weights and graph into the folder it is given.
    sample
        Input (N, H, W, C) and the output that the network gives.
    metrics, provenance
        As in the manifest; `card.text` says what the model card takes from them.

    Raises
    ------
    BundleError
        When the folder exists: a version never changes.
    """
    if folder.exists():
        raise BundleError(f"{folder} exists and a version never changes; choose another version name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="_new-", dir=folder.parent) as temporary:
        staged = Path(temporary) / folder.name
        staged.mkdir()
        write_network(staged)
        np.savez_compressed(staged / SAMPLE, input=sample[0], output=sample[1])
        text = card.text(contract, created=created, metrics=metrics, provenance=provenance)
        (staged / CARD).write_text(text, encoding="utf-8")
        seal(staged, contract, created=created, metrics=metrics, provenance=provenance)
        staged.rename(folder)
    return read(folder)


def reseal(bundle: Bundle, metrics: Mapping[str, Any]) -> Bundle:
    """Write figures that were measured on a bundle into its manifest and model card, before it is published.

    Weights, graph, sample and contract stay as they are.
    """
    manifest = bundle.manifest
    text = card.text(manifest.contract, created=manifest.created, metrics=metrics, provenance=manifest.provenance)
    (bundle.path / CARD).write_text(text, encoding="utf-8")
    return seal(
        bundle.path, manifest.contract, created=manifest.created, metrics=metrics, provenance=manifest.provenance
    )
