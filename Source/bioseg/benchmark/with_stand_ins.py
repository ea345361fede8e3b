"""Servers alone: ours and the others with networks that answer a constant, and ours while MLflow is away."""

from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bioseg.benchmark import contest, outages, rival_servers, servers, stages, stand_ins_onnx, targets, ways
from bioseg.benchmark.plan import CONCURRENCIES, SIDE, Plan
from bioseg.settings import Settings


def measure(client: Executor, settings: Settings, plan: Plan, programs: Path | None) -> dict[str, Any]:
    """Measure servers on stand-ins; the parts of the report that `benchmark.run` takes from it.

    Raises
    ------
    ProcessFailed
        When a server does not start or answers with an error.
    """
    folder = settings.state_dir / "stand-ins"
    models = stand_ins_onnx.write(folder / "models")
    own = servers.own_settings(settings.model_copy(update={"models_dir": models}), folder, settings.threads)
    section = ways.section(SIDE)
    return {
        **_beside_the_others(client, own, section, plan, programs),
        "outages": outages.measure(client, own, folder, section, plan.outage_requests, plan.stand_in_turns),
    }


def _beside_the_others(
    client: Executor, settings: Settings, section: bytes, plan: Plan, programs: Path | None
) -> dict[str, Any]:
    with ExitStack() as stack:
        served = stack.enter_context(servers.bioseg(settings))
        asked = {"ours": targets.ours(served.port, section)}
        if programs is not None:
            one_thread_each = settings.model_copy(update={"threads": 1})
            asked |= stack.enter_context(rival_servers.all_running(programs, one_thread_each, section))
        found = contest.by_concurrency(client, asked, CONCURRENCIES, plan.stand_in_requests, plan.stand_in_turns)
        return {
            "servers_alone_ms": found,
            "stages_alone_ms": stages.of_server(asked["ours"], plan.outage_requests),
        }
