"""Montgomery County chest X-rays: frontal, 512x512 pixels here, with one mask for each lung.

Jaeger et al., "Two public chest X-ray datasets for computer-aided screening of pulmonary diseases", Quantitative
Imaging in Medicine and Surgery 2014; US National Library of Medicine, research use with that citation. Mask images:
255 = lung; `leftMask` is the patient's left, right in the picture. A name `MCUCXR_nnnn_d.png` gives the patient, and
d = 1 for manifestations of tuberculosis.

The group is the patient; two patients whose pictures are near-duplicates share one, so the reader loads the pixels.
"""

from pathlib import Path

from bioseg.datasets import Dataset, Sample, Splits, files_in, pair_by_stem, split_by_group
from bioseg.datasets.fingerprints import regroup

NAME = "lung_montgomery"
DATASET = Dataset(
    name=NAME,
    title="Montgomery County chest X-rays with a mask for each lung",
    citation=(
        "Jaeger et al., Two public chest X-ray datasets for computer-aided screening of pulmonary diseases, "
        "Quantitative Imaging in Medicine and Surgery 2014"
    ),
    licence="US National Library of Medicine, research use with citation",
    source=(
        "https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/Montgomery-County-CXR-Set/MontgomerySet/index.html"
    ),
    layout=(
        "lung_montgomery/MontgomerySet/CXR_png/MCUCXR_nnnn_d.png, .../ManualMask/{leftMask,rightMask}/MCUCXR_nnnn_d.png"
    ),
    steps=(
        "Open the source page, download the set and put its folder MontgomerySet here unchanged. The copy used "
        "here has 512x512 pixels."
    ),
)
LUNG = 255


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All X-rays, by name, each with its two masks, labelled `tuberculosis` or `normal`."""
    root = data_dir / NAME / "MontgomerySet"
    images = files_in(root / "CXR_png", ".png")
    left = pair_by_stem(images, files_in(root / "ManualMask" / "leftMask", ".png"))
    right = pair_by_stem(images, files_in(root / "ManualMask" / "rightMask", ".png"))
    return regroup(
        [
            Sample(
                image,
                source=NAME,
                group=f"{NAME}/{image.stem.split('_')[1]}",
                masks=(left_mask, right_mask),
                label="tuberculosis" if image.stem.endswith("_1") else "normal",
            )
            for (image, left_mask), (_, right_mask) in zip(left, right, strict=True)
        ]
    )


def splits(data_dir: Path) -> Splits:
    """X-rays by patient: 60 % fit, 15 % choose, 25 % score."""
    return split_by_group(samples(data_dir))
