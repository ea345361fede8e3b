"""Cloudinary image dataset CID22: photographs, 256x256 pixels, in colour.

Sneyers et al., "CID22: large-scale subjective quality assessment for high fidelity image compression", 2023, in
imazen/codec-corpus; Creative Commons BY-SA. Each photograph is a group of its own.
"""

from pathlib import Path

from bioseg.datasets import Dataset, Sample, files_in

NAME = "cid22"
DATASET = Dataset(
    name=NAME,
    title="CID22: photographs",
    citation=(
        "Sneyers et al., CID22: large-scale subjective quality assessment for high fidelity image compression, 2023"
    ),
    licence="Creative Commons BY-SA",
    source="https://github.com/imazen/codec-corpus",
    layout="other/cid22/*.jpg",
    steps=(
        "Clone the repository, convert the pictures of its folder CID22 to .jpg, at most 256 pixels wide, all "
        "into one folder."
    ),
    folder="other/cid22",
)
LABEL = "photo"


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All photographs, by name."""
    files = files_in(data_dir / "other" / NAME, ".jpg")
    return tuple(Sample(file, source=NAME, group=f"{NAME}/{file.stem}", label=LABEL) for file in files)
