"""Every mirror keeps the contract."""

import secrets
from collections.abc import Iterator

import pytest

from bioseg.errors import SettingsError
from bioseg.settings import Settings
from bioseg.storage import Mirror, open_mirror
from bioseg.storage.dropbox_mirror import connect
from bioseg.testing import dropbox_emulator
from bioseg.testing.dropbox_emulator import DropboxEmulator
from bioseg.testing.fake_mirror import MemoryMirror
from bioseg.testing.mirror_contract import MirrorContract, Stored


def opened(settings: Settings) -> Mirror:
    mirror = open_mirror(settings)
    assert mirror is not None
    return mirror


class TestMemory(MirrorContract):
    @pytest.fixture
    def mirror(self) -> MemoryMirror:
        return MemoryMirror()

    @pytest.fixture
    def stored(self, mirror: MemoryMirror) -> Stored:
        return lambda: mirror.files


class TestDropbox(MirrorContract):
    @pytest.fixture
    def emulator(self) -> Iterator[DropboxEmulator]:
        with DropboxEmulator() as emulator:
            yield emulator

    @pytest.fixture
    def settings(self, emulator: DropboxEmulator) -> Settings:
        return Settings.model_validate(dropbox_emulator.settings(emulator.url) | {"blobs_mirror": "dropbox:/Bioseg"})

    @pytest.fixture
    def mirror(self, settings: Settings) -> Mirror:
        return opened(settings)

    @pytest.fixture
    def stored(self, settings: Settings, emulator: DropboxEmulator) -> Stored:
        client = connect(settings)
        return lambda: {
            path.removeprefix("/Bioseg/"): client.files_download(path)[1].content for path in list(emulator.files)
        }


class TestS3(MirrorContract):
    @pytest.fixture
    def settings(self, s3_endpoint: str) -> Settings:
        place = f"s3://bioseg/mirror/{secrets.token_hex(8)}"
        return Settings.model_validate({"blobs_mirror": place, "s3_endpoint": s3_endpoint})

    @pytest.fixture
    def mirror(self, settings: Settings) -> Mirror:
        return opened(settings)

    @pytest.fixture
    def stored(self, settings: Settings) -> Stored:
        from bioseg.storage.s3_bucket import open_bucket

        bucket = open_bucket(settings.blobs_mirror.removeprefix("s3:"), settings.s3_endpoint)
        return lambda: {key: bucket.get(key) or b"" for key in bucket.keys("")}


def test_there_is_no_mirror_by_default() -> None:
    assert open_mirror(Settings(blobs_mirror="")) is None


@pytest.mark.parametrize("spec", ["dropbox", "dropbox:", "dropbox:Bioseg", "s3:", "s3://", "folder:/tmp", "/plain"])
def test_an_unknown_mirror_is_refused_naming_the_allowed_ones(spec: str) -> None:
    with pytest.raises(SettingsError, match="allowed are dropbox:/FOLDER, s3://BUCKET/PREFIX and nothing"):
        open_mirror(Settings(blobs_mirror=spec))


@pytest.mark.parametrize("missing", ["dropbox_app_key", "dropbox_refresh_token"])
def test_dropbox_without_credentials_is_refused_naming_what_is_missing(missing: str) -> None:
    given = dropbox_emulator.settings("") | {"blobs_mirror": "dropbox:/Bioseg", missing: ""}
    with pytest.raises(SettingsError, match=f"needs BIOSEG_{missing.upper()};"):
        open_mirror(Settings.model_validate(given))
