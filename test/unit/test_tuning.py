"""Searches over the settings of recipes, on tiny twins."""

import json
from dataclasses import replace

import optuna
import pytest
from mlflow import MlflowClient

from bioseg import studies
from bioseg.datasets import Splits, isbi2012
from bioseg.datasets.augment_picture import PictureView
from bioseg.study import ClassifierRecipe, SegmenterRecipe
from bioseg.testing.fake_tracker import FakeTracker
from bioseg.training import optuna_tuning
from bioseg.training.optuna_tuning import Watched, figure_of, shortened
from bioseg.training.search_space import applied, as_code, own, space_of

MEMBRANE, KINDS = studies.get("membrane"), studies.get("kinds")
TINY = SegmenterRecipe(filters=(4, 8), size=32, epochs=10, steps=8, batch=2)


def test_the_recipe_is_where_it_stands_in_its_space():
    values = own(MEMBRANE, SegmenterRecipe(border=3.0))
    assert values == {
        "learning_rate": 2e-3,
        "weight_decay": 1e-3,
        "border": 3.0,
        "augmentation": 1.0,
        "width": 1.0,
        "loss": "bce+dice",
    }


def test_what_lies_beyond_the_space_is_taken_to_its_limit():
    recipe = SegmenterRecipe(weight_decay=0.0)
    assert own(MEMBRANE, recipe)["weight_decay"] == space_of(MEMBRANE, recipe)["weight_decay"].low


def test_only_boundaries_are_searched_for_what_parts_regions():
    assert set(space_of(MEMBRANE, TINY)) - set(space_of(studies.get("lung"), TINY)) == {"border"}


@pytest.mark.parametrize(("study", "name"), [(MEMBRANE, "default"), (KINDS, "default")])
def test_a_recipe_with_its_own_values_fits_as_before(study, name):
    recipe = study.recipes[name]
    same = applied(study, recipe, own(study, recipe))
    views = {kind: recipe.views.get(kind, PictureView()) for kind in study.classes} if study is KINDS else None
    assert same == (recipe if views is None else replace(recipe, views=views))


def test_width_and_strength_are_factors():
    recipe = applied(MEMBRANE, SegmenterRecipe(), {"width": 1.5, "augmentation": 0.5})
    assert recipe.filters == (12, 48, 96, 192, 384)
    assert (recipe.augmentation.elastic, recipe.augmentation.rotation) == (1.5, 180.0)


def test_views_of_every_class_stray_as_far():
    views = applied(KINDS, ClassifierRecipe(), {"augmentation": 2.0}).views
    assert {name: view.contrast for name, view in views.items()} == dict.fromkeys(KINDS.classes, 0.8)


def test_no_view_loses_all_contrast_or_light():
    strongest = applied(KINDS, KINDS.recipes["default"], {"augmentation": 2.0}).views
    assert max(max(view.contrast, view.shading) for view in strongest.values()) < 1
    assert strongest["membrane EM"].gamma == 2 * KINDS.recipes["default"].views["membrane EM"].gamma


def test_the_code_of_a_recipe_makes_the_recipe():
    recipe = replace(applied(MEMBRANE, TINY, {"augmentation": 0.5}), loss="focal")
    names = {type(each).__name__: type(each) for each in (recipe, recipe.augmentation)}
    assert eval(as_code(recipe), names) == recipe


def test_a_short_fit_takes_a_share_of_the_steps_in_epochs_of_its_own():
    short = shortened(SegmenterRecipe(epochs=27, steps=100), 0.1)
    assert (short.epochs, short.steps) == (20, 14)


def test_a_short_fit_of_a_pretrained_classifier_parts_its_epochs_as_the_whole_one_does():
    short = shortened(ClassifierRecipe(pretrained=True, head_epochs=2, epochs=6, steps=50), 0.1)
    assert (short.head_epochs, short.epochs, short.steps) == (5, 15, 2)


class TestWatched:
    @pytest.fixture
    def search(self):
        return optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=0.5))

    def test_the_figure_on_the_samples_for_choosing_is_reported(self, search):
        watched = Watched(FakeTracker(), search.ask())
        watched.curve(5, {"loss": 0.1})
        watched.curve(10, {"loss": 0.1, "choose_dice": 0.7})
        assert watched.figure == 0.7

    def test_a_fit_that_does_badly_is_given_up_after_its_point_is_kept(self, search):
        tracker = FakeTracker()
        with pytest.raises(optuna.TrialPruned):
            Watched(tracker, search.ask()).curve(5, {"choose_dice": 0.2})
        assert tracker.points == [(5, {"choose_dice": 0.2})]

    def test_a_run_that_is_given_up_says_so(self, search, monkeypatch):
        def fit(_study, _recipe, _splits, run):
            run.report(5, 40, 0.25, {"choose_dice": 0.2})

        monkeypatch.setattr(optuna_tuning, "fit", fit)
        tracker = FakeTracker()
        assert figure_of(MEMBRANE, TINY, Splits((), (), ()), Watched(tracker, search.ask())) is None
        assert tracker.settings["given_up"] is True


@pytest.fixture
def search(bioseg, data, monkeypatch):
    """The command, on a tiny recipe of `membrane` and three sections of its twin; gives what it reports."""
    splits = isbi2012.splits(data)
    few = replace(splits, fit=splits.fit[:2], choose=splits.choose[:1])
    study = replace(MEMBRANE, recipes={"tiny": TINY}, splits=lambda _folder: few)
    monkeypatch.setitem(studies.all_studies(), "membrane", study)
    monkeypatch.setattr(optuna_tuning, "EPOCHS", 5)
    return lambda *options: bioseg("tune", "membrane", "--recipe", "tiny", "--json", *options)


def test_a_search_goes_on_where_it_was_and_tracks_each_trial_below_its_own_run(search, tmp_path):
    first, again = (json.loads(search("--trials", trials).out) for trials in (1, 2))
    assert first["trials"][0]["settings"] == own(MEMBRANE, TINY)
    assert again["trials"][0] == first["trials"][0]
    assert [each["state"] for each in again["trials"]] == ["complete", "complete"]
    assert again["best"]["value"] == max(each["value"] for each in again["trials"])
    assert again["code"].startswith("SegmenterRecipe(filters=(")

    client = MlflowClient(f"sqlite:///{tmp_path / 'state' / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("bioseg/membrane training").experiment_id
    runs = client.search_runs([experiment], order_by=["attributes.start_time"])
    assert [run.info.run_name for run in runs] == ["tuning tiny", "trial 0", "tuning tiny", "trial 1"]
    assert [runs[number].data.tags.get("mlflow.parentRunId") for number in (1, 3)] == [
        runs[number].info.run_id for number in (0, 2)
    ]
    assert runs[3].data.metrics["choose_dice"] == again["trials"][1]["value"]

    other = search("--trials", 2, "--share", 0.2)
    assert other.code == 2
    assert "is of a search with other data, another recipe or share: remove it to begin anew" in other.err
