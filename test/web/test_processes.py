"""`bioseg serve` as it is started: web server, worker and MLflow, each of them watched, all of them stopped."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric

from bioseg import images, processes
from bioseg.telemetry.mlflow_shipper import METRICS
from bioseg.testing import twins

SECONDS = 120
UPLOADS = {"accepted": 3, "refused": 2, "broken": 2}
RUNS = {
    "accepted": ("bioseg/membrane", "membrane tiny champion #1"),
    "refused": ("bioseg/kinds", "kinds tiny screen #1"),
    "broken": ("bioseg/membrane", "membrane none failed #1"),
}
STATUS = {"accepted": 200, "refused": 422, "broken": 400}


@dataclass(frozen=True)
class Installation:
    """A running `bioseg serve`."""

    process: subprocess.Popen[bytes]
    address: str
    tracking: str
    log: Path

    def children(self, part: str) -> list[psutil.Process]:
        """The direct child whose command line holds `part`."""
        found = psutil.Process(self.process.pid).children()
        return [child for child in found if part in " ".join(child.cmdline())]


@pytest.fixture(scope="module")
def installation(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`bioseg serve` on free ports with a state folder of its own, everything in it answering."""
    state = tmp_path_factory.mktemp("serve")
    port, mlflow_port = free_ports(2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BIOSEG_")} | {
        "BIOSEG_STATE_DIR": str(state),
        "BIOSEG_MODELS_DIR": str(tiny_models),
        "BIOSEG_MLFLOW_PORT": str(mlflow_port),
        "BIOSEG_SYNC_SECONDS": "0.2",
    }
    command = [sys.executable, "-m", "bioseg.cli", "serve", "--port", str(port), "--workers", "1"]
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address, tracking = (f"http://127.0.0.1:{number}" for number in (port, mlflow_port))
    try:
        for probe in (f"{address}/readyz", f"{tracking}/health"):
            until(partial(answers, probe), state / "log")
        yield Installation(process, address, tracking, state / "log")
    finally:
        process.terminate()
        process.wait(processes.GRACE_SECONDS)


@pytest.fixture(scope="module")
def statuses(installation: Installation) -> dict[str, set[int]]:
    """What the uploads of each sort were answered."""
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    uploads = {
        "accepted": images.encode_png(twins.membrane_section(3, 128)[0]),
        "refused": images.encode_png(np.kron(colours, np.ones((32, 32, 1), np.uint8))),
        "broken": b"no image",
    }
    return {
        sort: {upload(installation, data).status_code for _ in range(UPLOADS[sort])} for sort, data in uploads.items()
    }


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=10).ok
    except requests.ConnectionError:
        return False


def until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.1)


def upload(installation: Installation, data: bytes) -> requests.Response:
    files = {"image": ("upload.png", data, "image/png")}
    return requests.post(f"{installation.address}/api/v1/segment", files=files, timeout=60)


def points(installation: Installation, sort: str, metric: str) -> list[Metric]:
    """What the MLflow server that `serve` started holds of one sort of upload."""
    experiment_name, run_name = RUNS[sort]
    client = MlflowClient(installation.tracking)
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{run_name}'")
    return [point for run in runs for point in client.get_metric_history(run.info.run_id, metric)]


def test_the_page_answers(installation: Installation) -> None:
    page = requests.get(installation.address, timeout=30)
    assert (200, "text/html; charset=utf-8") == (page.status_code, page.headers["Content-Type"])


def test_one_web_server_one_worker_and_one_tracking_server_run(installation: Installation) -> None:
    parts = ("gunicorn", "bioseg.cli worker", "mlflow server")
    assert [1, 1, 1] == [len(installation.children(part)) for part in parts]


def test_the_worker_leaves_the_cpu_to_the_web_server(installation: Installation) -> None:
    (worker,), (web,) = (installation.children(part) for part in ("bioseg.cli worker", "gunicorn"))
    until(lambda: worker.nice() > web.nice(), installation.log)


def test_each_sort_of_upload_is_answered_in_its_way(statuses: dict[str, set[int]]) -> None:
    assert {sort: {status} for sort, status in STATUS.items()} == statuses


def test_each_upload_is_one_point_of_each_metric(installation: Installation, statuses: dict[str, set[int]]) -> None:
    def counted() -> dict[str, list[int]]:
        return {sort: [len(points(installation, sort, name)) for name in METRICS] for sort in UPLOADS}

    expected = {sort: [count] * len(METRICS) for sort, count in UPLOADS.items()}
    until(lambda: all(found >= expected[sort] for sort, found in counted().items()), installation.log)
    time.sleep(1)  # five looks of the worker, in which a point too many would arrive
    assert expected == counted()


def test_an_accepted_upload_costs_what_a_network_costs(
    installation: Installation, statuses: dict[str, set[int]]
) -> None:
    until(lambda: len(points(installation, "accepted", METRICS[-1])) == UPLOADS["accepted"], installation.log)
    cpu_seconds, memory_rss_mb, latency_ms = (
        [point.value for point in points(installation, "accepted", name)]
        for name in ("cpu_seconds", "memory_rss_mb", "latency_ms")
    )
    assert min(cpu_seconds) > 0
    assert min(memory_rss_mb) > 50
    assert min(latency_ms) > 1


def test_a_killed_worker_is_started_again_and_ships_what_came_meanwhile(
    installation: Installation, statuses: dict[str, set[int]]
) -> None:
    until(lambda: len(points(installation, "broken", METRICS[-1])) == UPLOADS["broken"], installation.log)
    (killed,) = installation.children("bioseg.cli worker")
    killed.kill()
    assert upload(installation, b"no image").status_code == STATUS["broken"]
    until(lambda: len(points(installation, "broken", METRICS[-1])) == UPLOADS["broken"] + 1, installation.log)
    (worker,) = installation.children("bioseg.cli worker")
    assert killed.pid != worker.pid


def test_a_request_goes_on_while_the_tracking_server_is_started_again(
    installation: Installation, statuses: dict[str, set[int]]
) -> None:
    (killed,) = installation.children("mlflow server")
    for child in (*killed.children(recursive=True), killed):
        child.kill()
    assert upload(installation, b"no image").status_code == STATUS["broken"]
    until(lambda: answers(f"{installation.tracking}/health"), installation.log)
    (tracking,) = installation.children("mlflow server")
    assert killed.pid != tracking.pid


# Stands last: it ends the installation that the tests share.
def test_sigterm_ends_everything_with_success(installation: Installation) -> None:
    family = psutil.Process(installation.process.pid).children(recursive=True)
    installation.process.terminate()
    assert 0 == installation.process.wait(processes.GRACE_SECONDS)
    _, alive = psutil.wait_procs(family, timeout=5)
    assert [] == alive
