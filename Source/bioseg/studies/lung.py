"""Lungs in frontal chest X-rays (Montgomery County and Shenzhen)."""

from dataclasses import replace
from pathlib import Path

from bioseg.datasets import Splits, montgomery, shenzhen, split_by_group
from bioseg.datasets.augment import Augmentation
from bioseg.study import Promotion, SegmenterRecipe, Study

# Other hospitals differ in exposure, processing, sharpness and how they place the patient, never by more than a few
# degrees.
VIEWS = Augmentation(
    rotation=15,
    shift=0.08,
    shear=5,
    zoom=0.25,
    flip_vertical=0.0,
    elastic=2.0,
    gain=0.4,
    gamma=0.5,
    shading=0.5,
    blur=1.5,
    outside="extended",
)
UNET = SegmenterRecipe(filters=(8, 16, 32, 64, 128, 192), view="resize", size=192, epochs=18, augmentation=VIEWS)
SMALL = replace(UNET, filters=(8, 16, 32, 64, 128), size=128)


def mixed(data_dir: Path) -> Splits:
    """X-rays of both hospitals by patient: 60 % fit, 15 % choose, 25 % score."""
    return split_by_group((*montgomery.samples(data_dir), *shenzhen.samples(data_dir)))


def montgomery_to_shenzhen(data_dir: Path) -> Splits:
    """What a network makes of another hospital: 85 % of Montgomery fit, the others choose, all of Shenzhen scores."""
    own = montgomery.splits(data_dir)
    return Splits(fit=own.fit + own.score, choose=own.choose, score=shenzhen.samples(data_dir))


STUDY = Study(
    name="lung",
    title="Lungs in chest X-rays",
    task="segmentation",
    classes=("chest X-ray", "other"),
    foreground="lung",
    foreground_value=montgomery.LUNG,
    screened_by="kinds",
    accepts=("chest X-ray",),
    splits=mixed,
    protocols={"montgomery-to-shenzhen": montgomery_to_shenzhen},
    datasets=(montgomery.DATASET, shenzhen.DATASET),
    known_failures=(
        "Air in the stomach, under the left lung, is taken for lung in some pictures.",
        "Of a lung that is white from collapse, effusion or dense disease only the part with air is outlined.",
        "Frontal pictures of two hospitals were measured; lateral ones and those of portable devices were not.",
    ),
    promotion=Promotion(metric="dice"),
    recipes={
        "default": UNET,
        "unet": SMALL,
        "bcdunet": replace(SMALL, architecture="bcdunet"),
        "torch-unet": replace(SMALL, framework="torch"),
    },
)
