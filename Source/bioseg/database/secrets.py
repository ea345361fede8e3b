"""Secrets that are generated once and kept in the database."""

import secrets

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bioseg.database.tables import Secret


def get_or_create(session: Session, name: str) -> str:
    """Return the secret of this name: 256 random bits in hexadecimal, the same for every process that asks."""
    known = session.get(Secret, name)
    if known is not None:
        return known.value
    try:
        with session.begin_nested():
            session.add(Secret(name=name, value=secrets.token_hex(32)))
    except IntegrityError:
        pass  # another process was first; its value counts
    return session.get_one(Secret, name).value
