"""From starting `bioseg serve` to its first answers, and what a web worker holds before anybody used it."""

import time
from pathlib import Path
from statistics import median

from bioseg.benchmark import servers
from bioseg.settings import Settings


def measure(settings: Settings, folder: Path, rounds: int) -> dict[str, float]:
    """Start the server so many times on an empty state folder.

    Returns
    -------
    Medians: seconds to the first 200 of `/livez` and of `/readyz`, for which the champions are loaded, and MiB of the
    largest web worker at the former.

    Raises
    ------
    ProcessFailed
        When it does not start.
    """
    alive, ready, idle = [], [], []
    for number in range(rounds):
        state = folder / f"cold-{number}"
        state.mkdir()
        own = servers.own_settings(settings, state, settings.threads)
        start = time.monotonic()
        with servers.bioseg(own, ready="livez") as server:
            alive.append(time.monotonic() - start)
            idle.append(server.memory().resident)
            servers.await_answer(f"http://{servers.HOST}:{server.port}/readyz", server.process, state / "bioseg.log")
            ready.append(time.monotonic() - start)
    return {
        "livez_s": round(median(alive), 2),
        "readyz_s": round(median(ready), 2),
        "idle_rss_mb": median(idle),
        "n": rounds,
    }
