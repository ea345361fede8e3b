"""What `bioseg serve` runs: the web server, its worker and, where it is installed, an MLflow server beside them."""

import importlib.metadata
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bioseg.errors import RuntimeUnavailable
from bioseg.settings import Settings, child_environment

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
RESTART_SECONDS = 2.0
GRACE_SECONDS = 30.0
NICENESS = 10
"""Of what runs beside the web server: it waits while somebody uploads, or while the web server starts."""
TRACKING_HOST = "127.0.0.1"
MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20),
}
"""For glibc's malloc(3): what a request frees serves the next one, and does not go back to the kernel in between."""


@dataclass(frozen=True, slots=True)
class Command:
    """One child process: its name in the log, its arguments and its environment."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]


def web(host: str, port: int, workers: int) -> Command:
    """Gunicorn with the web application.

    Raises
    ------
    RuntimeUnavailable
        When the web application or gunicorn is not installed.
    """
    application = importlib.util.find_spec("application")
    if application is None or application.origin is None or importlib.util.find_spec("gunicorn") is None:
        raise RuntimeUnavailable("the web application is not installed: pip install 'bioseg[serve]'")
    arguments = [
        *(sys.executable, "-m", "gunicorn", "application:create_app()"),
        *("--config", str(Path(application.origin).with_name("gunicorn.conf.py"))),
        *("--bind", f"{host}:{port}", "--workers", str(workers)),
    ]
    return Command("web", arguments, child_environment(**MEMORY))


def worker() -> Command:
    """The background process that does what follows a response."""
    return Command("worker", [sys.executable, "-m", "bioseg.cli", "worker"], child_environment())


def tracking(settings: Settings) -> Command | None:
    """An MLflow server on a SQLite store in the state folder; None when one is named or MLflow is not installed."""
    try:
        importlib.metadata.version("mlflow")
    except importlib.metadata.PackageNotFoundError:
        return None
    if settings.mlflow_uri:
        return None
    folder = settings.state_dir.resolve() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    hosts = ",".join(f"{name}:{settings.mlflow_port}" for name in ("localhost", TRACKING_HOST))
    arguments = [
        *(sys.executable, "-m", "mlflow", "server", "--host", TRACKING_HOST, "--port", str(settings.mlflow_port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts"), "--workers", "1", "--allowed-hosts", hosts),
    ]
    # Seven helper processes that nothing here uses, and a report to MLflow's makers.
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return Command("mlflow", arguments, child_environment(**quiet))


def serve(main: Command, companions: Sequence[Command]) -> int:
    """Run the web server and its companions until a signal or the end of the web server.

    A companion that ends is started again; the web server watches its own workers.

    Returns
    -------
    The exit code of the web server, 0 after SIGTERM or SIGINT.
    """
    stopping = _stop_on_signals()
    running = {main.name: (main, _start(main)), **{each.name: (each, _start_beside(each)) for each in companions}}
    while not stopping and running[main.name][1].poll() is None:
        time.sleep(POLL_SECONDS)
        for command, process in list(running.values()):
            if command is not main and process.poll() is not None and not stopping:
                log.warning("%s ended with code %s; starting it again", command.name, process.returncode)
                time.sleep(RESTART_SECONDS)
                running[command.name] = (command, _start_beside(command))
    _stop([process for _, process in running.values()])
    return 0 if stopping else running[main.name][1].returncode


def _stop_on_signals() -> list[int]:
    """List that SIGTERM and SIGINT add themselves to."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return received


def _start(command: Command) -> subprocess.Popen[bytes]:
    # A group of its own: Ctrl-C reaches this process alone, which then stops the children in order. No session:
    # between those Linux shares the CPUs evenly, however nice their processes are (sched(7), autogroup).
    process = subprocess.Popen(command.arguments, env=command.environment, process_group=0)  # noqa: S603
    log.info("%s started (pid %s)", command.name, process.pid)
    return process


def _start_beside(command: Command) -> subprocess.Popen[bytes]:
    process = _start(command)
    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return process


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
