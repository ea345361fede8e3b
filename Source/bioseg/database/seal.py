"""Seals secrets that are kept in the database under a key that is kept beside it, in a file of its own."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from bioseg.errors import SettingsError

PREFIX = "sealed:"
"""What a sealed value begins with, so that it is told from one that is not."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Encrypts and signs with the key of a file (Fernet: AES-128-CBC and HMAC-SHA256), made with its first use.

    A copy of the database without the file tells nothing and forges nothing.
    """

    file: Path

    def close(self, value: str) -> str:
        """Seal a value; the key file is made when there is none."""
        from cryptography.fernet import Fernet

        return PREFIX + Fernet(_existing_or_new(self.file)).encrypt(value.encode()).decode()

    def open(self, sealed: str) -> str:
        """Give back a value that was sealed.

        Raises
        ------
        SettingsError
            When the key file is missing, or another one than it was sealed with.
        """
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self.file.read_bytes()).decrypt(sealed.removeprefix(PREFIX)).decode()
        except (FileNotFoundError, InvalidToken, ValueError) as error:
            raise SettingsError(
                f"the database was sealed with another key than {self.file} holds: restore that file from the "
                "installation that the database comes from, or set BIOSEG_SECRET_KEY"
            ) from error


def _existing_or_new(file: Path) -> bytes:
    """The key of the file; of several processes that find none, one makes it and all read the same."""
    from cryptography.fernet import Fernet

    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(Fernet.generate_key())
            opened.flush()
            os.fsync(opened.fileno())
        try:
            file.hardlink_to(draft)
        except FileExistsError:
            pass  # another process was first; its key counts
        finally:
            draft.unlink()
    return file.read_bytes()
