"""What `bioseg doctor` examines: settings, stores, bundles and what is installed."""

import importlib.metadata
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from bioseg import credentials, rollouts, studies
from bioseg.database import engine
from bioseg.errors import BiosegError, LedgerBroken, RuntimeUnavailable, SettingsError, TrackingError
from bioseg.platform import Platform, in_service, open_platform
from bioseg.settings import Settings
from bioseg.storage import open_mirror
from bioseg.telemetry import tracking_server

PACKAGES = {
    "openvino": "serve",
    "flask": "serve",
    "gunicorn": "serve",
    "mlflow": "tracking",
    "keras": "train",
    "torch": "train",
}
"""What to look for, and the extra that brings it."""


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
        platform = open_platform(settings)
    except (BiosegError, SQLAlchemyError, OSError) as error:
        remedy = "check BIOSEG_DATABASE_URL, BIOSEG_BLOBS and that BIOSEG_STATE_DIR can be written"
        return [*findings, Finding("stores", ok=False, found=str(error), remedy=remedy)]
    access = (_keys(platform), _operators(platform))
    stores = (_database(platform), _ledger(platform), *access, _blobs(platform), _mirror(settings))
    return [*findings, *stores, *_bundles(platform), _tracking(settings)]


def _settings(settings: Settings) -> Iterator[Finding]:
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        found = f"{_shown(value)} - {field.description}"
        yield Finding(f"BIOSEG_{name.upper()}", ok=True, found=found)


def _shown(value: object) -> str:
    """A setting's value without what must stay secret: secrets themselves, and passwords in addresses."""
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    return _without_password(str(value)) if value not in (None, "") else "(empty)"


def _without_password(address: str) -> str:
    """Mask what stands between the user's name and the host, and a password among the parameters."""
    masked = re.sub(r"(?<=://)([^:/@]*):.*@", r"\1:***@", address)
    return re.sub(r"(?<=[?&]password=)[^&]*", "***", masked)


def _packages() -> Iterator[Finding]:
    for name, extra in PACKAGES.items():
        try:
            yield Finding(name, ok=True, found=importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, ok=True, found=f"not installed; bioseg[{extra}] brings it")


def _database(platform: Platform) -> Finding:
    try:
        with engine.reading(platform.sessions) as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return Finding("database", ok=False, found=str(error), remedy="check BIOSEG_DATABASE_URL")
    return Finding("database", ok=True, found="answers")


def _keys(platform: Platform) -> Finding:
    try:
        credentials.check(platform.settings)
    except SettingsError as error:
        return Finding("keys", ok=False, found=str(error), remedy="set it anew; nothing is served until then")
    short = credentials.short_tokens(platform.settings)
    if short:
        remedy = 'make longer ones: python -c "import secrets; print(secrets.token_urlsafe())"'
        return Finding("keys", ok=False, found=f"short enough to be guessed: {', '.join(short)}", remedy=remedy)
    made = "the setting" if platform.settings.secret_key.get_secret_value() else "a key of its own, sealed"
    return Finding("keys", ok=True, found=f"cookies are signed with {made}")


def _operators(platform: Platform) -> Finding:
    if platform.settings.operator_token.get_secret_value():
        return Finding("operators", ok=True, found="BIOSEG_OPERATOR_TOKEN is their token")
    if credentials.operator_digest(platform.settings, platform.sessions) is not None:
        return Finding("operators", ok=True, found="their token was shown at the first start; a setting replaces it")
    return Finding("operators", ok=True, found="none until BIOSEG_OPERATOR_TOKEN is set")


def _blobs(platform: Platform) -> Finding:
    data = secrets.token_bytes(16)
    try:
        key = platform.pictures.blobs.put(data)
        platform.pictures.blobs.get(key)
        platform.pictures.blobs.delete(key)
    except (BiosegError, OSError) as error:
        return Finding("blobs", ok=False, found=str(error), remedy="check BIOSEG_BLOBS and that it can be written")
    return Finding("blobs", ok=True, found="keeps what it is given")


def _mirror(settings: Settings) -> Finding:
    folder = f"doctor/{secrets.token_hex(8)}"
    try:
        mirror = open_mirror(settings)
        if mirror is None:
            return Finding("mirror", ok=True, found="none")
        path = mirror.keep(folder, {"doctor.txt": b"written by `bioseg doctor`, to be removed at once"})
        mirror.remove(folder)
    except BiosegError as error:
        remedy = "check BIOSEG_BLOBS_MIRROR and its credentials; requests are served, and copied once it answers"
        return Finding("mirror", ok=False, found=str(error), remedy=remedy)
    return Finding("mirror", ok=True, found=f"keeps what it is given, in {path.removesuffix(folder)}")


def _ledger(platform: Platform) -> Finding:
    try:
        count = sum(len(rollouts.history(platform, name)) for name in studies.all_studies())
    except LedgerBroken as error:
        return Finding("ledger", ok=False, found=str(error), remedy="see `bioseg history` of the study")
    return Finding("ledger", ok=True, found=f"{count} decisions, each as it was written")


def _bundles(platform: Platform) -> Iterator[Finding]:
    for name in in_service(platform):
        try:
            version = platform.runtime.aliases(name).champion
            if version is not None:
                platform.runtime.champion(name)
        except RuntimeUnavailable as error:
            yield Finding(f"{name} champion", ok=False, found=str(error), remedy="install what is missing")
        except BiosegError as error:
            remedy = "restore the folders in BIOSEG_MODELS_DIR and in `models` of BIOSEG_STATE_DIR"
            yield Finding(f"{name} champion", ok=False, found=str(error), remedy=remedy)
        else:
            yield _champion(name, version)


def _champion(name: str, version: str | None) -> Finding:
    if version is None:
        return Finding(f"{name} champion", ok=False, found="none", remedy=f"train one: bioseg train {name}")
    return Finding(f"{name} champion", ok=True, found=f"{version} verified, reproduces its sample")


def _tracking(settings: Settings) -> Finding:
    shown = _shown(settings.tracking_uri)
    try:
        asked = tracking_server.probe(settings.tracking_uri)
    except SettingsError as error:
        return Finding("MLflow", ok=False, found=f"{shown}: {error}", remedy="check BIOSEG_MLFLOW_URI")
    except TrackingError:
        found = f"{shown} does not answer; requests are served and shipped once it does"
        return Finding("MLflow", ok=True, found=found)
    return Finding("MLflow", ok=True, found=f"{shown} {'answers' if asked else 'is no server, so nothing was asked'}")
