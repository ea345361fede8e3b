"""The benchmark as a whole, on tiny bundles and with few requests: it runs, and its report is complete."""

import importlib.util
import json
from pathlib import Path

import pytest

from bioseg import benchmark
from bioseg.benchmark import chart, readme, rival_servers
from bioseg.benchmark.plan import Plan
from bioseg.settings import Settings
from bioseg.testing.bundles import tiny_models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
FEW = Plan(
    rounds=2,
    requests=4,
    turns=2,
    stand_in_requests=8,
    stand_in_turns=2,
    probes=8,
    outage_requests=4,
    starts=1,
    capacity_requests=6,
    overload_seconds=2.0,
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    if importlib.util.find_spec("tensorflow") is None:  # not imported here: it would bring Keras on its own backend
        pytest.skip("needs the extra `bench`")
    models = tiny_models(tmp_path_factory.mktemp("models"))
    return benchmark.run(Settings.model_validate({"models_dir": models, "state_dir": Path("/nowhere")}), FEW)


def test_each_way_is_timed_in_every_round(report: dict) -> None:
    counts = {name: values["n"] for name, values in report["request_ms"].items()}
    assert {"ours": FEW.rounds, "seeds_way": FEW.rounds, "bare_loop": FEW.rounds} == counts


def test_the_stages_are_those_of_a_served_request(report: dict) -> None:
    assert {"decode", "screen", "model", "encode", "total", "outside"} <= set(report["stages_ms"])


def test_the_stages_fit_into_what_the_client_waits(report: dict) -> None:
    assert report["stages_alone_ms"]["total"]["median"] < report["servers_alone_ms"]["1"]["ours"]["p99"]


def test_the_other_servers_are_compared_where_their_environment_is(report: dict) -> None:
    others = set() if rival_servers.environment() is None else {"bentoml", "litserve", "mlflow_base64", "mlflow_arrays"}
    assert {"1": {"ours"} | others, "8": {"ours"} | others} == {
        connections: set(found) for connections, found in report["servers_ms"].items()
    }


@pytest.mark.parametrize("name", ["servers_ms", "servers_alone_ms", "no_model"])
def test_every_request_is_answered_as_expected(report: dict, name: str) -> None:
    errors = {f"{who}, {c}": load["errors"] for c, found in report[name].items() for who, load in found.items()}
    assert dict.fromkeys(errors, 0) == errors


def test_nothing_fails_while_mlflow_is_away(report: dict) -> None:
    errors = {name: load["errors"] for name, load in report["outages"].items()}
    assert {"well": 0, "refused": 0, "silent": 0, "failing": 0} == errors


def test_nothing_fails_while_a_rollout_begins_and_ends(report: dict) -> None:
    assert {"off": 0, "on": 0} == {name: load["errors"] for name, load in report["rollout"]["loads_ms"].items()}


def test_both_networks_are_compared_with_their_reference(report: dict) -> None:
    runtimes = {study: set(values) for study, values in report["runtimes_ms"].items()}
    expected = {"membrane": {"openvino", "onnxruntime", "keras"}, "kinds": {"openvino", "onnxruntime", "torch"}}
    assert expected == runtimes


def test_a_worker_grows_with_what_it_is_asked(report: dict) -> None:
    assert report["cold_start"]["idle_rss_mb"] < report["memory"]["worker_rss_mb"]


def test_the_report_survives_json(report: dict) -> None:
    assert report == json.loads(json.dumps(report))


def test_the_report_can_be_shown_in_every_form(report: dict) -> None:
    page = readme.updated(f"{readme.BEGIN}{readme.END}", report)
    assert (True, True, True) == (
        "errors" in benchmark.as_text(report),
        "| the seed's way" in page,
        chart.as_svg(report).endswith("</svg>\n"),
    )
