"""What a request costs: beside other servers and the seed's way, and what it is made of.

All figures of a report come from one run on one machine, and what is compared is measured in turns.
"""

import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from bioseg.benchmark import text
from bioseg.benchmark.plan import SIDE, Plan
from bioseg.errors import RuntimeUnavailable
from bioseg.settings import Settings

FULL = Plan()
MODULES = ("application", "flask", "gunicorn", "keras", "onnx", "onnxruntime", "openvino", "tensorflow", "urllib3")

as_text = text.as_text


def run(settings: Settings, plan: Plan = FULL) -> dict[str, Any]:
    """Measure the shipped champions behind real servers with empty state folders.

    Parameters
    ----------
    settings
        `models_dir` and `threads` are used; the state folder is left alone.
    plan
        How much is measured.

    Returns
    -------
    A report for JSON: ms, MiB, seconds, requests a second. `servers_ms` and `servers_alone_ms` hold ours beside the
    others, by how many ask at a time, with the champions and with stand-ins that answer a constant; the others are
    missing where their environment is. `request_ms` holds one upload after the other beside the seed's way, `stages_ms`
    what the server itself says of its time, `overload` what it does with more than it can, `rollout` what a shadow
    rollout adds.

    Raises
    ------
    RuntimeUnavailable
        When something that every run compares is not installed.
    UnknownVersion, BundleError
        When a champion is missing or damaged.
    ProcessFailed
        When a server does not start or answers with an error.
    """
    _require_everything()
    from bioseg.benchmark import (
        codecs,
        cold_start,
        imports,
        load,
        machine,
        overload,
        rival_servers,
        rollouts,
        runtimes,
        servers,
        ways,
        with_champions,
        with_stand_ins,
    )

    threads = settings.inference_threads()
    described = machine.describe(threads)
    programs = rival_servers.environment()
    with tempfile.TemporaryDirectory() as name, load.client_process() as client:
        folder = Path(name)
        own = servers.own_settings(settings, folder, threads)
        return {
            "machine": described,
            "versions": {} if programs is None else rival_servers.versions(programs),
            "import_application_s": imports.seconds("application", plan.starts),
            "cold_start": cold_start.measure(own, folder, plan.starts),
            **with_champions.measure(client, own, plan, programs),
            **with_stand_ins.measure(client, own, plan, programs),
            "overload": overload.measure(client, own, folder, ways.section(SIDE), plan),
            "rollout": rollouts.measure(client, own, folder, ways.section(SIDE), plan),
            "runtimes_ms": runtimes.compare(own, ways.section(SIDE), plan.rounds),
            "codecs_ms": codecs.compare(plan.rounds),
        }


def _require_everything() -> None:
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    try:
        importlib.metadata.version("mlflow")  # the module is there with mlflow-skinny too, the server is not
    except importlib.metadata.PackageNotFoundError:
        missing.append("mlflow")
    if missing:
        raise RuntimeUnavailable(
            f"the benchmark needs {', '.join(missing)}: run `make bench`, which installs all of it"
        )
