"""People who use a running server while something happens to it: they come again and again and note who answered."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from json import loads
from threading import Event

import psutil
from urllib3.filepost import encode_multipart_formdata

TIMEOUT_SECONDS = 120
HOST = "127.0.0.1"
NOBODY = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a visitor got for an upload.

    Parameters
    ----------
    sent
        When it was sent, `time.time()`; the last time, when the server had asked to come again.
    status
        0: no answer.
    said
        The JSON of the answer; what went wrong instead, under `error`, when there was none.
    process
        Id of the web process that answered, 0 when it is not known.
    """

    sent: float
    status: int
    said: Mapping[str, str]
    process: int = NOBODY


class Visitor:
    """Somebody with a browser of their own, which keeps its cookie and opens a connection for each upload.

    Parameters
    ----------
    port
        Of the server, on this machine.
    processes
        Web processes, one of which answers.
    """

    def __init__(self, port: int, processes: Sequence[psutil.Process]) -> None:
        self._port, self._processes = port, processes
        self._cookie: dict[str, str] = {}

    def upload(self, picture: bytes) -> Answer:
        """Have a PNG segmented, also where the screen asks; wait and come again while the server is too busy."""
        while True:
            answer, wait = self._send(picture)
            if answer.status != HTTPStatus.SERVICE_UNAVAILABLE or wait is None:
                return answer
            time.sleep(float(wait))

    def _send(self, picture: bytes) -> tuple[Answer, str | None]:
        """Upload once; gives the answer and its `Retry-After`, if it has one."""
        body, content_type = encode_multipart_formdata(
            {"image": ("image.png", picture, "image/png"), "override": "true"}
        )
        sent = time.time()
        with closing(HTTPConnection(HOST, self._port, timeout=TIMEOUT_SECONDS)) as connection:
            try:
                connection.request("POST", "/api/v1/segment", body, {"Content-Type": content_type, **self._cookie})
                mine = connection.sock.getsockname()[1]
                answer = connection.getresponse()
                said = loads(answer.read())
            except (HTTPException, OSError, ValueError) as error:
                return Answer(sent, 0, {"error": repr(error)}), None
            if cookie := answer.getheader("Set-Cookie"):
                self._cookie = {"Cookie": cookie.partition(";")[0]}
            return Answer(sent, answer.status, said, self._process(mine)), answer.getheader("Retry-After")

    def _process(self, port: int) -> int:
        """Which process holds the other end of the connection from a port of this machine, while it is open."""
        for process in self._processes:
            if process.is_running() and port in _remote_ports(process):
                return int(process.pid)
        return NOBODY


def _remote_ports(process: psutil.Process) -> set[int]:
    return {each.raddr.port for each in process.net_connections("tcp") if each.raddr}


@contextmanager
def coming(visitors: Sequence[Visitor], pictures: Iterator[bytes], pause: float) -> Iterator[list[Answer]]:
    """While the block lasts, let all visitors upload a picture at once, pause for so many seconds, and so on.

    Gives the answers so far. Pairs of a rollout are made in the pauses.
    """
    stop = Event()
    answers: list[Answer] = []

    def come() -> None:
        with ThreadPoolExecutor(len(visitors)) as pool:
            while not stop.is_set():
                answers.extend(pool.map(Visitor.upload, visitors, pictures))
                stop.wait(pause)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(come)
        try:
            yield answers
        finally:
            stop.set()
        running.result()
