"""What the figures were measured on."""

import os
import platform
from pathlib import Path
from typing import Any

from bioseg.settings import usable_cpus


def describe(threads: int) -> dict[str, Any]:
    """Processor, cores, threads of each web worker and of what is compared, and the load before anything ran."""
    cores = usable_cpus()
    return {
        "cpu": cpu(),
        "cores": cores,
        "threads": {"web_worker": threads, "bare_loop": threads, "seeds_way": cores},
        "load_before": round(os.getloadavg()[0], 2),
    }


def processes(threads: int) -> int:
    """How many processes of so many threads keep all CPUs busy."""
    return max(1, usable_cpus() // threads)


def cpu() -> str:
    """Name of the processor, from Linux where it tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
