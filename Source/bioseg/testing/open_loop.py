"""Clients that come at a steady rate whether or not the server keeps up, each on a connection of its own."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

HOST = "127.0.0.1"
PATIENCE_SECONDS = 60.0


class Answer(NamedTuple):
    """What a client got: the status (0: no answer), headers by lower-case name, the body, and what went wrong."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    error: str = ""


def multipart(path: str, image: bytes, headers: Mapping[str, str]) -> bytes:
    """Write an upload as it goes over the wire; the connection ends with its answer."""
    boundary = "boundary-of-the-upload"
    begin = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="image.png"\r\n\r\n'
    body = begin.encode() + image + f"\r\n--{boundary}--\r\n".encode()
    given = {
        "Host": HOST,
        "Connection": "close",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(body)),
        **headers,
    }
    lines = (f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", "")
    return "\r\n".join(lines).encode() + body


def get(path: str) -> bytes:
    """Write a question as it goes over the wire; the connection ends with its answer."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()


async def ask(port: int, request: bytes) -> Answer:
    """Send a request on a new connection and read all of the answer; what goes wrong is told, by its class."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(request)
                await writer.drain()
                return parsed(await reader.read())
            finally:
                writer.close()
    except OSError as error:  # of which TimeoutError is one
        return Answer(0, {}, b"", type(error).__name__)


async def arrivals(port: int, request: bytes, rate: float, seconds: float) -> list[Answer]:
    """Send a request so many times a second, and give the answers in the order of the requests."""
    loop = asyncio.get_running_loop()
    start, asked = loop.time(), []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(start + number / rate - loop.time())
        asked.append(asyncio.create_task(ask(port, request)))
    return await asyncio.gather(*asked)


def parsed(raw: bytes) -> Answer:
    """Take an answer apart; one that lacks bytes has an error."""
    head, _, body = raw.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"", "NoAnswer")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    error = "" if len(body) == int(headers.get("content-length", len(body))) else "Truncated"
    return Answer(int(first.split()[1]), headers, body, error)
