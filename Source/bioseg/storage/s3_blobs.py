"""Blobs in S3, one object each, named by its key."""

import hashlib

from bioseg.errors import BlobNotFound
from bioseg.storage import checked_key
from bioseg.storage.s3_bucket import Bucket


class S3Blobs:
    """Blobs in a bucket; threads and processes may share it. Methods raise StoreUnavailable as the bucket's do."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their key; storing them again changes nothing."""
        key = hashlib.sha256(data).hexdigest()
        self._bucket.put(key, data, "application/octet-stream")
        return key

    def get(self, key: str) -> bytes:
        """Return the bytes, or raise BlobNotFound when they are missing or no longer have this hash."""
        data = self._bucket.get(checked_key(key))
        if data is None:
            raise BlobNotFound(f"no blob at {self._bucket.address(key)}; it was deleted or never stored")
        if hashlib.sha256(data).hexdigest() != key:
            raise BlobNotFound(f"{self._bucket.address(key)} is damaged, its sha256 has changed; restore it")
        return data

    def delete(self, key: str) -> None:
        """Remove the bytes; missing ones are fine."""
        self._bucket.delete(checked_key(key))

    def exists(self, key: str) -> bool:
        """Tell whether there are bytes under this key, without reading them."""
        return self._bucket.exists(checked_key(key))
