"""The pure parts of the benchmark; what it measures is the business of `test/e2e`."""

import doctest
import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from select import select
from threading import Thread
from xml.etree import ElementTree

import numpy as np
import pytest
import sqlalchemy

from bioseg import bundles, images
from bioseg.benchmark import (
    as_text,
    champions,
    chart,
    contest,
    figures,
    load,
    open_loop,
    outages,
    overload,
    readme,
    rollouts,
    servers,
    stages,
    stand_ins_onnx,
    targets,
    text,
    ways,
)
from bioseg.benchmark.load import Answer, Burst, Client, Target
from bioseg.benchmark.open_loop import Flood, Reply
from bioseg.database import engine
from bioseg.database.tables import Task
from bioseg.decoding import formats
from bioseg.errors import InvalidInput, ProcessFailed
from bioseg.platform import open_platform
from bioseg.settings import Settings


def a_load(median: float, p99: float, per_second: float, errors: int = 0) -> dict:
    return {"median": median, "p90": p99, "p99": p99, "per_second": per_second, "n": 100, "errors": errors}


def a_summary(median: float) -> dict:
    return {"median": median, "p10": median - 1, "p90": median + 1, "n": 30}


def a_stage(median: float) -> dict:
    return {"median": median, "p99": 2 * median, "n": 100}


REPORT = {
    "machine": {"cpu": "A CPU", "cores": 2, "threads": {"web_worker": 2, "seeds_way": 2}, "load_before": 0.25},
    "versions": {"bentoml": "1.4.40"},
    "import_application_s": 0.5,
    "cold_start": {"livez_s": 2.0, "readyz_s": 3.0, "idle_rss_mb": 150.0, "n": 3},
    "memory": {"requests": 20, "worker_rss_mb": 300.0},
    "request_ms": {"ours": a_summary(100.0), "seeds_way": a_summary(400.0), "bare_loop": a_summary(80.0)},
    "ratios": {"seeds_way_over_ours": 4.0, "ours_over_bare_loop": 1.25},
    "seeds_way_rss_mb": 1000.0,
    "stages_ms": {"decode": a_stage(1.0), "total": a_stage(70.0)},
    "servers_ms": {"1": {"ours": a_load(100.0, 200.0, 10.0), "bentoml": a_load(150.0, 300.0, 5.0)}},
    "no_model": {"1": {"livez": a_load(1.0, 2.0, 1000.0), "too_large": a_load(2.0, 3.0, 500.0)}},
    "large": {"ms": 12_340.0, "rss_mb": 400.0, "peak_mb": 500.0},
    "servers_alone_ms": {"8": {"ours": a_load(10.0, 20.0, 100.0), "bentoml": a_load(10.0, 20.0, 100.0)}},
    "stages_alone_ms": {"outside": a_stage(3.0)},
    "outages": {"well": a_load(10.0, 20.0, 100.0), "silent": a_load(10.5, 19.0, 99.0)},
    "overload": {
        "alone": a_load(50.0, 80.0, 20.0),
        "capacity": a_load(90.0, 120.0, 22.0),
        "flood": {
            "offered_per_second": 220.0,
            "goodput": 0.95,
            "accepted_ms": {"median": 60.0, "p99": 96.0, "max": 99.0, "n": 300},
            "p50_over_alone_p99": 0.75,
            "p99_over_alone_p99": 1.2,
            "refused_ms": {"median": 4.0, "p99": 20.0, "max": 25.0, "n": 3000},
            "retry_after_share": 1.0,
            "livez_ms": {"median": 2.0, "p99": 10.0, "max": 12.0, "n": 280},
            "livez_failed": 0,
            "failed": 0,
            "client_cpu_share": 0.15,
        },
        "stop": {"taken": 100, "served": 60, "failed": 0, "not_taken": 30},
    },
    "rollout": {
        "record_ms": {"off": a_summary(2.0), "on": a_summary(2.5), "added": 0.125},
        "loads_ms": {"off": a_load(40.0, 50.0, 25.0), "on": a_load(41.0, 52.0, 24.0)},
        "ratio": 1.025,
    },
    "runtimes_ms": {"kinds": {"openvino": a_summary(5.0)}},
    "codecs_ms": {"mask_png": {"ours": a_summary(2.0)}},
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
    calls = {"a": lambda: clock.work("a", 1.0), "b": lambda: clock.work("b", 2.0), "c": lambda: clock.work("c", 3.0)}
    return figures.interleaved(calls, rounds, warm_up, clock), clock.calls


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
    assert {"decode": 2.0, "model": 9.0} == {name: stage["median"] for name, stage in figures.stages(rows).items()}


def _burst(*statuses: int, seconds: float) -> Burst:
    return Burst([Answer(10.0 * (number + 1), status, "", b"") for number, status in enumerate(statuses)], seconds)


def test_wrong_answers_are_errors_and_count_neither_as_time_nor_as_throughput() -> None:
    found = figures.load([_burst(200, 503, 200, seconds=1.0), _burst(200, 0, seconds=1.0)], status=200)
    expected = {"median": 10.0, "p90": 26.0, "p99": 29.6, "per_second": 1.5, "n": 5, "errors": 2}
    assert expected == found


def test_a_server_that_answers_nothing_right_cannot_be_compared() -> None:
    with pytest.raises(ProcessFailed, match=r"every answer had status \[0, 503\] instead of 200"):
        figures.load([_burst(503, 0, seconds=1.0)], status=200)


class Shop(BaseHTTPRequestHandler):
    """Gives a cookie once, tells which cookie it was shown, refuses `/no`, and closes after each answer to `/once`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        shown = self.headers.get("Cookie", "")
        body = f"{self.client_address[1]} {shown}".encode()
        self.send_response(413 if self.path == "/no" else 200)
        if not shown:
            self.send_header("Set-Cookie", "who=me; HttpOnly")
        self.send_header("Server-Timing", "total;dur=1.5")
        if self.path == "/no":
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.path == "/once"

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def shop() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def _connection_and_cookie(client: Client, target: Target) -> tuple[str, str]:
    connection, _, cookie = client.ask(target).body.decode().partition(" ")
    return connection, cookie


def test_a_client_keeps_its_connection_and_its_cookie(shop: int) -> None:
    client, target = Client(shop), Target(shop, "/", "GET")
    first, second = _connection_and_cookie(client, target), _connection_and_cookie(client, target)
    client.close()
    assert ("", "who=me", True) == (first[1], second[1], first[0] == second[0])


def test_a_client_opens_a_new_connection_after_a_refusal(shop: int) -> None:
    client, target = Client(shop), Target(shop, "/no", "GET", status=413)
    first, second = _connection_and_cookie(client, target), _connection_and_cookie(client, target)
    client.close()
    assert first[0] != second[0]


def test_a_client_does_not_stumble_over_a_connection_that_the_server_closed(shop: int) -> None:
    client, statuses = Client(shop), []
    for _ in range(3):
        statuses.append(client.ask(Target(shop, "/once", "GET")).status)
        select([client._connection.sock], [], [], 5)
    client.close()
    assert [200, 200, 200] == statuses


def test_a_server_that_is_not_there_is_an_answer_without_status() -> None:
    assert load.NO_ANSWER == Client(servers.free_port()).ask(Target(servers.free_port(), "/", "GET")).status


def test_a_length_that_is_announced_needs_no_body(shop: int) -> None:
    client = Client(shop)
    answer = client.ask(targets.too_large(shop, 10**9))
    client.close()
    assert 200 == answer.status


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_burst_asks_as_often_as_it_should_over_as_many_connections(shop: int, concurrency: int) -> None:
    burst = load.burst(Target(shop, "/", "GET"), 7, concurrency)
    assert ([200] * 7, {"total;dur=1.5"}) == (
        [answer.status for answer in burst.answers],
        {answer.server_timing for answer in burst.answers},
    )


def test_servers_are_asked_in_turns_as_often_as_each_should(shop: int) -> None:
    asked = {"ours": Target(shop, "/", "GET"), "theirs": Target(shop, "/no", "GET", status=413)}
    with ThreadPoolExecutor(1) as client:
        found = contest.loads(client, asked, requests=5, concurrency=2, turns=2)
    assert {"ours": (5, 0), "theirs": (5, 0)} == {name: (load["n"], load["errors"]) for name, load in found.items()}


def test_a_slow_server_is_asked_its_share_and_in_every_turn_at_least_once(shop: int) -> None:
    asked = {"quick": Target(shop, "/", "GET"), "slow": Target(shop, "/", "GET", share=0.1)}
    with ThreadPoolExecutor(1) as client:
        found = contest.loads(client, asked, requests=9, concurrency=1, turns=3)
    assert {"quick": 9, "slow": 3} == {name: load["n"] for name, load in found.items()}


def test_a_flood_keeps_its_rate_and_reads_every_answer(shop: int) -> None:
    flood = open_loop.flood(Target(shop, "/no", "GET"), Target(shop, "/", "GET"), rate=40, seconds=0.25)
    replies = [(reply.status, reply.retry_after) for reply in flood.replies]
    assert ([(413, "1")] * 10, {200}) == (replies, {reply.status for reply in flood.probes})


def test_a_request_without_an_answer_was_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=_hang_up_on, args=(server, 3), daemon=True).start()
        target = Target(server.getsockname()[1], "/", "GET")
        flood = open_loop.flood(target, target, rate=100, seconds=0.02)
    assert [open_loop.NO_ANSWER] * 2 == [reply.status for reply in flood.replies]


def _hang_up_on(server: socket.socket, clients: int) -> None:
    for _ in range(clients):
        server.accept()[0].close()


def test_a_request_to_a_server_that_is_gone_was_not_taken() -> None:
    target = Target(servers.free_port(), "/", "GET")
    flood = open_loop.flood(target, target, rate=100, seconds=0.02)
    assert [open_loop.NO_CONNECTION] * 2 == [reply.status for reply in flood.replies]


def test_a_request_of_an_open_loop_has_all_its_body() -> None:
    raw = open_loop.wire(Target(1, "/x", headers={"Accept": "image/png"}, body=b"ab"))
    assert raw.endswith(b"\r\nContent-Length: 2\r\nAccept: image/png\r\n\r\nab")


def test_an_overload_is_told_beside_capacity_and_one_alone() -> None:
    replies = [Reply(40.0, 200, ""), Reply(80.0, 200, ""), Reply(2.0, 503, "1"), Reply(2.0, 503, ""), Reply(9.0, 0, "")]
    flood = Flood(replies, [Reply(1.0, 200, ""), Reply(1.0, -1, "")], seconds=2.0, cpu_share=0.1)
    found = overload.summary(flood, a_load(30.0, 40.0, 20.0), a_load(60.0, 80.0, 2.0), offered=20.0)
    assert {
        "offered_per_second": 20.0,
        "goodput": 0.5,
        "accepted_ms": {"median": 60.0, "p99": 79.6, "max": 80.0, "n": 2},
        "p50_over_alone_p99": 1.5,
        "p99_over_alone_p99": 1.99,
        "refused_ms": {"median": 2.0, "p99": 2.0, "max": 2.0, "n": 2},
        "retry_after_share": 0.5,
        "livez_ms": {"median": 1.0, "p99": 1.0, "max": 1.0, "n": 1},
        "livez_failed": 1,
        "failed": 1,
        "client_cpu_share": 0.1,
    } == found


def test_an_answer_other_than_the_expected_ends_the_benchmark_with_its_reason() -> None:
    target = Target(1, "/api/v1/segment")
    with pytest.raises(ProcessFailed, match="/api/v1/segment answered 422: looks like a photo"):
        load.checked(target, Answer(1.0, 422, "", b"looks like a photo"))


def test_ours_is_compared_so_that_more_than_one_is_better() -> None:
    found = contest.ratios(REPORT["servers_ms"]["1"])
    assert {"bentoml": {"median": 1.5, "p99": 1.5, "per_second": 2.0}} == found


def test_an_outage_is_told_as_what_it_adds() -> None:
    found = outages.differences(REPORT["outages"])
    assert {"silent": {"median_ms": 0.5, "p99_ms": -1.0, "errors": 0}} == found


def test_the_text_shows_the_servers_with_ratios_and_errors() -> None:
    shown = as_text(REPORT)
    expected = """\
champions, 1 at a time, ms        median       p90       p99     per s     n  errors
ours                               100.0     200.0     200.0      10.0   100       0
BentoML                            150.0     300.0     300.0       5.0   100       0
BentoML: ours is 1.50 times as quick by median, 1.50 by p99, and answers 2.00 times as many"""
    assert expected in shown


def test_what_a_rollout_adds_is_the_median_of_differences_within_a_round() -> None:
    found = rollouts.added({"off": [1.0, 9.0, 2.0], "on": [1.25, 9.5, 2.25]})
    assert (0.25, 2.0, 2.25) == (found["added"], found["off"]["median"], found["on"]["median"])


def test_both_kinds_of_records_are_timed_and_one_has_a_shadow_task(tmp_path: Path) -> None:
    platform = open_platform(Settings.model_validate({"models_dir": tmp_path, "state_dir": tmp_path}))
    found = rollouts.of_record(platform, rounds=3)
    with engine.reading(platform.sessions) as session:
        kinds = Counter(session.scalars(sqlalchemy.select(Task.kind)))
    each = 3 + figures.WARM_UP
    assert ({"telemetry": 2 * each, "shadow": each}, 3, 3) == (kinds, found["off"]["n"], found["on"]["n"])


def test_the_challenger_is_the_champion_under_another_name(stand_ins: Path, tmp_path: Path) -> None:
    champion = bundles.read(stand_ins / champions.SEGMENTER / stand_ins_onnx.VERSION)
    copy = rollouts.add_challenger(champion, tmp_path)
    assert (rollouts.CHALLENGER, champion.onnx.read_bytes()) == (copy.contract.version, copy.onnx.read_bytes())


def test_the_text_and_the_table_tell_what_a_rollout_adds() -> None:
    line = "on / off by median: 1.025\nassign and record: +0.125 ms in the same round, n = 30"
    row = "| a shadow rollout, on / off, n = 100 each | median **1.02 times**; assign and record +0.12 ms |"
    assert (True, True) == (line in as_text(REPORT), row in list(readme.rows(REPORT)))


def test_the_text_says_when_the_others_are_left_out() -> None:
    assert text.LEFT_OUT in as_text({**REPORT, "versions": {}}).splitlines()


def test_the_readme_table_replaces_the_one_before() -> None:
    page = f"above\n{readme.BEGIN}\nold\n{readme.END}\nbelow"
    once = readme.updated(page, REPORT)
    assert (True, False, True, once) == (
        "**2.00 times** as many" in once,
        "old" in once,
        once.startswith("above\n") and once.endswith("\nbelow"),
        readme.updated(once, REPORT),
    )


def test_a_page_without_a_place_for_the_table_is_left_alone() -> None:
    with pytest.raises(InvalidInput):
        readme.updated("no place", REPORT)


def test_the_chart_is_well_formed_and_names_every_server() -> None:
    labels = {element.text for element in ElementTree.fromstring(chart.as_svg(REPORT)).iter() if element.text}
    assert {"ours", "BentoML", "Champions, one at a time", "No inference, eight at a time"} <= labels


def test_the_longest_bar_of_a_panel_belongs_to_who_answers_most() -> None:
    svg = chart.as_svg({**REPORT, "servers_alone_ms": {}})
    bars = [float(bar.get("width")) for bar in ElementTree.fromstring(svg).iter() if bar.get("height") == "16"]
    assert bars == [chart.WIDTH - chart.LABELS - chart.FIGURES, (chart.WIDTH - chart.LABELS - chart.FIGURES) / 2]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_ins_onnx.write(tmp_path_factory.mktemp("stand-ins"))


@pytest.mark.parametrize("study", [champions.SEGMENTER, champions.SCREEN])
def test_a_stand_in_is_a_bundle_like_any_other(stand_ins: Path, study: str) -> None:
    assert study == bundles.read(stand_ins / study / stand_ins_onnx.VERSION).contract.study


def test_the_stand_ins_accept_every_image_and_mark_all_of_it(stand_ins: Path, tmp_path: Path) -> None:
    arms = champions.arms(Settings.model_validate({"models_dir": stand_ins, "state_dir": tmp_path}))
    image = np.random.default_rng(0).integers(0, 256, (48, 33), np.uint8)
    kinds = champions.network(arms[champions.SCREEN], image)()
    foreground = champions.network(arms[champions.SEGMENTER], image)()
    accepted = arms[champions.SCREEN].contract.classes[int(kinds.argmax())]
    assert ("membrane EM", True, (48, 33), True) == (
        accepted,
        bool(kinds.max() > 0.99),
        foreground.shape,
        bool((foreground > 0.5).all()),
    )


def test_mlflow_gets_the_pixels_as_numbers() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)
    body = json.loads(targets.mlflow_arrays(1, images.encode_png(pixels)).body)
    assert {"inputs": [pixels.tolist()]} == body


def test_mlflow_gets_the_picture_in_base64_and_bentoml_as_it_is() -> None:
    inputs = json.loads(targets.mlflow_base64(1, b"\x00\xff").body)
    assert ({"inputs": ["AP8="]}, b"\x00\xff") == (inputs, targets.bentoml(1, b"\x00\xff").body)


def test_the_measured_installation_has_defaults_but_for_models_threads_and_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOSEG_MLFLOW_URI", "http://elsewhere:5000")
    given = Settings.model_validate({"models_dir": "/models", "state_dir": "/state", "queue": 90})
    own = servers.own_settings(given, tmp_path, threads=3)
    assert (tmp_path, "/models", 3, 8, f"http://127.0.0.1:{own.mlflow_port}") == (
        own.state_dir,
        str(own.models_dir),
        own.threads,
        own.queue,
        own.tracking_uri,
    )


def test_a_server_gets_the_settings_of_the_measured_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIOSEG_DATA_DIR", raising=False)
    own = servers.own_settings(Settings.model_validate({}), tmp_path, threads=3)
    for name, value in servers.environment(own).items():
        monkeypatch.setenv(name, value)
    assert own == Settings()


@pytest.mark.parametrize("module", [figures, open_loop, overload, rollouts, servers, stages, readme])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    assert 0 == doctest.testmod(module).failed


@pytest.mark.parametrize("side", [512, 4096])
def test_the_measured_section_is_gray_and_of_the_side_asked_for(side: int) -> None:
    data = ways.section(side)
    assert (side, side) == formats.decode(data, images.Limits(len(data), side * side)).shape
