"""Keys and tokens of an installation: whether those that were set will do, and those that it makes for itself."""

import hashlib
import secrets

from sqlalchemy.orm import Session, sessionmaker

from bioseg.database import engine
from bioseg.database import secrets as kept
from bioseg.database.seal import Seal
from bioseg.errors import SettingsError
from bioseg.policy import rates
from bioseg.settings import Settings

SHORTEST_KEY = 16
SEAL_FILE = "seal.key"
_COOKIE, _OPERATOR = "cookie", "operator"


def check(settings: Settings) -> None:
    """Refuse keys, tokens and limits that an installation cannot be run with.

    Raises
    ------
    SettingsError
        Naming the setting, never its value, and what to do.
    """
    key = settings.secret_key.get_secret_value()
    if not key and not _keeps_secrets(settings):
        raise SettingsError("BIOSEG_SECRET_KEY is empty: a database other than SQLite keeps no secrets; set it")
    if key and len(key) < SHORTEST_KEY:
        raise SettingsError(
            f"BIOSEG_SECRET_KEY has {len(key)} characters and needs {SHORTEST_KEY}: who guesses it forges cookies; "
            'make one with: python -c "import secrets; print(secrets.token_hex(32))"'
        )
    tokens = {"BIOSEG_OPERATOR_TOKEN": settings.operator_token, "BIOSEG_API_TOKEN": settings.api_token}
    for name, token in tokens.items():
        value = token.get_secret_value()
        if value and not (value.isascii() and value.isprintable() and " " not in value):
            raise SettingsError(f"{name}: a header cannot carry it; use visible ASCII characters without blanks")
    values = [token.get_secret_value() for token in tokens.values()]
    if values[0] and values[0] == values[1]:
        raise SettingsError("BIOSEG_API_TOKEN is the operators' token: everybody would be an operator; set another")
    rates.parse(settings.rate_limit)


def short_tokens(settings: Settings) -> list[str]:
    """Names of the token settings whose value is short enough to be guessed."""
    tokens = {"BIOSEG_OPERATOR_TOKEN": settings.operator_token, "BIOSEG_API_TOKEN": settings.api_token}
    return [name for name, token in tokens.items() if 0 < len(token.get_secret_value()) < SHORTEST_KEY]


def cookie_key(settings: Settings, sessions: sessionmaker[Session]) -> str:
    """Return the key that signs cookies: the one that was set, else one that was made at the first start.

    Raises
    ------
    SettingsError
        When the one in the database was sealed with another key file.
    """
    given = settings.secret_key.get_secret_value()
    if given:
        return given
    with sessions.begin() as session:
        return kept.get_or_create(session, _COOKIE, Seal(settings.state_dir / SEAL_FILE))


def digest(token: str) -> bytes:
    """SHA-256 of a token: what is kept of it and compared."""
    return hashlib.sha256(token.encode()).digest()


def operator_digest(settings: Settings, sessions: sessionmaker[Session]) -> bytes | None:
    """Digest of the operators' token, the one that was set or the one made at the first start; None: no operators."""
    given = settings.operator_token.get_secret_value()
    if given:
        return digest(given)
    if not _keeps_secrets(settings):
        return None
    with engine.reading(sessions) as session:
        stored = kept.find(session, _OPERATOR)
    return None if stored is None else bytes.fromhex(stored)


def appoint_operator(settings: Settings, sessions: sessionmaker[Session]) -> str | None:
    """Make a token for the operators and keep its digest only.

    Returns
    -------
    The token, which nobody can read again; None when there are operators already, or when the database is not SQLite,
    whose file only its owner reads.
    """
    if not _keeps_secrets(settings) or operator_digest(settings, sessions) is not None:
        return None
    token = secrets.token_urlsafe(32)
    with sessions.begin() as session:
        return token if kept.remember(session, _OPERATOR, digest(token).hex()) else None


def _keeps_secrets(settings: Settings) -> bool:
    return settings.resolved_database_url.startswith("sqlite")
