"""The report: complete as JSON, one page without anything from elsewhere, readable on a terminal."""

import base64
import hashlib
import json
import logging
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.orm import sessionmaker

from bioseg.database import engine, gate_reports
from bioseg.gate import chart, html, keeping, mlflow_run
from bioseg.gate.chart import Line
from bioseg.gate.report import GateReport, Side, Split
from bioseg.gate.scores import Scores
from bioseg.metrics import Interval
from bioseg.policy import guardrails
from bioseg.policy.offline import Findings, Guardrail, decide
from bioseg.policy.paired import Unit, compare_scores
from bioseg.settings import Settings
from bioseg.study import Promotion


def reported(*differences: float, name: str = "section") -> GateReport:
    """A report on one unit for each difference."""
    units = tuple(Unit(f"{name} {n}", f"{name} {n}", 0.8, 0.8 + each) for n, each in enumerate(differences))
    quality = compare_scores(units)
    rule = Promotion(metric="dice")
    rails = [
        guardrails.cost("latency", Interval(1.01, 0.99, 1.03, 16, "median, order statistics")),
        guardrails.cost("memory", None),
        Guardrail("sample replay", "passed", "the bundle gives on its own sample what it says"),
        guardrails.worst_drop(units),
    ]
    return GateReport(
        study="membrane",
        task="segmentation",
        created="2026-11-25T12:00:00+00:00",
        bioseg="0.1.0",
        runtime="openvino",
        threads=2,
        champion=Side("old", "a" * 64, "f32", 0.4),
        candidate=Side("new", "b" * 64, "f32", 0.5),
        split=Split("c" * 64, len(units), None),
        rule=rule,
        scores=Scores("dice of images.", units, quality, {"v_rand": quality}, quality, units),
        guardrails=rails,
        verdict=decide(Findings(rule.metric, quality.low, quality.high, rails, quality.detectable), rule.goal, 0.01),
    )


class Elements(HTMLParser):
    """Tags and attributes of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_the_verdict_follows_again_from_the_json():
    found = json.loads(json.dumps(reported(0.019, 0.02, 0.021).as_json(), allow_nan=False))
    units = [Unit(**unit) for unit in found["units"]]
    quality = compare_scores(units, found["quality"]["confidence"])
    rails = [Guardrail(**rail) for rail in found["guardrails"]]
    findings = Findings(found["rule"]["metric"], quality.low, quality.high, rails, quality.detectable)
    again = decide(findings, found["rule"]["goal"], found["rule"]["margin"])
    assert (found["verdict"], found["reason"]) == (again.verdict, again.reason)


def test_the_json_names_versions_split_and_rule():
    found = reported(0.01, 0.02).as_json()
    assert ("old", "b" * 64, "c" * 64, 0.01) == (
        found["champion"]["version"],
        found["candidate"]["bundle"],
        found["split"]["sha256"],
        found["rule"]["margin"],
    )


def test_the_text_begins_with_the_verdict():
    assert reported(0.019, 0.02, 0.021).as_text().startswith("promote: The candidate is better on the same images")


def test_the_text_tells_the_state_of_each_guardrail():
    text = reported(0.01, 0.02).as_text()
    states = re.findall(r"^(passed|broken|unclear|not checked) +([a-z ]+):", text, re.MULTILINE)
    expected = [("passed", "latency"), ("not checked", "memory"), ("passed", "sample replay"), ("passed", "worst unit")]
    assert expected == states


def test_a_report_is_found_again_in_the_database(database_url):
    report = reported(0.019, 0.02, 0.021)
    keeping.keep(Settings(database_url=database_url), report)
    connected = engine.connect(database_url)
    with sessionmaker(connected)() as session:
        row = gate_reports.latest(session, "membrane", "old", "new")
        kept = None if row is None else (row.verdict, json.loads(row.report))
    connected.dispose()
    assert ("promote", json.loads(json.dumps(report.as_json()))) == kept


def test_the_page_loads_nothing_and_runs_nothing():
    page = Elements(html.page(reported(0.01, 0.02).as_json()))
    assert set() == {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert set() == {name for name in names if name in {"src", "href", "style"} or name.startswith("on")}


def test_the_pages_policy_allows_its_own_style_alone():
    text = html.page(reported(0.01, 0.02).as_json())
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)[0]
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"content=\"default-src 'none'; style-src 'sha256-{allowed}'\"" in text


def test_names_of_files_are_text_on_the_page():
    page = html.page(reported(0.01, 0.02, name="<script>alert(1)</script>").as_json())
    assert (0, True) == (page.count("<script"), "&lt;script&gt;alert(1)" in page)


@pytest.mark.parametrize(
    ("differences", "heading"),
    [
        ((0.019, 0.02, 0.021), "Promote: the candidate may become the champion"),
        ((-0.019, 0.02, 0.021), "Inconclusive: the champion stays"),
        ((-0.019, -0.02, -0.021), "Rollback: the candidate must not serve"),
    ],
)
def test_the_page_says_what_follows(differences, heading):
    assert heading in html.page(reported(*differences).as_json())


def test_few_units_are_listed_with_the_greatest_loss_first():
    page = html.page(reported(0.02, -0.03, 0.01).as_json())
    rows = page[page.index("Unit by unit") :]
    assert ["section 1", "section 2", "section 0"] == re.findall(r"<td>(section \d)</td>", rows)


def test_of_many_units_only_those_that_differ_are_listed():
    page = html.page(reported(*[0.0] * 300, -0.1).as_json())
    rows = page[page.index("Unit by unit") :]
    assert ["section 300"] == re.findall(r"<td>(section \d+)</td>", rows)
    assert "300 of 301 units are not listed" in page


def test_a_not_worse_goal_draws_its_margin():
    report = replace(reported(0.01, 0.02), rule=Promotion("dice", margin=0.05, goal="not_worse"))
    assert ">-0.0500</text>" in html.page(report.as_json())


def test_a_chart_holds_every_interval_between_its_labels():
    drawn = chart.intervals([Line("a", 0.1, -0.4, 0.6, (0.2,)), Line("b", -2.0, -3.0, 5.0)], [0.0, 7.0], "+.1f")
    places = [float(x) for x in re.findall(r'(?:x1|x2|cx)="([\d.]+)"', drawn)]
    assert chart.LABELS <= min(places) <= max(places) <= chart.WIDTH - chart.FIGURES


def test_a_chart_of_no_difference_at_all_can_be_drawn():
    assert "+0.0 (+0.0 to +0.0)" in chart.intervals([Line("same", 0.0, 0.0, 0.0)], [0.0], "+.1f")


def test_a_tracking_server_gets_a_run_with_report_and_page(mlflow_server, tmp_path):
    run_id = mlflow_run.log(Settings(state_dir=tmp_path, mlflow_uri=mlflow_server), reported(0.019, 0.02, 0.021))
    client = MlflowClient(mlflow_server)
    run = client.get_run(run_id)
    experiment = client.get_experiment(run.info.experiment_id).name
    files = {file.path for file in client.list_artifacts(run_id)}
    expected = ("bioseg/membrane gate", "FINISHED", "promote", "new", {"report.json", "report.html"})
    assert expected == (experiment, run.info.status, run.data.tags["verdict"], run.data.params["candidate"], files)


def test_the_intervals_are_metrics_of_the_run(mlflow_server, tmp_path):
    report = reported(0.019, 0.02, 0.021)
    run_id = mlflow_run.log(Settings(state_dir=tmp_path, mlflow_uri=mlflow_server), report)
    metrics = MlflowClient(mlflow_server).get_run(run_id).data.metrics
    quality = report.scores.quality
    assert (quality.low, 1.01) == (metrics["dice difference low"], metrics["latency"])


def test_without_a_tracking_server_nothing_fails(free_port, tmp_path, caplog):
    settings = Settings(state_dir=tmp_path, mlflow_port=free_port)
    with caplog.at_level(logging.WARNING):
        assert mlflow_run.log(settings, reported(0.01, 0.02)) is None
    assert "MLflow has no run of this comparison" in caplog.text


def test_a_tracking_server_that_refuses_makes_nothing_fail(mlflow_server, tmp_path, monkeypatch, caplog):
    def refuse(*_arguments, **_options):
        raise MlflowException("no")

    monkeypatch.setattr(MlflowClient, "create_run", refuse)
    with caplog.at_level(logging.WARNING):
        assert mlflow_run.log(Settings(state_dir=tmp_path, mlflow_uri=mlflow_server), reported(0.01, 0.02)) is None


def test_a_run_whose_files_are_refused_ends_as_failed(mlflow_server, tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise MlflowException("no room")

    monkeypatch.setattr(MlflowClient, "log_text", refuse)
    report = replace(reported(0.01, 0.02), study="refused")
    assert mlflow_run.log(Settings(state_dir=tmp_path, mlflow_uri=mlflow_server), report) is None
    client = MlflowClient(mlflow_server)
    experiment = client.get_experiment_by_name("bioseg/refused gate")
    assert ["FAILED"] == [run.info.status for run in client.search_runs([experiment.experiment_id])]
