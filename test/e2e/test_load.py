"""`bioseg serve` under more load than it can bear, ended in the midst of it, and while its processes are killed."""

import asyncio
import json
import random
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, run
from threading import Event
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest
import requests
from sqlalchemy import select

from bioseg import images
from bioseg.database import engine
from bioseg.database.tables import IdempotencyKey, RequestRecord
from bioseg.platform import Platform, open_platform
from bioseg.processes import Command
from bioseg.settings import Settings, child_environment
from bioseg.testing import open_loop, running, soundness, twins
from bioseg.testing.open_loop import Answer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
TOKEN = "token-of-the-operators"
MINE = {"Authorization": f"Bearer {TOKEN}"}
CALL = "/api/v1/segment"
RATE = 60.0
SECONDS = 6.0
END_SECONDS = 15.0
KILLING_SECONDS = 20.0
KILL_EVERY = 2.0
CLIENTS = 4
OK, BUSY = 200, 503


@dataclass(frozen=True)
class Installation:
    """A running `bioseg serve` with two web processes, and its state."""

    process: "Popen[bytes]"
    port: int
    environment: dict[str, str]

    @property
    def address(self) -> str:
        return f"http://{open_loop.HOST}:{self.port}"

    def open(self) -> Platform:
        """What it keeps, seen from here."""
        given = {"state_dir": self.environment["BIOSEG_STATE_DIR"], "models_dir": self.environment["BIOSEG_MODELS_DIR"]}
        return open_platform(Settings.model_validate(given))

    def web_processes(self) -> list[psutil.Process]:
        (gunicorn,) = (
            child for child in psutil.Process(self.process.pid).children() if "gunicorn" in " ".join(child.cmdline())
        )
        return gunicorn.children()


@pytest.fixture
def installation(tiny_models: Path, tmp_path: Path) -> Iterator[Installation]:
    with serving(tiny_models, tmp_path / "state") as made:
        yield made


@contextmanager
def serving(models: Path, state: Path) -> Iterator[Installation]:
    port, nobody = free_ports(2)
    environment = {
        "BIOSEG_STATE_DIR": str(state),
        "BIOSEG_MODELS_DIR": str(models),
        "BIOSEG_MLFLOW_URI": f"http://{open_loop.HOST}:{nobody}",
        "BIOSEG_OPERATOR_TOKEN": TOKEN,
    }
    serve = Command(
        "serve",
        [sys.executable, "-m", "bioseg.cli", "serve", "--port", str(port)],
        child_environment(),
    )
    log = state.with_name("log")
    with running.run(serve, environment, log) as process:
        wait_until_ready(port, process, log)
        yield Installation(process, port, environment)


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server((open_loop.HOST, 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_until_ready(port: int, process: "Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + running.START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"http://{open_loop.HOST}:{port}/readyz", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="module")
def section() -> bytes:
    """A section that takes long enough for the load to be too much."""
    return images.encode_png(twins.membrane_section(3, 512)[0])


def is_served(answer: Answer) -> bool:
    return answer.status == OK


def is_well_refused(answer: Answer) -> bool:
    kind = answer.headers.get("content-type")
    return (answer.status, kind) == (BUSY, "application/problem+json") and int(answer.headers["retry-after"]) > 0


def ids(answers: Sequence[Answer]) -> list[str]:
    return sorted(json.loads(answer.body)["id"] for answer in answers if is_served(answer))


class TestOverload:
    @pytest.fixture
    def answers(self, installation: Installation, section: bytes) -> tuple[list[Answer], list[Answer]]:
        """What uploads are answered that come too fast, and what a probe is answered meanwhile."""

        async def both() -> tuple[list[Answer], list[Answer]]:
            uploads = open_loop.arrivals(installation.port, open_loop.multipart(CALL, section, MINE), RATE, SECONDS)
            probes = open_loop.arrivals(installation.port, open_loop.get("/livez"), 20, SECONDS)
            return await asyncio.gather(uploads, probes)

        return asyncio.run(both())

    def test_all_are_answered_and_those_that_are_served_are_kept(
        self, installation: Installation, answers: tuple[list[Answer], list[Answer]]
    ) -> None:
        uploads, probes = answers
        wrong = [answer for answer in uploads if not is_served(answer) and not is_well_refused(answer)]
        assert [] == wrong
        assert {(OK, "")} == {(probe.status, probe.error) for probe in probes}
        assert SECONDS <= len(ids(uploads)) < len(uploads)
        assert ids(uploads) == sorted(history(installation))


def history(installation: Installation) -> list[str]:
    """What the API lists, page by page."""
    found: list[str] = []
    query: dict[str, str] | None = {}
    while query is not None:
        page = requests.get(f"{installation.address}/api/v1/requests", query, headers=MINE, timeout=30).json()
        found += [record["id"] for record in page["requests"]]
        query = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    return found


class TestEnd:
    def test_who_was_accepted_is_answered_and_the_rest_refused(
        self, installation: Installation, section: bytes
    ) -> None:
        upload = open_loop.multipart(CALL, section, MINE)
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            kept = [pool.submit(keep_asking, installation, section) for _ in range(CLIENTS)]
            ending = pool.submit(end_after, installation, SECONDS / 2)
            single = asyncio.run(open_loop.arrivals(installation.port, upload, RATE, SECONDS))
            code = ending.result()
            of_kept = [answer for answers in kept for answer in answers.result()]
        outcomes = Counter((answer.status, answer.error) for answer in (*single, *of_kept))
        assert 0 == code
        assert {(OK, ""), (BUSY, ""), (0, "ConnectionRefusedError")} == set(outcomes)
        assert ids([*single, *of_kept]) == sorted(record.id for record in kept_records(installation.open()))

    def test_a_silent_connection_does_not_delay_it(self, installation: Installation) -> None:
        with requests.Session() as browser:
            browser.get(f"{installation.address}/livez", timeout=10)
            with socket.create_connection((open_loop.HOST, installation.port)):
                assert 0 == end_after(installation, 0.1)


def end_after(installation: Installation, seconds: float) -> int:
    time.sleep(seconds)
    installation.process.send_signal(signal.SIGTERM)
    return installation.process.wait(END_SECONDS)


def keep_asking(installation: Installation, image: bytes) -> list[Answer]:
    """Upload again and again on a connection that is kept, until nobody answers any more."""
    answers: list[Answer] = []
    with requests.Session() as browser:
        while not answers or not answers[-1].error:
            try:
                answer = browser.post(f"{installation.address}{CALL}", files={"image": image}, headers=MINE, timeout=60)
                answers.append(Answer(answer.status_code, answer.headers, answer.content))
            except requests.ConnectionError as error:
                answers.append(Answer(0, {}, b"", root_cause(error)))
    return answers


def root_cause(error: BaseException) -> str:
    """Class of the system's error below those of the libraries."""
    below = error.__cause__ or error.__context__
    return root_cause(below) if below is not None else type(error).__name__


def kept_records(platform: Platform) -> list[RequestRecord]:
    with engine.reading(platform.sessions) as session:
        return list(session.scalars(select(RequestRecord)))


class TestKilledProcesses:
    def test_lose_nothing_and_do_nothing_twice(self, installation: Installation) -> None:
        stop = Event()
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(upload_persistently, installation, number, stop) for number in range(CLIENTS)]
            killed = kill_now_and_then(installation)
            stop.set()
            sent = [key for client in clients for key in client.result()]
        installation.process.terminate()
        installation.process.wait(END_SECONDS)
        worker = [sys.executable, "-m", "bioseg.cli", "worker", "--once"]
        run(worker, env=child_environment(**installation.environment), check=True)
        platform = installation.open()
        with engine.reading(platform.sessions) as session:
            kept = Counter(session.scalars(select(IdempotencyKey.key)))
        records = kept_records(platform)
        assert killed > 1
        assert (Counter(sent), len(sent)) == (kept, len(records))
        assert {"done"} == {record.status for record in records}
        assert [] == soundness.flaws(platform)


def kill_now_and_then(installation: Installation) -> int:
    """Kill a web process every other second, as a machine does that runs out of memory; tells how many."""
    chance = random.Random(0)
    killed = 0
    deadline = time.monotonic() + KILLING_SECONDS
    while time.monotonic() < deadline:
        time.sleep(KILL_EVERY)
        alive = installation.web_processes()
        if alive:
            chance.choice(alive).kill()
            killed += 1
    return killed


def upload_persistently(installation: Installation, number: int, stop: Event) -> list[str]:
    """Upload images one after the other, each until it is served; gives their keys."""
    keys: list[str] = []
    while not stop.is_set():
        image = marked(number, len(keys))
        keys.append(secrets.token_hex(8))
        while not served(installation, image, keys[-1]):
            time.sleep(0.05)
    return keys


def marked(client: int, number: int) -> bytes:
    """An image of its own for each upload, of which the screen thinks the same."""
    image = twins.membrane_section(3, 96)[0].copy()
    image[0, :3] = client, number // 256, number % 256
    return images.encode_png(image)


def served(installation: Installation, image: bytes, key: str) -> bool:
    try:
        answer = requests.post(
            f"{installation.address}{CALL}",
            files={"image": image},
            data={"override": "true"},
            headers=MINE | {"Idempotency-Key": key},
            timeout=60,
        )
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):  # killed before, or within, its answer
        return False
    assert answer.status_code in {OK, BUSY}, answer.text
    return answer.status_code == OK
