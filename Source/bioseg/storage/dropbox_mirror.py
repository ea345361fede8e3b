"""A mirror in Dropbox, written so that a repeated upload gives the same file and never a second one."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from dropbox import Dropbox
from dropbox.content_hash import content_hash
from dropbox.exceptions import ApiError, AuthError, DropboxException, HttpError, InternalServerError, RateLimitError
from dropbox.files import CommitInfo, UploadSessionCursor, WriteMode
from requests.adapters import HTTPAdapter

from bioseg.errors import SettingsError, StoreUnavailable
from bioseg.settings import Settings

CHUNK = 4 * 2**20
"""Bytes of one call, and of one block of Dropbox's content hash."""

TIMEOUT = (5.0, 20.0)
"""Seconds to connect, and between two signs of life."""

PATIENCE = 10.0
"""Seconds."""

_CORRECTIONS = 4
_NEW_TOKEN = "get a new refresh token, see `Where images are kept` in the README"  # noqa: S105 - a remedy


def connect(settings: Settings, timeout: tuple[float, float] = TIMEOUT) -> Dropbox:
    """Make the client; nothing is asked of Dropbox yet. It gets access tokens for the refresh token as it needs them.

    Raises
    ------
    SettingsError
        When the app key or the refresh token is missing.
    """
    required = {
        "BIOSEG_DROPBOX_APP_KEY": settings.dropbox_app_key,
        "BIOSEG_DROPBOX_REFRESH_TOKEN": settings.dropbox_refresh_token.get_secret_value(),
    }
    missing = " and ".join(name for name, value in required.items() if not value)
    if missing:
        raise SettingsError(f"the Dropbox mirror needs {missing}; see `Where images are kept` in the README")
    logging.getLogger("dropbox").setLevel(logging.WARNING)  # else a line for each call
    return Dropbox(
        oauth2_refresh_token=settings.dropbox_refresh_token.get_secret_value(),
        app_key=settings.dropbox_app_key,
        app_secret=settings.dropbox_app_secret.get_secret_value() or None,
        session=_redirected(settings.dropbox_endpoint) if settings.dropbox_endpoint else None,
        timeout=timeout,
        max_retries_on_error=0,
        max_retries_on_rate_limit=0,
        user_agent="Bioseg",
    )


class DropboxMirror:
    """Copies for people below a folder of a Dropbox account, `/` for all of it (or of the app's own folder).

    A call is repeated for `patience` seconds when Dropbox asks for it or fails; longer waits are left to the caller.
    """

    def __init__(self, client: Dropbox, root: str, patience: float = PATIENCE) -> None:
        self._client = client
        self._root = root.rstrip("/")
        self._patience = patience

    def keep(self, folder: str, files: Mapping[str, bytes]) -> str:
        """Write files, by name, over those that are there; gives the folder's full path as people know it.

        Raises
        ------
        StoreUnavailable
            When Dropbox does not answer or refuses, or a file arrived damaged.
        """
        for name, data in files.items():
            self._put(f"{self._root}/{folder}/{name}", data)
        return f"dropbox:{self._root}/{folder}"

    def remove(self, folder: str) -> None:
        """Remove a folder with all its files; a missing one is fine.

        Raises
        ------
        StoreUnavailable
            When Dropbox does not answer or refuses.
        """
        try:
            self._call(self._client.files_delete_v2, f"{self._root}/{folder}")
        except ApiError as error:
            if not (error.error.is_path_lookup() and error.error.get_path_lookup().is_not_found()):
                raise _refused(error) from None

    def _put(self, path: str, data: bytes) -> None:
        expected = content_hash(data)
        try:
            kept = self._upload(path, data)
        except StoreUnavailable as error:
            # The file may be there and only the answer lost.
            if error.retry_after is not None or self._hash_of(path) != expected:
                raise
            kept = expected
        if kept != expected:
            raise StoreUnavailable(f"{path} arrived damaged in Dropbox; it is sent again")

    def _upload(self, path: str, data: bytes) -> str:
        """Send a file; gives the content hash that Dropbox computed of it. The client sends a hash with each call."""
        try:
            if len(data) > CHUNK:
                return self._upload_in_chunks(path, data)
            answer = self._call(self._client.files_upload, data, path, mode=WriteMode.overwrite, mute=True)
            return str(answer.content_hash)
        except ApiError as error:
            raise _refused(error) from None

    def _upload_in_chunks(self, path: str, data: bytes) -> str:
        session = self._call(self._client.files_upload_session_start, data[:CHUNK]).session_id
        commit = CommitInfo(path, mode=WriteMode.overwrite, mute=True)
        offset, corrections = CHUNK, 0
        while True:
            chunk, cursor = data[offset : offset + CHUNK], UploadSessionCursor(session, offset)
            try:
                if offset + CHUNK >= len(data):
                    answer = self._call(self._client.files_upload_session_finish, chunk, cursor, commit)
                    return str(answer.content_hash)
                self._call(self._client.files_upload_session_append_v2, chunk, cursor)
                offset += CHUNK
            except ApiError as error:
                corrections += 1
                correct = _correct_offset(error)
                if correct is None or corrections > _CORRECTIONS:
                    raise
                offset = correct

    def _hash_of(self, path: str) -> str | None:
        """Content hash of the file at a path; None without one."""
        try:
            return getattr(self._call(self._client.files_get_metadata, path), "content_hash", None)
        except ApiError:
            return None

    def _call(self, function: Callable[..., Any], *arguments: object, **options: object) -> Any:
        """Call Dropbox; failures but a refusal (ApiError) become StoreUnavailable, with a text that quotes nothing."""
        deadline = time.monotonic() + self._patience
        pause = 0.25
        while True:
            pause *= 2
            try:
                return function(*arguments, **options)
            except RateLimitError as error:
                pause = float(error.backoff or pause)
                failure = StoreUnavailable(f"Dropbox asks to wait {pause:g} s", retry_after=pause)
            except InternalServerError as error:
                failure = StoreUnavailable(f"Dropbox answers with status {error.status_code}; it is tried again")
            except ApiError as error:
                if "too_many_write_operations" not in str(error.error):
                    raise
                failure = StoreUnavailable("Dropbox is busy with other writes; it is tried again", retry_after=pause)
            except AuthError as error:
                raise StoreUnavailable(f"Dropbox refuses the credentials ({error.error}); {_NEW_TOKEN}") from None
            except HttpError as error:
                raise StoreUnavailable(f"Dropbox answers with status {error.status_code}; it is tried again") from None
            except (requests.RequestException, DropboxException, AssertionError, KeyError, ValueError) as error:
                # The last three are what the client makes of an answer that is none of Dropbox's, but a proxy's.
                raise StoreUnavailable(f"Dropbox does not answer: {type(error).__name__}; it is tried again") from None
            if time.monotonic() + pause > deadline:
                raise failure
            time.sleep(pause)


def _correct_offset(error: ApiError) -> int | None:
    """The offset at which an upload session wants to go on, when that is what went wrong."""
    found = error.error
    if hasattr(found, "is_lookup_failed") and found.is_lookup_failed():
        found = found.get_lookup_failed()
    if hasattr(found, "is_incorrect_offset") and found.is_incorrect_offset():
        return int(found.get_incorrect_offset().correct_offset)
    return None


def _refused(error: ApiError) -> StoreUnavailable:
    return StoreUnavailable(f"Dropbox refuses: {error.error}; check its space and the rights of the app")


def _redirected(endpoint: str) -> requests.Session:
    """A session that sends every call to one server, whatever Dropbox host it is meant for."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _Redirection(endpoint))
    return session


class _Redirection(HTTPAdapter):
    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._endpoint = endpoint.rstrip("/")

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        request.url = self._endpoint + request.path_url
        return super().send(request, *arguments, **options)
