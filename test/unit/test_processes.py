"""What `bioseg serve` is going to start, before it starts anything."""

import subprocess
import sys
from pathlib import Path

from bioseg import processes
from bioseg.settings import Settings

PAGE_FAULTS_OF_FREED_ARRAYS = """
import resource
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(3 * 2**20)
before = faults()
for _ in range(100):
    bytearray(3 * 2**20)
print(faults() - before)
"""


def option(command: processes.Command, name: str) -> str:
    return command.arguments[command.arguments.index(name) + 1]


def test_the_web_server_gets_address_and_number_of_workers() -> None:
    command = processes.web("0.0.0.0", 8123, 3)
    assert ("web", "0.0.0.0:8123", "3") == (command.name, option(command, "--bind"), option(command, "--workers"))


def test_the_web_server_is_configured_by_the_file_beside_the_application() -> None:
    config = Path(option(processes.web("127.0.0.1", 8000, 1), "--config"))
    assert ("gunicorn.conf.py", True) == (config.name, config.is_file())


def test_the_web_server_uses_the_memory_of_one_request_for_the_next() -> None:
    program = [sys.executable, "-c", PAGE_FAULTS_OF_FREED_ARRAYS]
    given = processes.web("127.0.0.1", 8000, 1).environment
    faults = int(subprocess.run(program, env=given, check=True, capture_output=True).stdout)
    assert faults < 100, "an array of 3 MiB takes 768 pages, each time it comes from the kernel"


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
