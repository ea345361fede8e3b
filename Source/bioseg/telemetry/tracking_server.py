"""What is known of the tracking server without MLflow's client: whether it answers, and how long to wait for it."""

import os
import socket
from urllib.parse import urlsplit

from bioseg.errors import SettingsError, TrackingError

PORTS = {"http": 80, "https": 443}
PROBE_SECONDS = 1.0
PATIENCE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def endpoint(uri: str) -> tuple[str, int] | None:
    """Host and port of a tracking server; None when the address names none: a file store is there without one.

    Raises
    ------
    SettingsError
        When the address is malformed.
    """
    try:
        address = urlsplit(uri)
        port = address.port or PORTS.get(address.scheme)
    except ValueError as error:
        raise SettingsError(f"BIOSEG_MLFLOW_URI: {error}; give for instance http://127.0.0.1:5000") from error
    return None if address.scheme not in PORTS or port is None else (address.hostname or "", port)


def probe(uri: str) -> bool:
    """Find out within a second whether the server listens; MLflow's own client takes minutes to notice silence.

    Returns
    -------
    Whether the address names a server at all: a file store is there without one.

    Raises
    ------
    SettingsError
        When the address is malformed.
    TrackingError
        When nobody listens.
    """
    server = endpoint(uri)
    if server is None:
        return False
    try:
        socket.create_connection(server, PROBE_SECONDS).close()
    except OSError as error:
        raise TrackingError("{}:{} does not answer: {}".format(*server, error)) from error
    return True


def limit_patience() -> None:
    """Let MLflow's client in this process give up after seconds, quietly; call it before MLflow is imported."""
    os.environ.update(PATIENCE)
