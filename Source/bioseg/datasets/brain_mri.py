"""Brain MRI with and without a tumour: slices of many scanners and planes, at most 256 pixels, gray.

Chakrabarty, "Brain MRI images for brain tumor detection", Kaggle 2019, as in MohamedAliHabib/Brain-Tumor-Detection;
licence not stated. The folder names the class: `yes` (tumour) or `no`.

Patients are unknown: a group is a set of near-duplicate slices, and the reader loads the pixels to find them.
"""

from dataclasses import replace
from pathlib import Path

from bioseg.datasets import Dataset, Sample, Splits, brain_4class, files_in, split_by_group
from bioseg.datasets.fingerprints import regroup

NAME = "brain_mri"
DATASET = Dataset(
    name=NAME,
    title="brain MRI with and without a tumour",
    citation="Chakrabarty, Brain MRI images for brain tumor detection, Kaggle 2019",
    licence="not stated",
    source="https://www.kaggle.com/datasets/navoneel/brain-mri-images-for-brain-tumor-detection",
    layout="brain_mri/yes/*.jpg, brain_mri/no/*.jpg",
    steps=(
        "Log in at Kaggle and download the archive, or clone "
        "https://github.com/MohamedAliHabib/Brain-Tumor-Detection at 30470ae, and put the folders yes and no "
        "here. The split goes by the names: for the one used here, turn every blank and dot of a name into _ and "
        "add .jpg, so that Y100.JPG becomes Y100_JPG.jpg; remove exact duplicates."
    ),
)
LABELS = ("no", "yes")
LIKE = 0.93
"""Correlation of the thumbnails of slices that are too alike: two sets share patients, and even slices."""


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All slices, by class and name."""
    return regroup(
        [
            Sample(file, source=NAME, group=f"{NAME}/{label}/{file.stem}", label=label)
            for label in LABELS
            for file in files_in(data_dir / NAME / label, ".jpg", ".jpeg", ".png")
        ]
    )


def splits(data_dir: Path) -> Splits:
    """Slices by group: 60 % fit, 15 % choose, 25 % score; related are the typed tumours that `unlike` leaves."""
    own = samples(data_dir)
    return replace(split_by_group(own), related=unlike(own, data_dir))


def unlike(own: tuple[Sample, ...], data_dir: Path) -> tuple[Sample, ...]:
    """Slices of `brain_4class` that are like none of these, none when this copy of the data lacks that set."""
    if not brain_4class.DATASET.root(data_dir).is_dir():
        return ()
    both = regroup((*own, *brain_4class.samples(data_dir)), LIKE)
    like = {sample.group for sample in both if sample.source == NAME}
    return tuple(sample for sample in both if sample.source != NAME and sample.group not in like)
