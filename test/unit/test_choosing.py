from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioseg import studies
from bioseg.datasets import Sample, Splits, isbi2012, pixels
from bioseg.errors import DatasetError
from bioseg.testing import twins
from bioseg.training.choosing import admission_limits, choose, middle_of_the_best
from bioseg.training.contracts import draft

MEMBRANE = studies.get("membrane")
KINDS = replace(studies.get("kinds"), drawn=None)
SEGMENTER = draft(MEMBRANE, MEMBRANE.recipes["default"], "v1")
CLASSIFIER = draft(KINDS, KINDS.recipes["default"], "v1")


def test_between_two_sides_apart_the_screen_asks_in_the_middle_fifth_of_the_gap():
    limits = admission_limits(np.array([0.0, 0.1, 0.9, 1.0]), np.array([False, False, True, True]))
    assert limits == pytest.approx((0.58, 0.42))


def test_nothing_below_one_half_is_accepted():
    accept_at, reject_below = admission_limits(np.array([0.0, 0.1, 0.2]), np.array([False, False, True]))
    assert accept_at == 0.5
    assert reject_below == pytest.approx(0.14)


def test_where_the_sides_overlap_the_screen_asks_over_the_overlap():
    scores = np.array([0.1, 0.7, 0.4, 0.9])
    accept_at, reject_below = admission_limits(scores, np.array([False, False, True, True]))
    assert (accept_at, reject_below) == (pytest.approx(0.8), 0.4)


def test_one_outlier_in_two_hundred_does_not_move_the_limits():
    others, own = np.full(400, 0.1), np.full(400, 0.9)
    others[:2], own[:2] = 0.99, 0.01
    limits = admission_limits(np.concatenate([others, own]), np.arange(800) >= 400)
    assert limits == pytest.approx((0.58, 0.42))


def test_limits_take_images_of_both_sides():
    with pytest.raises(DatasetError, match="and of others"):
        admission_limits(np.array([0.5]), np.array([True]))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=300))
def test_limits_are_ordered_and_keep_both_promises(rows):
    scores, wanted = np.array([score for score, _ in rows]), np.array([own for _, own in rows])
    if wanted.all() or not wanted.any():
        return
    accept_at, reject_below = admission_limits(scores, wanted)
    assert 0 <= reject_below <= accept_at <= 1
    assert np.mean(scores[wanted] < reject_below) <= 0.005
    # a score of exactly 1 is accepted whatever the limit
    assert np.mean((scores[~wanted] >= accept_at) & (scores[~wanted] < 1)) <= 0.005


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.isbi2012(folder)
    return tuple(isbi2012.labelled(folder).values())[:2]


def faint(samples):
    """A predictor of sure interiors at 0.15 and membranes at 0.35."""
    truths = (pixels.foreground(sample, isbi2012.MEMBRANE) for sample in samples)
    return lambda batch: np.where(next(truths), 0.35, 0.15)[np.newaxis, ..., np.newaxis].astype(np.float32)


@pytest.mark.parametrize("foreground_is", ["boundary", "object"])
def test_the_threshold_that_tells_membrane_from_interior_is_chosen(sections, foreground_is):
    study = replace(MEMBRANE, foreground_is=foreground_is)
    assert choose(study, SEGMENTER, faint(sections), Splits((), sections, ())).threshold in {0.2, 0.3}


@pytest.mark.parametrize(("foreground_is", "seen"), [("boundary", 2), ("object", 1)])
def test_where_cells_are_parted_sections_fitted_on_help_to_choose(sections, foreground_is, seen):
    fit, other = sections
    study, shapes = replace(MEMBRANE, foreground_is=foreground_is), []
    predict = faint(sections if seen == 2 else [other])

    def counted(batch):
        shapes.append(batch.shape)
        return predict(batch)

    choose(study, SEGMENTER, counted, Splits((fit,), (other,), (fit,)))
    assert len(shapes) == seen


def test_no_samples_to_choose_with_are_refused():
    with pytest.raises(DatasetError, match="no samples to choose"):
        choose(MEMBRANE, SEGMENTER, faint(()), Splits((), (), ()))


def test_overconfident_logits_get_a_temperature_above_one_and_limits(tmp_path):
    rng = np.random.default_rng(0)
    samples, answers = [], []
    for number in range(90):
        file = tmp_path / f"{number}.png"
        cv2.imwrite(str(file), np.full((16, 16), number, np.uint8))
        truth = number % 9
        samples.append(Sample(file, "own", str(number), label=KINDS.classes[truth]))
        answers.append(truth if rng.random() < 0.8 else rng.integers(9))

    def predict(batch):
        number = round(float(batch.mean()) * 255)
        return (12.0 * np.eye(9, dtype=np.float32)[answers[number]])[np.newaxis]

    choice = choose(KINDS, CLASSIFIER, predict, Splits((), tuple(samples), ()))
    assert choice.temperature > 2
    assert 0.5 <= choice.accept_at
    assert choice.reject_below <= choice.accept_at


def test_of_settings_that_noise_cannot_tell_apart_the_middle_one_is_chosen():
    scores = np.array([[0.1, 0.90, 0.80, 0.85, 0.2], [0.1, 0.80, 0.91, 0.86, 0.3], [0.2, 0.85, 0.85, 0.84, 0.1]])

    assert middle_of_the_best(scores) == 2


def test_a_setting_that_is_better_in_every_unit_is_chosen():
    scores = np.array([[0.5, 0.6, 0.7], [0.6, 0.7, 0.8], [0.4, 0.5, 0.6]])

    assert middle_of_the_best(scores) == 2


def test_one_unit_chooses_its_best_setting():
    assert middle_of_the_best(np.array([[0.2, 0.9, 0.3]])) == 1
