"""The benchmark as a whole, on tiny bundles and with few rounds: it runs, and its report is complete."""

import importlib.util
import json
from pathlib import Path

import pytest

from bioseg import benchmark
from bioseg.settings import Settings
from bioseg.testing.bundles import tiny_models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ROUNDS = 2


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    if importlib.util.find_spec("tensorflow") is None:  # not imported here: it would bring Keras on its own backend
        pytest.skip("needs the extra `bench`")
    models = tiny_models(tmp_path_factory.mktemp("models"))
    return benchmark.run(Settings.model_validate({"models_dir": models, "state_dir": Path("/nowhere")}), ROUNDS)


def test_each_way_is_timed_in_every_round(report: dict) -> None:
    counts = {name: values["n"] for name, values in report["request_ms"].items()}
    assert {"ours": ROUNDS, "seeds_way": ROUNDS, "bare_loop": ROUNDS} == counts


def test_the_stages_are_those_of_a_served_request(report: dict) -> None:
    assert ["decode", "screen", "model", "encode", "store", "total"] == list(report["stages_ms"])


def test_the_stages_fit_into_what_the_client_waits(report: dict) -> None:
    assert report["stages_ms"]["total"] < report["request_ms"]["ours"]["p90"]


def test_both_networks_are_compared_with_their_reference(report: dict) -> None:
    runtimes = {study: set(values) for study, values in report["runtimes_ms"].items()}
    assert {"membrane": {"openvino", "keras"}, "kinds": {"openvino", "torch"}} == runtimes


def test_the_report_survives_json(report: dict) -> None:
    assert report == json.loads(json.dumps(report))
