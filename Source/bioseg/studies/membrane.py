"""Cell membranes in electron microscopy (ISBI 2012)."""

from bioseg.datasets import isbi2012
from bioseg.datasets.augment import Augmentation
from bioseg.study import Promotion, SegmenterRecipe, Study

WIDER = (12, 40, 80, 160, 320)

STUDY = Study(
    name="membrane",
    title="Cell membranes in electron microscopy",
    task="segmentation",
    classes=("membrane", "other"),
    foreground="membrane",
    foreground_value=isbi2012.MEMBRANE,
    foreground_is="boundary",
    screened_by="kinds",
    accepts=("membrane EM",),
    splits=isbi2012.splits,
    datasets=(isbi2012.DATASET,),
    known_failures=(
        "A membrane cut obliquely is missed over some tens of pixels, so that two cells become one, large ones mostly.",
        "Fitted on one stack of fly neurons alone: on another laboratory's slices of fly medulla, with pixels of 8 nm, "
        "V_rand is .83 to .84 in place of .98 to .99. Other tissues pass the screen too, and how good their masks are "
        "is not known.",
    ),
    promotion=Promotion(metric="dice"),
    recipes={
        "default": SegmenterRecipe(epochs=23, refit_epochs=25, batch=16, border=4.0),
        "accurate": SegmenterRecipe(filters=WIDER, epochs=30, refit_epochs=35, batch=8, border=4.0),
        "eightfold": SegmenterRecipe(epochs=0, refit_epochs=0, judged="eightfold"),
        "taught": SegmenterRecipe(epochs=6, refit_epochs=6, learning_rate=1e-3, taught=True),
        "seed": SegmenterRecipe(
            architecture="plain_unet",
            filters=(64, 128, 256, 512, 1024),
            view="resize",
            size=256,
            epochs=5,
            steps=2000,
            batch=2,
            learning_rate=1e-4,
            schedule="constant",
            loss="bce",
            weight_decay=0.0,
            averaging=0.0,
            normalisation="unit",
            augmentation=Augmentation(
                rotation=0.2,
                shift=0.05,
                shear=0.05,
                zoom=0.05,
                flip_horizontal=0.5,
                flip_vertical=0.0,
                elastic=0.0,
                gain=0.0,
                bias=0.0,
                shading=0.0,
                blur=0.0,
                noise=0.0,
            ),
        ),
    },
)
