"""Processes as `bioseg serve` starts them, for the length of a test: web servers and workers."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bioseg import processes

START_SECONDS = 60.0
END_SECONDS = 30.0


@contextmanager
def web(workers: int, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run a web server with so many processes; gives its address when it is ready.

    Raises
    ------
    RuntimeError
        When it does not become ready; the message is its log.
    """
    port = _free_port()
    with run(processes.web("127.0.0.1", port, workers), environment, log) as process:
        address = f"http://127.0.0.1:{port}"
        _wait(f"{address}/readyz", process, log)
        yield address


@contextmanager
def run(command: processes.Command, environment: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process; what it writes is appended to the log."""
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603  one of our own commands
            command.arguments, env=command.environment | dict(environment), stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(END_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(address, timeout=5):  # noqa: S310  an address of this machine
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"no answer from {address}: {log.read_text()}")
