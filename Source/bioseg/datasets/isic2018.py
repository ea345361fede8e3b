"""ISIC 2018 task 1: dermoscopy of skin lesions with the lesion's outline, 384x384 pixels here (squashed to a square).

Codella et al., "Skin lesion analysis toward melanoma detection 2018", arXiv:1902.03368; Tschandl et al., "The HAM10000
dataset", Scientific Data 2018. Research use. Mask images: 255 = lesion, 0 = skin.

The publisher does not name patients: a group is a set of near-duplicate images, and the reader loads the pixels to find
them.
"""

from pathlib import Path

from bioseg.datasets import Dataset, Sample, Splits, files_in, pair_by_stem, split_by_group
from bioseg.datasets.fingerprints import regroup

NAME = "skin_isic2018"
LESION = 255
DATASET = Dataset(
    name=NAME,
    title="ISIC 2018 task 1: dermoscopy with lesion outlines",
    citation=(
        "Codella et al., Skin lesion analysis toward melanoma detection 2018, arXiv:1902.03368; Tschandl et al., "
        "The HAM10000 dataset, Scientific Data 2018"
    ),
    licence="ISIC 2018, research use",
    source="https://challenge.isic-archive.com/data/#2018",
    layout="skin_isic2018/image/ISIC_nnnnnnn.jpg, skin_isic2018/mask/ISIC_nnnnnnn.png or ISIC_nnnnnnn_segmentation.png",
    steps=(
        "Open the source page, register if it asks, download the training data and training ground truth of task "
        "1, and unpack the .jpg files into image/ and the .png masks into mask/. The copy used here has 600 of "
        "the 2,594 pairs, squashed to 384x384 pixels."
    ),
)


def samples(data_dir: Path) -> tuple[Sample, ...]:
    """All images, by name, each with its mask."""
    root = data_dir / NAME
    pairs = pair_by_stem(files_in(root / "image", ".jpg"), files_in(root / "mask", ".png"), suffix="_segmentation")
    return regroup([Sample(image, source=NAME, group=f"{NAME}/{image.stem}", masks=(mask,)) for image, mask in pairs])


def splits(data_dir: Path) -> Splits:
    """Images by group: 60 % fit, 15 % choose, 25 % score."""
    return split_by_group(samples(data_dir))
