"""Uploads that find every place taken are turned away before the framework sees them."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response
from werkzeug.wsgi import get_content_length

from application import errors, traffic
from bioseg.errors import Busy
from bioseg.platform import Platform

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

UPLOADS = frozenset({"/api/v1/segment", "/api/v1/classify"})
CHUNK = 64 * 1024


def register(app: Flask, platform: Platform) -> None:
    """Turn uploads to an application away while its platform is busy: under load that is most of them.

    Nothing is asked of who sends them: the answer tells no more than that others are being served.
    """
    serve, most = app.wsgi_app, app.config["MAX_CONTENT_LENGTH"]

    def refusal(environ: "WSGIEnvironment") -> Response | None:
        if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] not in UPLOADS:
            return None
        length, start = get_content_length(environ), time.perf_counter()
        if length is None or length > most:
            return None  # the framework knows what to do with these
        try:
            platform.queue.check()
        except Busy as error:
            _read_away(environ)
            return traffic.finish(errors.busy(error, environ["PATH_INFO"]), "POST", environ["PATH_INFO"], start)
        return None

    def wsgi_app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return (refusal(environ) or serve)(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _read_away(environ: "WSGIEnvironment") -> None:
    """Read the body away: a connection that is closed over unread bytes takes the answer with it."""
    while environ["wsgi.input"].read(CHUNK):
        pass
