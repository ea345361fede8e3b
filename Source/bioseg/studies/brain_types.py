"""Brain MRI: glioma, meningioma, pituitary tumour, or none."""

from dataclasses import replace

from bioseg.datasets import brain_4class
from bioseg.datasets.augment_picture import PictureView
from bioseg.study import ClassifierRecipe, Promotion, Study

VIEWS = dict.fromkeys(
    brain_4class.LABELS, PictureView(least_area=0.7, rotation=15, flip_vertical=0.0, contrast=0.25, noise=0.05)
)
SMALL = ClassifierRecipe(architecture="cnn", side=96, epochs=60, averaging=0.99, smoothing=0.1, views=VIEWS)

STUDY = Study(
    name="brain-types",
    title="Type of tumour in brain MRI",
    task="classification",
    classes=brain_4class.LABELS,
    splits=brain_4class.splits,
    datasets=(brain_4class.DATASET,),
    known_failures=(
        "Meningiomas are the type that it tells worst: about one in five is taken for a glioma.",
        "Its heat map tells where the network reads its evidence off, which is seldom where a tumour is: behind"
        " self-attention every place has seen the whole picture.",
        "Every picture gets one of the four answers: metastases, other tumours and other diseases are unknown to it.",
    ),
    promotion=Promotion(metric="accuracy"),
    screened_by="kinds",
    accepts=("brain MRI",),
    recipes={
        "default": replace(SMALL, architecture="cnn_attention"),
        "accurate": replace(SMALL, architecture="cnn_attention", judged="crops"),
        "cnn": SMALL,
        "attention": replace(SMALL, architecture="attention", learning_rate=1e-3),
        "vgg16": replace(SMALL, architecture="vgg16", side=64, steps=5, batch=16, learning_rate=2e-4),
    },
)
