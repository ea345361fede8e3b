"""What a search may change of a recipe, and the recipe that comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from bioseg.datasets.augment import Augmentation
from bioseg.datasets.augment_picture import PictureView
from bioseg.study import ClassifierRecipe, Recipe, SegmenterRecipe, Study

View = TypeVar("View", Augmentation, PictureView)
Value = float | str
Values = Mapping[str, Any]
"""Numbers and names, each by its setting."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, drawn evenly, or evenly in its logarithm."""

    low: float
    high: float
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """One of a few values."""

    values: tuple[Value, ...]


Space = Mapping[str, Range | Options]

SEGMENTER: Space = {
    "learning_rate": Range(3e-4, 6e-3, logarithmic=True),
    "weight_decay": Range(1e-4, 1e-1, logarithmic=True),
    "augmentation": Range(0.25, 2.0),
    "width": Options((0.5, 1.0, 1.5)),
    "loss": Options(("bce", "dice", "bce+dice", "focal")),
}
"""`augmentation` and `width` are factors: of how far views stray, and of the filters of each level."""
OF_BOUNDARIES: Space = {
    **SEGMENTER,
    "border": Range(0.0, 10.0),
    "loss": Options(("bce", "dice", "bce+dice", "focal", "bce+cldice")),
}
CLASSIFIER: Space = {
    "learning_rate": Range(3e-4, 6e-3, logarithmic=True),
    "weight_decay": Range(1e-3, 2e-1, logarithmic=True),
    "smoothing": Range(0.0, 0.2),
    "augmentation": Range(0.25, 2.0),
}
FACTORS = ("augmentation", "width")

STRAYING = {
    Augmentation: ("shift", "shear", "zoom", "elastic", "gain", "bias", "gamma", "colour", "shading", "blur", "noise"),
    PictureView: ("gamma", "contrast", "brightness", "shading", "blur", "noise"),
}
"""What the strength of views multiplies: no probabilities, and no turns, which membranes allow all."""

SHARES = ("contrast", "shading")
LARGEST_SHARE = 0.9
"""Of contrast or light: a view that loses all shows nothing, one that loses more is a negative."""


def space_of(study: Study, recipe: Recipe) -> Space:
    """What may be changed of a recipe of a study."""
    if isinstance(recipe, ClassifierRecipe):
        return CLASSIFIER
    return OF_BOUNDARIES if study.foreground_is == "boundary" else SEGMENTER


def own(study: Study, recipe: Recipe) -> Values:
    """Where a recipe stands in its space; beyond a limit, at the limit."""
    given = {name: 1.0 if name in FACTORS else getattr(recipe, name) for name in space_of(study, recipe)}
    return {name: _nearest(given[name], each) for name, each in space_of(study, recipe).items()}


def applied(study: Study, recipe: Recipe, values: Values) -> Recipe:
    """A recipe of a study with these values instead of its own."""
    named = {name: value for name, value in values.items() if name not in FACTORS}
    strength = float(values.get("augmentation", 1.0))
    if isinstance(recipe, SegmenterRecipe):
        width = float(values.get("width", 1.0))
        filters = tuple(max(1, round(width * channels)) for channels in recipe.filters)
        return replace(recipe, **named, filters=filters, augmentation=_strayed(recipe.augmentation, strength))
    views = {name: _strayed(recipe.views.get(name, PictureView()), strength) for name in study.classes}
    return replace(recipe, **named, views=views)


def as_code(recipe: Recipe) -> str:
    """What stands in a study's `recipes` for this recipe: all that differs from the defaults."""
    usual = type(recipe)()
    changed = [(each.name, getattr(recipe, each.name)) for each in fields(recipe)]
    told = [f"{name}={value!r}" for name, value in changed if value != getattr(usual, name)]
    return f"{type(recipe).__name__}({', '.join(told)})"


def _strayed(view: View, strength: float) -> View:
    strayed = {name: strength * getattr(view, name) for name in STRAYING[type(view)]}
    if isinstance(view, PictureView):
        strayed |= {name: min(strayed[name], max(LARGEST_SHARE, getattr(view, name))) for name in SHARES}
    return replace(view, **strayed)


def _nearest(value: Value, each: Range | Options) -> Value:
    if isinstance(each, Options):
        return value if value in each.values else each.values[0]
    return min(max(float(value), each.low), each.high)
