"""Shenzhen chest X-rays: frontal, 512x512 pixels here, both lungs in one mask.

Jaeger et al., "Two public chest X-ray datasets for computer-aided screening of pulmonary diseases", Quantitative
Imaging in Medicine and Surgery 2014, research use with that citation; masks by Stirenko et al. 2018, Creative Commons
BY-NC-SA 4.0. Mask images: 255 = lung. A name `CHNCXR_nnnn_d.png` gives the patient, and d = 1 for tuberculosis.

The group is the patient.
"""

from pathlib import Path

from bioseg.datasets import Dataset, Sample, Splits, files_in, pair_by_stem, split_by_group

NAME = "lung_shenzhen"
DATASET = Dataset(
    name=NAME,
    title="Shenzhen chest X-rays with one mask for both lungs",
    citation=(
        "Jaeger et al., Quantitative Imaging in Medicine and Surgery 2014; masks: Stirenko et al., Chest X-ray "
        "analysis of tuberculosis by deep learning with segmentation and augmentation, 2018"
    ),
    licence="images: research use with citation; masks: Creative Commons BY-NC-SA 4.0",
    source=(
        "https://www.kaggle.com/datasets/yoctoman/shcxr-lung-mask and "
        "https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/Shenzhen-Hospital-CXR-Set/index.html"
    ),
    layout="lung_shenzhen/image/CHNCXR_nnnn_d.png, lung_shenzhen/mask/CHNCXR_nnnn_d.png or CHNCXR_nnnn_d_mask.png",
    steps=(
        "Clone https://github.com/rochadiego/MultiResUNet-lung-segmentation at 234c65b, whose pictures have "
        "512x512 pixels: copy data/cxr/CHNCXR_*.png to image/ and data/masks/CHNCXR_*.png to mask/ (62 pairs are "
        "used here). At full size: log in at Kaggle, download the masks (yoctoman/shcxr-lung-mask) into mask/, "
        "download the X-rays from the National Library of Medicine and copy those that have a mask into image/."
    ),
)
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
