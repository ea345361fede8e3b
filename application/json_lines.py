"""The log: one line of JSON per event, tracebacks included."""

import json
import logging
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """Formats a record as one line: time, level, logger, message, `fields` of the record, and the traceback, if any.

    >>> record = logging.LogRecord("shop", logging.INFO, "", 0, "%s sold", ("tea",), None)
    >>> record.fields = {"price": 3}
    >>> json.loads(JsonLines().format(record))["message"], json.loads(JsonLines().format(record))["price"]
    ('tea sold', 3)
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
