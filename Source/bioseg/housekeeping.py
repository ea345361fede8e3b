"""What is done now and then: pictures whose time is up are deleted, and what nobody needs any more is cleared away."""

import logging
from datetime import UTC, datetime, timedelta

from bioseg import records
from bioseg.database import engine, requests, tasks
from bioseg.errors import UnknownRequest
from bioseg.platform import Platform

log = logging.getLogger(__name__)

TASKS_KEPT = timedelta(days=7)
"""How long it can be looked up what became of a task."""

BATCH = 100


def tidy(platform: Platform, now: datetime | None = None) -> None:
    """Do everything that is due at a moment, or now; any number of processes may do it at once."""
    now = now or datetime.now(UTC)
    if platform.settings.retention_days:
        expired = delete_before(platform, now - timedelta(days=platform.settings.retention_days))
        if expired:
            log.info("%d requests were older than BIOSEG_RETENTION_DAYS and are deleted", expired)
    with platform.sessions.begin() as session:
        requests.forget_keys(session, now)
        tasks.forget_done(session, now - TASKS_KEPT)


def delete_before(platform: Platform, moment: datetime) -> int:
    """Delete the requests that were made before a moment, as their owners could; gives how many."""
    deleted = 0
    while True:
        with engine.reading(platform.sessions) as session:
            due = requests.ids_before(session, moment, BATCH)
        if not due:
            return deleted
        for request_id in due:
            try:
                records.delete(platform, request_id, None)
            except UnknownRequest:
                continue  # its owner was faster
            deleted += 1
