"""Recipes against each other."""

from dataclasses import replace

import numpy as np
import pytest

from bioseg import studies
from bioseg.datasets import brain_mri, isbi2012
from bioseg.errors import InvalidInput
from bioseg.evaluation.classification import Judged
from bioseg.settings import Settings
from bioseg.study import ClassifierRecipe, SegmenterRecipe
from bioseg.testing import twins
from bioseg.testing.fake_tracker import FakeTracker
from bioseg.training import Run, comparing
from bioseg.training.comparing import Scores, fit_and_score, joined, summed_up

BRAIN = studies.get("brain")
N = 40


def told(right: range) -> Scores:
    """What a classifier reaches that is right on these images of forty, and nearly sure of itself."""
    labels = np.arange(N) % 2
    predicted = np.where(np.isin(np.arange(N), right), labels, 1 - labels)
    probabilities = np.where(predicted[:, None] == np.arange(2), 0.9, 0.1)
    groups = [str(number) for number in range(N)]
    judged = Judged(probabilities, labels, np.array(["own"] * N), np.array(groups))
    return Scores({"accuracy": (predicted == labels).astype(float)}, groups, judged)


def compared(**scores: Scores):
    return summed_up(BRAIN, scores, split="0" * 64, computed="By hand.")


def test_a_clear_difference_is_told():
    (pair,) = compared(poor=told(range(20)), good=told(range(36))).pairs
    assert pair.difference.mean == pytest.approx(0.4)
    assert pair.words.startswith("good is better than poor: accuracy +0.4000 [")
    assert pair.mcnemar == pytest.approx(2 / 2**16)


def test_the_order_does_not_change_who_is_better():
    (pair,) = compared(good=told(range(36)), poor=told(range(20))).pairs
    assert pair.words.startswith("good is better than poor: accuracy -0.4000 [")


def test_no_evidence_is_said_in_words():
    (pair,) = compared(one=told(range(30)), other=told(range(1, 31))).pairs
    assert pair.words.startswith("no evidence of a difference between one and other: accuracy +0.0000 [")


def test_of_three_pairs_each_has_to_be_surer():
    pairs = compared(a=told(range(20)), b=told(range(30)), c=told(range(36))).pairs
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {round(pair.confidence, 4) for pair in pairs} == {0.9833}


def test_each_recipe_has_its_figures():
    rated = compared(one=told(range(30)), other=told(range(40))).recipes["one"]
    assert rated.metrics["accuracy"].mean == 0.75
    assert rated.confusion == [[15, 5], [5, 15]]
    assert rated.auc == pytest.approx(0.75)


def test_a_perfect_classifier_has_all_of_the_area():
    assert compared(one=told(range(30)), other=told(range(40))).recipes["other"].auc == 1.0


def test_the_text_says_everything():
    text = compared(one=told(range(30)), other=told(range(40))).as_text()
    assert text.startswith("brain: 40 images, split 000000000000\nBy hand.\n\none: accuracy 0.7500 [")
    assert text.splitlines()[-1].startswith("other is better than one")


def test_the_parts_of_a_recipe_are_pooled():
    whole = joined([told(range(20)), told(range(40))])
    assert whole.images["accuracy"].mean() == 0.75
    assert len(whole.groups) == len(whole.judged.labels) == 2 * N


def test_a_figure_that_no_image_has_cannot_be_compared_by():
    study = replace(BRAIN, promotion=replace(BRAIN.promotion, metric="ece"))
    with pytest.raises(InvalidInput, match="'ece', which no single image has"):
        summed_up(study, {"a": told(range(3)), "b": told(range(4))}, split="", computed="")


def test_one_recipe_is_no_comparison(tmp_path):
    with pytest.raises(InvalidInput, match="two recipes"):
        comparing.compare("brain", ["default"], Settings(state_dir=tmp_path), tmp_path)


@pytest.fixture
def run(tmp_path):
    return Run(FakeTracker(), lambda _done, _line: None, tmp_path, seed=1)


def test_a_classifier_is_fitted_and_scored_image_by_image(tmp_path, run):
    twins.brain_mri(tmp_path, count=8)
    splits = brain_mri.splits(tmp_path)
    scores = fit_and_score(BRAIN, ClassifierRecipe("cnn", side=32, epochs=1, steps=2, batch=4), splits, run)
    assert scores.groups == [sample.group for sample in splits.score]
    assert scores.judged.labels.tolist() == [BRAIN.classes.index(sample.label) for sample in splits.score]


def test_a_segmenter_is_fitted_and_scored_image_by_image(tmp_path, run):
    twins.isbi2012(tmp_path)
    recipe = SegmenterRecipe(filters=(4, 8), size=32, epochs=1, steps=2, batch=4, averaging=0.5)
    splits = replace(isbi2012.splits(tmp_path), choose=())
    scores = fit_and_score(studies.get("membrane"), recipe, splits, run)
    assert scores.judged is None
    assert scores.images["dice"].shape == (len(splits.score),)
