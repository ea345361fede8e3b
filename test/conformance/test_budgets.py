"""How long an upload may take and how large its answers may be; the first is given by `--latency-ms`."""

import statistics
import time

import pytest
from server import Server

UPLOADS = 5
MASK_BYTES = 16 * 1024
PROBABILITY_BYTES = 80 * 1024
JSON_BYTES = 2 * 1024
"""Of a section of 256x256 pixels: 64 KiB of probabilities, and an eighth of that as bits."""


@pytest.fixture(scope="module")
def answer(server: Server, section: bytes) -> dict[str, str]:
    """The answer to a section; whatever loads at a first request has loaded then."""
    return server.upload(section).json()


def test_an_upload_is_answered_within_its_budget(
    server: Server, section: bytes, answer: dict[str, str], pytestconfig: pytest.Config
) -> None:
    took = []
    for _ in range(UPLOADS):
        start = time.perf_counter()
        server.upload(section)
        took.append(1e3 * (time.perf_counter() - start))
    assert statistics.median(took) <= pytestconfig.getoption("latency_ms"), took


def test_the_answer_is_small(server: Server, section: bytes) -> None:
    assert len(server.upload(section).content) <= JSON_BYTES


@pytest.mark.parametrize(("what", "most"), [("mask", MASK_BYTES), ("probability", PROBABILITY_BYTES)])
def test_a_picture_is_small(server: Server, answer: dict[str, str], what: str, most: int) -> None:
    assert len(server.get(f"/api/v1/requests/{answer['id']}/{what}.png").content) <= most
