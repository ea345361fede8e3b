"""What a shadow rollout costs: in the transaction of a request, and in what users wait for, with and without one."""

import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from bioseg import rollouts
from bioseg.benchmark import contest, figures, load, servers, targets
from bioseg.benchmark.champions import SEGMENTER
from bioseg.benchmark.load import Burst
from bioseg.benchmark.plan import Plan
from bioseg.bundles import CARD, SAMPLE, Bundle, sealing
from bioseg.database import requests, tasks
from bioseg.database.tables import RequestRecord
from bioseg.platform import Platform, open_platform
from bioseg.policy import assignment
from bioseg.settings import Settings

OFF, ON = "off", "on"
CHALLENGER = "challenger"
TURNS = 8
"""Most: short ones, for a difference of a few per cent is lost where a slow half minute falls on one side."""
FOLLOWED = 2.0
"""Times the seconds within which web processes follow the ledger."""


def measure(client: Executor, settings: Settings, folder: Path, picture: bytes, plan: Plan) -> dict[str, Any]:
    """Run a server of ours and start and stop a shadow of its champion under another name, in turns.

    Returns
    -------
    `record_ms`: what `of_record` gives. `loads_ms`: what a client saw with the rollout `off` and `on`. `ratio` of their
    medians.

    Raises
    ------
    ProcessFailed
        When the server does not start, or answers nothing right.
    """
    state = folder / "rollout"
    state.mkdir()
    own = servers.own_settings(settings, state, settings.threads)
    platform = open_platform(own)
    add_challenger(platform.runtime.champion(SEGMENTER).bundle, state / "models")
    with servers.bioseg(own) as served:
        asked = targets.ours(served.port, picture)
        contest.warm_up(client, asked)
        found: dict[str, list[Burst]] = {OFF: [], ON: []}
        turns = min(TURNS, plan.requests)
        for turn in range(turns):
            for state_of in (OFF, ON) if turn % 2 == 0 else (ON, OFF):
                with_rollout(platform, running=state_of == ON)
                burst = client.submit(load.burst, asked, plan.requests // turns, 1)
                found[state_of].append(burst.result())
    loads = {name: figures.load(bursts, asked.status) for name, bursts in found.items()}
    ratio = round(loads[ON]["median"] / loads[OFF]["median"], 3)
    return {"record_ms": of_record(platform, plan.probes), "loads_ms": loads, "ratio": ratio}


def with_rollout(platform: Platform, *, running: bool) -> None:
    """Have a shadow of the challenger run, or none, and wait until the web processes have followed."""
    runs = platform.runtime.aliases(SEGMENTER).rollout is not None
    if running and not runs:
        rollouts.start(platform, SEGMENTER, "shadow", CHALLENGER, actor="benchmark")
    if runs and not running:
        rollouts.stop(platform, SEGMENTER, actor="benchmark")
    if runs != running:
        time.sleep(FOLLOWED * platform.settings.sync_seconds)


def of_record(platform: Platform, rounds: int) -> dict[str, Any]:
    """Time the transaction of a request's record without and with what a rollout adds: an assignment, and a task.

    Returns
    -------
    Milliseconds: summaries of both, `off` and `on`, and the median of what the second takes longer, `added`.
    """
    numbers = count()

    def plain() -> None:
        with platform.sessions.begin() as session:
            requests.add(session, record := _record())
            tasks.add(session, "telemetry", record.seq)

    def in_rollout() -> None:
        arm = assignment.arm(f"client {next(numbers)}", CHALLENGER, 0.5)
        with platform.sessions.begin() as session:
            requests.add(session, record := _record(arm=arm, rollout=CHALLENGER))
            tasks.add(session, "telemetry", record.seq)
            tasks.add(session, "shadow", record.seq)

    return added(figures.interleaved({OFF: plain, ON: in_rollout}, rounds))


def added(times: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Sum up milliseconds of the rounds, and those by which the second way took longer in the same round.

    >>> added({"off": [1.0, 5.0, 2.0], "on": [1.5, 5.25, 2.5]})["added"]
    0.5
    """
    summaries = {name: figures.summary(values) for name, values in times.items()}
    return {**summaries, "added": round(float(np.median(np.subtract(times[ON], times[OFF]))), 3)}


def _record(**columns: Any) -> RequestRecord:
    costs = {"latency_ms": 1.0, "cpu_seconds": 1.0, "cpu_percent": 1.0, "memory_rss_mb": 1.0}
    return RequestRecord(
        id=secrets.token_hex(16),
        created_at=datetime.now(UTC),
        owner=secrets.token_hex(16),
        study=SEGMENTER,
        task="segmentation",
        status="done",
        **costs,
        **columns,
    )


def add_challenger(champion: Bundle, models: Path) -> Bundle:
    """Give the champion's network another version's name, in a folder of bundles."""
    networks = [name for name in champion.manifest.files if name not in {CARD, SAMPLE}]
    contract = champion.contract.model_copy(update={"version": CHALLENGER})
    copy = _copier(champion.path, networks)
    folder = models / SEGMENTER / CHALLENGER
    return sealing.assemble(folder, contract, copy, champion.sample(), metrics={}, provenance={})


def _copier(source: Path, names: Sequence[str]) -> Callable[[Path], None]:
    def copy(folder: Path) -> None:
        for name in names:
            shutil.copyfile(source / name, folder / name)

    return copy
