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

from bioseg.errors import ProcessFailed
from bioseg.settings import Settings, child_environment

HOST = "127.0.0.1"
START_SECONDS = 180
STOP_SECONDS = 40
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
    """Defaults on an empty state folder, with the models of `settings` and a free port for the tracking server."""
    chosen = {"state_dir": folder, "models_dir": settings.models_dir.resolve(), "threads": threads}
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    return Settings.model_construct(**{**defaults, **chosen, "mlflow_port": free_port()})


@contextmanager
def bioseg(settings: Settings, workers: int) -> Iterator[Server]:
    """Run `bioseg serve`: web workers, background worker and tracking server, all ready."""
    port = free_port()
    command = [sys.executable, "-m", "bioseg.cli", "serve", "--host", HOST, "--port", str(port)]
    given = {
        "BIOSEG_STATE_DIR": str(settings.state_dir),
        "BIOSEG_MODELS_DIR": str(settings.models_dir),
        "BIOSEG_MLFLOW_PORT": str(settings.mlflow_port),
        "BIOSEG_THREADS": str(settings.threads),
    }
    ready = (f"http://{HOST}:{port}/readyz", f"{settings.tracking_uri}/health")
    log = settings.state_dir / "bioseg.log"
    with _running([*command, "--workers", str(workers)], given, log, ready) as process:
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
    with _running(command, given, settings.state_dir / "seeds_way.log", [f"http://{HOST}:{port}/"]) as process:
        yield Server(port, process, SEEDS_WAY)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(
    command: Sequence[str], given: dict[str, str], log: Path, ready: Sequence[str]
) -> Iterator[psutil.Process]:
    """Run a command without this process's own Bioseg settings until the block ends."""
    inherited = {name: value for name, value in child_environment().items() if not name.startswith("BIOSEG_")}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=inherited | given, stdout=output, stderr=output)  # noqa: S603
    try:
        for address in ready:
            _await(address, process, log)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ProcessFailed(f"{address} does not answer:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        return urllib3.request("GET", address, retries=False, timeout=START_SECONDS).status == 200
    except urllib3.exceptions.HTTPError:
        return False
