"""Search for better settings of a recipe with Optuna: many short fits, judged on the choosing split and tracked."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, Trial, TrialState

from bioseg import studies
from bioseg.datasets import Splits, digest
from bioseg.errors import DatasetError, InvalidInput
from bioseg.settings import Settings
from bioseg.study import ClassifierRecipe, Recipe, Study
from bioseg.telemetry import tracking_server
from bioseg.training import Progress, Run, Tracker
from bioseg.training.search_space import Options, Values, applied, as_code, own, space_of
from bioseg.training.train import SEED, fit, recipe_of

EPOCHS = 20
"""Of a short fit: the samples for choosing are looked at in every fifth, so it may be given up at three of four."""
UNPRUNED = 4
"""Fits that end before any is given up for doing worse than half of them did."""
JUDGED_BY = "choose_"
"""What the name of the curve begins with that a fit draws on the samples for choosing."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found so far.

    Parameters
    ----------
    trials
        Number, state, value and settings of each; the value is a figure on the samples for choosing, to be high.
    best
        Of them.
    code
        The recipe with the best settings, as it would stand in the study's `recipes`.
    """

    study: str
    recipe: str
    trials: Sequence[Mapping[str, Any]]
    best: Mapping[str, Any]
    code: str

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON takes it."""
        return asdict(self)

    def as_text(self) -> str:
        """Lay the trials out for a terminal."""
        lines = [f"{each['number']:3} {each['state']:8} {_shown(each)}" for each in self.trials]
        advice = f"Best: trial {self.best['number']}. To fit it whole, add to the recipes of {self.study}:"
        return "\n".join([*lines, advice, f'    "tuned": {self.code},'])


class Watched:
    """A tracker that also tells a trial how its fit does; raises `optuna.TrialPruned` when that is to be given up."""

    def __init__(self, tracker: Tracker, trial: Trial) -> None:
        self._tracker = tracker
        self._trial = trial
        self.figure: float | None = None

    @property
    def name(self) -> str:
        """Of the run."""
        return self._tracker.name

    def parameters(self, values: Mapping[str, object]) -> None:
        """Keep settings."""
        self._tracker.parameters(values)

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Keep a point of each curve, and report the one that judges."""
        self._tracker.curve(step, values)
        for name, value in values.items():
            if name.startswith(JUDGED_BY):
                self.figure = value
                self._trial.report(value, step)
                if self._trial.should_prune():
                    raise optuna.TrialPruned

    def picture(self, name: str, image: NDArray[np.uint8]) -> None:
        """Keep an image."""
        self._tracker.picture(name, image)

    def folder(self, path: Path) -> None:
        """Keep a folder."""
        self._tracker.folder(path)


def tune(
    study_name: str,
    recipe_name: str,
    settings: Settings,
    data_dir: Path,
    *,
    trials: int,
    minutes: float | None = None,
    share: float = 0.1,
    progress: Progress = lambda _done, _line: None,
) -> Found:
    """Fit a recipe with other settings, for a share of its steps each, and say which did best.

    The first trial has the recipe's own settings, the next ones are drawn, later ones by a tree-structured Parzen
    estimator (Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011). Each is a run in MLflow,
    child of one for the search. What was tried is kept in `tuning` of the state folder: the same command goes on.

    Parameters
    ----------
    trials
        So many in all, those of earlier calls among them.
    minutes
        After which no further trial is begun.

    Raises
    ------
    UnknownStudy, InvalidInput
        When there is no such study or recipe, or what was tried before has other data or another recipe.
    DatasetError
        When samples are missing.
    """
    tracking_server.limit_patience()
    from bioseg.training.mlflow_tracking import tracked

    study = studies.get(study_name)
    recipe = recipe_of(study, recipe_name)
    splits = study.splits(data_dir)
    if not splits.choose:
        raise DatasetError(f"no samples to judge the trials of {study.name} on: this copy of the data lacks them")
    search = _search(settings, study, recipe_name, _made_by(study, recipe, splits, share))
    if not search.trials:
        search.enqueue_trial(dict(own(study, recipe)))
    with tracked(settings, study.name, f"tuning {recipe_name}") as parent:

        def objective(trial: Trial) -> float:
            values = _drawn(trial, study, recipe)
            with tracked(settings, study.name, f"trial {trial.number}", parent.name) as tracker:
                short = shortened(applied(study, recipe, values), share)
                figure = figure_of(study, short, splits, Watched(tracker, trial))
            if figure is None:
                raise optuna.TrialPruned
            return figure

        def say(_search: optuna.Study, trial: FrozenTrial) -> None:
            progress(min(1.0, _ended(search) / trials), f"trial {trial.number} {_shown(_row(trial))}")

        left = max(0, trials - _ended(search))
        search.optimize(objective, left, None if minutes is None else 60 * minutes, callbacks=[say])
    code = as_code(applied(study, recipe, search.best_params))
    return Found(study.name, recipe_name, [_row(each) for each in search.trials], _row(search.best_trial), code)


def _search(settings: Settings, study: Study, recipe_name: str, made_by: Mapping[str, str]) -> optuna.Study:
    """Open what was tried before, or begin."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = settings.state_dir.resolve() / "tuning"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{study.name}-{recipe_name}.db"
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
    search = optuna.create_study(
        study_name=study.name, storage=f"sqlite:///{file}", direction="maximize", pruner=pruner, load_if_exists=True
    )
    if search.user_attrs.get("made_by", made_by) != made_by:
        raise InvalidInput(f"{file} is of a search with other data, another recipe or share: remove it to begin anew")
    search.set_user_attr("made_by", made_by)
    search.sampler = optuna.samplers.TPESampler(seed=SEED + len(search.trials))
    for broken in search.get_trials(states=(TrialState.RUNNING,)):
        search.tell(broken.number, state=TrialState.FAIL)
        search.enqueue_trial(broken.params)
    return search


def _made_by(study: Study, recipe: Recipe, splits: Splits, share: float) -> dict[str, str]:
    parts = {"fitted on": digest(splits.fit), "judged on": digest(splits.choose)}
    return {"recipe": repr(recipe), "space": repr(space_of(study, recipe)), "share": repr(share), **parts}


def _drawn(trial: Trial, study: Study, recipe: Recipe) -> Values:
    return {
        name: trial.suggest_categorical(name, each.values)
        if isinstance(each, Options)
        else trial.suggest_float(name, each.low, each.high, log=each.logarithmic)
        for name, each in space_of(study, recipe).items()
    }


def shortened(recipe: Recipe, share: float) -> Recipe:
    """The same recipe with a share of its steps, in `EPOCHS` epochs."""
    if not isinstance(recipe, ClassifierRecipe):
        return replace(recipe, epochs=EPOCHS, steps=_steps(recipe.epochs * recipe.steps, share))
    head = recipe.head_epochs if recipe.pretrained else 0
    epochs = recipe.epochs + head
    first = round(EPOCHS * head / epochs)
    return replace(recipe, head_epochs=first, epochs=EPOCHS - first, steps=_steps(epochs * recipe.steps, share))


def _steps(whole: int, share: float) -> int:
    return max(1, round(share * whole / EPOCHS))


def figure_of(study: Study, recipe: Recipe, splits: Splits, watched: Watched) -> float | None:
    """Fit, and give the last figure on the samples for choosing; None when the fit was given up, which is noted."""
    watched.parameters(asdict(recipe))
    with tempfile.TemporaryDirectory() as folder:
        try:
            fit(study, recipe, splits, Run(watched, lambda _done, _line: None, Path(folder), SEED))
        except optuna.TrialPruned:
            watched.parameters({"given_up": True})
            return None
    if watched.figure is None:
        raise InvalidInput(f"a fit of {study.name} drew no curve {JUDGED_BY}*: nothing to judge it by")
    return watched.figure


def _ended(search: optuna.Study) -> int:
    return len(search.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "settings": dict(trial.params),
    }


def _shown(row: Mapping[str, Any]) -> str:
    value = "     -" if row["value"] is None else f"{row['value']:.4f}"
    told = (
        f"{name} {each:.3g}" if isinstance(each, float) else f"{name} {each}" for name, each in row["settings"].items()
    )
    return f"{value}  {', '.join(told)}"
