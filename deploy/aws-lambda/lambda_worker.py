"""What follows the responses, on a schedule: `bioseg worker --once`, within the time that Lambda gives."""

import threading
from typing import Any

from lambda_start import started

from bioseg import worker
from bioseg.platform import Platform

RESERVE_SECONDS = 20.0
"""Before the end of an invocation the worker takes no new batch; a begun one has this long."""


def build(platform: Platform) -> Platform:
    """Keep the platform between invocations."""
    return platform


PLATFORM = started(build)


def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - the event only says that it is time
    """Do what is due; `context` is Lambda's, and knows how much time is left."""
    stop = threading.Event()
    clock = threading.Timer(max(0.0, context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS), stop.set)
    clock.start()
    try:
        worker.run(PLATFORM, once=True, stop=stop)
    finally:
        clock.cancel()
