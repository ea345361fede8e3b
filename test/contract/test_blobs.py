"""Every blob store keeps the contract."""

import base64
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from bioseg.errors import SettingsError, StoreUnavailable
from bioseg.storage import Blobs, open_blobs
from bioseg.testing.blob_contract import BlobContract
from bioseg.testing.fake_blobs import MemoryBlobs


def place_of(root: Path, key: str) -> Path:
    return root / "blobs" / key[:2] / key


class TestFolder(BlobContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return open_blobs(f"folder:{tmp_path / 'blobs'}")

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[str], None]:
        return lambda key: place_of(tmp_path, key).write_bytes(b"membranE") and None

    @pytest.mark.parametrize("damaged", [b"mem", b"membranE"], ids=["cut short", "altered"])
    def test_a_damaged_blob_is_repaired_by_putting_it_again(self, blobs: Blobs, tmp_path: Path, damaged: bytes) -> None:
        key = blobs.put(b"membrane")
        place_of(tmp_path, key).write_bytes(damaged)
        blobs.put(b"membrane")
        assert blobs.get(key) == b"membrane"

    def test_no_partial_file_remains(self, blobs: Blobs, tmp_path: Path) -> None:
        key = blobs.put(b"membrane")
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [key]

    def test_a_failed_write_leaves_no_partial_file(self, blobs: Blobs, tmp_path: Path) -> None:
        key = blobs.put(b"membrane")
        place = place_of(tmp_path, key)
        place.unlink()
        (place / "in the way").mkdir(parents=True)
        with pytest.raises(OSError, match="directory"):
            blobs.put(b"membrane")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_deleting_removes_what_a_dead_writer_left_of_that_blob_alone(self, blobs: Blobs, tmp_path: Path) -> None:
        key = blobs.put(b"membrane")
        folder = place_of(tmp_path, key).parent
        other = f".{key[:-1]}{'0' if key[-1] != '0' else '1'}.x.part"
        for name in (f".{key}.left.part", other):
            (folder / name).write_bytes(b"mem")
        blobs.delete(key)
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [other]

    def test_what_a_dead_writer_left_is_deleted_without_the_blob(self, blobs: Blobs, tmp_path: Path) -> None:
        key = blobs.put(b"membrane")
        place_of(tmp_path, key).rename(place_of(tmp_path, key).with_name(f".{key}.left.part"))
        blobs.delete(key)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class TestMemory(BlobContract):
    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()

    @pytest.fixture
    def damage(self, blobs: MemoryBlobs) -> Callable[[str], None]:
        return lambda key: blobs.stored.update({key: b"membranE"})


class TestS3(BlobContract):
    @pytest.fixture
    def place(self) -> str:
        return f"//bioseg/blobs/{secrets.token_hex(8)}"

    @pytest.fixture
    def blobs(self, place: str, s3_endpoint: str) -> Blobs:
        return open_blobs(f"s3:{place}", s3_endpoint)

    @pytest.fixture
    def damage(self, place: str, s3_endpoint: str) -> Callable[[str], None]:
        from bioseg.storage.s3_bucket import open_bucket

        return lambda key: open_bucket(place, s3_endpoint).put(key, b"membranE", "image/png")

    def test_a_damaged_blob_is_repaired_by_putting_it_again(self, blobs: Blobs, damage: Callable[[str], None]) -> None:
        key = blobs.put(b"membrane")
        damage(key)
        blobs.put(b"membrane")
        assert blobs.get(key) == b"membrane"

    def test_threads_share_a_store(self, blobs: Blobs) -> None:
        contents = [secrets.token_bytes(10_000) for _ in range(32)]
        with ThreadPoolExecutor(16) as pool:
            assert contents == list(pool.map(blobs.get, pool.map(blobs.put, contents)))

    def test_the_prefix_may_be_missing(self, s3_endpoint: str) -> None:
        blobs = open_blobs("s3://bioseg", s3_endpoint)
        key = blobs.put(b"membrane")
        assert open_blobs("s3://bioseg/", s3_endpoint).get(key) == b"membrane"

    @pytest.mark.parametrize("method", ["put", "get", "exists", "delete"])
    def test_a_server_that_does_not_answer_is_told_as_such(self, s3_endpoint: str, free_port: int, method: str) -> None:
        blobs = open_blobs("s3://bioseg", f"http://127.0.0.1:{free_port}")
        with pytest.raises(StoreUnavailable, match="s3://bioseg does not answer"):
            getattr(blobs, method)(b"membrane" if method == "put" else "0" * 64)

    def test_wrong_keys_are_refused_without_showing_them(
        self, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
        with pytest.raises(StoreUnavailable, match="refuses: SignatureDoesNotMatch") as refused:
            open_blobs("s3://bioseg", s3_endpoint).put(b"membrane")
        assert ("a-wrong-secret" in str(refused.value), refused.value.__suppress_context__) == (False, True)

    def test_the_checksum_is_kept_with_the_content(self, blobs: Blobs, place: str, s3_endpoint: str) -> None:
        key = blobs.put(b"membrane")
        client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
        path = f"{place.removeprefix('//bioseg/')}/{key}"
        kept = client.head_object(Bucket="bioseg", Key=path, ChecksumMode="ENABLED")["ChecksumSHA256"]
        assert key == base64.b64decode(kept).hex()

    def test_an_unknown_bucket_is_refused_on_reading(self, s3_endpoint: str) -> None:
        with pytest.raises(StoreUnavailable, match="refuses: NoSuchBucket"):
            open_blobs("s3://unknown-bucket", s3_endpoint).get("0" * 64)


@pytest.fixture
def without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_s3_without_credentials_is_refused_naming_them(without_credentials: None) -> None:
    with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID"):
        open_blobs("s3://bioseg/blobs")


def test_a_malformed_endpoint_is_refused(monkeypatch: pytest.MonkeyPatch, s3_endpoint: str) -> None:
    with pytest.raises(SettingsError, match="BIOSEG_S3_ENDPOINT"):
        open_blobs("s3://bioseg/blobs", "nonsense")


@pytest.mark.parametrize("spec", ["", "folder", "folder:", "s3:", "s3://", "s3:///prefix", "s3://UPPER", "/plain/path"])
def test_an_unknown_store_is_refused_naming_the_allowed_ones(spec: str) -> None:
    with pytest.raises(SettingsError, match="allowed are folder:PATH and s3://BUCKET/PREFIX"):
        open_blobs(spec)
