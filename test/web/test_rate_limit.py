"""How many uploads, and how many wrong tokens, one address may send."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from application import create_app
from bioseg.errors import SettingsError
from bioseg.platform import Platform

Make = Callable[..., Platform]
OPERATOR = {"Authorization": "Bearer the-operators-token"}
WRONG = {"Authorization": "Bearer a-wrong-token"}


def upload(client: FlaskClient, address: str = "192.0.2.1", headers: dict[str, str] | None = None) -> TestResponse:
    """Send what is no image: the cheapest upload that is answered."""
    form = {"image": (io.BytesIO(b"no image"), "a.png")}
    return client.post("/api/v1/segment", data=form, headers=headers, environ_base={"REMOTE_ADDR": address})


def ask(client: FlaskClient, headers: dict[str, str], address: str = "192.0.2.1") -> int:
    return client.get("/api/v1/studies", headers=headers, environ_base={"REMOTE_ADDR": address}).status_code


def test_the_upload_over_the_limit_is_told_when_to_come_back(make_platform: Make) -> None:
    client = create_app(make_platform(rate_limit="2/minute")).test_client()
    answers = [upload(client) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 429]
    assert answers[2].mimetype == "application/problem+json"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60


def test_each_address_has_a_limit_of_its_own(make_platform: Make) -> None:
    client = create_app(make_platform(rate_limit="1/minute")).test_client()
    addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    assert [upload(client, address).status_code for address in addresses] == [400, 400, 429]


def test_an_ipv6_network_counts_as_one_address(make_platform: Make) -> None:
    client = create_app(make_platform(rate_limit="1/minute")).test_client()
    addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
    assert [upload(client, address).status_code for address in addresses] == [400, 429, 400]


def test_an_address_that_a_header_claims_does_not_count(make_platform: Make) -> None:
    client = create_app(make_platform(rate_limit="1/minute")).test_client()
    claims = [{"X-Forwarded-For": f"198.51.100.{number}"} for number in range(2)]
    assert [upload(client, headers=claim).status_code for claim in claims] == [400, 429]


@pytest.mark.parametrize("call", ["segment", "classify", f"requests/{'0' * 32}/feedback"])
def test_every_call_that_takes_an_upload_is_limited(make_platform: Make, call: str) -> None:
    client = create_app(make_platform(rate_limit="1/minute")).test_client()
    upload(client)
    answer = client.post(f"/api/v1/{call}", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert answer.status_code == 429


def test_reading_is_not_limited(make_platform: Make) -> None:
    client = create_app(make_platform(rate_limit="1/minute")).test_client()
    assert [client.get("/api/v1/requests").status_code for _ in range(3)] == [200] * 3


def test_operators_are_not_limited(make_platform: Make) -> None:
    client = create_app(make_platform(rate_limit="1/hour", operator_token="the-operators-token")).test_client()
    assert [upload(client, headers=OPERATOR).status_code for _ in range(3)] == [400] * 3


def test_all_of_several_limits_hold(make_platform: Make) -> None:
    client = create_app(make_platform(rate_limit="5/second; 2/hour")).test_client()
    assert [upload(client).status_code for _ in range(3)] == [400, 400, 429]


def test_a_limit_that_cannot_be_read_stops_the_start(make_platform: Make) -> None:
    with pytest.raises(SettingsError, match="BIOSEG_RATE_LIMIT: 'often'"):
        create_app(make_platform(rate_limit="often"))


def test_two_applications_on_one_database_let_exactly_so_many_pass(make_platform: Make, database_url: str) -> None:
    chosen = {"rate_limit": "7/hour", "database_url": database_url, "queue": 100}
    apps = [create_app(make_platform(**chosen)) for _ in range(2)]

    def send(number: int) -> int:
        return upload(apps[number % 2].test_client()).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(send, range(20)))
    assert statuses == [400] * 7 + [429] * 13


def test_without_a_limit_nothing_is_counted(make_platform: Make) -> None:
    platform = make_platform()
    client = create_app(platform).test_client()
    statements: list[str] = []
    event.listen(platform.sessions.kw["bind"], "before_cursor_execute", lambda *given: statements.append(str(given[2])))
    assert 400 == upload(client).status_code
    assert any("INSERT INTO requests" in each for each in statements)
    assert [each for each in statements if "rate_windows" in each] == []


def test_ten_wrong_tokens_a_minute_are_answered_and_further_ones_sent_away(make_platform: Make) -> None:
    client = create_app(make_platform(operator_token="the-operators-token")).test_client()
    answers = [client.get("/api/v1/studies", headers=WRONG) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_wrong_tokens_at_the_sign_in_count_with_the_others(make_platform: Make) -> None:
    client = create_app(make_platform(api_token="the-api-token")).test_client()
    for _ in range(5):
        client.get("/api/v1/studies", headers=WRONG)
    statuses = [client.post("/session", json={"token": "wrong"}).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


def test_another_address_may_still_fail(make_platform: Make) -> None:
    client = create_app(make_platform(operator_token="the-operators-token")).test_client()
    for _ in range(11):
        ask(client, WRONG)
    assert ask(client, WRONG, "192.0.2.2") == 401


def test_a_right_token_is_not_locked_out_by_wrong_ones(make_platform: Make) -> None:
    client = create_app(make_platform(operator_token="the-operators-token")).test_client()
    for _ in range(11):
        ask(client, WRONG)
    assert ask(client, OPERATOR) == 200


def test_applications_share_the_count_of_wrong_tokens(make_platform: Make, database_url: str) -> None:
    chosen = {"operator_token": "the-operators-token", "database_url": database_url}
    apps = [create_app(make_platform(**chosen)) for _ in range(2)]

    def send(number: int) -> int:
        return ask(apps[number % 2].test_client(), WRONG)

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(send, range(20)))
    assert statuses == [401] * 10 + [429] * 10
