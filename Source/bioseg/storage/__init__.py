"""Where images are kept: blob stores under the sha256 of the content, and mirrors for people. A file for each kind."""

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bioseg.errors import InvalidInput, RuntimeUnavailable, SettingsError
from bioseg.settings import Settings

_KEY = re.compile(r"[0-9a-f]{64}")
_BUCKET = re.compile(r"//[a-z0-9][a-z0-9.-]+[a-z0-9](/|$)")


class Blobs(Protocol):
    """Bytes under the sha256 of their content, 64 lower-case hexadecimal digits.

    A key in any other form raises InvalidInput in every method that takes one. A store behind a network raises
    StoreUnavailable when it does not answer or refuses.
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


class Mirror(Protocol):
    """Copies for people, in folders such as `membrane/2026-11-21/<id>`; both methods may be repeated at any time.

    Both raise StoreUnavailable when the mirror does not answer or refuses.
    """

    def keep(self, folder: str, files: Mapping[str, bytes]) -> str:
        """Write files, by name, over those that are there; gives the folder's full path as people know it."""
        ...

    def remove(self, folder: str) -> None:
        """Remove a folder with all its files; a missing one is fine."""
        ...


def open_blobs(spec: str, s3_endpoint: str = "") -> Blobs:
    """Open the store that a setting names: `folder:PATH` or `s3://BUCKET/PREFIX`.

    Parameters
    ----------
    s3_endpoint
        Address of an S3-compatible server; empty: Amazon's.

    Raises
    ------
    SettingsError
        For any other kind of store, no path or bucket, or S3 without credentials.
    RuntimeUnavailable
        When boto3 is not installed.
    """
    scheme, _, place = spec.partition(":")
    if scheme == "s3" and _BUCKET.match(place):
        _require("boto3")
        from bioseg.storage.s3_blobs import S3Blobs
        from bioseg.storage.s3_bucket import open_bucket

        return S3Blobs(open_bucket(place, s3_endpoint))
    if scheme != "folder" or not place:
        raise SettingsError(f"BIOSEG_BLOBS is {spec!r}; allowed are folder:PATH and s3://BUCKET/PREFIX")
    from bioseg.storage.folder_blobs import FolderBlobs

    return FolderBlobs(Path(place))


def open_mirror(settings: Settings) -> Mirror | None:
    """Open the mirror that the settings name, if any: `dropbox:/FOLDER` or `s3://BUCKET/PREFIX`.

    Raises
    ------
    SettingsError
        For any other kind of mirror, or one without credentials.
    RuntimeUnavailable
        When its client is not installed.
    """
    spec = settings.blobs_mirror
    if not spec:
        return None
    scheme, _, place = spec.partition(":")
    if scheme == "s3" and _BUCKET.match(place):
        _require("boto3")
        from bioseg.storage.s3_bucket import open_bucket
        from bioseg.storage.s3_mirror import S3Mirror

        return S3Mirror(open_bucket(place, settings.s3_endpoint))
    if scheme != "dropbox" or not place.startswith("/"):
        raise SettingsError(
            f"BIOSEG_BLOBS_MIRROR is {spec!r}; allowed are dropbox:/FOLDER, s3://BUCKET/PREFIX and nothing"
        )
    _require("dropbox")
    from bioseg.storage.dropbox_mirror import DropboxMirror, connect

    return DropboxMirror(connect(settings), place)


def checked_key(key: str) -> str:
    """Give a key back, or raise InvalidInput when it has another form: no key leads out of a store."""
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"{key!r} is no blob key; it is 64 lower-case hexadecimal digits")
    return key


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise RuntimeUnavailable(f"{package} is not installed: pip install 'bioseg[serve]'")
