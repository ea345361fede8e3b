"""Both versions on the same samples: what a unit is, and which figures are compared."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bioseg import studies
from bioseg.bundles import Bundle, Manifest
from bioseg.datasets import Sample, isbi2012, pixels
from bioseg.errors import BundleError, DatasetError, InvalidInput
from bioseg.gate import classification, segmentation
from bioseg.gate.scores import Both
from bioseg.runtime import Arm
from bioseg.study import Promotion
from bioseg.testing import twins
from bioseg.training.contracts import draft

MEMBRANE = studies.get("membrane")
KINDS = replace(studies.get("kinds"), drawn=None)


def arm(study, predict, **changes):
    contract = draft(study, study.recipes["default"], "v1").model_copy(update=changes)
    return Arm(Bundle(Path("bundle"), Manifest(created="", contract=contract, files={})), predict)


def ignored(done: int) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.isbi2012(folder, sections=3, challenge=1, side=512)
    return tuple(isbi2012.labelled(folder).values())


def oracle(samples, spoil=lambda truth: truth):
    """A predictor that knows the truth of each sample in turn, and what to make of it."""
    truths = iter([spoil(pixels.foreground(sample, isbi2012.MEMBRANE).astype(np.float32)) for sample in samples])
    return lambda batch: next(truths)[np.newaxis, ..., np.newaxis]


def blind(rows, columns):
    """Finds nothing in one part of an image."""

    def spoil(truth):
        truth[rows, columns] = 0
        return truth

    return spoil


def compared(sections, spoil, study=MEMBRANE):
    arms = Both(arm(study, oracle(sections)), arm(study, oracle(sections, spoil)))
    return segmentation.score(study, arms, sections, ignored)


def test_the_units_of_a_boundary_are_squares_clustered_by_section(sections):
    scores = compared(sections, lambda truth: truth)
    assert (12, 3, 4) == (scores.quality.units, scores.quality.clusters, len({u.name[-1] for u in scores.units}))


def test_a_loss_in_one_square_shows_in_that_square_alone(sections):
    scores = compared(sections, blind(slice(0, 256), slice(256, 512)))
    lost = {unit.name.split()[-1]: unit.difference for unit in scores.units}
    assert {"1": 0.0, "2": -1.0, "3": 0.0, "4": 0.0} == lost


def test_each_section_counts_once(sections):
    scores = compared(sections, blind(slice(0, 256), slice(256, 512)))
    assert pytest.approx(dict.fromkeys(scores.quality.values, -0.25)) == scores.quality.values


def test_the_regions_between_a_boundary_are_compared_section_by_section(sections):
    scores = compared(sections, blind(slice(0, 256), slice(256, 512)))
    figures = {name: (found.units, found.champion, found.candidate < 1) for name, found in scores.secondary.items()}
    assert {"v_rand": (3, 1.0, True), "v_info": (3, 1.0, True)} == figures


def test_objects_are_compared_image_by_image_clustered_by_group(sections):
    objects = replace(MEMBRANE, foreground_is="object")
    paired = [replace(sections[0], group="a"), replace(sections[1], group="a"), replace(sections[2], group="b")]
    scores = compared(paired, lambda truth: truth, objects)
    assert (3, 2, {}) == (scores.quality.units, scores.quality.clusters, scores.secondary)


def test_timid_probabilities_cost_calibration(sections):
    scores = compared(sections, lambda truth: 0.5 + 0.2 * (truth - 0.5))
    assert (pytest.approx(0.0), pytest.approx(0.4)) == (scores.calibration.champion, scores.calibration.candidate)


def test_every_version_is_read_at_its_own_threshold(sections):
    arms = Both(arm(MEMBRANE, oracle(sections, lambda t: 0.3 * t)), arm(MEMBRANE, oracle(sections, lambda t: 0.3 * t)))
    lower = replace(arms.candidate, bundle=arm(MEMBRANE, None, threshold=0.2).bundle)
    scores = segmentation.score(MEMBRANE, arms._replace(candidate=lower), sections, ignored)
    assert (0.0, 1.0) == (scores.quality.champion, scores.quality.candidate)


def test_progress_is_told_sample_by_sample(sections):
    done = []
    arms = Both(arm(MEMBRANE, oracle(sections)), arm(MEMBRANE, oracle(sections)))
    segmentation.score(MEMBRANE, arms, sections, done.append)
    assert [1, 2, 3] == done


@pytest.mark.parametrize("value", [np.nan, 2.0, -1.0])
def test_a_version_that_gives_no_probabilities_is_refused(sections, value):
    with pytest.raises(BundleError, match=r"gives no probabilities on 00\.png"):
        compared(sections, lambda truth: np.full_like(truth, value))


def test_labels_without_the_foreground_are_refused(sections):
    with pytest.raises(DatasetError, match="no label image holds 7"):
        compared(sections, lambda truth: truth, replace(MEMBRANE, foreground_value=7))


def test_a_metric_that_masks_have_not_is_refused(sections):
    with pytest.raises(InvalidInput, match="by 'beauty'"):
        compared(sections, lambda truth: truth, replace(MEMBRANE, promotion=Promotion("beauty")))


@pytest.mark.parametrize(("length", "parts"), [(64, 1), (256, 1), (512, 2), (600, 2), (700, 3)])
def test_squares_are_as_near_to_256_pixels_as_can_be(length, parts):
    squares = segmentation._squares(length, 256)
    assert (parts, length) == (len(squares), sum(rows.stop - rows.start for rows, _ in squares))


def pictures(folder: Path, *shown: tuple[str, str]) -> list[Sample]:
    """A flat picture for each kind and group, as bright as the number of its class."""
    samples = []
    for number, (kind, group) in enumerate(shown):
        file = folder / f"{number}.png"
        cv2.imwrite(str(file), np.full((32, 32), 20 * KINDS.classes.index(kind), np.uint8))
        samples.append(Sample(file, source="own", group=group, label=kind))
    return samples


def by_brightness(certainty=0.98, mistaken=()):
    """A predictor that knows the classes, but takes those of the mistaken kinds for the next one."""
    wrong = [KINDS.classes.index(kind) for kind in mistaken]

    def predict(batch):
        numbers = np.rint(batch.mean(axis=(1, 2, 3)) * 255 / 20).astype(int)
        numbers = np.array([(n + 1) % 9 if n in wrong else n for n in numbers])
        probabilities = np.full((len(batch), 9), (1 - certainty) / 8)
        probabilities[np.arange(len(batch)), numbers] = certainty
        return np.log(probabilities).astype(np.float32)

    return predict


def classified(samples, champion, candidate, **changes):
    arms = Both(arm(KINDS, champion), arm(KINDS, candidate, **changes))
    return classification.score(KINDS, arms, samples, (), ignored)


MIXED = (("membrane EM", "a"), ("membrane EM", "a"), ("photo", "b"), ("texture", "c"))


def test_the_units_of_a_classifier_are_images_clustered_by_group(tmp_path):
    scores = classified(pictures(tmp_path, *MIXED), by_brightness(), by_brightness(mistaken=["photo"]))
    assert [0.0, 0.0, -1.0, 0.0] == [unit.difference for unit in scores.units]
    assert {"a": 0.0, "b": -1.0, "c": 0.0} == scores.quality.values


def test_a_screen_is_compared_on_both_sides(tmp_path):
    scores = classified(pictures(tmp_path, *MIXED), by_brightness(), by_brightness(mistaken=["membrane EM"]))
    sides = {name: (found.units, found.mean) for name, found in scores.secondary.items()}
    assert {"membrane accepted": (2, -1.0), "membrane rejected": (2, 0.0)} == {
        name: side for name, side in sides.items() if name.startswith("membrane")
    }


def test_asking_counts_as_wrong(tmp_path):
    scores = classified(pictures(tmp_path, *MIXED), by_brightness(), by_brightness(0.8), accept_at=0.9)
    assert -1.0 == scores.secondary["membrane accepted"].mean


def test_the_recall_of_each_class_that_occurs_is_guarded(tmp_path):
    scores = classified(pictures(tmp_path, *MIXED), by_brightness(), by_brightness(mistaken=["texture"]))
    recalls = {unit.name: unit.difference for unit in scores.guarded}
    assert {"recall of membrane EM": 0.0, "recall of photo": 0.0, "recall of texture": -1.0} == recalls


def test_timid_classes_cost_calibration(tmp_path):
    scores = classified(pictures(tmp_path, *MIXED), by_brightness(0.98), by_brightness(0.6))
    expected = pytest.approx((0.02, 0.4, 0.38), abs=1e-6)
    assert expected == (scores.calibration.champion, scores.calibration.candidate, scores.calibration.mean)


def test_a_classifier_that_gives_no_numbers_is_refused(tmp_path):
    with pytest.raises(BundleError, match="gives no probabilities"):
        classified(pictures(tmp_path, *MIXED), by_brightness(), lambda batch: np.full((1, 9), np.nan, np.float32))
