"""The kind of an image: what screens the uploads of the other studies."""

from bioseg.datasets import kinds, synthetic_other
from bioseg.datasets.augment_picture import PictureView
from bioseg.study import ClassifierRecipe, Drawn, Promotion, Study

UPRIGHT = PictureView(flip_vertical=0.1)
ANY_WAY_UP = PictureView(transpose=0.5)
VIEWS = {
    "membrane EM": ANY_WAY_UP,
    "chest X-ray": UPRIGHT,
    "dermoscopy": ANY_WAY_UP,
    "brain MRI": UPRIGHT,
    "fluorescence": ANY_WAY_UP,
    "histology": ANY_WAY_UP,
    "photo": PictureView(flip_vertical=0.1, gray=0.35),
    "texture": PictureView(transpose=0.5, gray=0.35),
    "other": PictureView(gray=0.2),
}

STUDY = Study(
    name="kinds",
    title="Kind of an image",
    task="classification",
    classes=kinds.KINDS,
    splits=kinds.splits,
    datasets=kinds.DATASETS,
    known_failures=(
        "Fewer than half of the pictures of textures are told as such; a few of them pass for membranes or for skin.",
        "Images with inverted intensities are told wrong more often than right.",
        "An image of a kind that no source shows, such as CT or ultrasound, is told as one of the known kinds.",
    ),
    promotion=Promotion(metric="accuracy"),
    drawn=Drawn(
        source=synthetic_other.NAME,
        label=synthetic_other.LABEL,
        draw=synthetic_other.draw,
        fit=synthetic_other.FIT[:600],
        choose=synthetic_other.CHOOSE[:80],
        score=synthetic_other.SCORE[:120],
    ),
    recipes={
        "default": ClassifierRecipe(views=VIEWS),
        "accurate": ClassifierRecipe(architecture="resnet50", side=224, epochs=40, views=VIEWS),
        "pretrained": ClassifierRecipe(pretrained=True, side=224, epochs=6, learning_rate=1e-3, views=VIEWS),
    },
)
