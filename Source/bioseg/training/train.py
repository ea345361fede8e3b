"""From the name of a study to a new version of it: fit, choose, score, keep."""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from bioseg import studies
from bioseg.bundles import Bundle
from bioseg.datasets import Splits
from bioseg.errors import BundleError, InvalidInput
from bioseg.registry import Registry
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.settings import Settings
from bioseg.study import ClassifierRecipe, Recipe, SegmenterRecipe, Study
from bioseg.telemetry import tracking_server
from bioseg.training import Progress, Run
from bioseg.training.contracts import draft
from bioseg.training.packing import pack, settle

SEED = 7


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a fit takes from earlier versions.

    Parameters
    ----------
    start
        Weights to begin with, as the network of the recipe takes them; None: random ones.
    teachers
        Versions that say what unlabelled samples show, for a recipe that is taught.
    commands
        What fitted each of these versions, by its name.
    """

    start: Any = None
    teachers: tuple[Bundle, ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict)


NOTHING = Inheritance()


def train(  # noqa: PLR0913 - the options of the command
    study_name: str,
    recipe_name: str,
    settings: Settings,
    data_dir: Path,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    version: str | None = None,
    refit: bool = False,
    start: str | None = None,
    teachers: Sequence[str] = (),
    split: str | None = None,
    progress: Progress = lambda _done, _line: None,
) -> Bundle:
    """Fit a recipe of a study, track it in MLflow, and add the scored bundle to the registry.

    A fit that breaks leaves its last checkpoint in `training/<study>/<version>` of the state folder. A segmenter of
    that version that is fitted again by the same settings goes on from there.

    Parameters
    ----------
    epochs, minutes
        Instead of the recipe's epochs. A time limit holds for each fit.
    version
        Name of the new version; None: today's date and a number.
    refit
        With the settings chosen, fit again on the samples for choosing too; that network becomes the bundle.
    start
        Version whose weights the fit begins with; None: random ones.
    teachers
        Versions that teach a segmenter whose recipe says so.
    split
        One of the study's protocols; None: its own splits.
    progress
        Told the share of a fit that is done, and its figures.

    Raises
    ------
    UnknownStudy, InvalidInput
        When there is no such study, recipe or split, the version is no name, or the one to start from is of another
        network.
    BundleError
        When the version exists, or the one to start from does not.
    DatasetError
        When samples are missing or damaged.
    """
    tracking_server.limit_patience()
    from bioseg.training.mlflow_tracking import tracked

    study = studies.get(study_name) if split is None else studies.get(study_name).under(split)
    recipe = recipe_of(study, recipe_name, epochs)
    registry = FolderRegistry(settings.models_dir, settings.state_dir / "models")
    version = new_version(registry.versions(study.name), version, datetime.now(UTC).date())
    draft(study, recipe, version)
    splits = study.splits(data_dir)
    inherited = _inherited(registry, study, recipe, start, teachers)
    options = {"recipe": recipe_name, "split": split, "start": start, "epochs": epochs, "minutes": minutes}
    chosen = [f"--{option} {value}" for option, value in options.items() if value is not None]
    chosen += [f"--teacher {teacher}" for teacher in teachers]
    command = " ".join(["bioseg train", study.name, *chosen, *(["--refit"] if refit else [])])
    checkpoints = kept_on_failure(settings.state_dir / "training" / study.name / version)
    with tracked(settings, study.name, f"{version} {recipe_name}") as tracker, checkpoints as folder:
        run = Run(tracker, progress, folder, SEED, minutes)
        fitting = fit_twice if refit else fit_once
        return fitting(study, recipe, splits, run, registry, version, command, inherited)


@contextmanager
def kept_on_failure(folder: Path) -> Iterator[Path]:
    """Make a folder, its parents too, that is removed when the body ends well and left when it raises."""
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder)


def fit_once(
    study: Study,
    recipe: Recipe,
    splits: Splits,
    run: Run,
    registry: Registry,
    version: str,
    command: str,
    inherited: Inheritance = NOTHING,
) -> Bundle:
    """Fit, choose the settings, score and keep; `command` is what does it again."""
    run.tracker.parameters(_parameters(recipe, run))
    network = fit(study, recipe, splits, run, inherited)
    provenance = _provenance(run, command, inherited)
    return _kept(run, pack(study, recipe, network, splits, registry, version=version, provenance=provenance))


def fit_twice(
    study: Study,
    recipe: Recipe,
    splits: Splits,
    run: Run,
    registry: Registry,
    version: str,
    command: str,
    inherited: Inheritance = NOTHING,
) -> Bundle:
    """Fit and choose the settings, then with them fit on the samples for choosing too, score and keep that network.

    A segmenter goes on from the first fit for its `refit_epochs`; a classifier begins anew.
    """
    run.tracker.parameters(_parameters(recipe, run))
    first = fit(study, recipe, splits, run, inherited)
    choice = settle(study, recipe, first, splits)
    joined = replace(splits, fit=(*splits.fit, *splits.choose), choose=())
    again = replace(run, stage="refit_")
    if isinstance(recipe, ClassifierRecipe):
        network = fit(study, recipe, joined, again, inherited)
    else:
        longer = replace(recipe, epochs=recipe.refit_epochs)
        network = fit(study, longer, joined, again, replace(inherited, start=first.get_weights()))
    provenance = _provenance(run, command, inherited)
    bundle = pack(study, recipe, network, joined, registry, version=version, provenance=provenance, choice=choice)
    return _kept(run, bundle)


def fit(study: Study, recipe: Recipe, splits: Splits, run: Run, inherited: Inheritance = NOTHING) -> Any:
    """Fit a network in the framework of its recipe; see `segmenter` and `torch_classifier`."""
    if isinstance(recipe, ClassifierRecipe):
        from bioseg.training import torch_classifier

        return torch_classifier.fit(study, recipe, splits, run, start=inherited.start)
    from bioseg.training import segmenter, teaching

    lessons = partial(teaching.lessons, recipe, splits, inherited.teachers)
    return segmenter.fit(study, recipe, splits, run, inherited.start, lessons)


def recipe_of(study: Study, name: str, epochs: int | None = None) -> Recipe:
    """Look a recipe up, with another number of epochs when told. Raises InvalidInput naming the recipes there are."""
    if name not in study.recipes:
        raise InvalidInput(f"{study.name} has no recipe {name!r}; there are: {', '.join(study.recipes)}")
    recipe = study.recipes[name]
    return recipe if epochs is None else replace(recipe, epochs=epochs)


def new_version(taken: Collection[str], wanted: str | None, today: date) -> str:
    """Name a version: as wanted, else today's first free `YYYY.MM.DD-N`. Raises BundleError when it is taken.

    >>> new_version(["2026.11.21-1"], None, date(2026, 11, 21))
    '2026.11.21-2'
    """
    if wanted is None:
        return next(name for name in (f"{today:%Y.%m.%d}-{number}" for number in count(1)) if name not in taken)
    if wanted in taken:
        raise BundleError(f"version {wanted} exists and a version never changes; choose another name")
    return wanted


def _inherited(
    registry: Registry, study: Study, recipe: Recipe, start: str | None, teachers: Sequence[str]
) -> Inheritance:
    if teachers and not (isinstance(recipe, SegmenterRecipe) and recipe.taught):
        raise InvalidInput("this recipe learns from no teacher: leave --teacher out, or name one that is taught")
    versions = {version: registry.open(study.name, version) for version in (start, *teachers) if version is not None}
    return Inheritance(
        None if start is None else _weights(recipe, versions[start]),
        tuple(versions[teacher] for teacher in teachers),
        {version: str(bundle.manifest.provenance["command"]) for version, bundle in versions.items()},
    )


def _weights(recipe: Recipe, bundle: Bundle) -> Any:
    """Weights of a version. Raises InvalidInput for a network of another framework than the recipe's."""
    if isinstance(recipe, ClassifierRecipe):
        from bioseg.inference import torch_runtime

        return torch_runtime.network(bundle).state_dict()
    if bundle.contract.framework != recipe.framework:
        named = f"{bundle.contract.study} {bundle.contract.version}"
        frameworks = f"{named} is of {bundle.contract.framework}, the recipe of {recipe.framework}"
        raise InvalidInput(f"{frameworks}: start from nothing")
    if recipe.framework == "torch":
        from bioseg.inference import torch_runtime

        return torch_runtime.segmenter(bundle).get_weights()
    from bioseg.inference import keras_runtime

    return keras_runtime.network(bundle).get_weights()


def _parameters(recipe: Recipe, run: Run) -> dict[str, object]:
    return asdict(recipe) | {"seed": run.seed, "minutes": run.minutes}


def _provenance(run: Run, command: str, inherited: Inheritance) -> dict[str, Any]:
    return {
        "command": command,
        "seed": run.seed,
        "minutes": run.minutes,
        "computed": run.computed,
        "tracking_run": run.tracker.name,
        "course": run.course,
    } | ({"inherited": dict(inherited.commands)} if inherited.commands else {})


def _kept(run: Run, bundle: Bundle) -> Bundle:
    """Keep the figures and files of a bundle in the tracked run."""
    run.tracker.curve(
        0, {f"score_{name}": metric["mean"] for name, metric in bundle.manifest.metrics["metrics"].items()}
    )
    run.tracker.folder(bundle.path)
    return bundle
