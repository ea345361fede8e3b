"""Brain MRI with and without a tumour: slices of many scanners and planes, at most 256 pixels, gray.

Chakrabarty, "Brain MRI images for brain tumor detection", Kaggle 2019, as in MohamedAliHabib/Brain-Tumor-Detection;
licence not stated. The folder names the class: `yes` (tumour) or `no`.

Patients are unknown: a group is a set of near-duplicate slices, and the reader loads the pixels to find them.
"""

from pathlib import Path

from bioseg.datasets import Sample, Splits, files_in, split_by_group
from bioseg.datasets.fingerprints import regroup

NAME = "brain_mri"
LABELS = ("no", "yes")


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
    """Slices by group: 60 % fit, 15 % choose, 25 % score."""
    return split_by_group(samples(data_dir))
