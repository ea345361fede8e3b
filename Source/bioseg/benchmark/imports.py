"""How long an import takes in a fresh interpreter."""

import subprocess
import sys
from statistics import median

from bioseg.benchmark import figures


def seconds(module: str, rounds: int) -> float:
    """Median seconds of a fresh interpreter that imports a module, less the median of one that does nothing."""
    ways = {"module": lambda: _interpret(f"import {module}"), "bare": lambda: _interpret("")}
    times = figures.interleaved(ways, rounds, warm_up=1)
    return round((median(times["module"]) - median(times["bare"])) / 1e3, 3)


def _interpret(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603
