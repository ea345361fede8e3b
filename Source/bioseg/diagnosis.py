"""What `bioseg doctor` examines: settings, stores, bundles and what is installed."""

import importlib.metadata
import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from bioseg import service, studies
from bioseg.database import engine
from bioseg.errors import BiosegError
from bioseg.service import Platform
from bioseg.settings import Settings

PACKAGES = ("openvino", "flask", "gunicorn", "mlflow", "keras", "torch")
PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing examined; `remedy` says what to do when it is not `ok`."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Examine everything that serving needs, without changing anything but an out-of-date database schema."""
    findings = [*_settings(settings), *_packages()]
    try:
        platform = service.open_platform(settings)
    except (BiosegError, SQLAlchemyError, OSError) as error:
        remedy = "check BIOSEG_DATABASE_URL, BIOSEG_BLOBS and that BIOSEG_STATE_DIR can be written"
        return [*findings, Finding("stores", ok=False, found=str(error), remedy=remedy)]
    return [*findings, _database(platform), _blobs(platform), *_bundles(platform), _tracking(settings)]


def _settings(settings: Settings) -> Iterator[Finding]:
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        found = f"{_shown(value)} - {field.description}"
        yield Finding(f"BIOSEG_{name.upper()}", ok=True, found=found)


def _shown(value: object) -> str:
    """A setting's value without what must stay secret: secrets themselves, and passwords in addresses."""
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    return re.sub(r"(?<=:)[^:@/]+(?=@)", "***", str(value)) or "(empty)"


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, ok=True, found=importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, ok=True, found="not installed")


def _database(platform: Platform) -> Finding:
    try:
        with engine.reading(platform.sessions) as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return Finding("database", ok=False, found=str(error), remedy="check BIOSEG_DATABASE_URL")
    return Finding("database", ok=True, found="answers")


def _blobs(platform: Platform) -> Finding:
    data = secrets.token_bytes(16)
    key = platform.blobs.put(data)
    kept = platform.blobs.get(key) == data
    platform.blobs.delete(key)
    return Finding(
        "blobs", ok=kept, found="keeps what it is given" if kept else "loses data", remedy="check BIOSEG_BLOBS"
    )


def _bundles(platform: Platform) -> Iterator[Finding]:
    for name in studies.all_studies():
        version = platform.registry.champion(name)
        if version is None:
            remedy = f"train one: bioseg train {name}"
            yield Finding(f"{name} champion", ok=False, found="none", remedy=remedy)
            continue
        try:
            platform.runtime.champion(name)
        except BiosegError as error:
            remedy = "restore the bundle or publish it again"
            yield Finding(f"{name} champion {version}", ok=False, found=str(error), remedy=remedy)
        else:
            yield Finding(f"{name} champion {version}", ok=True, found="verified, reproduces its sample")


def _tracking(settings: Settings) -> Finding:
    address = urlsplit(settings.tracking_uri)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), PROBE_SECONDS).close()
    except OSError:
        found = f"{settings.tracking_uri} does not answer; requests are served and shipped once it does"
        return Finding("MLflow", ok=True, found=found)
    return Finding("MLflow", ok=True, found=f"{settings.tracking_uri} answers")
