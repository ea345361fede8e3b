"""Cloudinary image dataset CID22: photographs, 256x256 pixels, in colour.

Sneyers et al., "CID22: large-scale subjective quality assessment for high fidelity image compression", 2023, in
imazen/codec-corpus; Creative Commons BY-SA. Each photograph is a group of its own.
"""

from pathlib import Path

from bioseg.datasets import Sample, files_in

NAME = "cid22"
LABEL = "photo"


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All photographs, by name."""
    files = files_in(data_dir / "other" / NAME, ".jpg")
    return tuple(Sample(file, source=NAME, group=f"{NAME}/{file.stem}", label=LABEL) for file in files)
