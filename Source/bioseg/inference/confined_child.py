"""The process of a version under trial.

`python -m bioseg.inference.confined_child TECHNOLOGY BUNDLE THREADS MEMORY_MB` loads a bundle by a module and speaks
`bioseg.inference.confined_wire` on its standard input and output; what libraries print goes to the null device. The end
of the input, which comes as well when the parent dies, ends it.
"""

import importlib
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from bioseg import bundles
from bioseg.children import READY
from bioseg.inference import Floats, Predictor, confined_wire
from bioseg.inference.confined_wire import Result

NOTHING = np.empty(0, np.float32)


def main(technology: str, path: str, threads: int, memory_mb: int) -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * 2**20,) * 2)
    predict: Predictor = importlib.import_module(technology).load(bundles.read(Path(path)), threads)
    answers.write(READY)
    answers.flush()
    with open(0, "rb") as requests:
        while (batch := confined_wire.asked(requests)) is not None:
            confined_wire.answer(answers, run(predict, batch))


def run(predict: Predictor, batch: Floats) -> Result:
    """Run the network, and say what it cost, or what went wrong."""
    before = time.process_time()
    try:
        output, error = predict(batch), ""
    except Exception as failure:  # noqa: BLE001 - the boundary of this process: its answer is the log of the other one
        output, error = NOTHING, f"{type(failure).__name__}: {failure}"
    if not error and not np.isfinite(output).all():
        error = "the output holds values that are not finite"
    return Result(output, error, time.process_time() - before, peak_memory_mb())


def peak_memory_mb() -> float:
    """Most resident memory of this process so far, MiB. getrusage(2) would count that of the parent before exec too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
