"""The pure parts of the benchmark; what it measures is the business of `test/e2e`."""

import doctest
from pathlib import Path

import pytest
import urllib3

from bioseg import images
from bioseg.benchmark import as_text, figures, servers, ways
from bioseg.errors import ProcessFailed
from bioseg.settings import Settings

REPORT = {
    "machine": {"cpu": "A CPU", "cores": 2, "threads": {"web_worker": 1, "seeds_way": 2}, "load_before": 0.25},
    "request_ms": {
        "ours": {"median": 100.0, "p10": 90.0, "p90": 110.04, "n": 30},
        "seeds_way": {"median": 400.0, "p10": 390.0, "p90": 410.0, "n": 30},
        "bare_loop": {"median": 80.0, "p10": 79.0, "p90": 81.0, "n": 30},
    },
    "ratios": {"seeds_way_over_ours": 4.0, "ours_over_bare_loop": 1.25},
    "stages_ms": {"decode": 1.0, "model": 70.0},
    "request_4096_ms": 12_340.0,
    "memory": {
        "requests": 20,
        "worker_rss_mb": 300.0,
        "worker_4096_rss_mb": 400.0,
        "worker_4096_peak_mb": 500.0,
        "seeds_way_rss_mb": 1000.0,
    },
    "import_application_s": 0.5,
    "runtimes_ms": {"kinds": {"openvino": {"median": 5.0, "p10": 4.0, "p90": 6.0, "n": 30}}},
}


class Clock:
    """Seconds that pass only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> None:
        self.calls.append(name)
        self.now += seconds


def _timed(rounds: int, warm_up: int) -> tuple[dict[str, list[float]], list[str]]:
    clock = Clock()
    ways = {"a": lambda: clock.work("a", 1.0), "b": lambda: clock.work("b", 2.0), "c": lambda: clock.work("c", 3.0)}
    return figures.interleaved(ways, rounds, warm_up, clock), clock.calls


def test_each_way_gets_its_own_time_in_milliseconds_once_per_round() -> None:
    assert {"a": [1000.0] * 2, "b": [2000.0] * 2, "c": [3000.0] * 2} == _timed(rounds=2, warm_up=0)[0]


def test_the_order_turns_from_round_to_round() -> None:
    assert list("abcbcacababc") == _timed(rounds=4, warm_up=0)[1]


def test_warming_up_is_not_timed() -> None:
    times, calls = _timed(rounds=1, warm_up=2)
    assert ({"a": [1000.0], "b": [2000.0], "c": [3000.0]}, list("aabbccabc")) == (times, calls)


def test_a_single_value_is_its_own_percentiles() -> None:
    assert {"median": 7.0, "p10": 7.0, "p90": 7.0, "n": 1} == figures.summary([7.0])


def test_the_percentiles_are_of_the_values_whatever_their_order() -> None:
    values = [float(value) for value in range(100, -1, -1)]
    assert {"median": 50.0, "p10": 10.0, "p90": 90.0, "n": 101} == figures.summary(values)


def test_the_ratios_are_of_medians() -> None:
    assert REPORT["ratios"] == figures.ratios(REPORT["request_ms"])


def test_a_stage_that_a_row_lacks_is_left_out_of_its_median() -> None:
    rows = [{"decode": 1.0}, {"decode": 2.0, "model": 9.0}, {"decode": 9.0}]
    assert {"decode": 2.0, "model": 9.0} == figures.medians(rows)


def test_the_text_shows_every_figure_of_the_report() -> None:
    expected = """\
A CPU, 2 cores, load 0.25 before; threads: web worker 1, seeds way 2

one request, ms      median       p10       p90    n
ours                  100.0      90.0     110.0   30
the seed's way        400.0     390.0     410.0   30
bare loop              80.0      79.0      81.0   30
the seed's way / ours    4.00
ours / bare loop         1.25

stages of ours, median ms: decode 1.0, model 70.0
one image of 4096x4096: 12.3 s
memory of a web worker, MiB: 300 after 20 requests, 400 after 4096x4096 (peak 500); the seed's way 1000
import application: 0.50 s

network alone, ms      median       p10       p90    n
kinds, openvino           5.0       4.0       6.0   30"""
    assert expected == as_text(REPORT)


def test_without_the_training_frameworks_the_text_ends_before_the_runtimes() -> None:
    assert "import application: 0.50 s" == as_text(REPORT | {"runtimes_ms": {}}).splitlines()[-1]


def test_the_measured_installation_has_defaults_but_for_models_and_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOSEG_MLFLOW_URI", "http://elsewhere:5000")
    given = Settings.model_validate({"models_dir": "/models", "state_dir": "/state", "queue": 9})
    own = servers.own_settings(given, tmp_path, threads=3)
    assert (tmp_path, "/models", 3, 4, f"http://127.0.0.1:{own.mlflow_port}") == (
        own.state_dir,
        str(own.models_dir),
        own.threads,
        own.queue,
        own.tracking_uri,
    )


@pytest.mark.parametrize("module", [figures, servers])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    assert 0 == doctest.testmod(module).failed


def test_an_answer_other_than_200_ends_the_benchmark_with_its_reason() -> None:
    answer = urllib3.HTTPResponse(b"looks like a photo", status=422, request_url="/api/v1/segment")
    with pytest.raises(ProcessFailed, match="/api/v1/segment answered 422: looks like a photo"):
        ways._checked(answer)


@pytest.mark.parametrize("side", [512, 4096])
def test_the_measured_section_is_gray_and_of_the_side_asked_for(side: int) -> None:
    data = ways.section(side)
    assert (side, side) == images.decode(data, images.Limits(len(data), side * side)).shape
