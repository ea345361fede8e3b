"""Every blob store keeps the contract."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bioseg.errors import SettingsError
from bioseg.storage import Blobs, open_blobs
from bioseg.testing.blob_contract import BlobContract
from bioseg.testing.fake_blobs import MemoryBlobs


class TestFolder(BlobContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return open_blobs(f"folder:{tmp_path / 'blobs'}")

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[str], None]:
        return lambda key: (tmp_path / "blobs" / key[:2] / key[2:4] / key).write_bytes(b"membranE") and None

    def test_a_blob_cut_short_is_repaired_by_putting_it_again(self, blobs: Blobs, tmp_path: Path) -> None:
        key = blobs.put(b"membrane")
        (tmp_path / "blobs" / key[:2] / key[2:4] / key).write_bytes(b"mem")
        blobs.put(b"membrane")
        assert blobs.get(key) == b"membrane"

    def test_no_partial_file_remains(self, blobs: Blobs, tmp_path: Path) -> None:
        key = blobs.put(b"membrane")
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [key]

    def test_a_failed_write_leaves_no_partial_file(self, blobs: Blobs, tmp_path: Path) -> None:
        key = blobs.put(b"membrane")
        place = tmp_path / "blobs" / key[:2] / key[2:4] / key
        place.unlink()
        (place / "in the way").mkdir(parents=True)
        with pytest.raises(OSError, match="directory"):
            blobs.put(b"membrane")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class TestMemory(BlobContract):
    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()

    @pytest.fixture
    def damage(self, blobs: MemoryBlobs) -> Callable[[str], None]:
        return lambda key: blobs.stored.update({key: b"membranE"})


@pytest.mark.parametrize("spec", ["", "folder", "folder:", "s3://bucket", "/plain/path"])
def test_an_unknown_store_is_refused_naming_the_allowed_ones(spec: str) -> None:
    with pytest.raises(SettingsError, match="allowed is folder:PATH"):
        open_blobs(spec)
