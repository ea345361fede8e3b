"""Skin lesions in dermoscopy (ISIC 2018, task 1)."""

from bioseg.datasets import isic2018
from bioseg.datasets.augment import Augmentation
from bioseg.study import Promotion, SegmenterRecipe, Study

# A lesion has no upright, fills a tenth of a picture or all of it, and its colours are the camera's as well.
VIEWS = Augmentation(
    rotation=180,
    zoom=0.25,
    elastic=0.0,
    gain=0.2,
    bias=0.2,
    gamma=0.2,
    colour=0.1,
    blur=1.0,
    noise=0.15,
)

STUDY = Study(
    name="skin",
    title="Skin lesions in dermoscopy",
    task="segmentation",
    classes=("dermoscopy", "other"),
    foreground="lesion",
    foreground_value=isic2018.LESION,
    most_regions=1,
    screened_by="kinds",
    accepts=("dermoscopy",),
    splits=isic2018.splits,
    datasets=(isic2018.DATASET,),
    known_failures=(
        "Pale lesions without pigment, and those that fill the picture, are outlined in part or not at all.",
        "Marks of a pen, a plaster or the rim of the lens beside a pale lesion are taken for it.",
        "Of several lesions in a picture only the largest is outlined.",
        "Measured on ISIC 2018 alone: other cameras, and skin tones that it lacks, were not.",
    ),
    promotion=Promotion(metric="dice"),
    recipes={
        "default": SegmenterRecipe(
            channels=3,
            filters=(12, 24, 48, 96, 128, 192),
            view="resize",
            size=160,
            epochs=26,
            batch=4,
            augmentation=VIEWS,
        ),
    },
)
