"""Twenty equal uploads at once with one idempotency key: one is served, and all get its answer."""

import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from application import create_app
from application.openapi import COOKIE
from bioseg import images
from bioseg.arms import Arms
from bioseg.bundles import Bundle
from bioseg.database.engine import reading
from bioseg.database.tables import RequestRecord
from bioseg.inference import Floats, Predictor
from bioseg.locks import Locks
from bioseg.platform import Platform
from bioseg.runtime import Runtime
from bioseg.testing import stand_ins, twins
from bioseg.testing.running import web

AT_ONCE = 20
KEY = {"Idempotency-Key": "the-same"}


@dataclass
class Counting:
    """Loads stand-ins, and counts how often each is asked."""

    asked: Counter[str]

    def __call__(self, bundle: Bundle, threads: int) -> Predictor:
        network = stand_ins.load(bundle, threads)

        def predict(batch: Floats) -> Floats:
            self.asked[bundle.contract.study] += 1
            return network(batch)

        return predict


@pytest.fixture
def networks() -> Counting:
    return Counting(Counter())


@pytest.fixture
def platform(make_platform: Callable[..., Platform], database_url: str, networks: Counting) -> Platform:
    made = make_platform(database_url=database_url)
    runtime = Runtime(made.settings, made.registry, made.runtime.aliases, networks)
    for study in ("kinds", "membrane"):
        runtime.champion(study)
    networks.asked.clear()
    return replace(made, runtime=runtime, arms=Arms(runtime))


Post = Callable[[list[bytes]], list[TestResponse]]


@pytest.fixture
def post(platform: Platform) -> Post:
    return poster(platform)


def poster(platform: Platform) -> Post:
    """Give a function that posts uploads at once, as one browser."""
    app = create_app(platform)
    visitor = app.test_client()
    visitor.get("/")
    cookie = visitor.get_cookie(COOKIE)
    start = threading.Barrier(AT_ONCE)

    def one(data: bytes) -> TestResponse:
        client = app.test_client()
        client.set_cookie(COOKIE, cookie.value)
        start.wait()
        return client.post("/api/v1/segment", data={"image": (io.BytesIO(data), "upload.png")}, headers=KEY)

    def all_at_once(uploads: list[bytes]) -> list[TestResponse]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(one, uploads))

    return all_at_once


def count(platform: Platform) -> int:
    with reading(platform.sessions) as session:
        return session.scalar(select(func.count()).select_from(RequestRecord)) or 0


def test_one_is_served_and_all_get_its_answer(
    platform: Platform, networks: Counting, post: Post, section: bytes
) -> None:
    answers = post([section] * AT_ONCE)
    assert {200: AT_ONCE} == Counter(answer.status_code for answer in answers)
    assert (1, {"kinds": 1, "membrane": 1}) == (len({answer.data for answer in answers}), networks.asked)
    assert count(platform) == 1


def test_another_body_under_the_key_is_turned_away(platform: Platform, post: Post, section: bytes) -> None:
    other = images.encode_png(twins.membrane_section(8, 64)[0])
    answers = post([section, other] * (AT_ONCE // 2))
    assert {200: AT_ONCE // 2, 422: AT_ONCE // 2} == Counter(answer.status_code for answer in answers)
    served = {answer.data for answer in answers if answer.status_code == 200}
    turned_away = {answer.get_json(force=True)["type"] for answer in answers if answer.status_code == 422}
    assert (1, {"urn:bioseg:problem:idempotency-conflict"}, 1) == (len(served), turned_away, count(platform))


def test_a_refusal_is_everybodys(platform: Platform, networks: Counting, post: Post, photo: bytes) -> None:
    answers = post([photo] * AT_ONCE)
    assert {422: AT_ONCE} == Counter(answer.status_code for answer in answers)
    assert (1, {"kinds": 1}, 1) == (len({answer.data for answer in answers}), networks.asked, count(platform))


def test_an_unreadable_file_is_unreadable_for_all(platform: Platform, post: Post) -> None:
    answers = post([b"no image"] * AT_ONCE)
    statuses = {answer.status_code for answer in answers}
    assert (1, 1, 1) == (len(statuses), len({answer.data for answer in answers}), count(platform))
    assert statuses <= {400, 415}


def failing_once(platform: Platform) -> Platform:
    """Let the first upload fail, as when the machine has a bad moment."""
    failures = iter([OSError("input/output error")])

    def decode(data: bytes, limits: images.Limits) -> images.Image:
        for failure in failures:
            raise failure
        return platform.decode(data, limits)

    return replace(platform, decode=decode)


def test_when_the_first_fails_for_a_fault_of_ours_the_next_is_served(platform: Platform, section: bytes) -> None:
    post = poster(failing_once(platform))
    answers = post([section] * AT_ONCE)
    assert {500: 1, 200: AT_ONCE - 1} == Counter(answer.status_code for answer in answers)
    assert len({answer.data for answer in answers if answer.status_code == 200}) == 1


def test_looking_whether_a_place_is_free_takes_none(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "locks")
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            locks.is_free("place")

    def take(_: int) -> bool:
        with locks.attempt("place") as mine:
            return mine

    with ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look) for _ in range(4)]
        taken = set(map(take, range(200)))
        stop.set()
    assert ({True}, [None] * 4) == (taken, [each.result() for each in looking])


@pytest.fixture(scope="module")
def two_workers(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real gunicorn with two processes and tiny real bundles."""
    state = tmp_path_factory.mktemp("two")
    given = {"BIOSEG_STATE_DIR": str(state), "BIOSEG_MODELS_DIR": str(tiny_models), "BIOSEG_THREADS": "1"}
    with web(2, given, state / "log") as address:
        yield address


def post_over_http(address: str, uploads: list[bytes]) -> tuple[list[requests.Response], int]:
    """Post uploads at once as one browser; gives the answers and how many requests the browser then has."""
    with requests.Session() as browser:
        browser.get(address, timeout=30)
        cookie = browser.cookies.get_dict()

        def one(data: bytes) -> requests.Response:
            files = {"image": ("section.png", data, "image/png")}
            return requests.post(f"{address}/api/v1/segment", files=files, headers=KEY, cookies=cookie, timeout=60)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(one, uploads))
        return answers, len(browser.get(f"{address}/api/v1/requests", timeout=30).json()["requests"])


def test_two_processes_serve_one_of_twenty(two_workers: str) -> None:
    section = images.encode_png(twins.membrane_section(3, 256)[0])
    answers, kept = post_over_http(two_workers, [section] * AT_ONCE)
    assert {200: AT_ONCE} == Counter(answer.status_code for answer in answers)
    assert (1, 1) == (len({answer.content for answer in answers}), kept)


def test_two_processes_turn_another_body_away(two_workers: str) -> None:
    bodies = [images.encode_png(twins.membrane_section(seed, 256)[0]) for seed in (3, 4)]
    answers, kept = post_over_http(two_workers, bodies * (AT_ONCE // 2))
    assert {200: AT_ONCE // 2, 422: AT_ONCE // 2} == Counter(answer.status_code for answer in answers)
    assert kept == 1
