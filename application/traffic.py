"""What every request passes: its clock, its line in the log, and the headers that protect the browser."""

import json
import logging
import time

from flask import Flask, Response, g, request

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' blob: data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
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
    app.after_request(_protect)
    app.after_request(_log)


def received() -> float:
    """`time.perf_counter` when the running request arrived."""
    return float(g.received)


def _start() -> None:
    g.received = time.perf_counter()


def _protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _log(response: Response) -> Response:
    milliseconds = round(1e3 * (time.perf_counter() - received()), 1)
    line = {"method": request.method, "path": request.path, "status": response.status_code, "ms": milliseconds}
    log.info("%s", json.dumps(line))
    return response
