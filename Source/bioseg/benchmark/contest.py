"""Servers against each other: bursts of one client, in turns."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from bioseg.benchmark import figures, load
from bioseg.benchmark.figures import Load
from bioseg.benchmark.load import Burst, Target

WARM_UP = 12
"""Requests before the first timed one, each over a connection of its own, so that every process gets some."""


def warm_up(client: Executor, target: Target) -> None:
    """Let every process of a server have its networks loaded and its code paths walked."""
    for _ in range(WARM_UP):
        client.submit(load.burst, target, 1, 1).result()


def bursts(
    client: Executor, targets: Mapping[str, Target], requests: int, concurrency: int, turns: int
) -> dict[str, list[Burst]]:
    """Send `requests` to each target, or its share of them, in so many turns, over `concurrency` connections at a time.

    The order is turned on from turn to turn, so that a slow minute of the machine meets all of them.
    """
    names = list(targets)
    found: dict[str, list[Burst]] = {name: [] for name in names}
    for number in range(turns):
        size = requests // turns + (number < requests % turns)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            asked = math.ceil(size * targets[name].share)
            found[name].append(client.submit(load.burst, targets[name], asked, concurrency).result())
    return found


def loads(
    client: Executor, targets: Mapping[str, Target], requests: int, concurrency: int, turns: int
) -> dict[str, Load]:
    """Send as `bursts` does, and sum up what the client saw of each server; raises as `figures.load` does."""
    found = bursts(client, targets, requests, concurrency, turns)
    return {name: figures.load(found[name], target.status) for name, target in targets.items()}


def by_concurrency(
    client: Executor, targets: Mapping[str, Target], concurrencies: Sequence[int], requests: int, turns: int
) -> dict[str, dict[str, Load]]:
    """Warm all of them up and send as `loads` does, once for each number of connections: `{"8": {"ours": ...}}`."""
    for target in targets.values():
        warm_up(client, target)
    return {str(number): loads(client, targets, requests, number, turns) for number in concurrencies}


def ratios(found: Mapping[str, Load]) -> dict[str, dict[str, float]]:
    """How many times ours is as quick as each of the others: by median, by p99, and by requests a second."""
    ours = found["ours"]
    return {
        name: {
            "median": round(other["median"] / ours["median"], 3),
            "p99": round(other["p99"] / ours["p99"], 3),
            "per_second": round(ours["per_second"] / other["per_second"], 3),
        }
        for name, other in found.items()
        if name != "ours"
    }
