"""Whether the tracking server answers is known soon, and without MLflow."""

import socket
import subprocess
import sys

import pytest

from bioseg.errors import SettingsError, TrackingError
from bioseg.telemetry.tracking_server import probe


def test_a_server_that_listens_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert probe(f"http://127.0.0.1:{server.getsockname()[1]}") is True


def test_nobody_listening_is_named_without_a_password(free_port: int) -> None:
    with pytest.raises(TrackingError, match=rf"^127\.0\.0\.1:{free_port} does not answer"):
        probe(f"http://user:hunter2@127.0.0.1:{free_port}")


@pytest.mark.parametrize("uri", ["sqlite:////tmp/mlflow.db", "mlruns", "databricks"])
def test_a_store_without_a_server_is_not_asked(uri: str) -> None:
    assert probe(uri) is False


@pytest.mark.parametrize("uri", ["http://127.0.0.1:nonsense", "http://[::1"])
def test_a_malformed_address_is_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match="BIOSEG_MLFLOW_URI"):
        probe(uri)


def test_patience_is_limited_without_importing_mlflow() -> None:
    program = (
        "import os, sys\n"
        "from bioseg.telemetry import tracking_server\n"
        "tracking_server.limit_patience()\n"
        "print(os.environ['MLFLOW_HTTP_REQUEST_TIMEOUT'], 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "5 False\n" == done.stdout
