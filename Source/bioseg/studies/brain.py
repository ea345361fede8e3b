"""Brain MRI: whether there is a tumour."""

from dataclasses import replace

from bioseg.datasets import brain_mri
from bioseg.datasets.augment_picture import PictureView
from bioseg.study import ClassifierRecipe, Promotion, Study

# Some hundred slices are learnt by heart within minutes, so no view of one is much like another.
VIEWS = dict.fromkeys(
    brain_mri.LABELS, PictureView(least_area=0.25, rotation=30, flip_vertical=0.0, contrast=0.4, gamma=0.5, noise=0.05)
)
SMALL = ClassifierRecipe(architecture="cnn", side=96, epochs=16, averaging=0.99, smoothing=0.1, views=VIEWS)

STUDY = Study(
    name="brain",
    title="Tumour in brain MRI, yes or no",
    task="classification",
    classes=brain_mri.LABELS,
    splits=brain_mri.splits,
    datasets=(brain_mri.DATASET,),
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
        "default": SMALL,
        "cnn-attention": replace(SMALL, architecture="cnn_attention"),
        "attention": replace(SMALL, architecture="attention", learning_rate=1e-3),
        "vgg16": replace(SMALL, architecture="vgg16", side=64, steps=5, batch=16, learning_rate=2e-4),
    },
)
