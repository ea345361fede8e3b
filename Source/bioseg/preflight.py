"""What has to be right before processes are started: said once, not by each that ends again and again."""

import os
import socket
import tempfile
from pathlib import Path

from bioseg import credentials
from bioseg.database import engine
from bioseg.errors import CannotStart, SettingsError
from bioseg.settings import Settings
from bioseg.storage import open_blobs, open_mirror
from bioseg.telemetry import tracking_server


def check(settings: Settings) -> None:
    """Refuse settings that no process can run with. Nothing of what they name has to be up.

    Raises
    ------
    SettingsError
        Naming the variable.
    RuntimeUnavailable
        When what a setting asks for is not installed.
    CannotStart
        When the state folder cannot be written.
    """
    engine.parse(settings.resolved_database_url)
    credentials.check(settings)
    _require_models(settings)
    tracking_server.endpoint(settings.tracking_uri)
    _require_writable(settings.state_dir)
    open_blobs(settings.resolved_blobs, settings.s3_endpoint)
    open_mirror(settings)


def require_free(host: str, port: int, remedy: str) -> None:
    """See that an address can be listened on; raises CannotStart with the remedy."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}; {remedy}") from error


def _require_models(settings: Settings) -> None:
    """A folder that somebody named has to be there; the default one need not, where all versions were trained."""
    if "models_dir" in settings.model_fields_set and not settings.models_dir.is_dir():
        raise SettingsError(f"BIOSEG_MODELS_DIR: {settings.models_dir} is no folder; name the one of the bundles")


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise CannotStart(
            f"BIOSEG_STATE_DIR: {folder} cannot be written: {error.strerror}; give the folder, or the volume mounted "
            f"there, to the user with the id {os.getuid()}"
        ) from error
