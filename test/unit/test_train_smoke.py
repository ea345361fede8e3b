import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bioseg import studies
from bioseg.datasets import isbi2012, kinds
from bioseg.errors import BundleError, InvalidInput
from bioseg.inference import keras_runtime, openvino_runtime, torch_runtime
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.study import ClassifierRecipe, SegmenterRecipe
from bioseg.testing import twins
from bioseg.testing.fake_tracker import FakeTracker
from bioseg.training import Run, packing, train
from bioseg.training.contracts import draft
from bioseg.training.packing import sample_input
from bioseg.training.train import fit_once, fit_twice, kept_on_failure, new_version, recipe_of

SEGMENTER = SegmenterRecipe(filters=(4, 8), size=32, epochs=5, steps=8, batch=4, averaging=0.5)
LOSSES = ("loss", "refit_loss")
HEAD = "head.weight"
CLASSIFIER = ClassifierRecipe(side=32, epochs=2, steps=4, batch=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.write_all(folder)
    return folder


def run(folder):
    return Run(FakeTracker(), lambda _done, _line: None, folder, seed=1)


def registry(folder):
    return FolderRegistry(folder / "shipped", folder / "trained")


def with_few_drawn(study):
    drawn = replace(study.drawn, fit=range(16), choose=range(100, 116), score=range(200, 216))
    return replace(study, drawn=drawn)


def replays(bundle, runtime):
    given, expected = bundle.sample()
    return np.abs(runtime.load(bundle, 1)(given) - expected).max() <= bundle.contract.tolerance


def test_a_segmenter_goes_from_images_to_a_scored_bundle_that_reloads(data, tmp_path):
    study, own = studies.get("membrane"), run(tmp_path)
    bundle = fit_once(study, SEGMENTER, isbi2012.splits(data), own, registry(tmp_path), "v1", "bioseg train membrane")
    reopened = registry(tmp_path).open("membrane", "v1")
    assert replays(reopened, openvino_runtime)
    assert replays(reopened, keras_runtime)
    assert reopened.manifest.metrics["n"] == 5
    assert reopened.manifest.metrics["metrics"]["dice"]["mean"] > 0.5
    assert reopened.manifest.provenance["command"] == "bioseg train membrane"
    assert reopened.contract.threshold == reopened.manifest.metrics["metrics"]["v_rand"]["threshold"]
    assert [step for step, _ in reopened.manifest.provenance["course"]["loss"]] == [8, 16, 24, 32, 40]
    assert own.tracker.folders == [bundle.path]
    assert json.loads((reopened.path / "bundle.json").read_text())["contract"]["halo"] > 0


def test_fitting_twice_joins_the_samples_for_choosing_and_keeps_the_settings(data, tmp_path):
    study, own, splits = studies.get("membrane"), run(tmp_path), isbi2012.splits(data)
    short = replace(SEGMENTER, epochs=1, refit_epochs=2)
    bundle = fit_twice(study, short, splits, own, registry(tmp_path), "v1", "bioseg train membrane --refit")
    assert bundle.manifest.provenance["images"] == {"fit": 20, "choose": 0, "score": 5}
    losses = {name: [values[name] for _, values in own.tracker.points if name in values] for name in LOSSES}
    assert [len(losses[name]) for name in LOSSES] == [1, 2]
    assert max(losses["refit_loss"]) < losses["loss"][0]
    assert "score_dice" in own.tracker.points[-1][1]


def test_a_recipe_without_steps_keeps_a_version_s_weights_and_judges_by_eight_views(data, tmp_path):
    study, splits, kept = studies.get("membrane"), isbi2012.splits(data), registry(tmp_path)
    first = fit_once(study, SEGMENTER, splits, run(tmp_path), kept, "v1", "bioseg train membrane")
    eightfold = replace(SEGMENTER, epochs=0, refit_epochs=0, judged="eightfold")
    inherited = train._inherited(kept, study, eightfold, "v1", ())
    (tmp_path / "again").mkdir()
    second = fit_twice(study, eightfold, splits, run(tmp_path / "again"), kept, "v2", "", inherited)
    assert (first.path / "model.onnx").read_bytes() == (second.path / "model.onnx").read_bytes()
    assert (first.contract.judged, second.contract.judged) == ("whole", "eightfold")
    dice = [bundle.manifest.metrics["metrics"]["dice"]["mean"] for bundle in (first, second)]
    assert dice[0] != dice[1]


def test_a_segmenter_of_torch_in_colour_goes_from_images_to_a_scored_bundle_that_reloads(data, tmp_path):
    study = studies.get("skin")
    recipe = replace(SEGMENTER, framework="torch", channels=3, view="resize")
    fit_once(study, recipe, study.splits(data), run(tmp_path), registry(tmp_path), "v1", "bioseg train skin")
    reopened = registry(tmp_path).open("skin", "v1")
    assert replays(reopened, openvino_runtime)
    assert replays(reopened, torch_runtime)
    assert reopened.manifest.metrics["metrics"]["dice"]["mean"] > 0.5
    assert (reopened.contract.channels, reopened.contract.side) == (3, 32)


def test_a_classifier_goes_from_images_to_a_scored_bundle_that_reloads(data, tmp_path):
    study = with_few_drawn(studies.get("kinds"))
    fit_once(study, CLASSIFIER, kinds.splits(data), run(tmp_path), registry(tmp_path), "v1", "bioseg train kinds")
    reopened = registry(tmp_path).open("kinds", "v1")
    assert replays(reopened, openvino_runtime)
    assert replays(reopened, torch_runtime)
    sources = reopened.manifest.metrics["sources"]
    drawn = [sources[name]["n"] for name in ("synthetic_other", "synthetic_sections", "synthetic_cells")]
    assert drawn == [14, 1, 1]
    assert "membrane" in reopened.manifest.metrics["screens"]
    assert reopened.contract.temperature != 1.0


def test_a_graph_that_gives_something_else_than_the_network_is_not_kept(data, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "draft", lambda *named: draft(*named).model_copy(update={"tolerance": 1e-30}))
    study = with_few_drawn(studies.get("kinds"))
    with pytest.raises(BundleError, match="differs by"):
        fit_once(study, CLASSIFIER, kinds.splits(data), run(tmp_path), registry(tmp_path), "v1", "")
    assert [] == list(registry(tmp_path).versions("kinds"))


def test_the_shipped_sample_is_drawn_on_the_scale_of_the_network():
    study = studies.get("kinds")
    picture = sample_input(draft(study, study.recipes["default"], "v1"))
    assert picture.shape == (1, 128, 128, 3)
    assert 0 <= picture.min() <= picture.max() <= 1


def test_the_checkpoints_of_a_fit_that_ends_well_are_removed(tmp_path):
    with kept_on_failure(tmp_path / "membrane" / "v1") as folder:
        (folder / "last.keras").write_bytes(b"weights")
    assert not folder.exists()


def test_the_checkpoints_of_a_fit_that_breaks_are_left(tmp_path):
    def fit_and_break(folder):
        (folder / "last.keras").write_bytes(b"weights")
        raise ArithmeticError

    with pytest.raises(ArithmeticError), kept_on_failure(tmp_path / "membrane" / "v1") as folder:
        fit_and_break(folder)
    assert (folder / "last.keras").read_bytes() == b"weights"


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match="there are: default, accurate, eightfold, taught, seed"):
        recipe_of(studies.get("membrane"), "fast")


def test_epochs_replace_the_recipe_s():
    assert recipe_of(studies.get("membrane"), "default", epochs=3).epochs == 3


def test_a_fit_of_a_classifier_begins_with_the_weights_of_a_version_and_says_what_fitted_that(data, tmp_path):
    study, splits, kept = with_few_drawn(studies.get("kinds")), kinds.splits(data), registry(tmp_path)
    first = fit_once(study, CLASSIFIER, splits, run(tmp_path), kept, "v1", "bioseg train kinds")
    inherited = train._inherited(kept, study, CLASSIFIER, "v1", ())
    stored = load_file(first.weights)
    assert all(torch.equal(stored[name], tensor) for name, tensor in inherited.start.items())
    still = replace(CLASSIFIER, epochs=1, steps=1, learning_rate=0.0, weight_decay=0.0)
    (tmp_path / "again").mkdir()
    second = fit_once(
        study, still, splits, run(tmp_path / "again"), kept, "v2", "bioseg train kinds --start v1", inherited
    )
    assert second.manifest.provenance["inherited"] == {"v1": "bioseg train kinds"}
    assert torch.equal(load_file(second.weights)[HEAD], stored[HEAD])


def test_a_teacher_for_a_recipe_that_is_not_taught_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="learns from no teacher"):
        train._inherited(registry(tmp_path), studies.get("membrane"), SEGMENTER, None, ("v1",))


def test_a_version_is_named_by_date_and_number():
    assert new_version(["2026.11.21-1"], None, date(2026, 11, 21)) == "2026.11.21-2"


def test_a_version_that_exists_is_refused():
    with pytest.raises(BundleError, match="v1 exists"):
        new_version(["v1"], "v1", date(2026, 11, 21))


def test_a_version_that_is_no_name_is_refused():
    with pytest.raises(InvalidInput, match="'V 1'"):
        draft(studies.get("membrane"), SEGMENTER, "V 1")


@pytest.mark.parametrize(
    ("study", "recipe", "part", "count"),
    [
        ("membrane", "taught", "unlabelled", 30),
        ("membrane", "default", "unlabelled", None),
        ("brain", "default", "related", 48),
    ],
)
def test_a_bundle_tells_what_its_network_learnt_from_beside_labelled_samples(data, study, recipe, part, count):
    own = studies.get(study)
    origin = packing._origin(own, own.recipes[recipe], own.splits(data))
    assert origin["images"].get(part) == count
    assert (part in origin["splits"]) == (count is not None)
    assert ("brain_4class" in {source["name"] for source in origin["data"]}) == (study == "brain")
