"""What every request passes: its clock, its line in the log, and the headers that protect the browser."""

import logging
import secrets
import time
from collections.abc import Mapping

from flask import Flask, Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def register(app: Flask) -> None:
    """Time, log and protect every request of an application."""
    app.before_request(_start)
    app.after_request(_finish)


def received() -> float:
    """`time.perf_counter` when the running request arrived."""
    return float(g.received)


def note(record_id: str, stages: Mapping[str, float]) -> None:
    """Tell what the running request did, for its line in the log and its `Server-Timing`.

    Parameters
    ----------
    record_id
        Of the request record that was kept of it; without one, the line has an id of its own.
    stages
        Milliseconds by stage.
    """
    g.id, g.stages = record_id, stages


def _start() -> None:
    g.received = time.perf_counter()
    g.id = secrets.token_hex(16)
    length, most = request.content_length, request.max_content_length
    if length is not None and most is not None and length > most:
        raise RequestEntityTooLarge  # before anything is looked up, counted or read


def _finish(response: Response) -> Response:
    return finish(response, request.method, request.path, received(), g.id, g.get("stages", {}))


def finish(
    response: Response,
    method: str,
    path: str,
    start: float,
    record_id: str | None = None,
    stages: Mapping[str, float] | None = None,
) -> Response:
    """Protect an answer and write the line of its request.

    It gets its timings for the browser too (W3C Server Timing): `total` is all but sending the answer.
    """
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    milliseconds = round(1e3 * (time.perf_counter() - start), 2)
    timings = {name: value for name, value in (stages or {}).items() if name != "total"} | {"total": milliseconds}
    response.headers["Server-Timing"] = ", ".join(f"{name};dur={value:.2f}" for name, value in timings.items())
    line = {
        "id": record_id or secrets.token_hex(16),
        "method": method,
        "path": path,
        "status": response.status_code,
        "ms": milliseconds,
    }
    log.info("request", extra={"fields": line})
    return response
