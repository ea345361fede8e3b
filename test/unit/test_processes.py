"""What `bioseg serve` is going to start, before it starts anything."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bioseg import processes
from bioseg.settings import Settings


def option(command: processes.Command, name: str) -> str:
    return command.arguments[command.arguments.index(name) + 1]


def test_the_web_server_gets_address_and_number_of_workers() -> None:
    command = processes.web(Settings(), "0.0.0.0", 8123, 3)
    assert ("web", "0.0.0.0:8123", "3") == (command.name, option(command, "--bind"), option(command, "--workers"))


def test_the_web_server_is_configured_by_the_file_beside_the_application() -> None:
    config = Path(option(processes.web(Settings(), "127.0.0.1", 8000, 1), "--config"))
    assert ("gunicorn.conf.py", True) == (config.name, config.is_file())


@pytest.mark.parametrize("workers", [1, 2, 1000])
def test_the_cpus_are_shared_out_among_the_web_workers(workers: int) -> None:
    threads = processes.web(Settings(threads=0), "127.0.0.1", 8000, workers).environment["BIOSEG_THREADS"]
    assert str(max(1, len(os.sched_getaffinity(0)) // workers)) == threads


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Run on one CPU only, as in a container that was given no more."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("one_cpu")
def test_only_the_cpus_that_may_be_used_are_shared_out() -> None:
    assert "1" == processes.web(Settings(threads=0), "127.0.0.1", 8000, 1).environment["BIOSEG_THREADS"]


def test_a_number_of_threads_that_is_set_holds_for_each_web_worker() -> None:
    assert "3" == processes.web(Settings(threads=3), "127.0.0.1", 8000, 2).environment["BIOSEG_THREADS"]


def test_no_tracking_server_is_started_beside_one_that_is_named(tmp_path: Path) -> None:
    assert processes.tracking(Settings(state_dir=tmp_path, mlflow_uri="http://tracking.example:5000")) is None
    assert [] == list(tmp_path.iterdir())


def test_the_tracking_server_keeps_everything_in_the_state_folder(tmp_path: Path) -> None:
    command = processes.tracking(Settings(state_dir=tmp_path))
    assert command is not None
    expected = (f"sqlite:///{tmp_path}/mlflow/mlflow.db", f"{tmp_path}/mlflow/artifacts")
    assert expected == (option(command, "--backend-store-uri"), option(command, "--artifacts-destination"))
    assert (tmp_path / "mlflow").is_dir()


def test_the_tracking_server_answers_this_machine_only_on_the_port_that_is_set(tmp_path: Path) -> None:
    command = processes.tracking(Settings(state_dir=tmp_path, mlflow_port=5123))
    assert command is not None
    expected = ("127.0.0.1", "5123", "localhost:5123,127.0.0.1:5123")
    assert expected == tuple(option(command, name) for name in ("--host", "--port", "--allowed-hosts"))


def test_the_tracking_server_reports_to_nobody_and_starts_no_helpers(tmp_path: Path) -> None:
    command = processes.tracking(Settings(state_dir=tmp_path))
    assert command is not None
    names = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION")
    assert ["true", "false"] == [command.environment[name] for name in names]
