"""The client that does not wait: requests at a fixed rate, each over a connection of its own, whatever comes back."""

import asyncio
import time
from asyncio import IncompleteReadError, StreamReader
from contextlib import closing
from http import HTTPStatus
from typing import NamedTuple

from bioseg.benchmark.load import NO_ANSWER, TIMEOUT_SECONDS, Target

HOST = "127.0.0.1"
NO_CONNECTION = -1
PROBE_SECONDS = 0.05


class Reply(NamedTuple):
    """What came of a request: ms, the status (0: taken but not answered, -1: not even taken), and its `Retry-After`."""

    ms: float
    status: int
    retry_after: str


class Flood(NamedTuple):
    """Replies to the requests, to the probes between them, seconds to the last, and the client's share of one CPU."""

    replies: list[Reply]
    probes: list[Reply]
    seconds: float
    cpu_share: float


def flood(target: Target, probe: Target, rate: float, seconds: float) -> Flood:
    """Send `rate` requests a second for so many seconds, and a probe every 50 ms, and wait for all answers."""
    busy, start = time.process_time(), time.perf_counter()
    replies, probes = asyncio.run(_flood(target, probe, rate, seconds))
    spent = time.perf_counter() - start
    return Flood(replies, probes, spent, round((time.process_time() - busy) / spent, 3))


async def _flood(target: Target, probe: Target, rate: float, seconds: float) -> tuple[list[Reply], list[Reply]]:
    raw, start, tasks = wire(target), time.perf_counter(), []
    probing = asyncio.create_task(_probe(probe, start + seconds))
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(target.port, raw)))
    return await asyncio.gather(*tasks), await probing


async def _probe(probe: Target, end: float) -> list[Reply]:
    raw, replies = wire(probe), []
    while time.perf_counter() < end:
        replies.append(await _ask(probe.port, raw))
        await asyncio.sleep(PROBE_SECONDS)
    return replies


def wire(target: Target) -> bytes:
    r"""Bytes of a request whose connection ends with it.

    >>> wire(Target(80, "/livez", "GET"))
    b'GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'
    """
    headers = {"Host": HOST, "Connection": "close", "Content-Length": str(len(target.body)), **target.headers}
    lines = [f"{target.method} {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + target.body


async def _ask(port: int, raw: bytes) -> Reply:
    start, status, retry_after = time.perf_counter(), NO_CONNECTION, ""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            status = NO_ANSWER
            with closing(writer):
                writer.write(raw)  # the answer may come before all of it is sent
                status, retry_after = await _answer(reader)
    except (OSError, IncompleteReadError):  # a timeout is an OSError
        pass
    return Reply(1e3 * (time.perf_counter() - start), status, retry_after)


async def _answer(reader: StreamReader) -> tuple[int, str]:
    """Status and `Retry-After` of an answer that is read to its end."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return HTTPStatus(int(first.split()[1])), headers.get("retry-after", "")
