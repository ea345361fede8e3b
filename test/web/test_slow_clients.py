"""Clients that are slow, that stop, or that never read: real gunicorn, with a tenth of its patience."""

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
import requests

from application.gunicorn_worker import PIECE, ImpatientSocket, Patience
from bioseg import images, processes
from bioseg.testing import open_loop, twins

STALL_SECONDS = 1.0  # as in hasty_worker.py
SECONDS = 20.0
CROWD = 40
TOKEN = "token-of-the-operators"
MINE = {"Authorization": f"Bearer {TOKEN}"}
UPLOAD_LIMIT_MB = 16
TOO_SLOW = "a client was too slow"
READ_AT_ONCE = 128 * 1024


@dataclass(frozen=True)
class Server:
    """A running server and its log."""

    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"{open_loop.HOST}:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection((open_loop.HOST, self.port), timeout=SECONDS)

    def told_of_slow_clients(self) -> int:
        return self.log.read_text().count(TOO_SLOW)


@pytest.fixture(scope="module")
def hasty(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One web process with little patience."""
    state = tmp_path_factory.mktemp("hasty")
    with socket.create_server((open_loop.HOST, 0)) as probe:
        port = int(probe.getsockname()[1])
    command = processes.web(open_loop.HOST, port, 1)
    environment = command.environment | {
        "BIOSEG_STATE_DIR": str(state),
        "BIOSEG_MODELS_DIR": str(tiny_models),
        "BIOSEG_OPERATOR_TOKEN": TOKEN,
        "BIOSEG_MAX_UPLOAD_MB": str(UPLOAD_LIMIT_MB),
        "PYTHONPATH": str(Path(__file__).parent),
    }
    arguments = [*command.arguments, "--worker-class", "hasty_worker.HastyWorker"]
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: is_ready(port), process)
        yield Server(port, state / "log")
    finally:
        process.terminate()
        process.wait(SECONDS)


def is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://{open_loop.HOST}:{port}/readyz", timeout=5):
            return True
    except (URLError, OSError):
        return False


def until(condition: Callable[[], bool], process: "subprocess.Popen[bytes] | None" = None) -> None:
    deadline = time.monotonic() + 3 * SECONDS
    while not condition():
        assert process is None or process.poll() is None
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def without_tracebacks(hasty: Server) -> Iterator[None]:
    yield
    assert [] == re.findall(r"Traceback|WORKER TIMEOUT", hasty.log.read_text())


@pytest.fixture(scope="module")
def section() -> bytes:
    return images.encode_png(twins.membrane_section(7, 96)[0])


@pytest.fixture(scope="module")
def noise() -> bytes:
    """A PNG that no buffer of a socket can hold, 12 MB."""
    return images.encode_png(np.random.default_rng(0).integers(0, 256, (3500, 3500), np.uint8))


@pytest.fixture(scope="module")
def large_picture(hasty: Server, noise: bytes) -> str:
    """Where the server has a picture that no buffer of a socket can hold."""
    answer = upload(hasty, noise)
    return f"/api/v1/requests/{answer.json()['id']}/image.png"


def upload(server: Server, data: bytes, **headers: str) -> requests.Response:
    files = {"image": ("image.png", data, "image/png")}
    return requests.post(f"http://{server.address}/api/v1/segment", files=files, headers=MINE | headers, timeout=60)


def is_closed(client: socket.socket) -> bool:
    """Whether the server has hung up, after whatever it said."""
    client.settimeout(SECONDS)
    try:
        while client.recv(READ_AT_ONCE):
            pass
    except ConnectionResetError:
        pass
    return True


def stalled(server: Server, begin: bytes) -> socket.socket:
    client = server.connect()
    client.sendall(begin)
    return client


HEAD = b"POST /api/v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
STALLS = {"nothing": b"", "headers": b"GET /livez HT", "body": HEAD + b"Content-Length: 1000\r\n\r\n--x"}


@pytest.mark.parametrize("begin", STALLS.values(), ids=STALLS)
def test_who_stops_sending_is_dropped(hasty: Server, begin: bytes) -> None:
    with stalled(hasty, begin) as client:
        assert is_closed(client)


def test_who_sends_headers_byte_by_byte_is_dropped(hasty: Server) -> None:
    told = hasty.told_of_slow_clients()
    with hasty.connect() as client:
        deadline = time.monotonic() + SECONDS
        while hasty.told_of_slow_clients() == told and time.monotonic() < deadline:
            client.sendall(b"G")
            time.sleep(STALL_SECONDS / 10)
        assert is_closed(client)


def test_who_never_reads_is_dropped(hasty: Server, large_picture: str) -> None:
    told = hasty.told_of_slow_clients()
    with hasty.connect() as client:
        client.sendall(asking(large_picture))
        until(lambda: hasty.told_of_slow_clients() > told)


def asking(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode()


def test_who_reads_steadily_gets_all_however_long_it_takes(hasty: Server, large_picture: str) -> None:
    with hasty.connect() as client:
        client.sendall(asking(large_picture))
        pieces = []
        while piece := client.recv(READ_AT_ONCE):
            pieces.append(piece)
            time.sleep(3 * STALL_SECONDS * READ_AT_ONCE / 12e6)
    assert "" == open_loop.parsed(b"".join(pieces)).error


def test_a_crowd_of_slow_clients_stops_neither_probes_nor_uploads(hasty: Server, section: bytes) -> None:
    begins = list(STALLS.values())
    crowd = [stalled(hasty, begins[number % len(begins)]) for number in range(CROWD)]
    try:
        live = requests.get(f"http://{hasty.address}/livez", timeout=SECONDS)
        assert (200, 200) == (live.status_code, upload(hasty, section).status_code)
    finally:
        for client in crowd:
            client.close()


def test_who_keeps_a_closed_connection_open_takes_no_place(hasty: Server) -> None:
    """More of them than threads: the server has said all, and waits for none of them with one."""
    crowd = [stalled(hasty, open_loop.get("/livez")) for _ in range(4 * CROWD)]
    try:
        assert 200 == requests.get(f"http://{hasty.address}/livez", timeout=SECONDS).status_code
        assert {b"HTTP/1.1 200 OK"} == {client.recv(15) for client in crowd}
        assert [True] * len(crowd) == [is_closed(client) for client in crowd]
    finally:
        for client in crowd:
            client.close()


def test_a_refused_large_body_is_answered_although_all_of_it_is_sent_first(hasty: Server) -> None:
    request = open_loop.multipart("/api/v1/segment", bytes((UPLOAD_LIMIT_MB + 4) * 2**20), MINE)
    with hasty.connect() as client:
        client.sendall(request)
        answer = open_loop.parsed(b"".join(iter(lambda: client.recv(READ_AT_ONCE), b"")))
    assert (413, "application/problem+json", "") == (answer.status, answer.headers["content-type"], answer.error)


def test_after_a_large_body_the_connection_is_closed_and_the_client_told(hasty: Server, noise: bytes) -> None:
    assert "close" == upload(hasty, noise).headers["Connection"]


PHOTO = np.kron(np.random.default_rng(0).integers(0, 255, (8, 8, 3)), np.ones((32, 32, 1))).astype(np.uint8)
REFUSED = {
    401: {"Authorization": "Bearer wrong"},
    403: {"Sec-Fetch-Site": "cross-site"},
    422: MINE,
}


@pytest.mark.parametrize("status", REFUSED)
def test_a_connection_is_kept_after_a_refused_upload(hasty: Server, status: int) -> None:
    connection = HTTPConnection(hasty.address, timeout=SECONDS)
    headers = {"Content-Type": "multipart/form-data; boundary=x"} | REFUSED[status]
    body = b"--x\r\nContent-Disposition: form-data; name=image; filename=a.png\r\n\r\n"
    body += images.encode_png(PHOTO) + b"\r\n--x--\r\n"
    first = exchange(connection, "POST", "/api/v1/segment", body, headers)
    used = connection.sock
    second = exchange(connection, "GET", "/livez")
    assert (status, 200, True) == (first.status, second.status, used is not None and used is connection.sock)
    connection.close()


def test_who_does_not_wait_for_the_first_answer_gets_the_second_too(hasty: Server) -> None:
    first, second = asking("/livez").replace(b"close", b"keep-alive"), asking("/livez")
    with hasty.connect() as client:
        client.sendall(first + second)
        answers = b"".join(iter(lambda: client.recv(READ_AT_ONCE), b""))
    assert 2 == answers.count(b"HTTP/1.1 200 OK")


def exchange(connection: HTTPConnection, method: str, path: str, *rest: object) -> HTTPResponse:
    connection.request(method, path, *rest)
    answer = connection.getresponse()
    answer.read()
    return answer


class TestImpatientSocket:
    @pytest.fixture
    def pair(self) -> Iterator[tuple[ImpatientSocket, socket.socket]]:
        ours, theirs = socket.socketpair()
        with ImpatientSocket(ours, Patience(0.2)) as impatient, theirs:
            impatient.setblocking(True)
            yield impatient, theirs

    def test_receives_what_comes_in_time(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        pair[1].sendall(b"abc")
        assert b"abc" == pair[0].recv(10)

    def test_waits_no_longer_than_it_may(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        with pytest.raises(TimeoutError):
            pair[0].recv(10)

    def test_a_byte_now_and_then_buys_no_time(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        pair[1].sendall(b"ab")
        assert b"a" == pair[0].recv(1)
        time.sleep(0.3)
        with pytest.raises(TimeoutError):
            pair[0].recv(1)

    def test_bytes_buy_time(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        received = 0
        for _ in range(8):
            pair[1].sendall(bytes(4096))
            received += len(pair[0].recv(4096))
            time.sleep(0.05)
        assert 8 * 4096 == received

    def test_each_request_begins_anew(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        time.sleep(0.3)
        pair[0].expect_request()
        pair[1].sendall(b"abc")
        assert b"abc" == pair[0].recv(10)

    def test_the_event_loop_never_waits(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        pair[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            pair[0].recv(10)

    def test_sending_waits_for_a_reader_only_so_long(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with pytest.raises(TimeoutError):
            pair[0].sendall(bytes(64 * 1024))

    def test_the_timeout_is_as_before_after_sending(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        pair[0].sendall(bytes(100))
        assert 0.2 == pair[0].gettimeout()

    def test_sends_every_byte_once(self, pair: tuple[ImpatientSocket, socket.socket]) -> None:
        data = np.random.default_rng(0).bytes(3 * PIECE + 7)
        with ThreadPoolExecutor(1) as pool:
            received = pool.submit(lambda: b"".join(iter(lambda: pair[1].recv(READ_AT_ONCE), b"")))
            pair[0].sendall(data)
            pair[0].shutdown(socket.SHUT_WR)
            assert data == received.result()
