"""What a version needs in memory, candidate against champion, each in a process of its own.

`python -m bioseg.gate.memory BUNDLE IMAGE RUNTIME THREADS` loads a bundle, runs it on an image and prints the peak of
its resident memory, MiB.
"""

import subprocess
import sys
from math import exp, log
from pathlib import Path

from bioseg import bundles
from bioseg.datasets.pixels import UNLIMITED
from bioseg.decoding import formats
from bioseg.errors import ProcessFailed
from bioseg.gate.latency import use
from bioseg.gate.scores import Arms
from bioseg.metrics import Interval, mean_interval
from bioseg.runtime import Arm, loader
from bioseg.settings import Settings

PAIRS = 3
SECONDS = 300
STATUS = Path("/proc/self/status")


def ratio(arms: Arms, image: Path, settings: Settings) -> Interval | None:
    """Ratio candidate / champion of the peaks of a few processes each; None where the system does not tell the peak.

    Raises
    ------
    ProcessFailed
        When a version's process ends without an answer.
    """
    if not STATUS.exists():
        return None
    logs = [log(_peak(arms.candidate, image, settings) / _peak(arms.champion, image, settings)) for _ in range(PAIRS)]
    found = mean_interval(logs)
    return Interval(exp(found.mean), exp(found.low), exp(found.high), found.n, f"{found.method} of log ratios")


def _peak(arm: Arm, image: Path, settings: Settings) -> float:
    path, threads = arm.bundle.path.resolve(), settings.inference_threads()
    command = [sys.executable, "-m", __name__, str(path), str(image.resolve()), settings.runtime, str(threads)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ProcessFailed(
            f"{arm.bundle.path} needed more than {SECONDS} s for one image; look at its graph"
        ) from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ProcessFailed(f"{arm.bundle.path} ended with {error.returncode} on one image: {last[0]}") from error
    return float(ended.stdout)


def _own_peak() -> float:
    """Peak of this process since it began its program, MiB.

    `getrusage` would not do: there the peak of the process that started this one counts too.
    """
    lines = dict(line.split(":", 1) for line in STATUS.read_text(encoding="ascii").splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def _main(bundle: str, image: str, runtime: str, threads: str) -> None:
    read = bundles.read(Path(bundle))
    arm = Arm(read, loader(runtime)(read, int(threads)))
    use(arm, formats.decode(Path(image).read_bytes(), UNLIMITED))
    sys.stdout.write(f"{_own_peak()}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
