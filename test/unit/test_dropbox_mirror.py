"""The Dropbox mirror comes through what goes wrong on the way, on a server that makes it go wrong."""

import time
from collections.abc import Iterator

import pytest

from bioseg.errors import StoreUnavailable
from bioseg.settings import Settings
from bioseg.storage.dropbox_mirror import CHUNK, DropboxMirror, connect
from bioseg.testing import dropbox_emulator
from bioseg.testing.dropbox_emulator import DropboxEmulator, Fault

LARGE = bytes(range(256)) * (9 * 2**20 // 256)
UPLOAD, START, APPEND, FINISH = (
    "files/upload",
    *(f"files/upload_session/{step}" for step in ("start", "append_v2", "finish")),
)


@pytest.fixture
def emulator() -> Iterator[DropboxEmulator]:
    with DropboxEmulator() as emulator:
        yield emulator


@pytest.fixture
def mirror(emulator: DropboxEmulator) -> DropboxMirror:
    """A mirror that loses patience after half a second."""
    settings = Settings.model_validate(dropbox_emulator.settings(emulator.url))
    return DropboxMirror(connect(settings, timeout=(0.5, 0.5)), "/Bioseg")


def keep(mirror: DropboxMirror, content: bytes) -> None:
    mirror.keep("membrane/1", {"image.png": content})


def kept(emulator: DropboxEmulator) -> list[bytes]:
    return list(emulator.files.values())


def test_a_small_file_takes_one_call(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    keep(mirror, b"image")
    assert ["oauth2/token", UPLOAD] == emulator.calls


def test_a_large_file_goes_in_chunks(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    keep(mirror, LARGE)
    assert ["oauth2/token", START, APPEND, FINISH] == emulator.calls


def test_one_access_token_lasts_for_many_calls(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    for _ in range(3):
        keep(mirror, b"image")
    assert 1 == emulator.calls.count("oauth2/token")


def test_an_expired_access_token_is_renewed(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    keep(mirror, b"image")
    emulator.expire_tokens()
    keep(mirror, b"another")
    assert ([b"another"], 2) == (kept(emulator), emulator.calls.count("oauth2/token"))


def test_a_token_that_expires_between_chunks_is_renewed(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    emulator.faults[APPEND].append("expired")
    keep(mirror, LARGE)
    assert [LARGE] == kept(emulator)


@pytest.mark.parametrize("route", [UPLOAD, START, APPEND, FINISH])
@pytest.mark.parametrize("fault", ["error", "limit"])
def test_a_call_that_fails_once_is_repeated(
    mirror: DropboxMirror, emulator: DropboxEmulator, route: str, fault: Fault
) -> None:
    emulator.faults[route].append(fault)
    content = b"image" if route == UPLOAD else LARGE
    keep(mirror, content)
    assert [content] == kept(emulator)


@pytest.mark.parametrize("route", [UPLOAD, FINISH])
def test_contention_is_waited_for(mirror: DropboxMirror, emulator: DropboxEmulator, route: str) -> None:
    emulator.faults[route].append("contention")
    content = b"image" if route == UPLOAD else LARGE
    keep(mirror, content)
    assert [content] == kept(emulator)


def test_a_chunk_that_arrived_before_the_error_is_not_sent_twice(
    mirror: DropboxMirror, emulator: DropboxEmulator
) -> None:
    emulator.faults[APPEND].append("error after")
    keep(mirror, LARGE)
    assert [LARGE] == kept(emulator)


@pytest.mark.parametrize("route", [UPLOAD, FINISH])
@pytest.mark.parametrize("fault", ["lost answer", "error after"])
def test_a_file_that_arrived_is_taken_as_kept_though_the_answer_was_lost(
    mirror: DropboxMirror, emulator: DropboxEmulator, route: str, fault: Fault
) -> None:
    emulator.faults[route].append(fault)
    content = b"image" if route == UPLOAD else LARGE
    keep(mirror, content)
    assert [content] == kept(emulator)


def test_a_lost_answer_over_a_former_content_is_no_success(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    keep(mirror, b"former")
    emulator.faults[UPLOAD].append("silence")
    with pytest.raises(StoreUnavailable, match="Dropbox does not answer: ReadTimeout"):
        keep(mirror, b"image")
    assert [b"former"] == kept(emulator)


def test_a_session_that_never_agrees_on_an_offset_is_given_up(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    emulator.faults[APPEND].extend(["disagree"] * 20)
    with pytest.raises(StoreUnavailable, match="incorrect_offset"):
        keep(mirror, LARGE)


def test_a_file_damaged_on_the_way_is_refused(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    emulator.faults[UPLOAD].append("damage")
    with pytest.raises(StoreUnavailable, match="arrived damaged"):
        keep(mirror, b"image")


def test_a_long_pause_is_left_to_the_caller(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    emulator.down, emulator.retry_after = "limit", 300
    with pytest.raises(StoreUnavailable, match="asks to wait 300 s") as limited:
        keep(mirror, b"image")
    assert 300 == limited.value.retry_after


def test_an_endless_limit_ends_in_time(emulator: DropboxEmulator) -> None:
    settings = Settings.model_validate(dropbox_emulator.settings(emulator.url))
    emulator.down = "limit"
    with pytest.raises(StoreUnavailable) as limited:
        keep(DropboxMirror(connect(settings), "/Bioseg", patience=1.5), b"image")
    assert (1, 2) == (limited.value.retry_after, len(emulator.calls))


@pytest.mark.parametrize("method", ["keep", "remove"])
def test_a_black_hole_costs_seconds(mirror: DropboxMirror, emulator: DropboxEmulator, method: str) -> None:
    emulator.down = "silence"
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        mirror.remove("membrane/1") if method == "remove" else keep(mirror, b"image")
    assert time.monotonic() - begun < 10


def test_a_server_that_is_not_there_is_told_as_such(emulator: DropboxEmulator, free_port: int) -> None:
    settings = Settings.model_validate(dropbox_emulator.settings(f"http://127.0.0.1:{free_port}"))
    with pytest.raises(StoreUnavailable, match="does not answer: ConnectionError"):
        keep(DropboxMirror(connect(settings), "/Bioseg"), b"image")


def test_a_refresh_token_that_was_revoked_is_told_without_showing_it(emulator: DropboxEmulator) -> None:
    given = dropbox_emulator.settings(emulator.url) | {"dropbox_refresh_token": "a-revoked-one"}
    mirror = DropboxMirror(connect(Settings.model_validate(given)), "/Bioseg")
    with pytest.raises(StoreUnavailable, match="get a new refresh token") as refused:
        keep(mirror, b"image")
    assert ("a-revoked-one" in str(refused.value), refused.value.__suppress_context__) == (False, True)


def test_an_answer_that_quotes_the_token_is_not_passed_on(mirror: DropboxMirror, emulator: DropboxEmulator) -> None:
    emulator.faults[UPLOAD].append("quote")
    emulator.faults["files/get_metadata"].append("quote")
    with pytest.raises(StoreUnavailable, match="answers with status 400") as refused:
        keep(mirror, b"image")
    assert "Bearer" not in str(refused.value)


def test_the_root_of_the_account_is_a_folder_too(emulator: DropboxEmulator) -> None:
    mirror = DropboxMirror(connect(Settings.model_validate(dropbox_emulator.settings(emulator.url))), "/")
    path = mirror.keep("membrane/1", {"image.png": b"image"})
    assert ("dropbox:/membrane/1", ["/membrane/1/image.png"]) == (path, list(emulator.files))


def test_chunks_are_blocks_of_the_content_hash() -> None:
    from dropbox.content_hash import DropboxContentHasher

    assert DropboxContentHasher.BLOCK_SIZE == CHUNK
