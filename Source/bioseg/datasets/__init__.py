"""Readers of images at rest, one file per source layout.

A reader lists samples by file name and loads no pixels, except where its docstring says so: to tell kinds of images
apart that the names do not (`dsb2018`), or to find near-duplicates that belong into one group (`brain_mri`,
`brain_4class`, `isic2018`, `montgomery`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bioseg.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is known of a source of images: whose it is, what it may be used for, and how to get it.

    Parameters
    ----------
    name
        Identifier in commands; each of its samples names it as the `source`, before the first slash.
    title
        What it holds, in words.
    citation, licence
        As its publisher asks; `not stated` is worth saying.
    source
        Address of the publisher's page.
    layout
        Files that its reader wants under the folder of the datasets.
    steps
        What a person does to get there from the page; empty where `published` lets a machine do it.
    folder
        Where it lies under the folder of the datasets, if not under its name.
    published
        List of its files with their sha256, as `fetch` reads it.
    """

    name: str
    title: str
    citation: str
    licence: str
    source: str
    layout: str
    steps: str = ""
    folder: str = ""
    published: Path | None = None

    @property
    def automatic(self) -> bool:
        """Whether `fetch` can download it; otherwise a person follows `steps`."""
        return self.published is not None

    def root(self, data_dir: Path) -> Path:
        """Folder of its files, given the folder of all datasets."""
        return data_dir / (self.folder or self.name)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image on disk and what is known of it.

    Parameters
    ----------
    image
        File with the pixels.
    masks
        Label images of the same width and height; several are united. Empty when there is no mask.
    label
        Class of the whole image, when the source gives one.
    source
        Name of the dataset, or one of its parts: `name/part`.
    group
        What must not straddle a split: a block of sections, a patient, a set of near-duplicates.
    """

    image: Path
    source: str
    group: str
    masks: tuple[Path, ...] = ()
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Splits:
    """Samples to fit on, to choose with (early stopping, thresholds, temperature) and to score on, never mixed.

    Nobody labelled the `unlabelled` ones: fitted networks can, for another to learn from. The `related` ones have
    labels of another study, for a network to learn from first; none of them is like a sample of the other parts.
    """

    fit: tuple[Sample, ...]
    choose: tuple[Sample, ...]
    score: tuple[Sample, ...]
    unlabelled: tuple[Sample, ...] = ()
    related: tuple[Sample, ...] = ()


def part_of(group: str) -> str:
    """Split of a group: `fit` (60 % of all groups), `choose` (15 %) or `score` (25 %), by the sha256 of its name.

    >>> part_of("brain_mri/yes/Y1.jpg") == part_of("brain_mri/yes/Y1.jpg")
    True
    """
    position = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) / 2**64
    return "fit" if position < 0.60 else "choose" if position < 0.75 else "score"


def split_by_group(samples: Sequence[Sample]) -> Splits:
    """Split samples of many groups three ways, each group whole; within a part the order stays as it is."""
    parts = [part_of(sample.group) for sample in samples]

    def block(part: str) -> tuple[Sample, ...]:
        return tuple(sample for sample, own in zip(samples, parts, strict=True) if own == part)

    return Splits(fit=block("fit"), choose=block("choose"), score=block("score"))


def folds(splits: Splits, count: int) -> tuple[Splits, ...]:
    """Deal the samples to `count` parts, each of which is scored once by a fit on all others; nothing chooses.

    Groups stay whole. They are dealt label by label, in the order of the sha256 of their names.

    Raises
    ------
    DatasetError
        When there are fewer groups than parts, or fewer than two parts.
    """
    everything = (*splits.fit, *splits.choose, *splits.score)
    dealt = {sample.group: str(sample.label) for sample in everything}
    if not 2 <= count <= len(dealt):
        raise DatasetError(f"{len(dealt)} groups cannot be dealt to {count} parts: ask for 2 to {len(dealt)}")
    ordered = sorted(dealt, key=lambda group: (dealt[group], hashlib.sha256(group.encode()).digest()))
    part = {group: number % count for number, group in enumerate(ordered)}
    return tuple(
        replace(
            splits,
            fit=tuple(sample for sample in everything if part[sample.group] != number),
            choose=(),
            score=tuple(sample for sample in everything if part[sample.group] == number),
        )
        for number in range(count)
    )


def digest(samples: Sequence[Sample]) -> str:
    """Sha256 of what a split holds: labels, sources and the bytes of every image and mask, in any order.

    Returns 64 hexadecimal digits. It names the split in every reported metric, wherever the files lie.
    """
    lines = []
    for sample in samples:
        files = (sample.image, *sample.masks)
        hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        lines.append(" ".join([sample.source, sample.label or "-", *hashes]))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """Files of a folder with one of the suffixes (lower case, with the dot), by name.

    Raises
    ------
    DatasetError
        When the folder is missing or holds no such file.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is missing: `bioseg data fetch NAME` gets a dataset or says how (`bioseg data list` has the "
            "names), or point BIOSEG_DATA_DIR at a copy"
        )
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in suffixes)
    if not found:
        raise DatasetError(f"{folder} holds no file ending in {', '.join(suffixes)}")
    return found


def pair_by_stem(images: Sequence[Path], labels: Sequence[Path], suffix: str = "") -> list[tuple[Path, Path]]:
    """Pair images with labels of the same stem, in the order of the images.

    `suffix` is what a publisher appends to the stems of labels, such as `_mask`; labels without it pair as well.

    Raises
    ------
    DatasetError
        When any file on either side has no partner, or a stem stands twice.
    """
    image_by_stem = {file.stem: file for file in images}
    label_by_stem = {file.stem.removesuffix(suffix): file for file in labels}
    if len(image_by_stem) != len(images) or len(label_by_stem) != len(labels):
        raise DatasetError("two files share a stem: rename one, pairs are made by stem")
    lonely = sorted(image_by_stem.keys() ^ label_by_stem.keys())
    if lonely:
        raise DatasetError(f"no partner of the same stem for: {', '.join(lonely[:8])}")
    return [(file, label_by_stem[file.stem]) for file in images]
