"""Shenzhen chest X-rays: frontal, 512x512 pixels here, both lungs in one mask.

Jaeger et al., "Two public chest X-ray datasets for computer-aided screening of pulmonary diseases", Quantitative
Imaging in Medicine and Surgery 2014, research use with that citation; masks by Stirenko et al. 2018, Creative Commons
BY-NC-SA 4.0. Mask images: 255 = lung. A name `CHNCXR_nnnn_d.png` gives the patient, and d = 1 for tuberculosis.

The group is the patient.
"""

from pathlib import Path

from bioseg.datasets import Sample, Splits, files_in, pair_by_stem, split_by_group

NAME = "lung_shenzhen"
LUNG = 255


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All X-rays, by name, each with its mask, labelled `tuberculosis` or `normal`."""
    root = data_dir / NAME
    return tuple(
        Sample(
            image,
            source=NAME,
            group=f"{NAME}/{image.stem.split('_')[1]}",
            masks=(mask,),
            label="tuberculosis" if image.stem.endswith("_1") else "normal",
        )
        for image, mask in pair_by_stem(
            files_in(root / "image", ".png"), files_in(root / "mask", ".png"), suffix="_mask"
        )
    )


def splits(data_dir: Path) -> Splits:
    """X-rays by patient: 60 % fit, 15 % choose, 25 % score."""
    return split_by_group(samples(data_dir))
