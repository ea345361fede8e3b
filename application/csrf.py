"""No other site may change anything here in the name of a visitor.

The methods are those of the OWASP cheat sheet on cross-site request forgery: Fetch Metadata (`Sec-Fetch-Site`, which
every current browser sends and no script can set), and for older browsers the comparison of `Origin` with the host.
They stand beside cookies with `SameSite=Lax`.
"""

from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import Forbidden

from application import access, context

CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
OWN = frozenset({"same-origin", "none"})
"""The page itself, and what the user typed or opened."""
DEFAULT_PORTS = {"http": 80, "https": 443}


def register(app: Flask) -> None:
    """Refuse changes that come from other sites with 403.

    A call with a Bearer token passes: no browser adds that on its own. A program that sends neither header has no
    cookies of a visitor and passes too.
    """
    app.before_request(_refuse_foreign)


def _refuse_foreign() -> None:
    if request.method not in CHANGING or access.has_bearer():
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    foreign = site not in OWN if site is not None else origin is not None and not _is_own(origin)
    if foreign:
        raise Forbidden("the browser says that another site sent this; send it from the page itself, or with a token")


def _is_own(origin: str) -> bool:
    """Whether an origin is this host's; behind a proxy that ends HTTPS the request itself looks like HTTP."""
    try:
        parts = urlsplit(origin)
        host = urlsplit(f"{parts.scheme}://{request.host}")
        ports = [each.port or DEFAULT_PORTS.get(parts.scheme) for each in (parts, host)]
    except ValueError:
        return False
    downgraded = context.is_https() and parts.scheme != "https"
    return parts.hostname is not None and (parts.hostname, ports[0]) == (host.hostname, ports[1]) and not downgraded
