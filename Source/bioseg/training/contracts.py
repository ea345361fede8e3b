"""The contract of a network that a recipe builds, before its settings are chosen."""

from bioseg.bundles import VERSION_NAME, Contract
from bioseg.errors import InvalidInput
from bioseg.models.receptive_field import unet_halo
from bioseg.study import ClassifierRecipe, Recipe, SegmenterRecipe, Study

OF_THE_WHOLE_IMAGE = ("resnet18", "resnet50")
"""Classifiers that pool their features before they judge; all others judge each place."""

PLACE_TOLERANCE = 1e-3
"""Of the evidence at one place, which is of the order of 10: the mean over all, the logits, strays far less."""


def draft(study: Study, recipe: Recipe, version: str) -> Contract:
    """Say how the network of a recipe is fed and read; thresholds and temperature keep their defaults.

    Raises
    ------
    InvalidInput
        When the version is not `[a-z0-9.-]{1,64}`.
    """
    if not VERSION_NAME.fullmatch(version):
        raise InvalidInput(f"version {version!r} is no name: use 1 to 64 of a-z, 0-9, dot and hyphen")
    if isinstance(recipe, ClassifierRecipe):
        return _classifier(study, recipe, version)
    return _segmenter(study, recipe, version)


def _classifier(study: Study, recipe: ClassifierRecipe, version: str) -> Contract:
    of_places = recipe.architecture not in OF_THE_WHOLE_IMAGE
    return Contract(
        study=study.name,
        version=version,
        task="classification",
        framework="torch",
        architecture=recipe.architecture,
        axes="NCHW",
        channels=3,
        normalisation="unit",
        side=recipe.side,
        evidence="place" if of_places else "image",
        judged=recipe.judged,
        classes=study.classes,
        tolerance=PLACE_TOLERANCE if of_places else Contract.model_fields["tolerance"].default,
    )


def _segmenter(study: Study, recipe: SegmenterRecipe, version: str) -> Contract:
    levels = len(recipe.filters)
    squeezed = recipe.view == "resize"
    return Contract(
        study=study.name,
        version=version,
        task="segmentation",
        framework=recipe.framework,
        architecture=recipe.architecture,
        axes="NCHW",
        channels=recipe.channels,
        normalisation=recipe.normalisation,
        side=recipe.size if squeezed else None,
        multiple=1 if squeezed else 2 ** (levels - 1),
        halo=0 if squeezed else unet_halo(levels),
        judged=recipe.judged,
        classes=(study.foreground,),
        most_regions=study.most_regions,
    )
