"""Keeps what clients sent out of gunicorn's log: a malformed header or a query may hold a token."""

import logging

from gunicorn.glogging import Logger


class WithoutAccessLog(Logger):  # type: ignore[misc]
    """Gunicorn's log without its own line for each request, which it would compose even when nobody reads it."""

    access_log_enabled = False


class Discreet(logging.Filter):
    """Cuts the quoted line off `Invalid request from ip=...`, and the query off `Error handling request ...`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, cut where it has to be."""
        message = record.getMessage()
        if message.startswith("Invalid request from"):
            record.msg, record.args = message.partition("'")[0].rstrip(": "), ()
        elif message.startswith("Error handling request"):
            record.msg, record.args = message.partition("?")[0], ()
        return True
