"""Which images are the same picture twice: small thumbnails compared by difference hash and correlation.

A pair counts as near-duplicates when two views agree: the 64-bit difference hashes (signs of the horizontal
differences of a 9x8 thumbnail) differ in few bits, and the normalised correlation of 32x32 thumbnails is high. Either
alone errs: sparse pictures share hashes, and chest X-rays correlate with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bioseg.datasets import Sample
from bioseg.errors import DatasetError

SIDE = 32
MAX_BITS = 10
MIN_CORRELATION = 0.95


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What is compared of n images: hashes (n, 64) of -1 or 1, thumbs (n, 1024) of mean 0 and norm 1 (0 when blank)."""

    hashes: NDArray[np.float32]
    thumbs: NDArray[np.float32]


def thumbnail(file: Path, size: tuple[int, int], mode: str = "L") -> NDArray[np.float32]:
    """Picture reduced by area averaging to `size` (width, height), values 0 to 255; shape (H, W) or (H, W, channels).

    Raises
    ------
    DatasetError
        When the file is no readable image.
    """
    try:
        with Image.open(file) as image:
            image.draft(mode, (4 * size[0], 4 * size[1]))
            return np.asarray(image.convert(mode).resize(size, Image.Resampling.BOX), dtype=np.float32)
    except (UnidentifiedImageError, OSError) as error:
        raise DatasetError(f"{file} is no readable image ({error}): fetch it again or remove it") from error


def difference_hash(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sign of each horizontal difference of a gray picture (8, 9): 64 values, -1 or 1."""
    return np.where(np.diff(gray, axis=1) > 0, 1, -1).astype(np.float32).ravel()


def normalised(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Picture as a vector of mean 0 and norm 1, so that a dot product is a correlation; 0 when it is blank."""
    centred = gray.ravel() - gray.mean()
    norm = float(np.linalg.norm(centred))
    return np.asarray(centred / norm if norm > 1e-3 else 0 * centred, dtype=np.float32)


def fingerprints(files: Sequence[Path]) -> Fingerprints:
    """Fingerprints of image files, in their order."""
    grays = [thumbnail(file, (72, 64)) for file in files]
    small = [_shrink(gray, (9, 8)) for gray in grays]
    thumbs = [_shrink(gray, (SIDE, SIDE)) for gray in grays]
    return Fingerprints(
        hashes=np.array([difference_hash(gray) for gray in small], dtype=np.float32).reshape(len(files), 64),
        thumbs=np.array([normalised(gray) for gray in thumbs], dtype=np.float32).reshape(len(files), SIDE * SIDE),
    )


def alike(
    a: Fingerprints, b: Fingerprints, max_bits: int = MAX_BITS, min_correlation: float = MIN_CORRELATION
) -> list[tuple[int, int, float]]:
    """Near-duplicate pairs (index in a, index in b, correlation), in order of the indices."""
    bits = (64 - a.hashes @ b.hashes.T) / 2
    correlation = a.thumbs @ b.thumbs.T
    hits = np.argwhere((bits <= max_bits) & (correlation >= min_correlation))
    return [(int(i), int(j), float(correlation[i, j])) for i, j in hits]


def regroup(samples: Sequence[Sample], min_correlation: float = MIN_CORRELATION) -> tuple[Sample, ...]:
    """Unite the groups of near-duplicate images under the first of their names; the samples keep their order.

    Reads the pixels of every image. The groups do not depend on the order of the samples.
    """
    prints = fingerprints([sample.image for sample in samples])
    parent = {sample.group: sample.group for sample in samples}

    def root(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    for i, j, _ in alike(prints, prints, min_correlation=min_correlation):
        first, second = sorted((root(samples[i].group), root(samples[j].group)))
        parent[second] = first
    return tuple(replace(sample, group=root(sample.group)) for sample in samples)


def _shrink(gray: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BOX), dtype=np.float32)
