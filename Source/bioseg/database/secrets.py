"""Secrets of the installation that are kept in the database: sealed, or only their hash."""

import secrets

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bioseg.database import seal
from bioseg.database.seal import Seal
from bioseg.database.tables import Secret


def get_or_create(session: Session, name: str, sealed_by: Seal) -> str:
    """Return the secret of this name: 256 random bits in hexadecimal, the same for every process that asks.

    It is kept sealed; one that an earlier version kept open is sealed now.

    Raises
    ------
    SettingsError
        When it was sealed with another key.
    """
    if session.get(Secret, name) is None:
        remember(session, name, sealed_by.close(secrets.token_hex(32)))
    row = session.get_one(Secret, name)
    if row.value.startswith(seal.PREFIX):
        return sealed_by.open(row.value)
    value, row.value = row.value, sealed_by.close(row.value)
    return value


def find(session: Session, name: str) -> str | None:
    """What is kept under a name, as it is kept; None when there is nothing."""
    row = session.get(Secret, name)
    return None if row is None else row.value


def remember(session: Session, name: str, value: str) -> bool:
    """Keep a value unless the name has one already; tells whether this one counts."""
    try:
        with session.begin_nested():
            session.add(Secret(name=name, value=value))
    except IntegrityError:
        return False  # another process was first; its value counts
    return True
