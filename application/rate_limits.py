"""How often one address may do something, counted in the database: all workers and replicas share the counters.

The library `limits` reads the setting, and one upsert counts. A storage of that library for SQLAlchemy would be the
same upsert behind six methods of which five are never called.
"""

import math
from datetime import UTC, datetime

from flask import Flask, request
from werkzeug.exceptions import TooManyRequests

from application import context
from bioseg.database import rate_windows
from bioseg.platform import Platform
from bioseg.policy import rates
from bioseg.policy.rates import Rate

LIMITED = frozenset({"api.segment", "api.classify", "api.feedback"})
"""Calls that take an upload."""


def register(app: Flask, platform: Platform) -> None:
    """Limit the uploads to an application; without a limit nothing is counted.

    Raises
    ------
    SettingsError
        When the limit cannot be read.
    """
    limits = rates.parse(platform.settings.rate_limit)

    def limit_uploads() -> None:
        if request.endpoint in LIMITED and request.method == "POST" and not context.caller().is_operator:
            for rate in limits:
                count("upload", rate, "uploads")

    if limits:
        app.before_request(limit_uploads)


def count(what: str, rate: Rate, called: str) -> None:
    """Count one more of something from the caller's address.

    Raises
    ------
    TooManyRequests
        When that is more than the rate allows; it says when to come back.
    """
    now = datetime.now(UTC)
    with context.platform().sessions.begin() as session:
        window = rate_windows.hit(session, f"{what}:{rate.seconds}:{context.address()}", rate.seconds, now)
    if window.hits > rate.times:
        wait = max(1, math.ceil((window.ends - now).total_seconds()))
        allowed = f"{rate.times} {called} in {rate.seconds} seconds are allowed from one address"
        raise TooManyRequests(f"{allowed}; come back in {wait} seconds", retry_after=wait)
