import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from bioseg import evaluation, studies
from bioseg.datasets import isbi2012, pixels
from bioseg.evaluation import page
from bioseg.evaluation.line_chart import floor_of, line_chart
from bioseg.evaluation.report import Metric, Report
from bioseg.testing import twins
from bioseg.training.contracts import draft

MEMBRANE = studies.get("membrane")
SEGMENTER = draft(MEMBRANE, MEMBRANE.recipes["default"], "v1")


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.isbi2012(folder)
    return tuple(isbi2012.labelled(folder).values())[:5]


def blind_from(number, samples):
    """A predictor that knows the truth of the samples before a number and sees no membrane in the others."""
    truths = [pixels.foreground(sample, isbi2012.MEMBRANE).astype(np.float32) for sample in samples]
    answers = iter([truth if place < number else 0 * truth for place, truth in enumerate(truths)])
    return lambda batch: next(answers)[np.newaxis, ..., np.newaxis]


def test_the_best_come_first_and_the_worst_last(sections):
    shown = page.best_and_worst(MEMBRANE, SEGMENTER, blind_from(3, sections), sections)
    assert [each.score == 1.0 for each in shown] == [True, True, False, False]
    assert {each.name for each in shown[2:]} == {"03.png", "04.png"}


def test_what_the_worst_miss_is_painted_red_and_the_best_show_none(sections):
    shown = page.best_and_worst(MEMBRANE, SEGMENTER, blind_from(3, sections), sections)
    assert [(each.picture == page.MERGE).all(axis=2).any() for each in shown] == [False, False, True, True]


def test_the_wrong_pixels_of_objects_are_painted(sections):
    objects = replace(MEMBRANE, foreground_is="object")
    (shown,) = page.best_and_worst(objects, SEGMENTER, blind_from(0, sections), sections[:1])
    truth = pixels.foreground(sections[0], isbi2012.MEMBRANE)
    assert (shown.picture[truth] == page.MERGE).all()


def test_the_page_holds_figures_curves_and_pictures(sections):
    report = evaluation.evaluate(MEMBRANE, SEGMENTER, blind_from(3, sections), sections)
    html = page.as_html(report, SEGMENTER, page.best_and_worst(MEMBRANE, SEGMENTER, blind_from(3, sections), sections))
    assert f"<td>{report.metrics['v_rand'].mean:.4f}</td>" in html
    assert html.count("<svg") == 2
    assert html.count("data:image/png;base64,") == 4
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []


def test_a_classifier_s_page_has_its_confusion_in_the_contract_s_order():
    kinds = studies.get("kinds")
    contract = draft(kinds, kinds.recipes["default"], "v1")
    table = np.diag(range(1, 1 + len(contract.classes))).tolist()
    figure = Metric(0.9, 0.8, 1.0, 5, "Wilson score")
    html = page.as_html(
        Report("kinds", "v1", "classification", "0" * 64, 5, "", {"a": figure}, confusion=table), contract
    )
    cells = re.findall(r"<tr><td>([^<]+)</td>((?:<td>\d+</td>)+)</tr>", html)
    assert [name for name, _ in cells] == list(contract.classes)
    assert re.findall(r"\d+", cells[1][1])[:3] == ["0", "2", "0"]


def test_a_fit_s_course_is_drawn_with_each_phase_in_its_place():
    report = Report("membrane", "v1", "segmentation", "0" * 64, 5, "", {})
    course = {"loss": [(10, 2.0), (20, 1.0)], "refit_loss": [(40, 0.5)], "choose_dice": [(20, 0.75)]}
    html = page.as_html(report, SEGMENTER, course=course)
    assert html.count("<svg") == 2
    assert "Loss, 1 = 2<" in html
    assert "share of 40 steps" in html
    assert line_chart("Reached", "share of 40 steps", {"choose_dice": [(0.5, 0.75)]}, lowest=0.7) in html
    assert "Learning curves" not in page.as_html(report, SEGMENTER)


def test_names_are_escaped():
    report = Report("membrane", "<v1>", "segmentation", "0" * 64, 5, "a < b", {})
    assert "<v1>" not in page.as_html(report, SEGMENTER)


def test_a_chart_places_points_between_its_axes():
    root = ElementTree.fromstring(line_chart("t", "x", {"one": [(0.0, 0.5), (1.0, 1.0)]}, lowest=0.5))
    circles = root.findall(".//{*}circle")
    assert [(each.get("cx"), each.get("cy")) for each in circles] == [("48.0", "220.0"), ("348.0", "30.0")]


@pytest.mark.parametrize(("lowest", "floor"), [(0.97, 0.9), (0.42, 0.4), (1.0, 0.9), (0.0, 0.0)])
def test_an_axis_begins_at_a_tenth(lowest, floor):
    assert floor_of({"one": [(0.1, lowest), (0.2, 1.0)]}) == floor
