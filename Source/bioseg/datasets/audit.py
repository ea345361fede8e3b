"""Leaks between the parts of a split: shared groups, the same file twice, near-duplicate images.

The thresholds of `fingerprints` tell duplicates from neighbours: consecutive ISBI sections correlate by at most .7 on
thumbnails (17 and 18: .41, 19 and 20: .38), a picture and its recompressed copy by more than .99.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from bioseg.datasets import Sample, Splits
from bioseg.datasets.fingerprints import alike, fingerprints


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images that are too alike; `correlation` of their thumbnails, -1 to 1."""

    first: Path
    second: Path
    correlation: float


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found.

    Parameters
    ----------
    sizes
        Number of samples to fit, to choose and to score.
    straddling
        Groups with samples in more than one part.
    identical
        Sets of files in more than one part with the same bytes.
    alike
        Pairs of near-duplicate images in different parts.
    """

    sizes: tuple[int, int, int]
    straddling: tuple[str, ...]
    identical: tuple[tuple[Path, ...], ...]
    alike: tuple[Pair, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing leaks."""
        return not (self.straddling or self.identical or self.alike)


def audit(splits: Splits) -> Report:
    """Look for leaks between the parts of a split; reads every image.

    Raises
    ------
    DatasetError
        When a file is no readable image.
    """
    learnt_from = (*splits.fit, *splits.unlabelled, *splits.related)
    parts = (learnt_from, splits.choose, splits.score)
    prints = [fingerprints([sample.image for sample in part]) for part in parts]
    return Report(
        sizes=(len(splits.fit), len(splits.choose), len(splits.score)),
        straddling=straddling(parts),
        identical=identical(parts),
        alike=tuple(
            Pair(parts[m][i].image, parts[n][j].image, correlation)
            for m, n in combinations(range(len(parts)), 2)
            for i, j, correlation in alike(prints[m], prints[n])
        ),
    )


def straddling(parts: Sequence[Sequence[Sample]]) -> tuple[str, ...]:
    """Name the groups that have samples in more than one part, in order."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for number, part in enumerate(parts):
        for sample in part:
            found[sample.group].add(number)
    return tuple(sorted(group for group, numbers in found.items() if len(numbers) > 1))


def identical(parts: Sequence[Sequence[Sample]]) -> tuple[tuple[Path, ...], ...]:
    """List the sets of image files with the same sha256 that lie in more than one part."""
    found: defaultdict[str, list[tuple[int, Path]]] = defaultdict(list)
    for number, part in enumerate(parts):
        for sample in part:
            found[hashlib.sha256(sample.image.read_bytes()).hexdigest()].append((number, sample.image))
    return tuple(
        tuple(file for _, file in copies) for copies in found.values() if len({number for number, _ in copies}) > 1
    )
