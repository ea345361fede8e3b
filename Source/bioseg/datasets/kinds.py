"""Every source together, labelled with the kind of image: what the `kinds` classifier learns from.

All electron microscopy counts as `membrane EM`, other tissues and instruments too: a user who drops such an image wants
its membranes. Neighbouring planes of a volume are alike, so volumes are split into contiguous blocks with a gap between
parts. Everything else is split by group, near-duplicates across sources united (the pixels are read for that).
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bioseg.datasets import (
    Sample,
    Splits,
    brain_4class,
    brain_mri,
    bsds,
    cid22,
    dsb2018,
    dtd,
    em_medulla,
    em_unlabelled,
    isbi2012,
    isic2018,
    montgomery,
    shenzhen,
    split_by_group,
    synthetic_cells,
    synthetic_other,
    synthetic_sections,
)
from bioseg.datasets.fingerprints import regroup

NAME = "kinds"
KINDS = (
    "membrane EM",
    "chest X-ray",
    "dermoscopy",
    "brain MRI",
    "fluorescence",
    "histology",
    "photo",
    "texture",
    "other",
)
ROUND = 20
"""Drawn pictures before the first again: one in a round is a section and one shows cultured cells."""
SECTION, CELLS = 0, 10
"""Without drawn sections cracked ground makes every unusual one suspect; only eight real pictures show a culture."""
CHALLENGE_CHOOSE = range(10)
DATASETS = tuple(
    reader.DATASET
    for reader in (
        *(isbi2012, em_medulla, em_unlabelled, montgomery, shenzhen, isic2018, brain_mri, brain_4class),
        *(dsb2018, bsds, cid22, dtd),
    )
)

Reader = Callable[[Path], tuple[Sample, ...]]

# folder, reader, parts of its blocks in order
_VOLUMES: tuple[tuple[str, Reader, tuple[str, ...]], ...] = (
    ("em_medulla", em_medulla.samples, ("fit", "fit", "fit", "choose", "score")),
    ("em_unlabelled/medulla520", em_unlabelled.medulla520, ("fit", "fit", "fit", "choose", "score")),
    ("em_unlabelled/hela", em_unlabelled.hela, ("fit", "fit", "score", "choose")),
    ("em_unlabelled/axon-sem", em_unlabelled.axon_sem, ("fit", "score")),
)
# folder, reader, kind of all its images (none: the reader tells it)
_PICTURES: tuple[tuple[str, Reader, str | None], ...] = (
    ("lung_montgomery", montgomery.samples, "chest X-ray"),
    ("lung_shenzhen", shenzhen.samples, "chest X-ray"),
    ("skin_isic2018", isic2018.samples, "dermoscopy"),
    ("brain_mri", brain_mri.samples, "brain MRI"),
    ("brain_4class", brain_4class.samples, "brain MRI"),
    ("other/dsb2018", dsb2018.samples, None),
    ("other/bsds", bsds.samples, None),
    ("other/cid22", cid22.samples, None),
    ("other/dtd", dtd.samples, None),
)


def splits(data_dir: Path) -> Splits:
    """List the images of every source at hand, three ways, each labelled with one of `KINDS`, without masks.

    A source that the copy lacks is left out with a warning. Reads the pixels of all images that are split by group.

    Raises
    ------
    DatasetError
        When `isbi2012` is missing, or a source that is there is damaged.
    """
    folders = [folder for folder, *_ in (*_VOLUMES, *_PICTURES)]
    present = {folder for folder in folders if (data_dir / folder).is_dir()}
    if missing := [folder for folder in folders if folder not in present]:
        warnings.warn(f"missing under {data_dir}, so left out of {NAME}: {', '.join(missing)}", stacklevel=2)
    volumes = [_isbi2012(data_dir)]
    volumes += [split_by_block(read(data_dir), parts) for folder, read, parts in _VOLUMES if folder in present]
    pictures = [_as_kind(read(data_dir), kind) for folder, read, kind in _PICTURES if folder in present]
    return _joined(
        [
            *(_of_membranes(volume) for volume in volumes),
            split_by_group(regroup(tuple(chain.from_iterable(pictures)))),
        ]
    )


def draw(number: int) -> NDArray[np.uint8]:
    """Draw picture (H, W, 3), values 0 to 255, RGB: electron microscopy, or something of no collection."""
    return _drawn_by(number).draw(number)


def origin(number: int) -> tuple[str, str]:
    """Tell source and kind of a drawn picture."""
    module = _drawn_by(number)
    return module.NAME, module.LABEL


def _drawn_by(number: int) -> "_Drawings":
    drawings: dict[int, _Drawings] = {SECTION: synthetic_sections, CELLS: synthetic_cells}
    return drawings.get(number % ROUND, synthetic_other)


class _Drawings(Protocol):
    """A module of drawn pictures."""

    NAME: str
    LABEL: str

    def draw(self, index: int) -> NDArray[np.uint8]: ...


def without(source: str, data_dir: Path) -> Splits:
    """Split for the question what becomes of images of a source never seen.

    All images of the source are scored, beside those that `splits` scores; neither they nor what shares a group with
    them are there to fit on or choose with. Raises as `splits` does.
    """
    own = splits(data_dir)
    unseen = [sample for part in (own.fit, own.choose, own.score) for sample in part if sample.source == source]
    groups = {sample.group for sample in unseen}

    def others(part: Iterable[Sample]) -> tuple[Sample, ...]:
        return tuple(sample for sample in part if sample.source != source and sample.group not in groups)

    return Splits(fit=others(own.fit), choose=others(own.choose), score=(*others(own.score), *unseen))


def split_by_block(samples: Sequence[Sample], parts: Sequence[str]) -> Splits:
    """Split sections that stand in order: their n-th group goes to the n-th of `parts` (the last one repeats).

    Parts are `fit`, `choose` and `score`. The first section after a change of part is left out when its group has more
    than three: it is too like its neighbour on the other side.
    """
    groups = list(dict.fromkeys(sample.group for sample in samples))
    part = {group: parts[min(number, len(parts) - 1)] for number, group in enumerate(groups)}
    found: dict[str, list[Sample]] = {"fit": [], "choose": [], "score": []}
    for before, group in zip([groups[0], *groups], groups, strict=False):
        members = [sample for sample in samples if sample.group == group]
        gap = 1 if part[before] != part[group] and len(members) > 3 else 0
        found[part[group]] += members[gap:]
    return Splits(fit=tuple(found["fit"]), choose=tuple(found["choose"]), score=tuple(found["score"]))


def _isbi2012(data_dir: Path) -> Splits:
    train = isbi2012.splits(data_dir)
    stack = isbi2012.challenge(data_dir)
    choose = tuple(stack[number] for number in sorted(stack) if number in CHALLENGE_CHOOSE)
    score = tuple(stack[number] for number in sorted(stack) if number not in CHALLENGE_CHOOSE)
    return Splits(fit=train.fit, choose=(*train.choose, *choose), score=(*train.score, *score))


def _as_kind(samples: Iterable[Sample], kind: str | None) -> tuple[Sample, ...]:
    return tuple(replace(sample, label=kind or sample.label, masks=()) for sample in samples)


def _of_membranes(volume: Splits) -> Splits:
    return Splits(*(_as_kind(part, "membrane EM") for part in (volume.fit, volume.choose, volume.score)))


def _joined(parts: Sequence[Splits]) -> Splits:
    return Splits(
        fit=tuple(chain.from_iterable(part.fit for part in parts)),
        choose=tuple(chain.from_iterable(part.choose for part in parts)),
        score=tuple(chain.from_iterable(part.score for part in parts)),
    )
