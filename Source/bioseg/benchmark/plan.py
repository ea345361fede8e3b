"""How much is measured: enough for percentiles, within the minutes that a run may take."""

from dataclasses import dataclass

WEB_WORKERS = 2
"""Processes of our server, as many as `bioseg serve` starts."""
CONCURRENCIES = (1, 8)
"""Connections that ask at a time."""
SIDE, LARGE_SIDE = 512, 4096
"""Of the pictures that are uploaded, pixels."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts of one run.

    Parameters
    ----------
    rounds
        Of what is timed call by call: the seed's way, runtimes, codecs.
    requests, turns
        To each server with the champions, at each concurrency, and in how many turns.
    stand_in_requests, stand_in_turns
        The same with networks that answer a constant.
    probes
        Requests that reach no network.
    outage_requests
        To ours in each state of MLflow, in as many turns as the stand-ins.
    starts
        Of interpreters and servers.
    capacity_requests
        To tell what ours can do before it gets too much, alone and by two clients.
    overload_seconds
        How long it gets too much.
    """

    rounds: int = 15
    requests: int = 102
    turns: int = 3
    stand_in_requests: int = 1000
    stand_in_turns: int = 5
    probes: int = 1000
    outage_requests: int = 300
    starts: int = 3
    capacity_requests: int = 40
    overload_seconds: float = 15.0
