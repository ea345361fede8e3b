"""Who may do what: tokens, signed cookies, and other people's sites."""

import hashlib
import io
import os
import pty
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from sqlalchemy import create_engine, text
from werkzeug.test import TestResponse

from application import create_app
from bioseg.platform import Platform

Make = Callable[..., Platform]
API, OPERATOR = "the-api-token", "the-operators-token"
NO_ID = "0" * 32
JSON = {"Content-Type": "application/json"}
CALLS = [
    ("GET", "/api/v1/studies"),
    ("GET", "/api/v1/requests"),
    ("GET", f"/api/v1/requests/{NO_ID}"),
    ("GET", f"/api/v1/requests/{NO_ID}/mask.png"),
    ("DELETE", f"/api/v1/requests/{NO_ID}"),
    ("POST", f"/api/v1/requests/{NO_ID}/feedback"),
    ("POST", "/api/v1/segment"),
    ("POST", "/api/v1/classify"),
    ("GET", "/api/v1/nothing"),
]
OPEN = ["/", "/docs", "/openapi.json", "/livez", "/readyz", "/static/app.js"]
CHANGES = [("POST", "/api/v1/segment"), ("DELETE", f"/api/v1/requests/{NO_ID}"), ("POST", "/session")]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def owner_of(kind: str, token: str) -> str:
    return hashlib.sha256(f"{kind}:{token}".encode()).hexdigest()[:32]


def segment(client: FlaskClient, data: bytes, headers: dict[str, str] | None = None) -> TestResponse:
    return client.post("/api/v1/segment", data={"image": (io.BytesIO(data), "a.png")}, headers=headers)


def owners(platform: Platform) -> list[str]:
    with platform.sessions() as session:
        return list(session.scalars(text("SELECT owner FROM requests ORDER BY seq")))


@pytest.fixture
def guarded(make_platform: Make) -> Flask:
    """An application with both tokens."""
    return create_app(make_platform(api_token=API, operator_token=OPERATOR))


@pytest.fixture
def supervised(make_platform: Make) -> Flask:
    """An application with operators, open to everybody else."""
    return create_app(make_platform(operator_token=OPERATOR))


def assert_unauthorized(answer: TestResponse) -> None:
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


class TestWithAnApiToken:
    @pytest.mark.parametrize(("method", "path"), CALLS)
    def test_nobody_else_may_call(self, guarded: Flask, method: str, path: str) -> None:
        assert_unauthorized(guarded.test_client().open(path, method=method))

    @pytest.mark.parametrize(("method", "path"), CALLS)
    @pytest.mark.parametrize("token", [API, OPERATOR])
    def test_who_has_a_token_may_call(self, guarded: Flask, method: str, path: str, token: str) -> None:
        answer = guarded.test_client().open(path, method=method, headers=bearer(token))
        assert answer.status_code in {200, 400, 404}

    @pytest.mark.parametrize("path", OPEN)
    def test_pages_probes_and_the_description_need_none(self, guarded: Flask, path: str) -> None:
        assert guarded.test_client().get(path).status_code == 200

    def test_a_visitors_cookie_is_not_enough(self, guarded: Flask) -> None:
        client = guarded.test_client()
        client.get("/")
        assert_unauthorized(client.get("/api/v1/studies"))

    def test_uploads_belong_to_the_token(self, make_platform: Make, section: bytes) -> None:
        platform = make_platform(api_token=API, operator_token=OPERATOR)
        client = create_app(platform).test_client()
        for token in (API, OPERATOR):
            assert segment(client, section, bearer(token)).status_code == 200
        assert owners(platform) == [owner_of("api", API), owner_of("operator", OPERATOR)]

    def test_a_call_with_a_token_gets_no_cookie(self, guarded: Flask, section: bytes) -> None:
        assert "Set-Cookie" not in segment(guarded.test_client(), section, bearer(API)).headers


OPERATORS_ONLY = [("GET", "/api/v1/rollouts"), ("GET", "/api/v1/decisions"), ("POST", "/api/v1/rollouts/membrane")]


class TestOperator:
    @pytest.mark.parametrize(("method", "path"), OPERATORS_ONLY)
    def test_alone_moves_versions_and_reads_the_ledger(
        self, supervised: Flask, guarded: Flask, method: str, path: str
    ) -> None:
        assert_unauthorized(supervised.test_client().open(path, method=method))
        refused = guarded.test_client().open(path, method=method, headers=bearer(API))
        assert (refused.status_code, refused.mimetype) == (403, "application/problem+json")

    def test_sees_lists_judges_and_deletes_what_others_sent(self, supervised: Flask, section: bytes) -> None:
        visitor, operator = supervised.test_client(), supervised.test_client()
        answer = segment(visitor, section).json
        record = f"/api/v1/requests/{answer['id']}"
        listed = operator.get("/api/v1/requests", headers=bearer(OPERATOR)).json["requests"]
        assert [each["id"] for each in listed] == [answer["id"]]
        statuses = [
            operator.get(record, headers=bearer(OPERATOR)).status_code,
            operator.get(answer["mask_url"], headers=bearer(OPERATOR)).status_code,
            operator.post(f"{record}/feedback", json={"mask_ok": True}, headers=bearer(OPERATOR)).status_code,
            operator.delete(record, headers=bearer(OPERATOR)).status_code,
            visitor.get(record).status_code,
        ]
        assert statuses == [200, 200, 200, 204, 404]

    def test_is_more_than_the_cookie_beside_the_token(self, make_platform: Make, section: bytes) -> None:
        platform = make_platform(operator_token=OPERATOR)
        client = create_app(platform).test_client()
        segment(client, section)
        segment(client, section, bearer(OPERATOR))
        assert owners(platform)[1] == owner_of("operator", OPERATOR) != owners(platform)[0]

    def test_does_not_show_own_uploads_to_visitors(self, supervised: Flask, section: bytes) -> None:
        sent = segment(supervised.test_client(), section, bearer(OPERATOR)).json["id"]
        assert supervised.test_client().get(f"/api/v1/requests/{sent}").status_code == 404


def test_holders_of_the_api_token_see_each_others_requests_only(guarded: Flask, section: bytes) -> None:
    theirs = segment(guarded.test_client(), section, bearer(API)).json["id"]
    others = segment(guarded.test_client(), section, bearer(OPERATOR)).json["id"]
    client = guarded.test_client()
    found = [client.get(f"/api/v1/requests/{each}", headers=bearer(API)).status_code for each in (theirs, others)]
    assert found == [200, 404]


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", "Bearer wrong", "Bearer \xfc", "Basic dXNlcjpwYXNz", OPERATOR, f"Token {OPERATOR}"),
        *(f"Bearer {OPERATOR}x", f"Bearer {OPERATOR[:-1]}", f"Bearer {OPERATOR}, Bearer {OPERATOR}"),
    ],
)
def test_any_other_authorization_is_refused(supervised: Flask, header: str) -> None:
    assert_unauthorized(supervised.test_client().get("/api/v1/studies", headers={"Authorization": header}))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_name_of_the_scheme_may_be_written_in_any_case(supervised: Flask, scheme: str) -> None:
    answer = supervised.test_client().get("/api/v1/studies", headers={"Authorization": f"{scheme} {OPERATOR}"})
    assert answer.status_code == 200


def test_a_wrong_token_is_refused_even_where_none_is_needed(client: FlaskClient) -> None:
    client.get("/")
    assert_unauthorized(client.get("/api/v1/studies", headers=bearer("wrong")))


class TestSignIn:
    def test_lets_the_browser_call(self, guarded: Flask, section: bytes) -> None:
        client = guarded.test_client()
        assert client.post("/session", json={"token": API}).status_code == 204
        answer = segment(client, section)
        assert [answer.status_code, client.get(answer.json["mask_url"]).status_code] == [200, 200]

    def test_keeps_each_browsers_requests_apart(self, guarded: Flask, section: bytes) -> None:
        first, second = guarded.test_client(), guarded.test_client()
        for client in (first, second):
            client.post("/session", json={"token": API})
        segment(first, section)
        assert [len(client.get("/api/v1/requests").json["requests"]) for client in (first, second)] == [1, 0]

    @pytest.mark.parametrize("token", ["wrong", OPERATOR])
    def test_takes_the_api_token_only(self, guarded: Flask, token: str) -> None:
        client = guarded.test_client()
        assert_unauthorized(client.post("/session", json={"token": token}))
        assert_unauthorized(client.get("/api/v1/studies"))

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"null", b"{}", b'{"token": ""}', b'{"token": 7}', b'{"token": "\\ud800"}']
    )
    def test_refuses_what_is_no_token(self, guarded: Flask, body: bytes) -> None:
        answer = guarded.test_client().post("/session", data=body, content_type="application/json")
        assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")

    def test_ends_with_signing_out(self, guarded: Flask) -> None:
        client = guarded.test_client()
        client.post("/session", json={"token": API})
        assert client.delete("/session").status_code == 204
        assert_unauthorized(client.get("/api/v1/studies"))

    @pytest.mark.parametrize(
        "changed", [{"api_token": "another-api-token"}, {"api_token": API, "secret_key": "another key of the tests"}]
    )
    def test_ends_when_the_token_or_the_key_changes(self, make_platform: Make, changed: dict[str, str]) -> None:
        before, after = create_app(make_platform(api_token=API)), create_app(make_platform(**changed))
        client, later = before.test_client(), after.test_client()
        client.post("/session", json={"token": API})
        cookie = client.get_cookie("bioseg")
        assert cookie is not None
        later.set_cookie("bioseg", cookie.value)
        assert_unauthorized(later.get("/api/v1/studies"))

    def test_leaves_no_token_in_the_cookie(self, guarded: Flask) -> None:
        client = guarded.test_client()
        client.post("/session", json={"token": API})
        with client.session_transaction() as session:
            kept = str(dict(session))
        assert API not in kept
        assert hashlib.sha256(API.encode()).hexdigest() not in kept

    def test_is_offered_only_where_it_is_needed(self, guarded: Flask, client: FlaskClient) -> None:
        assert ["sign-out" in page.get("/").text for page in (guarded.test_client(), client)] == [True, False]


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost:81"},
    {"Origin": "http://evil.example/localhost"},
    {"Origin": "http://localhost@evil.example"},
    {"Origin": "http://[localhost"},
    {"Origin": "http://localhost:port"},
    {"Origin": "null"},
    {"Origin": ""},
]
OWN: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost"},
    {"Origin": "http://localhost:80"},
    {"Origin": "http://LOCALHOST"},
    {"Origin": "https://localhost"},
]


class TestAnotherSite:
    @pytest.mark.parametrize(("method", "path"), CHANGES)
    @pytest.mark.parametrize("headers", FOREIGN)
    def test_changes_nothing(self, client: FlaskClient, method: str, path: str, headers: dict[str, str]) -> None:
        answer = client.open(path, method=method, headers=headers)
        assert (answer.status_code, answer.mimetype) == (403, "application/problem+json")

    @pytest.mark.parametrize(("method", "path"), CHANGES)
    @pytest.mark.parametrize("headers", OWN)
    def test_is_told_from_the_page_and_from_programs(
        self, client: FlaskClient, method: str, path: str, headers: dict[str, str]
    ) -> None:
        assert client.open(path, method=method, headers=headers).status_code in {400, 404}

    @pytest.mark.parametrize("headers", FOREIGN)
    def test_may_link_and_read_what_is_public(self, client: FlaskClient, headers: dict[str, str]) -> None:
        assert client.get("/", headers=headers).status_code == 200

    @pytest.mark.parametrize("headers", FOREIGN)
    def test_may_call_with_a_token(self, supervised: Flask, headers: dict[str, str]) -> None:
        answer = supervised.test_client().delete(f"/api/v1/requests/{NO_ID}", headers=headers | bearer(OPERATOR))
        assert answer.status_code == 404

    @pytest.mark.parametrize(
        ("host", "origin", "status"),
        [
            ("https://bioseg.example", "https://bioseg.example", 404),
            ("https://bioseg.example", "http://bioseg.example", 403),
            ("https://bioseg.example", "https://bioseg.example:443", 404),
            ("http://bioseg.example:8000", "http://bioseg.example:8000", 404),
            ("http://bioseg.example:8000", "http://bioseg.example", 403),
            ("http://bioseg.example", "https://bioseg.example", 404),
            ("http://[::1]:8000", "http://[::1]:8000", 404),
        ],
    )
    def test_is_told_by_scheme_host_and_port(self, client: FlaskClient, host: str, origin: str, status: int) -> None:
        answer = client.delete(f"/api/v1/requests/{NO_ID}", base_url=host, headers={"Origin": origin})
        assert answer.status_code == status

    def test_is_refused_before_its_upload_counts(self, make_platform: Make) -> None:
        client = create_app(make_platform(rate_limit="1/hour")).test_client()
        client.post("/api/v1/segment", headers={"Sec-Fetch-Site": "cross-site"})
        assert client.post("/api/v1/segment").status_code == 400


def test_a_stranger_is_refused_before_the_upload_counts(make_platform: Make) -> None:
    client = create_app(make_platform(rate_limit="1/hour", api_token=API)).test_client()
    assert [client.post("/api/v1/segment").status_code for _ in range(2)] == [401, 401]
    assert client.post("/api/v1/segment", headers=bearer(API)).status_code == 400


class TestCookie:
    def test_that_was_tampered_with_is_a_new_visitor(self, client: FlaskClient, section: bytes) -> None:
        sent = segment(client, section).json["id"]
        cookie = client.get_cookie("bioseg")
        assert cookie is not None
        client.set_cookie("bioseg", cookie.value[:-2] + ("AA" if cookie.value[-2:] != "AA" else "BB"))
        assert client.get(f"/api/v1/requests/{sent}").status_code == 404
        assert segment(client, section).status_code == 200

    def test_of_a_sign_in_is_as_protected_as_any(self, guarded: Flask) -> None:
        answer = guarded.test_client().post("/session", json={"token": API}, base_url="https://bioseg.example")
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(answer.headers["Set-Cookie"].split("; "))


class TestDescription:
    def spec(self, app: Flask) -> dict[str, Any]:
        spec: dict[str, Any] = app.test_client().get("/openapi.json").json
        validate(spec)
        return spec

    def test_names_the_token_and_the_cookie(self, guarded: Flask) -> None:
        schemes = self.spec(guarded)["components"]["securitySchemes"]
        assert (schemes["token"]["scheme"], schemes["cookie"]["in"], schemes["cookie"]["name"]) == (
            "bearer",
            "cookie",
            "bioseg",
        )

    def test_tells_whether_anybody_may_call(self, guarded: Flask, app: Flask) -> None:
        calls = [self.spec(each)["paths"]["/api/v1/studies"]["get"]["security"] for each in (guarded, app)]
        assert calls == [[{"token": []}, {"cookie": []}], [{"token": []}, {"cookie": []}, {}]]

    def test_has_the_refusals_of_every_call(self, guarded: Flask) -> None:
        paths = self.spec(guarded)["paths"]
        found = {
            (path, method): {"401", "403", "429"} & set(operation["responses"])
            for path, operations in paths.items()
            for method, operation in operations.items()
            if path.startswith("/api/")
        }
        operators = {
            path
            for path, operations in paths.items()
            for each in operations.values()
            if "Operators" in each.get("tags", [])
        }
        expected = {
            (path, method): {"401", "429"} | ({"403"} if method != "get" or path in operators else set())
            for path, method in found
        }
        assert found == expected


def raw(server: str, *lines: str) -> None:
    """Send a head as it stands and wait for whatever is answered."""
    connection = HTTPConnection(urlsplit(server).netloc, timeout=10)
    connection.connect()
    connection.sock.sendall("\r\n".join((*lines, "", "")).encode("latin-1"))
    connection.sock.recv(1000)
    connection.close()


def test_the_log_holds_no_secret(guarded_server: Any) -> None:
    server, api, operator = guarded_server.address, guarded_server.api_token, guarded_server.operator_token
    guess = "a-wrong-token-that-is-nearly-right"
    with requests.Session() as browser:
        browser.headers["Connection"] = "close"  # the next call must not meet the end of a call that was refused unread
        browser.post(f"{server}/session", json={"token": api}, timeout=30)
        browser.post(f"{server}/session", json={"token": guess}, timeout=30)
        browser.post(f"{server}/session", data=f'{{"token": "{api}', headers=JSON, timeout=30)
        browser.post(f"{server}/session", json={"token": [api]}, timeout=30)
        cookie = browser.cookies["bioseg"]
        for token in (api, operator, guess):
            browser.get(f"{server}/api/v1/requests?token={token}&study={token}", headers=bearer(token), timeout=30)
            browser.post(f"{server}/api/v1/segment?token={token}", data=token, headers=bearer(token), timeout=30)
            browser.get(f"{server}/api/v1/nothing", headers={"Authorization": f"Basic {token}"}, timeout=30)
            browser.get(f"{server}/docs?access_token={token}", timeout=30)
    for token in (operator, guess):
        requests.post(f"{server}/operate/session", json={"token": token}, timeout=30)
    for token in (api, operator):
        raw(server, f"GET /api/v1/studies?token={token} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}\x00")
        raw(server, f"GET /api/v1/studies?token={token} HTTP/1.1", "Host: x", f"Authorization Bearer {token}")
        raw(server, f"GET /api/v1/studies?token={token} HTTP/7.7", "Host: x")
        raw(server, f"GET /api/v1/studies?token={token} and more HTTP/1.1", "Host: x")
        raw(server, f"GET /{token}{'x' * 5000} HTTP/1.1", "Host: x")
    log = guarded_server.log.read_text()
    assert "/api/v1/segment" in log
    secrets = {"api": api, "operator": operator, "key": guarded_server.secret_key, "cookie": cookie, "guess": guess}
    assert [name for name, secret in secrets.items() if secret in log] == []


@pytest.fixture
def environment(tiny_models: Path, tmp_path: Path, free_port: int) -> dict[str, str]:
    """Of a new installation that starts no MLflow."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BIOSEG_")}
    return clean | {
        "BIOSEG_STATE_DIR": str(tmp_path),
        "BIOSEG_MODELS_DIR": str(tiny_models),
        "BIOSEG_MLFLOW_URI": f"http://127.0.0.1:{free_port}",
    }


def serve(environment: dict[str, str], port: int, stderr: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bioseg.cli", "serve", "--port", str(port), "--workers", "1"]
    return subprocess.Popen(command, env=environment, stderr=stderr)


def await_livez(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            requests.get(f"{address}/livez", timeout=5)
        except requests.ConnectionError:
            assert process.poll() is None
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(address)


@pytest.fixture
def unused_port() -> int:
    """A second port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_the_first_start_in_a_terminal_shows_the_operators_token_once(
    environment: dict[str, str], tmp_path: Path, unused_port: int
) -> None:
    address, shown = f"http://127.0.0.1:{unused_port}", []
    for _ in range(2):
        terminal, end = pty.openpty()
        process = serve(environment, unused_port, end)
        os.close(end)
        await_livez(address, process)
        shown.append(os.read(terminal, 100_000).decode())
        token = re.search(r"Operator token, shown only now: (\S+)", shown[0])
        assert token is not None
        status = requests.get(f"{address}/api/v1/requests", headers=bearer(token[1]), timeout=30).status_code
        process.terminate()
        process.wait(30)
        os.close(terminal)
        assert status == 200
    assert token[1] not in shown[1]
    engine = create_engine(f"sqlite:///{tmp_path / 'bioseg.db'}")
    with engine.connect() as connection:
        stored = connection.scalar(text("SELECT value FROM secrets WHERE name = 'operator'"))
    assert stored == hashlib.sha256(token[1].encode()).hexdigest()


def test_a_start_without_a_terminal_makes_no_token_and_says_so(
    environment: dict[str, str], tmp_path: Path, unused_port: int
) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = serve(environment, unused_port, log.fileno())
    await_livez(f"http://127.0.0.1:{unused_port}", process)
    process.terminate()
    process.wait(30)
    lines = (tmp_path / "log").read_text().splitlines()
    assert len([line for line in lines if "nobody is an operator until BIOSEG_OPERATOR_TOKEN is set" in line]) == 1
    assert [line for line in lines if "Operator token" in line] == []
