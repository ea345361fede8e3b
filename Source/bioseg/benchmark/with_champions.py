"""Ours with the shipped champions: beside the seed's way, beside other servers, stage by stage, and in memory."""

from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bioseg.benchmark import champions, contest, figures, rival_servers, servers, stages, targets, ways
from bioseg.benchmark.load import Target
from bioseg.benchmark.plan import CONCURRENCIES, LARGE_SIDE, SIDE, Plan
from bioseg.benchmark.servers import Server
from bioseg.settings import Settings


def measure(client: Executor, settings: Settings, plan: Plan, programs: Path | None) -> dict[str, Any]:
    """Measure one running server of ours; the parts of the report that `benchmark.run` takes from it.

    Raises
    ------
    ProcessFailed
        When a server does not start or answers with an error.
    """
    section = ways.section(SIDE)
    with servers.bioseg(settings) as served:
        ours = targets.ours(served.port, section)
        contest.warm_up(client, ours)
        return {
            "memory": {"requests": contest.WARM_UP, "worker_rss_mb": served.memory().resident},
            **_beside_the_seeds_way(settings, ours, section, plan.rounds),
            "stages_ms": stages.of_server(ours, plan.requests),
            "servers_ms": _beside_the_others(client, settings, ours, section, plan, programs),
            "no_model": _without_a_model(client, settings, served.port, plan),
            "large": _large(served),
        }


def _beside_the_seeds_way(settings: Settings, ours: Target, section: bytes, rounds: int) -> dict[str, Any]:
    with servers.seeds_way(settings) as seed, ExitStack() as stack:
        calls = {
            "ours": stack.enter_context(ways.asking(ours)),
            "seeds_way": stack.enter_context(ways.asking(targets.seeds_way(seed.port, section))),
            "bare_loop": ways.bare_loop(champions.arms(settings), section),
        }
        times = figures.interleaved(calls, rounds)
        memory = seed.memory().resident
    request_ms = {name: figures.summary(values) for name, values in times.items()}
    return {"request_ms": request_ms, "ratios": figures.ratios(request_ms), "seeds_way_rss_mb": memory}


def _beside_the_others(
    client: Executor, settings: Settings, ours: Target, section: bytes, plan: Plan, programs: Path | None
) -> dict[str, Any]:
    with ExitStack() as stack:
        asked = {"ours": ours}
        if programs is not None:
            asked |= stack.enter_context(rival_servers.all_running(programs, settings, section))
        return contest.by_concurrency(client, asked, CONCURRENCIES, plan.requests, plan.turns)


def _without_a_model(client: Executor, settings: Settings, port: int, plan: Plan) -> dict[str, Any]:
    """The probe, and an upload that is refused before it is read."""
    asked = {
        "livez": targets.alive(port),
        "too_large": targets.too_large(port, 2 * settings.max_upload_mb * 2**20),
    }
    return contest.by_concurrency(client, asked, CONCURRENCIES, plan.probes, plan.turns)


def _large(served: Server) -> dict[str, float]:
    """One upload of 4096x4096: ms, and MiB of the worker that took it, after and at most."""
    target = targets.ours(served.port, ways.section(LARGE_SIDE))
    with ways.asking(target) as ask:
        answer = ask()
    memory = served.memory()
    return {"ms": round(answer.ms, 1), "rss_mb": memory.resident, "peak_mb": memory.peak}
