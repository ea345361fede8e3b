"""The other servers in processes of their own, from the environment beside this one that the extra `compare` fills."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil

from bioseg.benchmark import machine, servers, targets
from bioseg.benchmark.load import Target
from bioseg.benchmark.servers import HOST, Server
from bioseg.settings import Settings, child_environment

ENVIRONMENT = ".venv-compare"
RIVALS = "bioseg.benchmark.rivals"
QUIET = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
"""None of them reports to its makers while it is measured."""
PACKAGES = ("bentoml", "litserve", "mlflow", "openvino")

Start = Callable[[Path, Settings], AbstractContextManager[Server]]


def environment() -> Path | None:
    """Folder of the programs of the other environment, or None when `make bench` has not made it."""
    programs = Path(sys.prefix).with_name(ENVIRONMENT) / "bin"
    return programs if (programs / "bentoml").exists() else None


def versions(programs: Path) -> dict[str, str]:
    """What is compared, as it is installed there."""
    program = f"import importlib.metadata, json; print(json.dumps([*map(importlib.metadata.version, {PACKAGES})]))"
    answer = subprocess.run([programs / "python", "-c", program], check=True, capture_output=True)  # noqa: S603
    return dict(zip(PACKAGES, json.loads(answer.stdout), strict=True))


@contextmanager
def all_running(programs: Path, settings: Settings, picture: bytes) -> Iterator[Mapping[str, Target]]:
    """Run each of them on the models and threads of `settings`; gives what to ask them, by name."""
    with ExitStack() as stack:
        asked = {}
        for name, (start, target) in _SERVERS.items():
            asked[name] = target(stack.enter_context(start(programs, settings)).port, picture)
        yield asked


@contextmanager
def bentoml(programs: Path, settings: Settings) -> Iterator[Server]:
    """Run `bentoml serve` in its production mode."""
    port = servers.free_port()
    service = f"{RIVALS}.bentoml_service:Membrane"
    command = [str(programs / "bentoml"), "serve", service, "--host", HOST, "--port", str(port)]
    given = {"BENTOML_HOME": str(settings.state_dir / "bentoml")}
    with _running("bentoml", command, given, settings, f"http://{HOST}:{port}/readyz") as process:
        yield Server(port, process, service)


@contextmanager
def litserve(programs: Path, settings: Settings) -> Iterator[Server]:
    """Run LitServe, with as many HTTP processes as inference processes, its default."""
    port = servers.free_port()
    module = f"{RIVALS}.litserve_server"
    command = [str(programs / "python"), "-m", module, str(port)]
    with _running("litserve", command, {}, settings, f"http://{HOST}:{port}/health") as process:
        yield Server(port, process, module)


@contextmanager
def mlflow(kind: str, programs: Path, settings: Settings) -> Iterator[Server]:
    """Save the model of a module of `rivals`, and run `mlflow models serve`."""
    port = servers.free_port()
    model = settings.state_dir / kind
    saved = [str(programs / "python"), "-m", f"{RIVALS}.{kind}", str(model)]
    subprocess.run(saved, check=True, capture_output=True, env=child_environment(**QUIET))  # noqa: S603
    processes = machine.processes(settings.inference_threads())
    command = [
        *(str(programs / "mlflow"), "models", "serve", "--model-uri", str(model), "--env-manager", "local"),
        *("--host", HOST, "--port", str(port), "--workers", str(processes)),
    ]
    # uvicorn is found by name, and takes its options from here
    given = {"PATH": f"{programs}:{child_environment()['PATH']}", "UVICORN_LOG_LEVEL": "warning"}
    with _running(kind, command, given, settings, f"http://{HOST}:{port}/ping") as process:
        yield Server(port, process, "mlflow.pyfunc.scoring_server")


@contextmanager
def _running(
    name: str, command: list[str], given: dict[str, str], settings: Settings, ready: str
) -> Iterator[psutil.Process]:
    environment = {**servers.environment(settings), **QUIET, **given}
    with servers.running(command, environment, settings.state_dir / f"{name}.log", [ready]) as process:
        yield process


_SERVERS: Mapping[str, tuple[Start, Callable[[int, bytes], Target]]] = {
    "bentoml": (bentoml, targets.bentoml),
    "litserve": (litserve, targets.litserve),
    "mlflow_base64": (partial(mlflow, "mlflow_base64"), targets.mlflow_base64),
    "mlflow_arrays": (partial(mlflow, "mlflow_arrays"), targets.mlflow_arrays),
}
