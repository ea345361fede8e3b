"""What a version needs in memory, candidate against champion, each in a process of its own."""

import subprocess
import sys
from math import exp, log
from pathlib import Path

from bioseg.errors import ProcessFailed
from bioseg.gate import footprint
from bioseg.gate.scores import Both
from bioseg.metrics import Interval, mean_interval
from bioseg.runtime import Arm, technology
from bioseg.settings import Settings

PAIRS = 3
SECONDS = 300


def ratio(arms: Both, image: Path, settings: Settings) -> Interval | None:
    """Ratio candidate / champion of the peaks of a few processes each; None where the system does not tell the peak.

    Raises
    ------
    ProcessFailed
        When a version's process ends without an answer.
    """
    if not footprint.STATUS.exists():
        return None
    logs = [log(_peak(arms.candidate, image, settings) / _peak(arms.champion, image, settings)) for _ in range(PAIRS)]
    found = mean_interval(logs)
    return Interval(exp(found.mean), exp(found.low), exp(found.high), found.n, f"{found.method} of log ratios")


def _peak(arm: Arm, image: Path, settings: Settings) -> float:
    module, threads = technology(settings.runtime, arm.contract), settings.inference_threads()
    given = (arm.bundle.path.resolve(), image.resolve(), module, threads)
    command = [sys.executable, "-m", footprint.__name__, *map(str, given)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ProcessFailed(f"{arm.bundle.path} took more than {SECONDS} s for one image; look at its graph") from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ProcessFailed(f"{arm.bundle.path} ended with {error.returncode} on one image: {last[0]}") from error
    return float(ended.stdout)
