"""Electron microscopy of three further tissues without labels: what a membrane screen has to accept as well.

- `hela`: HeLa cell in serial block-face SEM, 10 nm pixels, 50 nm planes; reyesaldasoro/MitoEM (Karabag et al., PLoS ONE
  2020); licence not stated.
- `medulla520`: fly medulla in focused ion beam SEM, 8 nm isotropic; janelia-flyem/neuroproof_examples; Creative Commons
  BY.
- `axon-sem`: white matter in scanning EM; axondeepseg/data-example (Zaimi et al., Scientific Reports 2018); MIT.

The group is a block of neighbouring planes (`hela`, `medulla520`) or one picture (`axon-sem`).
"""

import re
from pathlib import Path

from bioseg.datasets import Dataset, Sample, files_in
from bioseg.errors import DatasetError

NAME = "em_unlabelled"
DATASET = Dataset(
    name=NAME,
    title="electron microscopy of HeLa cells, fly medulla and white matter, without labels",
    citation="Karabag et al., PLoS ONE 2020; Parag et al., PLoS ONE 2015; Zaimi et al., Scientific Reports 2018",
    licence="hela: not stated; medulla520: Creative Commons BY; axon-sem: MIT",
    source=(
        "https://github.com/reyesaldasoro/MitoEM, https://github.com/janelia-flyem/neuroproof_examples, "
        "https://github.com/axondeepseg/data-example"
    ),
    layout="em_unlabelled/hela/*_zNNNN.jpg, em_unlabelled/medulla520/iso.NNNNN.png, em_unlabelled/axon-sem/*.jpg",
    steps=(
        "Clone the three repositories and copy the EM pictures into hela/, medulla520/ and axon-sem/; the number "
        "at the end of a name is the plane."
    ),
)
HELA_BLOCK = 28
MEDULLA_BLOCK = 130


def hela(data_dir: Path) -> tuple[Sample, ...]:
    """Planes of the HeLa cell, lowest first."""
    return _stack(data_dir, "hela", ".jpg", HELA_BLOCK)


def medulla520(data_dir: Path) -> tuple[Sample, ...]:
    """Planes of the medulla, lowest first."""
    return _stack(data_dir, "medulla520", ".png", MEDULLA_BLOCK)


def axon_sem(data_dir: Path) -> tuple[Sample, ...]:
    """Pictures of white matter, by name."""
    files = files_in(data_dir / NAME / "axon-sem", ".jpg")
    return tuple(Sample(file, source=f"{NAME}/axon-sem", group=f"{NAME}/axon-sem/{file.stem}") for file in files)


def _stack(data_dir: Path, name: str, suffix: str, block: int) -> tuple[Sample, ...]:
    planes = sorted((_plane(file), file) for file in files_in(data_dir / NAME / name, suffix))
    return tuple(
        Sample(file, source=f"{NAME}/{name}", group=f"{NAME}/{name}/{plane // block:03d}") for plane, file in planes
    )


def _plane(file: Path) -> int:
    number = re.search(r"(\d+)$", file.stem)
    if number is None:
        raise DatasetError(f"{file} does not end in a plane number: keep the publisher's file names")
    return int(number[1])
