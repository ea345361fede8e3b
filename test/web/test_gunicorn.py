"""The application as users meet it: real gunicorn, real sockets, small real networks."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests

from bioseg import images
from bioseg.decoding import formats
from bioseg.testing import twins

WORKING = 503


def post(server: str, data: bytes, session: requests.Session | None = None) -> requests.Response:
    files = {"image": ("section.png", data, "image/png")}
    return (session or requests.Session()).post(f"{server}/api/v1/segment", files=files, timeout=60)


def patiently(server: str, data: bytes, session: requests.Session) -> requests.Response:
    """Post again while the queue is full, as the page does."""
    for _ in range(20):
        answer = post(server, data, session)
        if answer.status_code != WORKING:
            return answer
        time.sleep(0.5)
    raise TimeoutError(answer.text)


@pytest.fixture(scope="session")
def large_section() -> bytes:
    return images.encode_png(twins.membrane_section(5, 1024)[0])


def test_the_page_is_served(server: str) -> None:
    answer = requests.get(server, timeout=30)
    assert [answer.status_code, answer.headers["Content-Type"]] == [200, "text/html; charset=utf-8"]


def test_a_section_is_segmented_and_shown_to_its_owner_only(server: str) -> None:
    image, interior = twins.membrane_section(3, 256)
    with requests.Session() as owner:
        answer = patiently(server, images.encode_png(image), owner)
        assert answer.status_code == 200, answer.text
        address = server + answer.json()["mask_url"]
        mask = formats.decode(owner.get(address, timeout=30).content, images.Limits(10**7, 10**7))
    assert ((mask == 255) == ~interior).mean() > 0.8
    assert requests.get(address, timeout=30).status_code == 404


def test_a_full_queue_answers_at_once_and_probes_stay_quick(server: str, large_section: bytes) -> None:
    with ThreadPoolExecutor(6) as pool:
        uploads = [pool.submit(post, server, large_section) for _ in range(6)]
        live = requests.get(f"{server}/livez", timeout=10)
        answers = [upload.result() for upload in uploads]
    busy = [answer for answer in answers if answer.status_code == WORKING]
    assert live.status_code == 200
    assert {answer.status_code for answer in answers} == {200, WORKING}
    assert {answer.headers["Content-Type"] for answer in busy} == {"application/problem+json"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in busy)


def test_an_upload_over_the_limit_is_answered_before_its_body_is_sent(server: str) -> None:
    connection = HTTPConnection(urlsplit(server).netloc, timeout=10)
    connection.putrequest("POST", "/api/v1/segment")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(2**40))
    connection.endheaders(b"--x")
    answer = connection.getresponse()
    assert [answer.status, answer.getheader("Content-Type")] == [413, "application/problem+json"]
    connection.close()


def test_slow_uploads_do_not_stop_the_probes(server: str) -> None:
    host, port = urlsplit(server).netloc.split(":")
    head = f"POST /api/v1/segment HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    slow = [socket.create_connection((host, int(port)), timeout=10) for _ in range(4)]
    try:
        for connection in slow:
            connection.sendall(head.encode() + b"Content-Length: 1000\r\n\r\n--x")
        assert requests.get(f"{server}/livez", timeout=5).status_code == 200
    finally:
        for connection in slow:
            connection.close()


def test_the_same_image_gives_the_same_mask_from_many_threads(server: str) -> None:
    data = images.encode_png(twins.membrane_section(4, 128)[0])

    def mask(_: int) -> bytes:
        with requests.Session() as session:
            return session.get(server + patiently(server, data, session).json()["mask_url"], timeout=30).content

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(mask, range(8)))) == 1


def test_a_photo_is_refused(server: str) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    answer = patiently(server, images.encode_png(np.kron(colours, np.ones((32, 32, 1), np.uint8))), requests.Session())
    assert [answer.status_code, answer.json()["screen"]["verdict"]] == [422, "reject"]
