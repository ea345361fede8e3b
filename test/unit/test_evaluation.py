import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bioseg import evaluation, studies
from bioseg.datasets import Sample, digest, isbi2012, pixels
from bioseg.errors import DatasetError, WrongTask
from bioseg.evaluation import classification, page
from bioseg.evaluation.classification import area
from bioseg.evaluation.report import mean_of_shares, share
from bioseg.testing import twins
from bioseg.testing.fakes import fake_classifier
from bioseg.training.contracts import draft

MEMBRANE = studies.get("membrane")
KINDS = replace(studies.get("kinds"), drawn=None)
SEGMENTER = draft(MEMBRANE, MEMBRANE.recipes["default"], "v1")
CLASSIFIER = draft(KINDS, KINDS.recipes["default"], "v1").model_copy(update={"accept_at": 0.9, "reject_below": 0.5})


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.isbi2012(folder)
    return tuple(isbi2012.labelled(folder).values())


def oracle(samples, sharpness=1.0, value=isbi2012.MEMBRANE):
    """A predictor that knows the truth of each sample in turn and is as sure of it as `sharpness` says."""
    truths = (pixels.foreground(sample, value) for sample in samples)

    def predict(batch):
        truth = next(truths).astype(np.float32)
        return (0.5 + sharpness * (truth - 0.5))[np.newaxis, ..., np.newaxis].astype(np.float32)

    return predict


def test_the_truth_itself_scores_one_on_every_metric(sections):
    report = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:3]), sections[:3])
    assert {name: metric.mean for name, metric in report.metrics.items()} == dict.fromkeys(report.metrics, 1.0)


def test_the_opposite_of_the_truth_overlaps_nowhere(sections):
    report = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:2], sharpness=-1.0), sections[:2])
    assert [report.metrics[name].mean for name in ("dice", "iou", "accuracy")] == [0.0, 0.0, 0.0]


def test_regions_are_scored_where_the_foreground_is_a_boundary_only(sections):
    objects = replace(MEMBRANE, foreground_is="object")
    report = evaluation.evaluate(objects, SEGMENTER, oracle(sections[:2]), sections[:2])
    assert set(report.metrics) == {"dice", "iou", "precision", "recall", "accuracy", "thresholded_iou"}


def test_an_overlap_that_would_have_to_be_drawn_anew_counts_as_none(sections):
    half = replace(MEMBRANE, foreground_is="object")
    report = evaluation.evaluate(half, SEGMENTER, np.ones_like, sections[:2])
    assert 0 < report.metrics["iou"].mean < 0.65
    assert report.metrics["thresholded_iou"].mean == 0


def test_objects_of_several_sources_are_given_apart(sections):
    samples = [sections[0], sections[1], replace(sections[2], source="elsewhere")]
    objects = replace(MEMBRANE, foreground_is="object")
    report = evaluation.evaluate(objects, SEGMENTER, oracle(samples), samples)
    assert report.sources == {"isbi2012": {"n": 2, "dice": 1.0}, "elsewhere": {"n": 1, "dice": 1.0}}


def test_the_shipped_threshold_and_the_best_one_are_both_given(sections):
    contract = SEGMENTER.model_copy(update={"threshold": 0.85})
    report = evaluation.evaluate(MEMBRANE, contract, oracle(sections[:2], sharpness=0.6), sections[:2])
    # membranes have 0.8, so at 0.85 there are none and one region remains
    assert report.metrics["v_rand"].threshold == 0.85
    assert report.metrics["v_rand"].mean < report.metrics["v_rand_best"].mean == 1.0


def test_the_cells_that_meet_on_the_ridge_are_scored_beside_the_regions_of_the_mask(sections, tmp_path):
    wall = np.zeros((64, 64), bool)
    wall[:, 30:32] = True
    cv2.imwrite(str(tmp_path / "mask.png"), np.where(wall, isbi2012.MEMBRANE, 255 - isbi2012.MEMBRANE).astype(np.uint8))
    sample = replace(sections[0], image=tmp_path / "mask.png", masks=(tmp_path / "mask.png",))
    wide = np.zeros((64, 64), np.float32)
    wide[:, 10:32] = np.linspace(0.6, 0.99, 22)

    def predict(_batch):
        return wide[np.newaxis, ..., np.newaxis]

    report = evaluation.evaluate(MEMBRANE, SEGMENTER, predict, [sample])
    assert report.metrics["v_rand"].mean < 0.8
    assert report.metrics["v_rand_instances"].mean == report.metrics["v_info_instances"].mean == 1.0


def test_regions_are_scored_along_a_curve_of_thresholds(sections):
    report = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:2], sharpness=0.6), sections[:2])
    # interiors have 0.2, membranes 0.8
    assert [x for x, _ in report.curves["v_rand"]] == [tenth / 10 for tenth in range(1, 10)]
    assert [y == 1.0 for _, y in report.curves["v_rand"][2:7]] == [True] * 5
    assert report.curves["v_rand"][0][1] < 1.0 > report.curves["v_rand"][8][1]
    assert max(y for _, y in report.curves["v_info"]) == report.metrics["v_info_best"].mean


def test_the_calibration_curve_sets_probability_against_share(sections):
    report = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:2], sharpness=0.6), sections[:2])
    assert report.curves["calibration"] == [(pytest.approx(0.2), 0.0), (pytest.approx(0.8), 1.0)]


def test_fewer_than_ten_images_are_listed_one_by_one(sections):
    few = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:5]), sections[:5]).metrics["dice"]
    many = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:10]), sections[:10]).metrics["dice"]
    assert (len(few.values), few.n, len(many.values), many.n) == (5, 5, 0, 10)


def test_a_report_names_the_split_by_its_content(sections):
    report = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:2]), sections[:2])
    assert report.split == digest(sections[:2])


def test_another_value_may_mark_the_foreground(sections):
    predict = oracle(sections[:2], value=255)
    report = evaluation.evaluate(replace(MEMBRANE, foreground_value=255), SEGMENTER, predict, sections[:2])
    assert report.metrics["dice"].mean == 1.0


def test_a_foreground_value_that_no_label_holds_is_refused(sections):
    strange = replace(MEMBRANE, foreground_value=7)
    with pytest.raises(DatasetError, match="no label image holds 7"):
        evaluation.evaluate(strange, SEGMENTER, oracle(sections[:2]), sections[:2])


def test_no_samples_are_refused():
    with pytest.raises(DatasetError, match="no samples"):
        evaluation.evaluate(MEMBRANE, SEGMENTER, fake_classifier(0.0), ())


def test_a_version_of_another_task_is_refused(sections):
    with pytest.raises(WrongTask, match="membrane does segmentation"):
        evaluation.evaluate(MEMBRANE, CLASSIFIER, fake_classifier(0.0), sections)


def test_a_label_image_of_another_size_is_refused(tmp_path):
    sample = Sample(tmp_path / "a.png", "own", "a", masks=(tmp_path / "b.png",))
    cv2.imwrite(str(sample.image), np.zeros((20, 30), np.uint8))
    cv2.imwrite(str(sample.masks[0]), np.zeros((20, 20), np.uint8))
    with pytest.raises(DatasetError, match="differ in size"):
        evaluation.evaluate(MEMBRANE, SEGMENTER, fake_classifier(0.0), [sample])


def test_a_report_survives_json(sections):
    report = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:2]), sections[:2])
    assert json.loads(json.dumps(report.as_json(), allow_nan=False))["metrics"]["dice"]["mean"] == 1.0


def test_the_text_gives_each_metric_with_its_interval_and_n(sections):
    text = evaluation.evaluate(MEMBRANE, SEGMENTER, oracle(sections[:2]), sections[:2]).as_text()
    assert re.search(r"^dice +1\.0000 \[1\.0000, 1\.0000\] n = 2 at 0\.50: 1\.0000 1\.0000$", text, re.MULTILINE)


def gray_pictures(folder: Path, labels: dict[str, int]) -> list[Sample]:
    """One flat picture per label, as bright as the number of the class that `brightness_classifier` takes it for."""
    samples = []
    for label, shown in labels.items():
        file = folder / f"{label}.png"
        cv2.imwrite(str(file), np.full((32, 32), 20 * shown, np.uint8))
        samples.append(Sample(file, source=f"source of {label}", group=label, label=label))
    return samples


def brightness_classifier(certainty: float):
    """A predictor that gives the class of a brightness this probability and shares the rest out."""

    def predict(batch):
        numbers = np.rint(batch.mean(axis=(1, 2, 3)) * 255 / 20).astype(int)
        probabilities = np.full((len(batch), 9), (1 - certainty) / 8)
        probabilities[np.arange(len(batch)), numbers] = certainty
        return np.log(probabilities).astype(np.float32)

    return predict


def classified(folder, certainty, **shown):
    labels = {kind: number for number, kind in enumerate(KINDS.classes)} | shown
    return evaluation.evaluate(KINDS, CLASSIFIER, brightness_classifier(certainty), gray_pictures(folder, labels))


def test_a_right_classifier_scores_one(tmp_path):
    report = classified(tmp_path, 0.98)
    assert (report.metrics["accuracy"].mean, report.metrics["balanced_accuracy"].mean) == (1.0, 1.0)


def test_each_class_source_and_confusion_shows_a_mistake(tmp_path):
    report = classified(tmp_path, 0.98, photo=7)
    assert report.classes["photo"].mean == 0.0
    assert report.sources["source of photo"] == {"n": 1, "groups": 1, "accuracy": 0.0}
    assert report.confusion[6] == [0, 0, 0, 0, 0, 0, 0, 1, 0]
    assert report.metrics["accuracy"].mean == 8 / 9


def test_nll_and_calibration_follow_from_the_probabilities(tmp_path):
    report = classified(tmp_path, 0.8)
    assert report.metrics["nll"].mean == pytest.approx(-np.log(0.8), abs=1e-5)
    assert report.metrics["ece"].mean == pytest.approx(0.2, abs=1e-5)


def test_the_temperature_of_the_contract_counts(tmp_path):
    samples = gray_pictures(tmp_path, {"photo": 6})
    contract = CLASSIFIER.model_copy(update={"temperature": 2.0})
    report = evaluation.evaluate(KINDS, contract, brightness_classifier(0.8), samples)
    odds = np.sqrt(0.8) / (np.sqrt(0.8) + 8 * np.sqrt(0.025))
    assert report.metrics["nll"].mean == pytest.approx(-np.log(odds), abs=1e-5)


def test_as_a_screen_a_sure_classifier_is_right_on_both_sides(tmp_path):
    screening = classified(tmp_path, 0.98).screens["membrane"]
    assert screening.metrics["balanced_accuracy"].mean == 1.0
    assert screening.sources["source of membrane EM"] == {"n": 1, "accept": 1, "ask": 0, "reject": 0, "right": 1.0}


def test_a_classifier_s_curves_follow_from_its_probabilities(tmp_path):
    report = classified(tmp_path, 0.8, photo=7)
    assert report.curves["calibration"] == [(pytest.approx(0.8), pytest.approx(8 / 9))]
    # the photo is no membrane, whatever else it is taken for
    assert report.curves["roc membrane"] == [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]


def test_asking_counts_as_wrong(tmp_path):
    screening = classified(tmp_path, 0.8).screens["membrane"]
    assert screening.metrics["accepted"].mean == 0.0
    assert screening.metrics["asked"].mean == pytest.approx(1 / 9)
    assert screening.metrics["balanced_accuracy"].mean == 0.5


def among_studies(folder, **shown):
    """The screenings and the table of a membrane and a lung study, on one gray picture of each kind."""
    screened = (studies.get("membrane"), replace(studies.get("membrane"), name="lung", accepts=("chest X-ray",)))
    samples = gray_pictures(folder, {kind: number for number, kind in enumerate(KINDS.classes)} | shown)
    judged = classification.judge(KINDS, CLASSIFIER, brightness_classifier(0.98), samples)
    screenings = [classification.screening(each, CLASSIFIER, judged, screened) for each in screened]
    return screenings, classification.admitted(screened, CLASSIFIER, judged)


def test_a_mistake_between_two_studies_weighs_as_much_as_their_images(tmp_path):
    (membrane, lung), _ = among_studies(tmp_path, **{"chest X-ray": 0})
    figures = [each.metrics["among_studies"] for each in (membrane, lung)]
    # the one chest X-ray goes to the membranes: it is wrong on one side of each study
    assert [(each.mean, each.n) for each in figures] == [(0.5, 2), (0.5, 2)]


def test_a_picture_of_no_study_does_not_count_among_studies(tmp_path):
    (membrane, _), _ = among_studies(tmp_path, photo=0)
    assert (membrane.metrics["among_studies"].mean, membrane.metrics["rejected"].mean) == (1.0, 7 / 8)


def test_the_table_has_what_each_study_accepts_of_each_kind(tmp_path):
    _, table = among_studies(tmp_path, photo=0)
    assert table["photo"] == {"n": 1, "membrane": 1.0, "lung": 0.0}
    assert table["chest X-ray"] == {"n": 1, "membrane": 0.0, "lung": 1.0}


def test_the_table_is_in_the_text_and_the_page(tmp_path):
    report = classified(tmp_path, 0.98)
    assert re.search(r"\nphoto +n 1 .*membrane 0\.0000", report.as_text())
    assert re.search("<tr><td>photo</td><td>1</td>(<td>0</td>)+</tr>", page.as_html(report, CLASSIFIER))


def test_drawn_pictures_join_the_samples(tmp_path):
    study = studies.get("kinds")
    samples = gray_pictures(tmp_path, {"photo": 6})
    report = evaluation.evaluate(study, CLASSIFIER, fake_classifier(*[0.0] * 8, 5.0), samples, drawn=range(11, 20))
    assert (report.n, report.sources["synthetic_other"]["n"], report.classes["other"].mean) == (10, 9, 1.0)


def test_a_label_outside_the_classes_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="'sketch'"):
        evaluation.evaluate(KINDS, CLASSIFIER, brightness_classifier(0.9), gray_pictures(tmp_path, {"sketch": 1}))


def test_the_interval_of_a_mean_of_shares_holds_it_and_narrows_with_n():
    small, large = (mean_of_shares([share(np.arange(n) % 4 > 0), share(np.arange(n) % 2 > 0)]) for n in (20, 400))
    assert small.low < large.low < large.mean == 0.625 < large.high < small.high


@pytest.mark.parametrize(
    ("scores", "expected"),
    # of the six pairs of a negative and a positive, those in the right order; a tie is half a pair
    [([0.1, 0.4, 0.35, 0.8, 0.9], 5 / 6), ([0.1, 0.2, 0.3, 0.4, 0.5], 1.0), ([0.5] * 5, 0.5)],
)
def test_the_area_is_the_share_of_pairs_in_the_right_order(scores, expected):
    positive = np.array(scores)
    assert area(np.stack([1 - positive, positive], axis=1), np.array([0, 0, 1, 1, 1])) == pytest.approx(expected)


def test_images_of_one_class_have_no_area():
    assert area(np.full((3, 2), 0.5), np.zeros(3, int)) is None
