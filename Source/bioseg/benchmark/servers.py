"""The servers under measurement, each in processes of its own."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import urllib3

from bioseg.benchmark.plan import CONCURRENCIES, WEB_WORKERS
from bioseg.errors import ProcessFailed
from bioseg.settings import Settings, child_environment

HOST = "127.0.0.1"
START_SECONDS = 180
STOP_SECONDS = 40
CHILD_SECONDS = 10
POLL_SECONDS = 0.05
CONNECTIONS = max(CONCURRENCIES)
"""Most connections of the client: so many requests may wait, as the other servers refuse none."""
WEB = "application:create_app()"
SEEDS_WAY = "bioseg.benchmark.seeds_way_keras_mlflow:create_app"


class Memory(NamedTuple):
    """MiB: resident now, and the most that ever was."""

    resident: float
    peak: float


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its port, its first process, and what stands in the command line of those that serve."""

    port: int
    process: psutil.Process
    mark: str

    def memory(self) -> Memory:
        """The largest serving process."""
        serving = (process for process in self._family() if self.mark in " ".join(process.cmdline()))
        return max(memory(Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")) for process in serving)

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def memory(status: str) -> Memory:
    r"""Read the memory of a process off what Linux says of it (proc_pid_status(5)).

    >>> memory("Name: python\nVmHWM:  4096 kB\nVmRSS:  2048 kB\n")
    Memory(resident=2.0, peak=4.0)
    """
    kib = {name: int(value) for name, value in re.findall(r"^(VmHWM|VmRSS):\s+(\d+) kB$", status, re.MULTILINE)}
    return Memory(round(kib["VmRSS"] / 1024, 1), round(kib["VmHWM"] / 1024, 1))


def own_settings(settings: Settings, folder: Path, threads: int) -> Settings:
    """Defaults on an empty state folder, with the models of `settings` and room for all connections of the client."""
    chosen = {
        "state_dir": folder,
        "models_dir": settings.models_dir.resolve(),
        "threads": threads,
        "queue": CONNECTIONS,
    }
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    return Settings.model_construct(**{**defaults, **chosen, "mlflow_port": free_port()})


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give a process the settings of `own_settings`."""
    names = ("state_dir", "models_dir", "mlflow_uri", "mlflow_port", "threads", "queue")
    return {f"BIOSEG_{name.upper()}": str(getattr(settings, name)) for name in names}


@contextmanager
def bioseg(settings: Settings, ready: str = "readyz") -> Iterator[Server]:
    """Run `bioseg serve`: its web workers until the probe `ready` is good, and its tracking server where it has one."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "bioseg.cli", "serve"),
        *("--host", HOST, "--port", str(port), "--workers", str(WEB_WORKERS)),
    ]
    addresses = [f"http://{HOST}:{port}/{ready}"]
    if ready == "readyz" and not settings.mlflow_uri:
        addresses.append(f"{settings.tracking_uri}/health")
    log = settings.state_dir / "bioseg.log"
    with running(command, environment(settings), log, addresses) as process:
        yield Server(port, process, WEB)


@contextmanager
def seeds_way(settings: Settings) -> Iterator[Server]:
    """Run the seed's way with one worker, which computes on all cores, and the same kind of connections."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "gunicorn", f"{SEEDS_WAY}('{settings.tracking_uri}')"),
        *("--bind", f"{HOST}:{port}", "--workers", "1", "--worker-class", "gthread", "--threads", "8"),
        *("--keep-alive", "5", "--timeout", "120"),
    ]
    given = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with running(command, given, settings.state_dir / "seeds_way.log", [f"http://{HOST}:{port}/"]) as process:
        yield Server(port, process, SEEDS_WAY)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], given: dict[str, str], log: Path, ready: Sequence[str]) -> Iterator[psutil.Process]:
    """Run a command, with no Bioseg settings but the given ones, until the block ends; what it started ends with it.

    Raises
    ------
    ProcessFailed
        When the addresses in `ready` do not all answer 200 in time.
    """
    inherited = {name: value for name, value in child_environment().items() if not name.startswith("BIOSEG_")}
    with log.open("wb") as output:
        popen = subprocess.Popen(command, env=inherited | given, stdout=output, stderr=output)  # noqa: S603
    process = psutil.Process(popen.pid)
    try:
        for address in ready:
            await_answer(address, process, log)
        yield process
    finally:
        _stop(popen, process)


def await_answer(address: str, process: psutil.Process, log: Path) -> None:
    """Wait for an address to answer 200; raises ProcessFailed with the end of the log."""
    deadline = time.monotonic() + START_SECONDS
    while not _answers(address):
        ended = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        if ended or time.monotonic() > deadline:
            raise ProcessFailed(f"{address} does not answer:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(POLL_SECONDS)


def _stop(popen: subprocess.Popen[bytes], process: psutil.Process) -> None:
    """End a process, and then what is left of its children: some servers leave theirs behind."""
    try:
        children = process.children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    popen.terminate()
    try:
        popen.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
    for child in children:
        if child.is_running():
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=CHILD_SECONDS)
    for child in alive:
        child.kill()


def _answers(address: str) -> bool:
    try:
        # a connection that is kept would keep the server from stopping
        closing = {"Connection": "close"}
        return urllib3.request("GET", address, headers=closing, retries=False, timeout=START_SECONDS).status == 200
    except urllib3.exceptions.HTTPError:
        return False
