"""Berkeley segmentation data set (BSDS500): photographs of outdoor scenes, reduced to 256 pixels, in colour.

Arbelaez et al., "Contour detection and hierarchical image segmentation", IEEE TPAMI 2011. Research use. The contours
that people drew are not part of this layout. Each photograph is a group of its own.
"""

from pathlib import Path

from bioseg.datasets import Sample, files_in

NAME = "bsds"
LABEL = "photo"


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All photographs, by name."""
    files = files_in(data_dir / "other" / NAME, ".jpg")
    return tuple(Sample(file, source=NAME, group=f"{NAME}/{file.stem}", label=LABEL) for file in files)
