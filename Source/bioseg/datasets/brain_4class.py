"""Brain MRI by type of tumour: glioma, meningioma, pituitary tumour or none, 224 pixels, gray.

Bhuvaji et al., "Brain tumor classification (MRI)", Kaggle 2020; most slices with a tumour come from Cheng, "Brain
tumor dataset", figshare 2017. Licence not stated. The folder names the class. The prefix of a file name is the
publisher's own split, which is not used: it parts neighbouring slices.

Patients are unknown, but neighbouring numbers in a series such as `training_gg (98)` are neighbouring slices of one
head (thumbnails correlate by .9 in the median, any two by .6); the testing series and `no_tumor` are shuffled. So a
group is ten consecutive numbers of an ordered series, or one slice of a shuffled one; groups that hold near-
duplicates are united, for which the reader loads the pixels.
"""

import re
from pathlib import Path

from bioseg.datasets import Dataset, Sample, Splits, files_in, split_by_group
from bioseg.datasets.fingerprints import regroup

NAME = "brain_4class"
DATASET = Dataset(
    name=NAME,
    title="brain MRI of glioma, meningioma, pituitary tumour or none",
    citation="Bhuvaji et al., Brain tumor classification (MRI), Kaggle 2020; Cheng, Brain tumor dataset, figshare 2017",
    licence="not stated",
    source="https://www.kaggle.com/datasets/sartajbhuvaji/brain-tumor-classification-mri",
    layout="brain_4class/{glioma,meningioma,no,pituitary}_tumor/{training_,testing_}NAME.jpg",
    steps=(
        "Log in at Kaggle and download the archive, or clone "
        "https://github.com/SartajBhuvaji/Brain-Tumor-Classification-DataSet at 3ea9f4e. Copy "
        "Training/CLASS/NAME.jpg to CLASS/training_NAME.jpg and Testing/CLASS/NAME.jpg to CLASS/testing_NAME.jpg;"
        " the reader needs the prefix to tell neighbouring slices."
    ),
)
LABELS = ("glioma_tumor", "meningioma_tumor", "no_tumor", "pituitary_tumor")
RUN = 10
NEIGHBOURS = 0.93


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """List all slices, by class and name."""
    return regroup(
        [
            Sample(file, source=NAME, group=f"{NAME}/{label}/{_run(file)}", label=label)
            for label in LABELS
            for file in files_in(data_dir / NAME / label, ".jpg", ".jpeg", ".png")
        ]
    )


def splits(data_dir: Path) -> Splits:
    """Split the slices by group: 60 % fit, 15 % choose, 25 % score.

    Slices that look like neighbours across the end of a run (thumbnails correlate by `NEIGHBOURS`) stay together too.
    """
    return split_by_group(regroup(samples(data_dir), NEIGHBOURS))


def _run(file: Path) -> str:
    ordered = re.fullmatch(r"training_((?:gg|m\d?|p)) ?\((\d+)\)", file.stem)
    return f"{ordered[1]}-{int(ordered[2]) // RUN}" if ordered else file.stem
