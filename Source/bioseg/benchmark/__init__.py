"""What a request costs: against the seed's way, against the bare networks, and what it is made of.

All figures of a report come from one run on one machine, and what is compared is measured in turns.
"""

import importlib.metadata
import importlib.util
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from bioseg.benchmark import figures, text
from bioseg.errors import RuntimeUnavailable
from bioseg.settings import Settings, usable_cpus

ROUNDS = 30
MEMORY_REQUESTS = 20
IMPORTS = 5
WEB_WORKERS = 2
"""As many as `bioseg serve` starts."""
SIDE, LARGE_SIDE = 512, 4096
MODULES = ("application", "flask", "gunicorn", "keras", "openvino", "tensorflow", "urllib3")

as_text = text.as_text


def run(settings: Settings, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure the shipped champions behind a real server with an empty state folder.

    Parameters
    ----------
    settings
        `models_dir` and `threads` are used; the state folder is left alone.
    rounds
        How often each way is timed, 1 to 100.

    Returns
    -------
    A report for JSON: milliseconds, MiB, seconds, and ratios of medians. `request_ms` is what a client waits for the
    mask of one section over a kept connection; `stages_ms` are the parts of it that the server keeps with each request;
    `memory` is of the largest web worker.

    Raises
    ------
    RuntimeUnavailable
        When something that is compared is not installed.
    UnknownVersion, BundleError
        When a champion is missing or damaged.
    ProcessFailed
        When a server does not start or answers with an error.
    """
    _require_everything()
    from bioseg.benchmark import imports, runtimes, servers, ways

    cores = usable_cpus()
    threads = settings.inference_threads(WEB_WORKERS)
    load = os.getloadavg()[0]
    import_seconds = imports.seconds("application", IMPORTS)
    section, large = ways.section(SIDE), ways.section(LARGE_SIDE)
    with tempfile.TemporaryDirectory() as folder:
        own = servers.own_settings(settings, Path(folder), threads)
        arms = runtimes.arms(own)
        with servers.bioseg(own, WEB_WORKERS) as served, servers.seeds_way(own) as seed:
            for _ in range(MEMORY_REQUESTS):
                ways.Ours(served.port, section)()  # each over a connection of its own, so that every worker gets some
            ours, seeds_way = ways.Ours(served.port, section), ways.SeedsWay(seed.port, section)
            memory = {"requests": MEMORY_REQUESTS, "worker_rss_mb": served.memory().resident}
            times = figures.interleaved(
                {"ours": ours, "seeds_way": seeds_way, "bare_loop": ways.bare_loop(arms, section)}, rounds
            )
            stages = ours.stages(rounds)
            large_ms = figures.interleaved({"ours": ways.Ours(served.port, large)}, rounds=1, warm_up=0)["ours"][0]
            after = served.memory()
            memory |= {"worker_4096_rss_mb": after.resident, "worker_4096_peak_mb": after.peak}
            memory |= {"seeds_way_rss_mb": seed.memory().resident}
        runtimes_ms = runtimes.compare(own, arms, section, rounds)
    request_ms = {name: figures.summary(values) for name, values in times.items()}
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": cores,
            "threads": {"web_worker": threads, "bare_loop": threads, "seeds_way": cores},
            "load_before": round(load, 2),
        },
        "request_ms": request_ms,
        "ratios": figures.ratios(request_ms),
        "stages_ms": stages,
        "request_4096_ms": round(large_ms, 1),
        "memory": memory,
        "import_application_s": import_seconds,
        "runtimes_ms": runtimes_ms,
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


def _cpu() -> str:
    """Name of the processor, from Linux where it tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
