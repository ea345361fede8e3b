"""Every failure is a problem document (RFC 9457), and nothing that a caller sends is a fault of the server."""

import io
import logging
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from werkzeug.test import TestResponse

from application import create_app, traffic
from application.errors import PROBLEMS, kind_of
from bioseg import errors, images
from bioseg.platform import Platform

Post = Callable[..., TestResponse]
NO_ID = "0" * 32
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NAMES = st.sampled_from(["label", "mask_ok", "comment", "mask"]) | st.text(max_size=3)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_problem(answer: TestResponse, status: int, kind: str = "about:blank") -> None:
    assert answer.mimetype == "application/problem+json"
    body = answer.get_json(force=True)
    assert [answer.status_code, body["status"], body["type"]] == [status, status, kind]
    assert all(isinstance(body[name], str) and body[name] for name in ("title", "detail", "instance"))


def stack() -> bytes:
    page, file = Image.new("L", (16, 16)), io.BytesIO()
    page.save(file, "TIFF", save_all=True, append_images=[page.copy()])
    return file.getvalue()


def bomb() -> bytes:
    """A PNG that says it has 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        pytest.param(b"", 400, "unreadable-image", id="empty"),
        pytest.param(b"hello", 400, "unreadable-image", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 40, 400, "unreadable-image", id="damaged"),
        pytest.param(b"%PDF-1.7", 415, "unsupported-format", id="pdf"),
        pytest.param(bytes(128) + b"DICM", 415, "unsupported-format", id="dicom"),
        pytest.param(b"PK\x03\x04" + b"\0" * 40, 415, "stack-not-allowed", id="zip"),
        pytest.param(stack(), 415, "stack-not-allowed", id="stack"),
        pytest.param(bomb(), 413, "image-too-large", id="bomb"),
    ],
)
def test_an_unusable_image_is_the_callers_problem(upload: Post, data: bytes, status: int, kind: str) -> None:
    assert_problem(upload(data), status, f"urn:bioseg:problem:{kind}")


def test_an_unusable_image_leaves_a_failed_record(client: FlaskClient, upload: Post) -> None:
    upload(b"hello")
    (record,) = client.get("/api/v1/requests").json["requests"]
    assert [record["status"], record["image_url"]] == ["failed", None]
    assert "no known image" in record["error"]


def test_a_stack_is_told_where_stacks_go(upload: Post) -> None:
    assert "/api/v1/jobs" in upload(stack()).json["detail"]


def test_a_refusal_carries_the_request_and_what_the_screen_saw(upload: Post, photo: bytes) -> None:
    answer = upload(photo)
    assert_problem(answer, 422, "urn:bioseg:problem:refused")
    assert answer.json["instance"] == f"/api/v1/requests/{answer.json['id']}"
    assert list(answer.json["screen"]) == ["verdict", "score", "kind", "reason", "version"]
    assert [answer.json["screen"][name] for name in ("verdict", "kind")] == ["reject", "photo"]
    assert "looks like a photo" in answer.json["detail"]


@pytest.mark.parametrize(
    ("call", "study", "right"), [("segment", "kinds", "classify"), ("classify", "membrane", "segment")]
)
def test_a_study_of_the_other_kind_names_the_right_call(
    upload: Post, section: bytes, call: str, study: str, right: str
) -> None:
    answer = upload(section, call, study=study)
    assert_problem(answer, 409, "urn:bioseg:problem:wrong-task")
    assert f"/api/v1/{right}" in answer.json["detail"]


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"study": "nerves"}, 404, "unknown-study"),
        ({"study": "a\0b"}, 400, "invalid-input"),
        ({"label": "liver"}, 400, "invalid-input"),
        ({"override": "perhaps"}, 400, "invalid-input"),
        ({"overide": "true"}, 400, "invalid-input"),
    ],
)
def test_a_bad_field_is_named(upload: Post, section: bytes, fields: dict[str, str], status: int, kind: str) -> None:
    answer = upload(section, **fields)
    assert_problem(answer, status, f"urn:bioseg:problem:{kind}")
    (name,) = fields
    assert name in answer.json["detail"]


def test_an_upload_without_an_image_is_told_so(client: FlaskClient) -> None:
    for body in ({}, {"image": "no file"}):
        answer = client.post("/api/v1/segment", data=body, content_type="multipart/form-data")
        assert_problem(answer, 400, "urn:bioseg:problem:invalid-input")
        assert "image" in answer.json["errors"]


def test_two_images_in_one_upload_are_refused(client: FlaskClient, section: bytes) -> None:
    files = [(io.BytesIO(section), "a.png"), (io.BytesIO(section), "b.png")]
    assert_problem(client.post("/api/v1/segment", data={"image": files}), 400, "urn:bioseg:problem:invalid-input")


@pytest.mark.parametrize(
    "content_type", ["image/png", "multipart/form-data", "application/json", "text/plain; charset=x"]
)
def test_a_body_of_another_type_is_refused(client: FlaskClient, section: bytes, content_type: str) -> None:
    answer = client.post("/api/v1/segment", data=section, content_type=content_type)
    assert_problem(answer, 400, "urn:bioseg:problem:invalid-input")


def test_a_body_over_the_limit_is_refused_unread(make_platform: Callable[..., Platform]) -> None:
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError(f"read {size}")

    client = create_app(make_platform(max_upload_mb=1)).test_client()
    answer = client.post(
        "/api/v1/segment",
        input_stream=Unread(),
        content_type="multipart/form-data; boundary=x",
        environ_overrides={"CONTENT_LENGTH": str(2 * 2**20)},
    )
    assert_problem(answer, 413)


def test_an_image_of_just_the_limit_is_read(make_platform: Callable[..., Platform], section: bytes) -> None:
    client = create_app(make_platform(max_upload_mb=1)).test_client()
    for size, status in ((2**20, 200), (2**20 + 1, 413)):
        padded = section + b"\0" * (size - len(section))
        answer = client.post("/api/v1/segment", data={"image": (io.BytesIO(padded), "a.png")})
        assert answer.status_code == status


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 129])
def test_a_malformed_idempotency_key_is_refused(upload: Post, section: bytes, key: str) -> None:
    answer = upload(section, headers={"Idempotency-Key": key.encode().decode("latin-1")})
    assert_problem(answer, 400, "urn:bioseg:problem:invalid-input")


def test_an_idempotency_key_with_another_body_is_refused(upload: Post, section: bytes, photo: bytes) -> None:
    upload(section, headers={"Idempotency-Key": "k"})
    answer = upload(photo, headers={"Idempotency-Key": "k"})
    assert_problem(answer, 422, "urn:bioseg:problem:idempotency-conflict")


@pytest.mark.parametrize(
    "query",
    [
        *("cursor=x", "cursor=-1", "cursor=9223372036854775808", "limit=0", "limit=101", "verdict=maybe"),
        *("since=yesterday", "since=2026-01-01T00:00:00", "since=0001-01-01T00:00:00%2B14:00", "since=1e400"),
        *("study=%00", "label=%00", "study="),
    ],
)
def test_a_bad_query_is_refused(client: FlaskClient, query: str) -> None:
    assert_problem(client.get(f"/api/v1/requests?{query}"), 400, "urn:bioseg:problem:invalid-input")


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{",
            b"[" * 100_000,
            b"null",
            b"[]",
            b"{}",
            b'"x"',
            b"\xff\xfe",
            b'{"mask_ok": 7}',
            b'{"comment": "\\ud800"}',
        ),
        *(
            b'{"comment": "\\u0000"}',
            b'{"label": "liver"}',
            b'{"mask_okay": true}',
            b'{"comment": "%s"}' % (b"x" * 2001),
        ),
        b'{"mask_ok": 1' + b"0" * 5000 + b"}",
    ],
)
def test_bad_feedback_is_refused(client: FlaskClient, upload: Post, section: bytes, body: bytes) -> None:
    address = f"/api/v1/requests/{upload(section).json['id']}/feedback"
    answer = client.post(address, data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/segment", 405),
        ("DELETE", "/", 405),
        ("GET", "/api/v1/requests/%00", 404),
        ("GET", "/api/v1/requests/" + "G" * 32, 404),
        ("GET", f"/api/v1/requests/{NO_ID}/secret.png", 404),
        ("GET", "/static/../conftest.py", 404),
    ],
)
def test_a_wrong_address_or_method_is_a_problem_document_too(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    assert_problem(client.open(path, method=method), status)


@pytest.mark.parametrize("path", ["", "/mask.png", "/overlay.png", "/probability.png", "/image.png", "/instances.tif"])
def test_an_unknown_request_is_not_found(client: FlaskClient, path: str) -> None:
    assert_problem(client.get(f"/api/v1/requests/{NO_ID}{path}"), 404, "urn:bioseg:problem:unknown-request")


@pytest.mark.parametrize("picture", ["mask.png", "overlay.png", "probability.png", "instances.tif"])
def test_a_refused_request_has_no_mask(client: FlaskClient, upload: Post, photo: bytes, picture: str) -> None:
    request = upload(photo).json["instance"]
    assert_problem(client.get(f"{request}/{picture}"), 404, "urn:bioseg:problem:blob-not-found")


def test_a_full_queue_says_when_to_come_back(make_platform: Callable[..., Platform], section: bytes) -> None:
    platform = make_platform(queue=0)
    client = create_app(platform).test_client()
    with platform.queue.place():
        answer = client.post("/api/v1/segment", data={"image": (io.BytesIO(section), "a.png")})
    assert_problem(answer, 503, "urn:bioseg:problem:busy")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_full_queue_answers_with_the_headers_and_the_line_of_any_other_request(
    make_platform: Callable[..., Platform], section: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    platform = make_platform(queue=0)
    client = create_app(platform).test_client()
    with platform.queue.place(), caplog.at_level(logging.INFO, "application.traffic"):
        answer = client.post("/api/v1/segment", data={"image": (io.BytesIO(section), "a.png")})
    assert traffic.HEADERS.items() <= dict(answer.headers).items()
    (line,) = [record.fields for record in caplog.records]
    assert ("POST", "/api/v1/segment", 503) == (line["method"], line["path"], line["status"])


def test_a_full_queue_does_not_read_what_is_too_large_anyway(make_platform: Callable[..., Platform]) -> None:
    platform = make_platform(queue=0, max_upload_mb=1)
    body = io.BytesIO(bytes(2**21))
    with platform.queue.place():
        answer = create_app(platform).test_client().post("/api/v1/segment", input_stream=body, content_length=2**21)
    assert_problem(answer, 413)
    assert body.tell() == 0


def test_a_study_without_a_model_is_unavailable_and_tells_no_path(
    make_platform: Callable[..., Platform], tmp_path: object, section: bytes
) -> None:
    client = create_app(make_platform(models_dir=f"{tmp_path}/none")).test_client()
    answer = client.post("/api/v1/segment", data={"image": (io.BytesIO(section), "a.png")})
    assert_problem(answer, 503, "urn:bioseg:problem:unknown-version")
    assert str(tmp_path) not in answer.text


def test_a_crash_is_logged_and_tells_nothing(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    def crash() -> None:
        raise ZeroDivisionError("the secret is 42")

    app.add_url_rule("/crash", view_func=crash)
    answer = app.test_client().get("/crash")
    assert_problem(answer, 500)
    assert "42" not in answer.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [error for error in vars(errors).values() if isinstance(error, type)])
def test_every_error_of_ours_has_a_problem(app: Flask, error: type[errors.BiosegError]) -> None:
    def fail() -> None:
        raise error("why", NO_ID, {}) if error is errors.Refused else error("why")

    app.add_url_rule("/fail", view_func=fail)
    known = next(base for base in error.__mro__ if base in PROBLEMS)
    assert_problem(app.test_client().get("/fail"), PROBLEMS[known][0], kind_of(known))


@FEW
@given(data=st.binary(max_size=200), magic=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"GIF89a", b"BM"]))
def test_no_upload_is_a_fault_of_the_server(upload: Post, data: bytes, magic: bytes) -> None:
    answer = upload(magic + data)
    assert answer.status_code in {200, 400, 413, 415, 422}


@FEW
@given(body=st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)))
def test_no_feedback_is_a_fault_of_the_server(upload: Post, client: FlaskClient, section: bytes, body: object) -> None:
    request = upload(section, headers={"Idempotency-Key": "same"}).json["id"]
    assert client.post(f"/api/v1/requests/{request}/feedback", json=body).status_code in {200, 400}


def test_an_image_that_one_can_read_is_served_whatever_its_size(upload: Post) -> None:
    for shape in ((1, 1), (1, 300), (300, 1), (17, 31)):
        answer = upload(images.encode_png(np.zeros(shape, np.uint8)))
        assert answer.status_code == 200
