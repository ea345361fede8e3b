"""Ours when it gets ten times what it can do, and when it is stopped meanwhile; with its queue as it comes."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np

from bioseg.benchmark import contest, figures, load, open_loop, servers, targets
from bioseg.benchmark.figures import Load
from bioseg.benchmark.load import NO_ANSWER
from bioseg.benchmark.open_loop import NO_CONNECTION, Flood, Reply
from bioseg.benchmark.plan import Plan
from bioseg.benchmark.servers import Server
from bioseg.settings import Settings

TIMES = 10.0
"""Of its capacity that is asked of it."""
CLIENTS = 2
"""Enough to keep it busy: one is served while the other waits."""
STOP_TIMES, STOP_SECONDS, BEFORE_STOP_SECONDS = 2.0, 6.0, 3.0


def measure(client: Executor, settings: Settings, folder: Path, picture: bytes, plan: Plan) -> dict[str, Any]:
    """Run a server of ours with the default queue, and ask more and more of it.

    Returns
    -------
    `alone` and `capacity`: a closed loop of one client and of two. `flood`: what `summary` makes of an open loop at ten
    times that capacity. `stop`: what `stopped` makes of one at twice the capacity during which the server got SIGTERM.

    Raises
    ------
    ProcessFailed
        When the server does not start, or answers nothing right while it gets no more than it can do.
    """
    state = folder / "overload"
    state.mkdir()
    own = servers.own_settings(settings, state, settings.threads)
    own = own.model_copy(update={"queue": Settings.model_fields["queue"].get_default()})
    with servers.bioseg(own) as served:
        asked, probe = targets.ours(served.port, picture), targets.alive(served.port)
        contest.warm_up(client, asked)
        alone, capacity = (
            figures.load([client.submit(load.burst, asked, plan.capacity_requests, clients).result()], asked.status)
            for clients in (1, CLIENTS)
        )
        rate = capacity["per_second"]
        flood = client.submit(open_loop.flood, asked, probe, TIMES * rate, plan.overload_seconds).result()
        last = client.submit(open_loop.flood, asked, probe, STOP_TIMES * rate, STOP_SECONDS)
        _stop_later(served)
        return {
            "alone": alone,
            "capacity": capacity,
            "flood": summary(flood, alone, capacity, TIMES * rate),
            "stop": stopped(last.result().replies),
        }


def _stop_later(served: Server) -> None:
    time.sleep(BEFORE_STOP_SECONDS)
    served.process.terminate()


def summary(flood: Flood, alone: Load, capacity: Load, offered: float) -> dict[str, Any]:
    """What became of requests and probes: goodput, ms (median, p99) of who was served and who was sent away, counts.

    `goodput` counts the answers with 200 for each second up to the last answer, as part of the capacity. `failed` are
    those that got neither 200 nor 503.
    """
    served, refused = (_of(flood.replies, status) for status in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE))
    accepted = _percentiles(served)
    return {
        "offered_per_second": round(offered, 2),
        "goodput": round(len(served) / flood.seconds / capacity["per_second"], 3),
        "accepted_ms": accepted,
        "p50_over_alone_p99": round(accepted["median"] / alone["p99"], 3),
        "p99_over_alone_p99": round(accepted["p99"] / alone["p99"], 3),
        "refused_ms": _percentiles(refused),
        "retry_after_share": round(float(np.mean([bool(reply.retry_after) for reply in refused])), 4) if refused else 1,
        "livez_ms": _percentiles(_of(flood.probes, HTTPStatus.OK)),
        "livez_failed": len(flood.probes) - len(_of(flood.probes, HTTPStatus.OK)),
        "failed": len(flood.replies) - len(served) - len(refused),
        "client_cpu_share": flood.cpu_share,
    }


def stopped(replies: Sequence[Reply]) -> dict[str, int]:
    """How many requests a server took, how many of them it left without a whole answer, and how many it did not take.

    >>> stopped([Reply(9.0, 200, ""), Reply(1.0, 503, "1"), Reply(5.0, 0, ""), Reply(0.1, -1, "")])
    {'taken': 3, 'served': 1, 'failed': 1, 'not_taken': 1}
    """
    statuses = [reply.status for reply in replies]
    return {
        "taken": len(statuses) - statuses.count(NO_CONNECTION),
        "served": statuses.count(HTTPStatus.OK),
        "failed": statuses.count(NO_ANSWER),
        "not_taken": statuses.count(NO_CONNECTION),
    }


def _of(replies: Sequence[Reply], status: int) -> list[Reply]:
    return [reply for reply in replies if reply.status == status]


def _percentiles(replies: Sequence[Reply]) -> Mapping[str, float]:
    """Median, p99 and the most, ms; 0 where there were none."""
    times = [reply.ms for reply in replies] or [0.0]
    median, p99, most = (round(float(value), 2) for value in np.percentile(times, (50, 99, 100)))
    return {"median": median, "p99": p99, "max": most, "n": len(replies)}
