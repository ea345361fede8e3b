"""Blob stores: bytes under the sha256 of their content. Each kind of store is a file here."""

from pathlib import Path
from typing import Protocol

from bioseg.errors import SettingsError


class Blobs(Protocol):
    """Bytes under the sha256 of their content, 64 lower-case hexadecimal digits.

    A key in any other form raises InvalidInput in every method that takes one.
    """

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their key; storing them again changes nothing."""
        ...

    def get(self, key: str) -> bytes:
        """Return the bytes, or raise BlobNotFound when they are missing or no longer have this hash."""
        ...

    def delete(self, key: str) -> None:
        """Remove the bytes; missing ones are fine."""
        ...

    def exists(self, key: str) -> bool:
        """Tell whether there are bytes under this key, without reading them."""
        ...


def open_blobs(spec: str) -> Blobs:
    """Open the store that a setting names: `folder:PATH`.

    Raises
    ------
    SettingsError
        For any other kind of store, or no path.
    """
    scheme, _, place = spec.partition(":")
    if scheme != "folder" or not place:
        raise SettingsError(f"BIOSEG_BLOBS is {spec!r}; allowed is folder:PATH")
    from bioseg.storage.folder_blobs import FolderBlobs

    return FolderBlobs(Path(place))
