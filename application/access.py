"""Who may call: tokens in the header `Authorization`, and signed cookies of browsers that signed in with one."""

import hashlib
import hmac
import secrets
import time
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
OPERATOR_SECONDS = 12 * 60 * 60
"""How long a browser stays an operator's: a working day, not the year for which its cookie lasts."""
_SIGNED_IN, _OPERATOR = "signed_in", "operator"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Digests of the tokens that count, and what the cookies of browsers that signed in with them carry."""

    operator: bytes | None
    api: bytes | None
    operator_mark: str
    api_mark: str


def register(app: Flask, platform: Platform) -> None:
    """Ask the callers of an application who they are."""
    token = platform.settings.api_token.get_secret_value()
    api = credentials.digest(token) if token else None
    operator = credentials.operator_digest(platform.settings, platform.sessions)
    key = str(app.secret_key).encode()
    app.extensions[EXTENSION] = Tokens(
        operator, api, operator_mark=_fingerprint(key, "operator", operator), api_mark=_fingerprint(key, "api", api)
    )
    app.before_request(_identify)


def _fingerprint(key: bytes, of: str, token: bytes | None) -> str:
    """Keyed, so that a cookie tells nobody the digest of a token: another token, or another key, makes another one."""
    return hmac.new(key, f"signed in: {of}: ".encode() + (token or b""), hashlib.sha256).hexdigest()


def needs_token() -> bool:
    """Whether this installation answers nobody without a token."""
    return _tokens().api is not None


def has_bearer() -> bool:
    """Whether the running request carries a Bearer token, right or wrong."""
    return request.headers.get("Authorization", "").lower().startswith("bearer ")


def is_signed_in() -> bool:
    """Whether the visitor's cookie carries the mark of the API token."""
    return hmac.compare_digest(str(session.get(_SIGNED_IN, "")), _tokens().api_mark)


def sign_in(token: str) -> None:
    """Mark the visitor's cookie with a keyed fingerprint of the API token: a new token, or a new key, ends it.

    Raises
    ------
    Unauthorized, TooManyRequests
        When the token is wrong.
    """
    if not _matches(token, _tokens().api):
        raise _wrong_token()
    session[_SIGNED_IN] = _tokens().api_mark
    session.permanent = True


def sign_out() -> None:
    """Take the mark off the visitor's cookie; their requests remain theirs."""
    session.pop(_SIGNED_IN, None)


def is_operator() -> bool:
    """Whether the visitor's cookie is an operator's: signed in with the token of today, within the last 12 hours."""
    kept, tokens = session.get(_OPERATOR), _tokens()
    if kept is None or tokens.operator is None or time.time() >= kept["since"] + OPERATOR_SECONDS:
        return False
    return hmac.compare_digest(str(kept["mark"]), tokens.operator_mark)


def csrf_token() -> str | None:
    """What each change by this operator's browser has to carry, drawn at the sign-in; None for everybody else."""
    return str(session[_OPERATOR]["csrf"]) if is_operator() else None


def sign_in_operator(token: str) -> None:
    """Make the visitor's cookie an operator's, by a keyed fingerprint of the operators' token.

    Raises
    ------
    Unauthorized, TooManyRequests
        When the token is wrong.
    """
    if not _matches(token, _tokens().operator):
        raise _wrong_token()
    session[_OPERATOR] = {
        "mark": _tokens().operator_mark,
        "since": int(time.time()),
        "csrf": secrets.token_urlsafe(32),
    }
    session.permanent = True


def sign_out_operator() -> None:
    """Make the visitor's cookie an ordinary one again."""
    session.pop(_OPERATOR, None)


def require_operator() -> None:
    """Let operators pass only.

    Raises
    ------
    Unauthorized, Forbidden
        When nobody says who calls; when somebody does, who is no operator.
    """
    if context.caller().is_operator:
        return
    if has_bearer() or is_signed_in():
        raise Forbidden("this is for operators: the API token is not enough")
    raise _unauthorized("this is for operators: send Authorization: Bearer TOKEN, or sign in on /operate")


def _identify() -> None:
    """Admit a call of the API, or refuse it with 401. A token counts more than a cookie beside it."""
    if not request.path.startswith(GUARDED):
        return
    if "Authorization" in request.headers:
        g.caller = _bearer()
    elif is_operator():
        g.caller = Caller(context.visitor(), is_operator=True)
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
