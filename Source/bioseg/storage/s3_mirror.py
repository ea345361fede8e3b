"""A mirror in S3: an object for each file."""

import mimetypes
from collections.abc import Mapping

from bioseg.storage.s3_bucket import Bucket


class S3Mirror:
    """Copies for people in a bucket. Methods raise StoreUnavailable as the bucket's do."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def keep(self, folder: str, files: Mapping[str, bytes]) -> str:
        """Write files, by name, over those that are there; gives the folder's full path as people know it."""
        for name, data in files.items():
            media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            self._bucket.put(f"{folder}/{name}", data, media_type)
        return self._bucket.address(folder)

    def remove(self, folder: str) -> None:
        """Remove a folder with all its files; a missing one is fine."""
        for key in self._bucket.keys(f"{folder}/"):
            self._bucket.delete(key)
