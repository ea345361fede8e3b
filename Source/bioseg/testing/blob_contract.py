"""What every blob store must do. A test class inherits these tests and gives the fixtures `blobs` and `damage`."""

# ruff: noqa: S101 - these are tests

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bioseg.errors import BlobNotFound, InvalidInput
from bioseg.storage import Blobs

MISSING = "0" * 64


class BlobContract:
    """The tests. `blobs` is an empty store; `damage(key)` alters the bytes stored under a key, behind its back."""

    @pytest.mark.parametrize("data", [b"", b"membrane", bytes(range(256)) * 4096], ids=["empty", "short", "1 MiB"])
    def test_what_is_put_comes_back(self, blobs: Blobs, data: bytes) -> None:
        """Bytes survive the way in and out."""
        assert data == blobs.get(blobs.put(data))

    def test_the_key_is_the_sha256_of_the_content(self, blobs: Blobs) -> None:
        """Anybody can compute a key."""
        assert hashlib.sha256(b"membrane").hexdigest() == blobs.put(b"membrane")

    def test_putting_twice_gives_the_same_key(self, blobs: Blobs) -> None:
        """Equal uploads are stored once."""
        assert blobs.put(b"membrane") == blobs.put(b"membrane")

    def test_many_may_put_the_same_bytes_at_once(self, blobs: Blobs) -> None:
        """Web workers share the store."""
        data = b"membrane" * 10_000
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(blobs.put, [data] * 16))
        assert [data] == [blobs.get(key) for key in keys]

    def test_a_stored_blob_exists(self, blobs: Blobs) -> None:
        """A stored blob can be seen."""
        assert blobs.exists(blobs.put(b"membrane"))

    def test_a_missing_blob_does_not_exist(self, blobs: Blobs) -> None:
        """A missing blob is no error."""
        assert not blobs.exists(MISSING)

    def test_getting_a_missing_blob_is_refused(self, blobs: Blobs) -> None:
        """The message names the key."""
        with pytest.raises(BlobNotFound, match=MISSING):
            blobs.get(MISSING)

    def test_a_deleted_blob_is_gone(self, blobs: Blobs) -> None:
        """A deleted upload leaves nothing behind."""
        key = blobs.put(b"membrane")
        blobs.delete(key)
        assert not blobs.exists(key)

    def test_deleting_a_missing_blob_is_fine(self, blobs: Blobs) -> None:
        """A repeated deletion ends like the first."""
        blobs.delete(MISSING)
        assert not blobs.exists(MISSING)

    def test_a_deleted_blob_can_be_put_again(self, blobs: Blobs) -> None:
        """Deletion is not for ever."""
        blobs.delete(blobs.put(b"membrane"))
        assert blobs.get(blobs.put(b"membrane")) == b"membrane"

    def test_damaged_bytes_are_never_returned(self, blobs: Blobs, damage: Callable[[str], None]) -> None:
        """The hash is verified on the way out."""
        key = blobs.put(b"membrane")
        damage(key)
        with pytest.raises(BlobNotFound):
            blobs.get(key)

    @pytest.mark.parametrize("key", ["", "../../etc/passwd", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "0/" * 32])
    @pytest.mark.parametrize("method", ["get", "delete", "exists"])
    def test_anything_but_a_hash_is_no_key(self, blobs: Blobs, method: str, key: str) -> None:
        """No key leads out of the store."""
        with pytest.raises(InvalidInput):
            getattr(blobs, method)(key)
