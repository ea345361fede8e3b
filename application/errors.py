"""From our errors to HTTP, once: every failure leaves as an RFC 9457 problem document."""

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from apiflask import HTTPError
from flask import Flask, Response, request, url_for
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from application import traffic
from bioseg.errors import (
    AlreadyJudged,
    ArmFailed,
    BiosegError,
    BlobNotFound,
    BundleError,
    Busy,
    DatabaseUnavailable,
    Frozen,
    IdempotencyConflict,
    ImageError,
    ImageTooLarge,
    InvalidInput,
    LedgerBroken,
    NoRollout,
    NotProven,
    ProcessFailed,
    Refused,
    RuntimeUnavailable,
    StackNotAllowed,
    StaleRevision,
    StoreUnavailable,
    UnknownDecision,
    UnknownPair,
    UnknownRequest,
    UnknownStudy,
    UnknownVersion,
    UnreadableImage,
    UnsupportedFormat,
    VersionNotFound,
    WrongTask,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1

PROBLEMS: dict[type[BiosegError], tuple[HTTPStatus, str]] = {
    UnreadableImage: (HTTPStatus.BAD_REQUEST, "The image cannot be read"),
    StackNotAllowed: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "One image is expected here"),
    UnsupportedFormat: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The format is not supported"),
    ImageTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The image is too large"),
    ImageError: (HTTPStatus.BAD_REQUEST, "The image cannot be used"),
    Refused: (HTTPStatus.UNPROCESSABLE_ENTITY, "The image was not accepted"),
    InvalidInput: (HTTPStatus.BAD_REQUEST, "A value is not allowed"),
    IdempotencyConflict: (HTTPStatus.UNPROCESSABLE_ENTITY, "The idempotency key was used for another request"),
    UnknownStudy: (HTTPStatus.NOT_FOUND, "There is no such study"),
    VersionNotFound: (HTTPStatus.NOT_FOUND, "There is no such version"),
    UnknownRequest: (HTTPStatus.NOT_FOUND, "There is no such request"),
    UnknownDecision: (HTTPStatus.NOT_FOUND, "There is no such decision"),
    UnknownPair: (HTTPStatus.NOT_FOUND, "There is no such pair"),
    BlobNotFound: (HTTPStatus.NOT_FOUND, "There is no such picture"),
    WrongTask: (HTTPStatus.CONFLICT, "The study needs another call"),
    AlreadyJudged: (HTTPStatus.CONFLICT, "The pair was judged already"),
    StaleRevision: (HTTPStatus.CONFLICT, "The study has moved on"),
    Frozen: (HTTPStatus.CONFLICT, "The study is frozen"),
    NotProven: (HTTPStatus.CONFLICT, "The evidence does not allow this"),
    ArmFailed: (HTTPStatus.CONFLICT, "The version cannot serve"),
    NoRollout: (HTTPStatus.CONFLICT, "The rollout does not allow this"),
    Busy: (HTTPStatus.SERVICE_UNAVAILABLE, "The models are busy"),
    BundleError: (HTTPStatus.SERVICE_UNAVAILABLE, "The model cannot be used"),
    RuntimeUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "The model cannot be used"),
    UnknownVersion: (HTTPStatus.SERVICE_UNAVAILABLE, "The study has no model"),
    StoreUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "The image store does not answer"),
    DatabaseUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer"),
    ProcessFailed: (HTTPStatus.SERVICE_UNAVAILABLE, "Images cannot be decoded now"),
    LedgerBroken: (HTTPStatus.INTERNAL_SERVER_ERROR, "The ledger was altered"),
    BiosegError: (HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here"),
}

OURS = frozenset(
    {
        *(BundleError, RuntimeUnavailable, UnknownVersion),
        *(StoreUnavailable, DatabaseUnavailable, ProcessFailed, BiosegError),
    }
)
"""Failures of the installation: their message is for the log, not for the caller."""

PASSING = (Busy, StoreUnavailable, DatabaseUnavailable)
"""What is worth another attempt soon."""

APOLOGY = "The fault is on this side; the operator finds the reason in the log."


def register(app: Flask) -> None:
    """Answer every failure of an application with a problem document."""
    app.register_error_handler(BiosegError, _expected)
    app.register_error_handler(OperationalError, _database)
    app.register_error_handler(HTTPError, _apiflask)
    app.register_error_handler(HTTPException, _http)


def problem(
    status: HTTPStatus,
    title: str,
    detail: str,
    *,
    kind: str = "about:blank",
    instance: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """Build a problem document (RFC 9457, section 3); `members` are its extensions.

    `instance` is the path of the running request, unless told.
    """
    at = instance or request.path
    body = {"type": kind, "title": title, "status": status.value, "detail": detail, "instance": at}
    return Response(json.dumps(body | members), status.value, dict(headers or {}), mimetype=MEDIA_TYPE)


def busy(error: Busy, path: str) -> Response:
    """Answer an upload to a path that finds every place taken."""
    status, title = PROBLEMS[Busy]
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return problem(status, title, str(error), kind=kind_of(Busy), instance=path, headers=headers)


def kind_of(error: type[BiosegError]) -> str:
    """Identify an error for programs.

    >>> kind_of(UnknownStudy)
    'urn:bioseg:problem:unknown-study'
    """
    return "urn:bioseg:problem:" + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__).lower()


def _expected(error: BiosegError) -> Response:
    known = next(base for base in type(error).__mro__ if base in PROBLEMS)
    status, title = PROBLEMS[known]
    headers = {"Retry-After": str(RETRY_SECONDS)} if isinstance(error, PASSING) else None
    if known in OURS:
        log.error("%s answers %s", request.path, status.value, exc_info=error)
        return problem(status, title, APOLOGY, kind=kind_of(known), headers=headers)
    members: dict[str, Any] = {}
    if error.request_id is not None:
        traffic.note(error.request_id, {})
        members = {"instance": url_for("api.request_record", request_id=error.request_id), "id": error.request_id}
    if isinstance(error, Refused):
        members["screen"] = error.screen
    return problem(status, title, str(error), kind=kind_of(known), headers=headers, **members)


def _database(error: OperationalError) -> Response:
    """Answer what any statement may meet: a server that is gone, a lock that is not given, a disk that is full."""
    unavailable = DatabaseUnavailable("the database does not answer, or cannot write")
    unavailable.__cause__ = error
    return _expected(unavailable)


def _apiflask(error: HTTPError) -> Response:
    """Answer what the API framework refuses: the fields of a body or a query, by name."""
    found = error.detail.values() if isinstance(error.detail, dict) else ()
    fields = {name: ", ".join(messages) for location in found for name, messages in location.items()}
    status, title = PROBLEMS[InvalidInput]
    detail = "; ".join(f"{name}: {message}" for name, message in fields.items())
    return problem(status, title, detail, kind=kind_of(InvalidInput), errors=fields)


def _http(error: HTTPException) -> Response:
    """Answer what the web framework refuses, and crashes: Flask has logged those with their traceback."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if status < HTTPStatus.BAD_REQUEST:
        return Response(error.get_body(), status.value, dict(error.get_headers()))
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers["Connection"] = "close"  # the body is still on its way, and nobody will read it
    detail = APOLOGY if status == HTTPStatus.INTERNAL_SERVER_ERROR else error.description or status.description
    return problem(status, status.phrase, detail, headers=headers)
