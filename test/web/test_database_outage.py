"""While PostgreSQL is away callers are told to come back, and are served once it is there again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine, make_url, text
from werkzeug.test import TestResponse

from bioseg.platform import Platform

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.fixture
def platform(make_platform: Callable[..., Platform], database_url: str) -> Platform:
    return make_platform(database_url=database_url)


@contextmanager
def away(database_url: str) -> Iterator[None]:
    """Cut every connection of a database and take no new one, as a server that restarts does."""
    url = make_url(database_url)
    admin = create_engine(url.set(drivername="postgresql+psycopg", database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as server:
        server.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false"))
        server.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": url.database}
        )
        yield
        server.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true"))
    admin.dispose()


def test_callers_are_told_to_come_back(
    client: FlaskClient, database_url: str, upload: Callable[..., TestResponse], section: bytes
) -> None:
    with away(database_url):
        answers = [upload(section), client.get("/api/v1/requests"), client.get("/readyz")]
        assert client.get("/livez").status_code == 200
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    for answer in answers[:2]:
        assert answer.mimetype == "application/problem+json"
        assert answer.json["type"] == "urn:bioseg:problem:database-unavailable"
        assert answer.headers["Retry-After"] == "1"
        assert "postgres" not in answer.text  # the driver's words name the server and its user
    assert upload(section).status_code == 200


def test_a_connection_lost_on_the_way_leaves_nothing_half_done(
    client: FlaskClient, database_url: str, upload: Callable[..., TestResponse], section: bytes
) -> None:
    assert upload(section).status_code == 200
    with away(database_url):
        assert upload(section).status_code == 503
    assert len(client.get("/api/v1/requests").json["requests"]) == 1
