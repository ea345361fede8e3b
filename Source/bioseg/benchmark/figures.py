"""Timing in turns, and the arithmetic of the report."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

import numpy as np

from bioseg.benchmark.load import Burst
from bioseg.errors import ProcessFailed

WARM_UP = 2


class Summary(TypedDict):
    """Median and the tenth and ninetieth percentile of `n` values, in their unit."""

    median: float
    p10: float
    p90: float
    n: int


class Load(TypedDict):
    """What a client saw of a server: ms of the answers that were right, how many a second, and counts of all."""

    median: float
    p90: float
    p99: float
    per_second: float
    n: int
    errors: int


class Stage(TypedDict):
    """Median and the ninety-ninth percentile of `n` values, in their unit."""

    median: float
    p99: float
    n: int


def interleaved(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time each way once per round, so that drift hits all of them.

    The order is turned on from round to round: what one way leaves behind it (a worker that ships figures, a warm
    cache) meets each of the others equally often.

    Parameters
    ----------
    ways
        What is timed, by name.
    rounds
        Timed calls of each way.
    warm_up
        Calls of each way before them, untimed.
    clock
        Seconds.

    Returns
    -------
    Milliseconds of each call by name, in the order of the rounds.
    """
    for way in ways.values():
        for _ in range(warm_up):
            way()
    names = list(ways)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = clock()
            ways[name]()
            times[name].append(1e3 * (clock() - start))
    return times


def summary(values: Sequence[float]) -> Summary:
    """Sum values up, percentiles interpolated linearly.

    >>> summary([3.0, 1.0, 2.0])
    {'median': 2.0, 'p10': 1.2, 'p90': 2.8, 'n': 3}
    """
    p10, median, p90 = (round(float(value), 3) for value in np.percentile(values, (10, 50, 90)))
    return {"median": median, "p10": p10, "p90": p90, "n": len(values)}


def ratios(request_ms: Mapping[str, Summary]) -> dict[str, float]:
    """Compare the medians of `ours` with those of `seeds_way` and `bare_loop`."""
    median = {name: values["median"] for name, values in request_ms.items()}
    return {
        "seeds_way_over_ours": round(median["seeds_way"] / median["ours"], 3),
        "ours_over_bare_loop": round(median["ours"] / median["bare_loop"], 3),
    }


def load(bursts: Sequence[Burst], status: int) -> Load:
    """Sum up what came back in bursts; answers with another status than the expected are errors.

    Raises
    ------
    ProcessFailed
        When no answer was right.
    """
    answers = [answer for burst in bursts for answer in burst.answers]
    right = [answer.ms for answer in answers if answer.status == status]
    if not right:
        found = sorted({answer.status for answer in answers})
        raise ProcessFailed(f"every answer had status {found} instead of {status}; nothing can be compared")
    median, p90, p99 = (round(float(value), 3) for value in np.percentile(right, (50, 90, 99)))
    per_second = round(len(right) / sum(burst.seconds for burst in bursts), 2)
    return {
        "median": median,
        "p90": p90,
        "p99": p99,
        "per_second": per_second,
        "n": len(answers),
        "errors": len(answers) - len(right),
    }


def stages(rows: Sequence[Mapping[str, float]]) -> dict[str, Stage]:
    """Sum up each name over the rows that have it, names in the order of their first row.

    >>> stages([{"decode": 1.0, "total": 5.0}, {"decode": 3.0, "total": 7.0}])["decode"]
    {'median': 2.0, 'p99': 2.98, 'n': 2}
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _stage([row[name] for row in rows if name in row]) for name in names}


def _stage(values: Sequence[float]) -> Stage:
    median, p99 = (round(float(value), 3) for value in np.percentile(values, (50, 99)))
    return {"median": median, "p99": p99, "n": len(values)}
