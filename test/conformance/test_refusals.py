"""What cannot be used is refused as a problem document (RFC 9457) with the right status, and leaves the server well."""

import io
import struct
import zlib
from typing import Any

import golden
import pytest
import requests
from PIL import Image
from server import Server

NO_ID = "0" * 32
BLANK = "about:blank"


def assert_problem(answer: requests.Response, status: int, kind: str) -> None:
    """See that an answer is the problem document of this kind."""
    assert [status, "application/problem+json"] == [answer.status_code, answer.headers["Content-Type"]], answer.text
    body = answer.json()
    expected = kind if kind == BLANK else f"urn:bioseg:problem:{kind}"
    assert [expected, status] == [body["type"], body["status"]]
    assert all(body[name] for name in ("title", "detail", "instance"))


def stack() -> bytes:
    """A TIFF of two pages."""
    page, file = Image.new("L", (16, 16)), io.BytesIO()
    page.save(file, "TIFF", save_all=True, append_images=[page])
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of 160 bytes that says it has 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100))


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize(
    ("image", "status", "kind"),
    [
        pytest.param(b"", 400, "unreadable-image", id="empty"),
        pytest.param(b"hello", 400, "unreadable-image", id="text"),
        pytest.param(golden.upload("section.png")[:9000], 400, "unreadable-image", id="cut off"),
        pytest.param(b"%PDF-1.7", 415, "unsupported-format", id="pdf"),
        pytest.param(b"PK\x03\x04" + b"\0" * 40, 415, "stack-not-allowed", id="zip"),
        pytest.param(stack(), 415, "stack-not-allowed", id="stack"),
        pytest.param(bomb(), 413, "image-too-large", id="bomb"),
    ],
)
def test_an_unusable_image(server: Server, image: bytes, status: int, kind: str) -> None:
    assert_problem(server.upload(image), status, kind)


@pytest.mark.parametrize(
    ("call", "form", "status", "kind"),
    [
        pytest.param("segment", {"study": "no-such-study"}, 404, "unknown-study", id="unknown study"),
        pytest.param("segment", {"study": "kinds"}, 409, "wrong-task", id="classification study"),
        pytest.param("classify", {"study": "membrane"}, 409, "wrong-task", id="segmentation study"),
        pytest.param("segment", {"label": "no-such-class"}, 400, "invalid-input", id="unknown label"),
        pytest.param("segment", {"override": "perhaps"}, 400, "invalid-input", id="neither true nor false"),
        pytest.param("segment", {"studdy": "membrane"}, 400, "invalid-input", id="misspelt field"),
    ],
)
def test_a_wrong_field(server: Server, section: bytes, call: str, form: dict[str, str], status: int, kind: str) -> None:
    assert_problem(server.upload(section, call, **form), status, kind)


def test_no_image_at_all(server: Server) -> None:
    assert_problem(server.call("POST", "/api/v1/segment", data={"study": "membrane"}), 400, "invalid-input")


def test_two_images(server: Server, section: bytes) -> None:
    files = [("image", section), ("image", section)]
    assert_problem(server.call("POST", "/api/v1/segment", files=files), 400, "invalid-input")


def test_a_key_with_blanks(server: Server, section: bytes) -> None:
    assert_problem(server.upload(section, headers={"Idempotency-Key": "a b"}), 400, "invalid-input")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", f"/api/v1/requests/{NO_ID}", 404, "unknown-request"),
        ("DELETE", f"/api/v1/requests/{NO_ID}", 404, "unknown-request"),
        ("GET", "/api/v1/requests?limit=0", 400, "invalid-input"),
        ("GET", "/api/v1/no-such-call", 404, BLANK),
        ("GET", "/api/v1/segment", 405, BLANK),
    ],
)
def test_a_wrong_call(server: Server, method: str, path: str, status: int, kind: str) -> None:
    assert_problem(server.call(method, path), status, kind)


def test_a_call_for_operators(server: Server) -> None:
    assert_problem(server.stranger().get("/api/v1/rollouts"), 401, BLANK)


@pytest.fixture(scope="module")
def chart(server: Server) -> Any:
    """The answer to a chart, which no version should take for a section."""
    return server.upload(golden.upload("chart.png"))


def test_a_chart_is_refused_by_the_screen(chart: requests.Response) -> None:
    assert_problem(chart, 422, "refused")
    assert chart.json()["screen"]["verdict"] in {"ask", "reject"}


def test_what_the_screen_refused_is_on_record(server: Server, chart: requests.Response) -> None:
    record = server.get(f"/api/v1/requests/{chart.json()['id']}").json()
    assert ["refused", None] == [record["status"], record["mask_url"]]
    assert chart.json()["screen"] == record["screen"]
