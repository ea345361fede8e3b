"""A blob store in memory, for tests."""

import hashlib

from bioseg.errors import BlobNotFound
from bioseg.storage import checked_key


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
        data = self.stored.get(checked_key(key))
        if data is None or hashlib.sha256(data).hexdigest() != key:
            raise BlobNotFound(f"no blob {key} in memory")
        return data

    def delete(self, key: str) -> None:
        """Forget the bytes; missing ones are fine."""
        self.stored.pop(checked_key(key), None)

    def exists(self, key: str) -> bool:
        """Tell whether there are bytes under this key."""
        return checked_key(key) in self.stored
