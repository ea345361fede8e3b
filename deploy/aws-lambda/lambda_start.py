"""How both functions start: the log, and settings that Lambda can serve with, or one line that says what is missing."""

import logging
import sys
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from application.json_lines import JsonLines
from bioseg import preflight
from bioseg import settings as configuration
from bioseg.database.engine import migrate_patiently
from bioseg.errors import CannotStart, SettingsError
from bioseg.platform import Platform, open_platform
from bioseg.settings import Settings

T = TypeVar("T")


def started(build: Callable[[Platform], T]) -> T:
    """Open the platform and build on it; what keeps it from starting ends the process with one line.

    A database that does not answer yet is waited for, until Lambda's own patience ends.
    """
    _log_as_json()
    try:
        settings = configuration.load()
        check(settings)
        migrate_patiently(settings.database_url, Event())
        return build(open_platform(settings))
    except (SettingsError, CannotStart) as error:
        sys.exit(f"bioseg: {error}")


def check(settings: Settings) -> None:
    """Refuse to keep anything in a container that ends without notice and shares nothing with the next one.

    Raises
    ------
    SettingsError, CannotStart
        Naming the variable.
    """
    if not settings.database_url.startswith("postgresql"):
        raise SettingsError("BIOSEG_DATABASE_URL: Lambda keeps no files; give postgresql://USER:PASSWORD@HOST/NAME")
    if not settings.blobs.startswith("s3://"):
        raise SettingsError("BIOSEG_BLOBS: Lambda keeps no files; give s3://BUCKET/PREFIX")
    preflight.check(settings)


def _log_as_json() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
