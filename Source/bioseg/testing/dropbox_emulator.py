"""A server that speaks as much of Dropbox's API as a mirror needs, and fails where a test tells it to."""

import json
import secrets
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs

from dropbox.content_hash import content_hash

Fault = Literal[
    "limit",  # 429 with Retry-After
    "contention",  # 409, too many writes
    "error",  # 500, and nothing is done
    "error after",  # it is done, then 500
    "lost answer",  # it is done, then the connection closes
    "silence",  # no answer ever
    "expired",  # the access tokens run out just then
    "quote",  # 400 with a text that quotes the access token
    "damage",  # the content is altered once its hash was verified
    "disagree",  # the upload session is at another offset, whatever was sent
]
"""What goes wrong with one call."""

APP_KEY = "app-key"
APP_SECRET = "app-secret"  # noqa: S105 - of the emulator
REFRESH_TOKEN = "refresh-token"  # noqa: S105 - of the emulator


def settings(url: str) -> dict[str, str]:
    """What the settings of a mirror in the emulator are, by name."""
    return {
        "dropbox_endpoint": url,
        "dropbox_app_key": APP_KEY,
        "dropbox_app_secret": APP_SECRET,
        "dropbox_refresh_token": REFRESH_TOKEN,
    }


class Answer(NamedTuple):
    """Status, JSON value (None is JSON's null), further headers and, of a download, the content."""

    status: int
    value: Any
    headers: Mapping[str, str] = {}
    content: bytes | None = None


class DropboxEmulator:
    """A Dropbox account of one app at `url`, while its context lasts.

    `files` holds the content by path and `calls` the routes in the order of their calls. `faults` holds what goes wrong
    with the next calls of a route; `down` is what goes wrong with every call. `retry_after` is in seconds.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.down: Fault | None = None
        self.retry_after = 1
        self._sessions: dict[str, bytearray] = {}
        self._tokens: set[str] = set()
        self._routes = {
            "files/upload": self._upload,
            "files/upload_session/start": self._start,
            "files/upload_session/append_v2": self._append,
            "files/upload_session/finish": self._finish,
            "files/delete_v2": self._delete,
            "files/get_metadata": self._get_metadata,
            "files/download": self._download,
        }
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "DropboxEmulator":
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the calls that wait, and stop."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def expire_tokens(self) -> None:
        """Let every access token run out; the refresh token stays good."""
        self._tokens.clear()

    def answer(self, route: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Answer one call; None closes the connection without an answer."""
        with self._lock:
            self.calls.append(route)
            fault = self.faults[route].popleft() if self.faults[route] else self.down
        if fault == "silence":
            self._closing.wait()
            return None
        with self._lock:
            done = self._instead(fault, route, headers) or self._do(fault, route, headers, body)
        if fault == "error after":
            return Answer(500, "an error was asked for")
        return None if fault == "lost answer" else done

    def _instead(self, fault: Fault | None, route: str, headers: Mapping[str, str]) -> Answer | None:
        """What is answered without doing anything; None when it is to be done."""
        if fault == "error":
            return Answer(500, "an error was asked for")
        if fault == "limit":
            error = {"reason": {".tag": "too_many_requests"}, "retry_after": self.retry_after}
            return Answer(429, _error("too_many_requests", error), {"Retry-After": str(self.retry_after)})
        if fault == "contention":
            return Answer(409, _contention(route))
        if fault == "quote":
            return Answer(400, f"invalid header: {headers['Authorization']}")
        if fault == "disagree":
            return Answer(409, _error("incorrect_offset", {".tag": "incorrect_offset", "correct_offset": 0}))
        if fault == "expired":
            self.expire_tokens()
        return None

    def _do(self, fault: Fault | None, route: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if route == "oauth2/token":
            return self._refresh(parse_qs(body.decode()))
        if headers.get("Authorization", "").removeprefix("Bearer ") not in self._tokens:
            return Answer(401, _error("expired_access_token", {".tag": "expired_access_token"}))
        argument = json.loads(headers.get("Dropbox-API-Arg") or body)
        if argument.get("content_hash", content_hash(body)) != content_hash(body):
            return Answer(409, _error("content_hash_mismatch", {".tag": "content_hash_mismatch"}))
        return self._routes[route](argument, body + b"?" if fault == "damage" else body)

    def _refresh(self, form: Mapping[str, list[str]]) -> Answer:
        expected = {
            "grant_type": ["refresh_token"],
            "client_id": [APP_KEY],
            "client_secret": [APP_SECRET],
            "refresh_token": [REFRESH_TOKEN],
        }
        if form != expected:
            return Answer(400, {"error": "invalid_grant", "error_description": "the refresh token is not valid"})
        token = secrets.token_hex(16)
        self._tokens.add(token)
        return Answer(200, {"access_token": token, "token_type": "bearer", "expires_in": 14400})

    def _upload(self, argument: Mapping[str, Any], body: bytes) -> Answer:
        return self._commit(
            argument, body, lambda error: {".tag": "path", "reason": error, "upload_session_id": "none"}
        )

    def _start(self, _: Mapping[str, Any], body: bytes) -> Answer:
        session = secrets.token_hex(8)
        self._sessions[session] = bytearray(body)
        return Answer(200, {"session_id": session})

    def _append(self, argument: Mapping[str, Any], body: bytes) -> Answer:
        error = self._lookup_error(argument["cursor"])
        if error is not None:
            return Answer(409, _error("lookup", error))
        self._sessions[argument["cursor"]["session_id"]] += body
        return Answer(200, None)

    def _finish(self, argument: Mapping[str, Any], body: bytes) -> Answer:
        error = self._lookup_error(argument["cursor"])
        if error is not None:
            return Answer(409, _error("lookup_failed", {".tag": "lookup_failed", "lookup_failed": error}))
        content = bytes(self._sessions.pop(argument["cursor"]["session_id"])) + body
        return self._commit(argument["commit"], content, lambda error: {".tag": "path", "path": error})

    def _lookup_error(self, cursor: Mapping[str, Any]) -> dict[str, Any] | None:
        session = self._sessions.get(cursor["session_id"])
        if session is None:
            return {".tag": "not_found"}
        if cursor["offset"] != len(session):
            return {".tag": "incorrect_offset", "correct_offset": len(session)}
        return None

    def _commit(
        self, argument: Mapping[str, Any], content: bytes, error: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Answer:
        path = argument["path"]
        overwrites = argument.get("mode") in ("overwrite", {".tag": "overwrite"})
        if not overwrites and self.files.get(path, content) != content:
            conflict = {".tag": "conflict", "conflict": {".tag": "file"}}
            return Answer(409, _error("path/conflict/file", error(conflict)))
        self.files[path] = content
        return Answer(200, self._metadata(path))

    def _delete(self, argument: Mapping[str, Any], _: bytes) -> Answer:
        path = argument["path"]
        found = [each for each in self.files if each == path or each.startswith(f"{path}/")]
        if not found:
            return _not_found("path_lookup")
        for each in found:
            del self.files[each]
        name = path.rsplit("/", 1)[-1]
        return Answer(200, {"metadata": {".tag": "folder", "name": name, "id": "id:1", "path_display": path}})

    def _get_metadata(self, argument: Mapping[str, Any], _: bytes) -> Answer:
        path = argument["path"]
        return Answer(200, {".tag": "file", **self._metadata(path)}) if path in self.files else _not_found("path")

    def _download(self, argument: Mapping[str, Any], _: bytes) -> Answer:
        path = argument["path"]
        return Answer(200, self._metadata(path), {}, self.files[path]) if path in self.files else _not_found("path")

    def _metadata(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        return {
            "name": path.rsplit("/", 1)[-1],
            "id": "id:1",
            "client_modified": "2026-01-01T00:00:00Z",
            "server_modified": "2026-01-01T00:00:00Z",
            "rev": "0123456789abcdef",
            "size": len(content),
            "path_display": path,
            "content_hash": content_hash(content),
        }


def _error(summary: str, error: dict[str, Any]) -> dict[str, Any]:
    return {"error_summary": f"{summary}/.", "error": error}


def _upload_error(reason: dict[str, Any]) -> dict[str, Any]:
    return {".tag": "path", "reason": reason, "upload_session_id": "none"}


def _not_found(tag: str) -> Answer:
    return Answer(409, _error(f"{tag}/not_found", {".tag": tag, tag: {".tag": "not_found"}}))


def _contention(route: str) -> dict[str, Any]:
    """Dropbox says it in another place in each kind of error."""
    busy = {".tag": "too_many_write_operations"}
    if route == "files/upload":
        return _error("path/too_many_write_operations", _upload_error(busy))
    return _error("too_many_write_operations", busy)


def _handler(emulator: DropboxEmulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = emulator.answer(self.path.removeprefix("/2").lstrip("/"), dict(self.headers), body)
            if answer is None:
                self.close_connection = True
                return
            value = json.dumps(answer.value).encode()
            headers = {"Content-Type": "application/json", **answer.headers}
            if answer.content is not None:
                headers |= {"Content-Type": "application/octet-stream", "Dropbox-API-Result": value.decode()}
                value = answer.content
            self.send_response(answer.status)
            for name, text in {**headers, "Content-Length": str(len(value))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(value)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    return Handler
