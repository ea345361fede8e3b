"""While the blob store is down, uploads are taken and their pictures are shown; they are stored after its return."""

import dataclasses
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from application import create_app
from bioseg.errors import StoreUnavailable
from bioseg.platform import Platform
from bioseg.testing.fake_blobs import MemoryBlobs


class Store(MemoryBlobs):
    """A store behind a network that may be down."""

    down = True

    def put(self, data: bytes) -> str:
        self._ask()
        return super().put(data)

    def get(self, key: str) -> bytes:
        self._ask()
        return super().get(key)

    def delete(self, key: str) -> None:
        self._ask()
        super().delete(key)

    def _ask(self) -> None:
        if self.down:
            raise StoreUnavailable("the store s3://bioseg does not answer")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def platform(make_platform: Callable[..., Platform], store: Store) -> Platform:
    made = make_platform()
    return dataclasses.replace(made, pictures=dataclasses.replace(made.pictures, blobs=store))


@pytest.fixture
def client(platform: Platform) -> FlaskClient:
    return create_app(platform).test_client()


@pytest.fixture
def made(upload: Callable[..., TestResponse], section: bytes) -> TestResponse:
    """An upload while the store is down."""
    return upload(section)


def test_uploads_are_taken(made: TestResponse) -> None:
    assert made.status_code == 200


def test_pictures_are_shown(made: TestResponse, client: FlaskClient) -> None:
    assert client.get(made.json["mask_url"]).status_code == 200


def test_the_worker_says_that_they_wait(made: TestResponse, platform: Platform) -> None:
    with pytest.raises(StoreUnavailable):
        platform.pictures.settle_waiting()


def test_after_its_return_pictures_are_stored_once(made: TestResponse, platform: Platform, store: Store) -> None:
    store.down = False
    settled = [platform.pictures.settle_waiting() for _ in range(2)]
    assert (settled, len(store.stored)) == ([3, 0], 3)


def test_stored_pictures_cannot_be_shown_meanwhile(
    made: TestResponse, client: FlaskClient, platform: Platform, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.down = False
    platform.pictures.settle_waiting()
    store.down = True
    answer = client.get(made.json["mask_url"])
    assert (503, "urn:bioseg:problem:store-unavailable", True) == (
        answer.status_code,
        answer.get_json(force=True)["type"],
        int(answer.headers["Retry-After"]) > 0,
    )
    assert ("s3://" in answer.text, "s3://bioseg does not answer" in caplog.text) == (False, True)


def test_what_is_deleted_meanwhile_is_removed_after_its_return(
    made: TestResponse, client: FlaskClient, platform: Platform, store: Store
) -> None:
    store.down = False
    platform.pictures.settle_waiting()
    store.down = True
    deleted = client.delete(f"/api/v1/requests/{made.json['id']}").status_code
    store.down = False
    platform.pictures.settle_waiting()
    assert (deleted, store.stored) == (204, {})
