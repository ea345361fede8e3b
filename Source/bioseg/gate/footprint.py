"""The peak memory of one version on one image, in a process that imports nothing else.

`python -m bioseg.gate.footprint BUNDLE IMAGE MODULE THREADS` loads a bundle with a module of `bioseg.inference`, runs
it on an image and prints the peak of its own resident memory, MiB.
"""

import importlib
import sys
from pathlib import Path

from bioseg import bundles
from bioseg.datasets.pixels import UNLIMITED
from bioseg.decoding import formats
from bioseg.gate.prediction import use

STATUS = Path("/proc/self/status")


def _own_peak() -> float:
    """Peak of this process since it began its program, MiB.

    `getrusage` would not do: there the peak of the process that started this one counts too.
    """
    lines = dict(line.split(":", 1) for line in STATUS.read_text(encoding="ascii").splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def _main(bundle: str, image: str, module: str, threads: str) -> None:
    read = bundles.read(Path(bundle))
    predict = importlib.import_module(module).load(read, int(threads))
    use(predict, read.contract, formats.decode(Path(image).read_bytes(), UNLIMITED))
    sys.stdout.write(f"{_own_peak()}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
