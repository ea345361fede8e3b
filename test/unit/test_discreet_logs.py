"""What a client sent stays out of gunicorn's complaints about it."""

import logging

import pytest

from application.discreet_logs import Discreet


@pytest.mark.parametrize(
    ("message", "arguments", "kept"),
    [
        (
            "Invalid request from ip=::1: Invalid HTTP Header: 'Authorization Bearer token'",
            (),
            "Invalid request from ip=::1: Invalid HTTP Header",
        ),
        (
            "Invalid request from ip=::1: Request Line is too large (5036 > 4094)",
            (),
            "Invalid request from ip=::1: Request Line is too large (5036 > 4094)",
        ),
        ("Error handling request %s %s", ("GET", "/api?token=a"), "Error handling request GET /api"),
        ("Worker exiting (pid: %s)", (7,), "Worker exiting (pid: 7)"),
        ("Why 'so'?", (), "Why 'so'?"),
    ],
)
def test_only_what_was_sent_is_cut(message: str, arguments: tuple[object, ...], kept: str) -> None:
    record = logging.LogRecord("gunicorn.error", logging.WARNING, "file", 1, message, arguments, None)
    assert Discreet().filter(record) is True
    assert record.getMessage() == kept
