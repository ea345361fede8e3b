"""The client that every server meets: kept connections in a closed loop, in a process of its own."""

import multiprocessing
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count
from select import select
from typing import NamedTuple

from bioseg.errors import ProcessFailed

TIMEOUT_SECONDS = 120
REFUSED = 400
NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of a server on this machine, again and again, and the status that it must answer.

    A `Content-Length` among the headers is sent as it stands, whatever the body. `share` is the part of the requests to
    other targets that this one gets when they are compared.
    """

    port: int
    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int = 200
    share: float = 1.0


class Answer(NamedTuple):
    """What a client sees: milliseconds it waited, the status (0: no answer), the header `Server-Timing`, the body."""

    ms: float
    status: int
    server_timing: str
    body: bytes


class Burst(NamedTuple):
    """Answers without their bodies, connection by connection, and how many seconds they took together."""

    answers: list[Answer]
    seconds: float


class Client:
    """One user: a connection, kept as long as the server accepts what comes, and the cookie that it was given."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._cookie: dict[str, str] = {}

    def ask(self, target: Target) -> Answer:
        """Ask once, and read the whole answer."""
        self._drop_when_closed()
        start = time.perf_counter()
        try:
            self._connection.request(target.method, target.path, target.body, {**target.headers, **self._cookie})
            response = self._connection.getresponse()
            body = response.read()
        except (HTTPException, OSError) as error:
            self._connection.close()
            return Answer(1e3 * (time.perf_counter() - start), NO_ANSWER, "", repr(error).encode())
        ms = 1e3 * (time.perf_counter() - start)
        given = response.getheader("Set-Cookie")
        if given:
            self._cookie = {"Cookie": given.partition(";")[0]}
        if response.status >= REFUSED:  # the server may not have read the rest of the request
            self._connection.close()
        return Answer(ms, response.status, response.getheader("Server-Timing", ""), body)

    def _drop_when_closed(self) -> None:
        """Forget a connection that the server closed while it was idle, as servers may: the next request opens one."""
        if self._connection.sock is not None and select([self._connection.sock], [], [], 0)[0]:
            self._connection.close()

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()


def checked(target: Target, answer: Answer) -> Answer:
    """The answer, when it has the expected status; raises ProcessFailed with its reason."""
    if answer.status != target.status:
        reason = answer.body[:500].decode(errors="replace")
        raise ProcessFailed(f"{target.path} answered {answer.status}: {reason}; nothing can be compared")
    return answer


def burst(target: Target, requests: int, concurrency: int) -> Burst:
    """Ask so many times in all, over so many connections, each of which asks again as soon as it has its answer."""
    numbers = count()

    def user(client: Client) -> list[Answer]:
        answers = []
        while next(numbers) < requests:
            answers.append(client.ask(target)._replace(body=b""))
        client.close()
        return answers

    with ThreadPoolExecutor(concurrency) as users:
        start = time.perf_counter()
        found = list(users.map(user, [Client(target.port) for _ in range(concurrency)]))
        seconds = time.perf_counter() - start
    return Burst([answer for answers in found for answer in answers], seconds)


@contextmanager
def client_process() -> Iterator[Executor]:
    """A process in which bursts run, so that what the benchmark itself does takes nothing from the client."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield process
