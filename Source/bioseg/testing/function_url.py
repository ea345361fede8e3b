"""AWS's function URL on this machine: HTTP in, the runtime interface emulator's events out (payload format 2.0)."""

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import requests

INVOKE = "/2015-03-31/functions/function/invocations"
TIMEOUT_SECONDS = 300
MOST_BYTES = 6 * 2**20
"""Of an event or an answer, as AWS has it."""


@contextmanager
def listening(emulator: str) -> Iterator[str]:
    """Call the function behind an emulator at every HTTP request; gives the address to send them to."""
    one_at_a_time = threading.Lock()  # a container of Lambda serves one event at a time, and so does the emulator

    class FunctionUrl(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with one_at_a_time:
                given = invoke(emulator, _event(self, body))
            self._send(given)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names are the library's

        def _send(self, given: dict[str, Any]) -> None:
            if "statusCode" not in given:
                given = {"statusCode": 502, "body": str(given)}  # what AWS answers to a function that failed
            raw = given.get("body") or ""
            body = b64decode(raw) if given.get("isBase64Encoded") else raw.encode()
            self.send_response(given["statusCode"])
            headers = {name: value for name, value in given.get("headers", {}).items() if name != "content-length"}
            for name, value in (*headers.items(), *(("set-cookie", cookie) for cookie in given.get("cookies", ()))):
                self.send_header(name, value)
            if given["statusCode"] not in {204, 304}:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), FunctionUrl) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def invoke(emulator: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call the function behind an emulator; gives what it answers, which is empty when it gives nothing."""
    sent = json.dumps(event).encode()
    answer = requests.post(f"{emulator}{INVOKE}", data=sent, timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    if max(len(sent), len(answer.content)) > MOST_BYTES:
        return {"statusCode": 413, "body": "too large for AWS Lambda"}
    given: dict[str, Any] = answer.json() or {}
    return given


def _event(call: BaseHTTPRequestHandler, body: bytes) -> dict[str, Any]:
    """Put a request as AWS puts it: names in lower case, cookies apart, the body in base64."""
    parts = urlsplit(call.path)
    headers: dict[str, str] = {}
    for name, value in call.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    cookies = headers.pop("cookie", "")
    source, protocol = call.client_address[0], call.request_version
    return {
        "version": "2.0",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "cookies": cookies.split("; ") if cookies else [],
        "headers": headers | {"x-forwarded-for": source, "x-forwarded-proto": "http"},
        "requestContext": {
            "http": {"method": call.command, "path": parts.path, "protocol": protocol, "sourceIp": source}
        },
        "body": b64encode(body).decode(),
        "isBase64Encoded": True,
    }
