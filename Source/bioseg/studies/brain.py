"""Brain MRI: whether there is a tumour."""

from dataclasses import replace

from bioseg.datasets import brain_4class, brain_mri
from bioseg.datasets.augment_picture import PictureView
from bioseg.study import ClassifierRecipe, Promotion, Study

# Some hundred slices are learnt by heart within minutes, so no view of one is much like another, the network has learnt
# from a thousand slices of typed tumours before.
VIEWS = dict.fromkeys(
    brain_mri.LABELS, PictureView(least_area=0.25, rotation=30, flip_vertical=0.0, contrast=0.4, gamma=0.5, noise=0.05)
)
TYPES = dict.fromkeys(
    brain_4class.LABELS, PictureView(least_area=0.7, rotation=15, flip_vertical=0.0, contrast=0.25, noise=0.05)
)
SMALL = ClassifierRecipe(architecture="cnn_attention", side=96, batch=64, epochs=20, averaging=0.99, smoothing=0.1)


def _after_types(first: ClassifierRecipe) -> ClassifierRecipe:
    """Let a network learn from typed tumours as this recipe says, then from the study's own slices."""
    tuning = replace(first, batch=32, epochs=5, learning_rate=first.learning_rate / 4, views=VIEWS, prior="sampled")
    return replace(tuning, related=replace(first, views=TYPES))


STUDY = Study(
    name="brain",
    title="Tumour in brain MRI, yes or no",
    task="classification",
    classes=brain_mri.LABELS,
    splits=brain_mri.splits,
    datasets=(brain_mri.DATASET, brain_4class.DATASET),
    known_failures=(
        "About one slice in five is told wrongly by fits that never saw its like, with and without a tumour alike.",
        "Its heat map tells where the network reads its evidence off, which need not be where a tumour is.",
        "Fitted on some hundred single slices of unknown patients: other sequences, children, and other diseases such"
        " as strokes are unknown to it.",
    ),
    promotion=Promotion(metric="accuracy"),
    screened_by="kinds",
    accepts=("brain MRI",),
    recipes={
        "default": _after_types(SMALL),
        "accurate": replace(_after_types(SMALL), judged="crops"),
        "cnn": _after_types(replace(SMALL, architecture="cnn")),
        "attention": _after_types(replace(SMALL, architecture="attention", learning_rate=1e-3)),
        "vgg16": _after_types(replace(SMALL, architecture="vgg16", side=64, batch=32, learning_rate=2e-4)),
    },
)
