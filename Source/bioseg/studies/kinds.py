"""The kind of an image: what screens the uploads of the other studies."""

from dataclasses import replace
from functools import partial

from bioseg.datasets import kinds, synthetic_other
from bioseg.datasets.augment_picture import PictureView
from bioseg.study import ClassifierRecipe, Drawn, Promotion, Study

# Each source shows a field of view of its own; images of other laboratories may show four times the area.
ANY = PictureView(invert=0.1, shading=0.7, wider=0.25)
UPRIGHT = replace(ANY, flip_vertical=0.1)
ANY_WAY_UP = replace(ANY, transpose=0.5)
# Other laboratories differ in stain, dose, focus and pixel size, and only five volumes are at hand. Some scanning
# micrographs show membranes bright on dark, and only one such image is fitted on.
EM = replace(
    ANY_WAY_UP,
    least_area=0.1,
    gray=0.0,
    invert=0.25,
    gamma=0.7,
    contrast=0.75,
    brightness=0.2,
    shading=0.9,
    blur=1.8,
    noise=0.12,
)
VIEWS = {
    "membrane EM": EM,
    "chest X-ray": UPRIGHT,
    "dermoscopy": ANY_WAY_UP,
    "brain MRI": UPRIGHT,
    "fluorescence": ANY_WAY_UP,
    "histology": ANY_WAY_UP,
    "photo": replace(UPRIGHT, gray=0.35),
    "texture": replace(ANY_WAY_UP, gray=0.5),
    "other": replace(ANY, gray=0.2),
}

# Sources of electron microscopy with eight images or more
UNSEEN = ("isbi2012", "em_medulla", "em_unlabelled/medulla520", "em_unlabelled/hela")

STUDY = Study(
    name="kinds",
    title="Kind of an image",
    task="classification",
    classes=kinds.KINDS,
    splits=kinds.splits,
    protocols={f"without-{source.split('/')[-1]}": partial(kinds.without, source) for source in UNSEEN},
    datasets=kinds.DATASETS,
    known_failures=(
        "Two in ten pictures of textures are taken for something else; a few of them and of drawn cracks pass for"
        " membranes.",
        "Electron microscopy unlike all sources and all drawings may be refused, and of cultured cells eight pictures"
        " of one culture were at hand.",
        "Of chest X-rays turned by 30 degrees half are refused, of the middles of brain MRI one in three.",
        "An image of a kind that no source shows, such as CT or ultrasound, is told as one of the known kinds.",
    ),
    promotion=Promotion(metric="accuracy"),
    drawn=Drawn(
        origin=kinds.origin,
        draw=kinds.draw,
        fit=synthetic_other.FIT[:3000],
        choose=synthetic_other.CHOOSE[:80],
        score=synthetic_other.SCORE[:120],
    ),
    recipes={
        "default": ClassifierRecipe(epochs=146, averaging=0.998, views=VIEWS),
        "brief": ClassifierRecipe(epochs=9, views=VIEWS),
        "vgg16": ClassifierRecipe(architecture="vgg16", batch=16, epochs=60, learning_rate=2e-4, views=VIEWS),
        "accurate": ClassifierRecipe(architecture="resnet50", side=224, epochs=40, views=VIEWS),
        "pretrained": ClassifierRecipe(pretrained=True, side=224, epochs=6, learning_rate=1e-3, views=VIEWS),
    },
)
