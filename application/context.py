"""What every view needs: the platform, and who is calling."""

import secrets

from flask import Flask, current_app, request, session
from werkzeug.routing import BaseConverter

from bioseg.platform import Platform

EXTENSION = "bioseg"


class IdConverter(BaseConverter):
    """The id of a request in an address: 32 hexadecimal digits."""

    regex = "[0-9a-f]{32}"


def attach(app: Flask, platform: Platform) -> None:
    """Give an application the platform that its views use."""
    app.extensions[EXTENSION] = platform


def platform() -> Platform:
    """Platform of the running application."""
    attached: Platform = current_app.extensions[EXTENSION]
    return attached


def owner() -> str:
    """Who calls: 32 hexadecimal digits in a signed cookie, drawn at random on the first call."""
    if "owner" not in session:
        session["owner"] = secrets.token_hex(16)
        session.permanent = True
    return str(session["owner"])


def is_https() -> bool:
    """Whether the running request came over HTTPS, a trusted proxy's included."""
    return request.is_secure
