"""Who may call: tokens in the header `Authorization`, and signed cookies of browsers that signed in with one."""

import hashlib
import hmac
from dataclasses import dataclass

from flask import Flask, current_app, g, request, session
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from application import context, rate_limits
from application.context import Caller
from bioseg import credentials
from bioseg.platform import Platform
from bioseg.policy.rates import Rate

EXTENSION = "bioseg_access"
GUARDED = "/api/"
FAILED_TOKENS = Rate(10, 60)
"""Wrong tokens of one address that are answered 401 before they are answered 429."""
_SIGNED_IN = "signed_in"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Digests of the tokens that count, and what the cookie of a browser that signed in carries."""

    operator: bytes | None
    api: bytes | None
    mark: str


def register(app: Flask, platform: Platform) -> None:
    """Ask the callers of an application who they are."""
    api = platform.settings.api_token.get_secret_value()
    app.extensions[EXTENSION] = Tokens(
        operator=credentials.operator_digest(platform.settings, platform.sessions),
        api=credentials.digest(api) if api else None,
        mark=hmac.new(str(app.secret_key).encode(), b"signed in:" + api.encode(), hashlib.sha256).hexdigest(),
    )
    app.before_request(_identify)


def needs_token() -> bool:
    """Whether this installation answers nobody without a token."""
    return _tokens().api is not None


def has_bearer() -> bool:
    """Whether the running request carries a Bearer token, right or wrong."""
    return request.headers.get("Authorization", "").lower().startswith("bearer ")


def require_operator() -> None:
    """Turn away who makes the running request without being an operator.

    Raises
    ------
    Unauthorized, Forbidden
        Without a token, or with one that is not the operators'.
    """
    if context.caller().is_operator:
        return
    if has_bearer():
        raise Forbidden("only operators may do this: send their token")
    raise _unauthorized("only operators may do this: send Authorization: Bearer TOKEN with their token")


def is_signed_in() -> bool:
    """Whether the visitor's cookie carries the mark of the API token."""
    return hmac.compare_digest(str(session.get(_SIGNED_IN, "")), _tokens().mark)


def sign_in(token: str) -> None:
    """Mark the visitor's cookie with a keyed fingerprint of the API token: a new token, or a new key, ends it.

    Raises
    ------
    Unauthorized, TooManyRequests
        When the token is wrong.
    """
    if not _matches(token, _tokens().api):
        raise _wrong_token()
    session[_SIGNED_IN] = _tokens().mark
    session.permanent = True


def sign_out() -> None:
    """Take the mark off the visitor's cookie; their requests remain theirs."""
    session.pop(_SIGNED_IN, None)


def _identify() -> None:
    """Admit a call of the API, or refuse it with 401. A token counts more than a cookie beside it."""
    if not request.path.startswith(GUARDED):
        return
    if "Authorization" in request.headers:
        g.caller = _bearer()
    elif needs_token() and not is_signed_in():
        raise _unauthorized("a token is needed: send Authorization: Bearer TOKEN, or sign in on the page")


def _bearer() -> Caller:
    if not has_bearer():
        raise _unauthorized("only Bearer tokens are known here: send Authorization: Bearer TOKEN")
    token = request.headers["Authorization"].split(" ", 1)[1].strip()
    is_operator, is_api = (_matches(token, known) for known in (_tokens().operator, _tokens().api))
    if not is_operator and not is_api:
        raise _wrong_token()
    of = "operator" if is_operator else "api"
    return Caller(hashlib.sha256(f"{of}:{token}".encode()).hexdigest()[:32], is_operator)


def _matches(token: str, known: bytes | None) -> bool:
    """Compare with a known token, in a time that does not tell how far they agree."""
    return known is not None and hmac.compare_digest(credentials.digest(token), known)


def _wrong_token() -> Unauthorized:
    """Count a wrong token, and give the answer to it.

    A right token passes whatever was counted: a script with an outdated one, or a stranger behind the same proxy, must
    not lock the others out.

    Raises
    ------
    TooManyRequests
        When too many came from this address.
    """
    rate_limits.count("token", FAILED_TOKENS, "wrong tokens")
    return _unauthorized("the token is wrong")


def _unauthorized(why: str) -> Unauthorized:
    return Unauthorized(why, www_authenticate=WWWAuthenticate("bearer"))


def _tokens() -> Tokens:
    tokens: Tokens = current_app.extensions[EXTENSION]
    return tokens
