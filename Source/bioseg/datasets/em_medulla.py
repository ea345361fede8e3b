"""Fly medulla in focused ion beam SEM: 50 slices of 250x250 pixels, 8 nm isotropic, every fifth plane.

From the examples of NeuroProof (Parag et al., "A context-aware delayed agglomeration framework for electron microscopy
segmentation", PLoS ONE 2015), Janelia FlyEM; Creative Commons BY. Membrane images: 255 = membrane (the inverse of
ISBI), derived from the borders of the neuron labels.

The group is a block of 50 planes (400 nm).
"""

from pathlib import Path

from bioseg.datasets import Dataset, Sample, files_in, pair_by_stem

NAME = "em_medulla"
DATASET = Dataset(
    name=NAME,
    title="fly medulla in FIB-SEM, with membranes",
    citation=(
        "Parag et al., A context-aware delayed agglomeration framework for electron microscopy segmentation, PLoS"
        " ONE 2015"
    ),
    licence="Creative Commons BY",
    source="https://github.com/janelia-flyem/neuroproof_examples",
    layout="em_medulla/image/iso.NNNN.png, em_medulla/membrane/iso.NNNN.png (255 = membrane)",
    steps=(
        "Clone the repository. Copy every fifth plane (iso.2600.png, iso.2605.png ...) of "
        "training_sample1/grayscale_maps to image/. Draw each plane's membrane image from the neuron labels, 255 "
        "where two of them touch, and put it into membrane/ under the same name."
    ),
)
MEMBRANE = 255
BLOCK = 50


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """Slices from the lowest plane to the highest, each with its membrane image."""
    root = data_dir / NAME
    pairs = pair_by_stem(files_in(root / "image", ".png"), files_in(root / "membrane", ".png"))
    return tuple(
        Sample(image, source=NAME, group=f"{NAME}/{plane(image) // BLOCK:03d}", masks=(membrane,))
        for image, membrane in sorted(pairs, key=lambda pair: plane(pair[0]))
    )


def plane(image: Path) -> int:
    """Plane number in the volume, from a name such as `iso.2600.png`."""
    return int(image.stem.removeprefix("iso."))
