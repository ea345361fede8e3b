"""Berkeley segmentation data set (BSDS500): photographs of outdoor scenes, reduced to 256 pixels, in colour.

Arbelaez et al., "Contour detection and hierarchical image segmentation", IEEE TPAMI 2011. Research use. The contours
that people drew are not part of this layout. Each photograph is a group of its own.
"""

from pathlib import Path

from bioseg.datasets import Dataset, Sample, files_in

NAME = "bsds"
DATASET = Dataset(
    name=NAME,
    title="BSDS500: photographs",
    citation="Arbelaez et al., Contour detection and hierarchical image segmentation, IEEE TPAMI 2011",
    licence="research use",
    source="https://github.com/BIDS/BSDS500",
    layout="other/bsds/*.jpg",
    steps="Clone the repository and copy BSDS500/data/images/*/*.jpg into one folder.",
    folder="other/bsds",
)
LABEL = "photo"


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All photographs, by name."""
    files = files_in(data_dir / "other" / NAME, ".jpg")
    return tuple(Sample(file, source=NAME, group=f"{NAME}/{file.stem}", label=LABEL) for file in files)
