"""What users feel when MLflow is away: our server with a well one beside servers whose MLflow fails each in its way."""

import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from bioseg.benchmark import contest, servers, targets
from bioseg.benchmark.figures import Load
from bioseg.settings import Settings

WELL = "well"
"""Ours with the tracking server that it starts itself."""


def measure(
    client: Executor, settings: Settings, folder: Path, picture: bytes, requests: int, turns: int
) -> dict[str, Load]:
    """Send the same uploads to four servers of ours, one connection each, in turns.

    Returns
    -------
    What the client saw with MLflow `well`, `refused` (nobody listens), `silent` (it accepts and never answers) and
    `failing` (every call gets 500).

    Raises
    ------
    ProcessFailed
        When a server does not start, or answers nothing right.
    """
    with ExitStack() as stack:
        address = {
            "refused": stack.enter_context(_refusing()),
            "silent": stack.enter_context(_silent()),
            "failing": stack.enter_context(_failing()),
        }
        asked = {}
        for name in (WELL, *address):
            state = folder / f"mlflow-{name}"
            state.mkdir()
            own = servers.own_settings(settings, state, settings.threads)
            own = own.model_copy(update={"mlflow_uri": address.get(name, "")})
            server = stack.enter_context(servers.bioseg(own))
            asked[name] = targets.ours(server.port, picture)
            contest.warm_up(client, asked[name])
        return contest.loads(client, asked, requests, concurrency=1, turns=turns)


def differences(found: Mapping[str, Load]) -> dict[str, dict[str, float]]:
    """How many ms later the answers come than with MLflow well, by median and p99, and how many were errors."""
    well = found[WELL]
    return {
        name: {
            "median_ms": round(other["median"] - well["median"], 2),
            "p99_ms": round(other["p99"] - well["p99"], 2),
            "errors": other["errors"],
        }
        for name, other in found.items()
        if name != WELL
    }


@contextmanager
def _refusing() -> Iterator[str]:
    """A port that nobody else gets and nobody listens on."""
    with socket.socket() as taken:
        taken.bind((servers.HOST, 0))
        yield f"http://{servers.HOST}:{taken.getsockname()[1]}"


@contextmanager
def _silent() -> Iterator[str]:
    """A port that takes connections, because the system does, and never says anything."""
    with socket.create_server((servers.HOST, 0), backlog=128) as listener:
        yield f"http://{servers.HOST}:{listener.getsockname()[1]}"


@contextmanager
def _failing() -> Iterator[str]:
    """A server whose every answer is 500."""
    server = ThreadingHTTPServer((servers.HOST, 0), _Failing)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{servers.HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Failing(BaseHTTPRequestHandler):
    def _fail(self) -> None:
        self.send_response(HTTPStatus.INTERNAL_SERVER_ERROR)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PATCH = _fail  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent: every call is expected."""
