"""A blob store in memory, for tests."""

import hashlib
import re

from bioseg.errors import BlobNotFound, InvalidInput


class MemoryBlobs:
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep bytes and return their key."""
        key = hashlib.sha256(data).hexdigest()
        self.stored[key] = bytes(data)
        return key

    def get(self, key: str) -> bytes:
        """Return the bytes, or raise BlobNotFound when they are missing or no longer have this hash."""
        data = self.stored.get(_checked(key))
        if data is None or hashlib.sha256(data).hexdigest() != key:
            raise BlobNotFound(f"no blob {key} in memory")
        return data

    def delete(self, key: str) -> None:
        """Forget the bytes; missing ones are fine."""
        self.stored.pop(_checked(key), None)

    def exists(self, key: str) -> bool:
        """Tell whether there are bytes under this key."""
        return _checked(key) in self.stored


def _checked(key: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", key):
        raise InvalidInput(f"{key!r} is no blob key; it is 64 lower-case hexadecimal digits")
    return key
