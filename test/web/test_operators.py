"""Operators in a browser: they sign in once, what they change carries a token, and nobody else sees their pages."""

import io
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from application import access, create_app
from bioseg.platform import Platform

Make = Callable[..., Platform]
API, OPERATOR = "the-api-token", "the-operators-token"
PAGES = ["/operate", "/operate/review"]
NO_ID = "0" * 32
CHANGES = [
    ("POST", "/api/v1/segment"),
    ("POST", f"/api/v1/requests/{NO_ID}/feedback"),
    ("DELETE", f"/api/v1/requests/{NO_ID}"),
    ("DELETE", "/session"),
    ("DELETE", "/operate/session"),
]


@pytest.fixture
def supervised(make_platform: Make) -> Flask:
    """An application with operators, open to everybody else."""
    return create_app(make_platform(operator_token=OPERATOR))


@pytest.fixture
def guarded(make_platform: Make) -> Flask:
    """An application with both tokens."""
    return create_app(make_platform(api_token=API, operator_token=OPERATOR))


@pytest.fixture
def operator(supervised: Flask) -> FlaskClient:
    """A browser that has signed in."""
    return signed_in(supervised)


def signed_in(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert client.post("/operate/session", json={"token": OPERATOR}).status_code == 204
    return client


def proof(client: FlaskClient) -> dict[str, str]:
    """The header that the page's scripts send."""
    with client.session_transaction() as session:
        return {"X-CSRF-Token": session["operator"]["csrf"]}


def segment(client: FlaskClient, data: bytes, headers: dict[str, str] | None = None) -> TestResponse:
    return client.post("/api/v1/segment", data={"image": (io.BytesIO(data), "a.png")}, headers=headers)


def seen(client: FlaskClient) -> list[str]:
    return [each["id"] for each in client.get("/api/v1/requests").json["requests"]]


class TestSignIn:
    @pytest.mark.parametrize("path", PAGES)
    def test_opens_the_pages(self, supervised: Flask, path: str) -> None:
        statuses = [client.get(path).status_code for client in (supervised.test_client(), signed_in(supervised))]
        assert statuses == [401, 200]

    @pytest.mark.parametrize("path", PAGES)
    def test_is_all_that_a_stranger_is_shown(self, supervised: Flask, path: str) -> None:
        page = supervised.test_client().get(path)
        assert ["Operators' token" in page.text, "csrf-token" in page.text] == [True, False]
        assert page.text == supervised.test_client().get("/operate").text

    def test_shows_everybodys_requests(self, supervised: Flask, section: bytes) -> None:
        sent = segment(supervised.test_client(), section).json["id"]
        assert [seen(signed_in(supervised)), seen(supervised.test_client())] == [[sent], []]

    def test_lets_the_browser_call_where_a_token_is_needed(self, guarded: Flask) -> None:
        statuses = [client.get("/api/v1/studies").status_code for client in (guarded.test_client(), signed_in(guarded))]
        assert statuses == [401, 200]

    def test_keeps_what_the_browser_sent_before(self, supervised: Flask, section: bytes) -> None:
        client = supervised.test_client()
        sent = segment(client, section).json["id"]
        client.post("/operate/session", json={"token": OPERATOR})
        client.delete("/operate/session", headers=proof(client))
        assert seen(client) == [sent]

    @pytest.mark.parametrize("token", ["wrong", OPERATOR + "x", OPERATOR[:-1], API])
    def test_takes_the_operators_token_only(self, guarded: Flask, token: str) -> None:
        client = guarded.test_client()
        answer = client.post("/operate/session", json={"token": token})
        assert [answer.status_code, answer.mimetype] == [401, "application/problem+json"]
        assert client.get("/operate").status_code == 401

    def test_with_the_api_token_makes_no_operator(self, guarded: Flask) -> None:
        client = guarded.test_client()
        client.post("/session", json={"token": API})
        assert client.get("/operate").status_code == 401

    def test_is_nobodys_where_there_are_no_operators(self, client: FlaskClient) -> None:
        assert client.post("/operate/session", json={"token": OPERATOR}).status_code == 401

    def test_counts_wrong_tokens(self, supervised: Flask) -> None:
        client = supervised.test_client()
        times = access.FAILED_TOKENS.times
        statuses = [client.post("/operate/session", json={"token": "wrong"}).status_code for _ in range(times + 1)]
        assert statuses == [401] * times + [429]

    def test_ends_with_signing_out(self, operator: FlaskClient) -> None:
        assert operator.delete("/operate/session", headers=proof(operator)).status_code == 204
        assert operator.get("/operate").status_code == 401

    def test_ends_after_a_day_of_work(self, operator: FlaskClient) -> None:
        with operator.session_transaction() as session:
            session["operator"] = session["operator"] | {"since": session["operator"]["since"] - 12 * 60 * 60}
        assert operator.get("/operate").status_code == 401

    @pytest.mark.parametrize(
        "changed",
        [
            {"operator_token": "another-operators-token"},
            {"operator_token": OPERATOR, "secret_key": "another key of the tests"},
            {"operator_token": ""},
        ],
    )
    def test_ends_when_the_token_or_the_key_changes(self, make_platform: Make, changed: dict[str, str]) -> None:
        client = signed_in(create_app(make_platform(operator_token=OPERATOR)))
        cookie = client.get_cookie("bioseg")
        assert cookie is not None
        later = create_app(make_platform(**changed)).test_client()
        later.set_cookie("bioseg", cookie.value)
        assert later.get("/operate").status_code == 401

    def test_leaves_no_token_in_the_cookie(self, operator: FlaskClient) -> None:
        with operator.session_transaction() as session:
            assert OPERATOR not in str(dict(session))

    def test_of_another_cookie_opens_nothing(self, supervised: Flask) -> None:
        stranger = supervised.test_client()
        stranger.set_cookie("bioseg", "eyJvcGVyYXRvciI6eyJtYXJrIjoiIn19.made.up")
        assert stranger.get("/operate").status_code == 401


class TestChangeByAnOperatorsBrowser:
    @pytest.mark.parametrize(("method", "path"), CHANGES)
    @pytest.mark.parametrize("headers", [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "wr\xf6ng"}])
    def test_needs_the_token_of_its_sign_in(
        self, operator: FlaskClient, method: str, path: str, headers: dict[str, str]
    ) -> None:
        answer = operator.open(path, method=method, headers=headers)
        assert [answer.status_code, answer.mimetype] == [403, "application/problem+json"]
        assert "X-CSRF-Token" in answer.json["detail"]

    @pytest.mark.parametrize(("method", "path"), CHANGES)
    def test_is_done_with_it(self, operator: FlaskClient, method: str, path: str) -> None:
        assert operator.open(path, method=method, headers=proof(operator)).status_code in {204, 400, 404}

    def test_needs_no_token_of_its_own_beside_a_bearer(self, operator: FlaskClient) -> None:
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        assert operator.delete(f"/api/v1/requests/{NO_ID}", headers=headers).status_code == 404

    def test_is_not_done_with_the_token_of_another_sign_in(self, supervised: Flask, operator: FlaskClient) -> None:
        other = proof(signed_in(supervised))
        assert operator.delete("/operate/session", headers=other).status_code == 403

    def test_is_not_done_for_another_site_that_knows_the_token(self, operator: FlaskClient) -> None:
        headers = proof(operator) | {"Sec-Fetch-Site": "cross-site"}
        assert operator.delete("/operate/session", headers=headers).status_code == 403

    @pytest.mark.parametrize("path", [*PAGES, "/", "/docs"])
    def test_finds_its_token_on_every_page(self, supervised: Flask, path: str) -> None:
        operator, visitor = signed_in(supervised), supervised.test_client()
        token = proof(operator)["X-CSRF-Token"]
        assert f'<meta name="csrf-token" content="{token}">' in operator.get(path).text
        assert "csrf-token" not in visitor.get(path).text


@pytest.mark.parametrize("path", PAGES)
def test_a_page_holds_no_script_or_style_of_its_own(operator: FlaskClient, path: str) -> None:
    page = operator.get(path).text
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []
    assert re.findall(r"<script[^>]*>\s*[^<\s]", page) == []


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_a_page_names_is_served_here(operator: FlaskClient, path: str) -> None:
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', operator.get(path).text))
    assert {address: operator.get(address).status_code for address in named} == dict.fromkeys(named, 200)


def test_the_ordinary_page_tells_whose_requests_it_lists(supervised: Flask, operator: FlaskClient) -> None:
    told = [
        "because you are signed in as an operator" in page.get("/").text
        for page in (operator, supervised.test_client())
    ]
    assert told == [True, False]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_visitors_need_no_csrf_token(supervised: Flask, section: bytes, path: str) -> None:
    visitor = supervised.test_client()
    visitor.get(path)
    assert segment(visitor, section).status_code == 200
