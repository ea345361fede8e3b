"""Skin lesions in dermoscopy (ISIC 2018, task 1)."""

from bioseg.datasets import isic2018
from bioseg.datasets.augment import Augmentation
from bioseg.study import Promotion, SegmenterRecipe, Study

# A lesion has no upright, fills a tenth of a picture or all of it, and its colours are the camera's as well.
VIEWS = Augmentation(
    rotation=180,
    shift=0.1,
    shear=10,
    zoom=0.4,
    elastic=2.0,
    gain=0.3,
    gamma=0.3,
    colour=0.15,
    shading=0.4,
    blur=1.2,
    noise=0.2,
)

STUDY = Study(
    name="skin",
    title="Skin lesions in dermoscopy",
    task="segmentation",
    classes=("dermoscopy", "other"),
    foreground="lesion",
    foreground_value=isic2018.LESION,
    screened_by="kinds",
    accepts=("dermoscopy",),
    splits=isic2018.splits,
    datasets=(isic2018.DATASET,),
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
