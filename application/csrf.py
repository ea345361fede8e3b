"""No other site may change anything here in the name of a visitor.

The methods are those of the OWASP cheat sheet on cross-site request forgery: Fetch Metadata (`Sec-Fetch-Site`, which
every current browser sends and no script can set), and for older browsers the comparison of `Origin` with the host.
They stand beside cookies with `SameSite=Lax`. What an operator's browser changes needs a token too: one that belongs to
its sign-in, which the page's own scripts read from the page and send as a header.
"""

import hmac
from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import Forbidden

from application import access, context

HEADER = "X-CSRF-Token"
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
OWN = frozenset({"same-origin", "none"})
"""The page itself, and what the user typed or opened."""
DEFAULT_PORTS = {"http": 80, "https": 443}


def register(app: Flask) -> None:
    """Refuse changes that come from other sites, and those of an operator's browser without its token, with 403.

    A call with a Bearer token passes: no browser adds that on its own. A program that sends neither header has no
    cookies of a visitor and passes too.
    """
    app.jinja_env.globals["csrf_token"] = access.csrf_token
    app.before_request(_refuse)


def _refuse() -> None:
    if request.method in CHANGING and not access.has_bearer():
        _refuse_foreign()
        _refuse_without_token()


def _refuse_foreign() -> None:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    foreign = site not in OWN if site is not None else origin is not None and not _is_own(origin)
    if foreign:
        raise Forbidden("the browser says that another site sent this; send it from the page itself, or with a token")


def _refuse_without_token() -> None:
    token = access.csrf_token()
    if token is not None and not hmac.compare_digest(request.headers.get(HEADER, "").encode(), token.encode()):
        raise Forbidden(f"what an operator's browser changes needs the header {HEADER}: load the page again")


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
