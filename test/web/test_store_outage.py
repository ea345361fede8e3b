"""When the image store is down, a request fails in a way that tells the caller to come back, and no more."""

import dataclasses
import io
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from application import create_app
from bioseg.errors import StoreUnavailable
from bioseg.platform import Platform
from bioseg.testing.fake_blobs import MemoryBlobs


class Down(MemoryBlobs):
    """A store behind a network that is down."""

    def put(self, data: bytes) -> str:
        raise StoreUnavailable("the store s3://bioseg does not answer")


@pytest.fixture
def post(platform: Platform, section: bytes) -> Callable[[], TestResponse]:
    client = create_app(dataclasses.replace(platform, blobs=Down())).test_client()
    return lambda: client.post("/api/v1/segment", data={"image": (io.BytesIO(section), "upload.png")})


def test_the_caller_is_told_to_come_back(post: Callable[[], TestResponse]) -> None:
    answer = post()
    assert (503, "urn:bioseg:problem:store-unavailable", True) == (
        answer.status_code,
        answer.get_json(force=True)["type"],
        int(answer.headers["Retry-After"]) > 0,
    )


def test_the_reason_is_in_the_log_alone(post: Callable[[], TestResponse], caplog: pytest.LogCaptureFixture) -> None:
    answer = post()
    assert ("s3://" in answer.text, "s3://bioseg does not answer" in caplog.text) == (False, True)
