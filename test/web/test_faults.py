"""Whatever step of an upload, a judgement, a deletion or a move fails or is the last: nothing is half done.

Each test breaks the first step, then the second, and so on until a run ends without reaching the broken one.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from bioseg import images, records, service
from bioseg.database import engine
from bioseg.database.tables import IdempotencyKey, RequestRecord
from bioseg.decoding import formats
from bioseg.errors import BiosegError, UnknownRequest
from bioseg.platform import Platform
from bioseg.records import Feedback
from bioseg.service import Upload
from bioseg.testing import twins
from bioseg.testing.crashes import Crash, crashing
from bioseg.testing.fault_injection import EXITED, Steps, breaking, fail
from bioseg.testing.soundness import flaws, settle

SIDE = 32


@dataclass(frozen=True)
class Try:
    """A call that is broken, and how to tell what came of it: "before", "after", or something that must not be."""

    do: Callable[..., object]
    arguments: tuple[Any, ...]
    outcome: Callable[[Platform], str]


def upload(platform: Platform, number: int) -> Try:
    owner = f"{number:032x}"
    given = Upload(
        images.encode_png(twins.membrane_section(number, SIDE)[0]),
        "membrane",
        owner,
        time.perf_counter(),
        idempotency_key="the same",
    )

    def outcome(platform: Platform) -> str:
        mine = select(func.count()).where(RequestRecord.owner == owner, RequestRecord.status == "done")
        keys = select(func.count()).where(IdempotencyKey.owner == owner)
        with engine.reading(platform.sessions) as session:
            found = session.scalar(mine), session.scalar(keys)
        return {(0, 0): "before", (1, 1): "after"}.get(found, f"{found} records and keys")

    return Try(service.segment, (given,), outcome)


def judge(platform: Platform, number: int) -> Try:
    """Replace the corrected mask and the comment of the one request that there is."""
    if number == 1:
        first = service.segment(platform, *upload(platform, number).arguments)
        records.give_feedback(platform, first.id, first.owner, judgement(0))
        settle(platform)
    (record,), _ = records.history(platform, None)

    def outcome(platform: Platform) -> str:
        found = records.find(platform, record.id, record.owner)
        shown = platform.pictures.get(str(found.corrected_mask_blob))
        if shown != judgement(int(found.comment or 0)).mask:
            return f"{found.comment} with another mask"
        return {str(number - 1): "before", str(number): "after"}.get(str(found.comment), f"{found.comment} at {number}")

    return Try(records.give_feedback, (record.id, record.owner, judgement(number)), outcome)


def judgement(number: int) -> Feedback:
    mask = np.random.default_rng(number).random((SIDE, SIDE)) > 0.5
    return Feedback(comment=str(number), mask=images.encode_mask(mask))


def delete(platform: Platform, number: int) -> Try:
    record = service.segment(platform, *upload(platform, number).arguments)
    settle(platform)

    def outcome(platform: Platform) -> str:
        try:
            records.find(platform, record.id, record.owner)
        except UnknownRequest:
            return "after"
        return "before"

    return Try(records.delete, (record.id, record.owner), outcome)


def move(platform: Platform, number: int) -> Try:
    """Let the worker store a corrected mask and remove the former one."""
    judged = judge(platform, number)
    judged.do(platform, *judged.arguments)
    return Try(settle, (), judged.outcome)


TRIES = pytest.mark.parametrize("prepare", [upload, judge, delete, move])


@pytest.fixture
def platform(make_platform: Callable[..., Platform], database_url: str) -> Platform:
    return replace(make_platform(database_url=database_url), decode=formats.decode)


@pytest.fixture(scope="module")
def crash() -> Iterator[Callable[[Crash], int]]:
    with crashing() as crash:
        yield crash


def check(platform: Platform, attempt: Try, allowed: set[str], where: str) -> None:
    """Recover, and compare with what may be; then try again, which has to succeed."""
    settle(platform)
    assert [] == flaws(platform), where
    assert attempt.outcome(platform) in allowed, where
    with suppress(UnknownRequest):  # of a request that is deleted
        attempt.do(platform, *attempt.arguments)
    settle(platform)
    assert ([], "after") == (flaws(platform), attempt.outcome(platform)), f"{where}, tried again"


@TRIES
@pytest.mark.parametrize(
    ("database_url", "last"),
    [
        pytest.param("sqlite", 0, id="sqlite-once"),
        pytest.param("sqlite", sys.maxsize, id="sqlite-for good"),
        pytest.param("postgres", 0, id="postgres-once"),
        pytest.param("postgres", sys.maxsize, id="postgres-for good", marks=pytest.mark.e2e),
    ],
    indirect=["database_url"],
)
def test_an_error_at_any_step_leaves_all_or_nothing(
    platform: Platform, prepare: Callable[[Platform, int], Try], last: int
) -> None:
    for number in itertools.count(1):
        attempt = prepare(platform, number)
        steps = Steps(range(number, max(number, last) + 1), fail)
        allowed = {"before", "after"}
        with suppress(OSError, SQLAlchemyError, BiosegError), breaking(platform, steps) as broken:
            attempt.do(broken, *attempt.arguments)
            allowed = {"after"}
        if len(steps.taken) < number:
            assert number > 5
            return
        check(platform, attempt, allowed, f"step {number}: {steps.taken[number - 1]}")


@TRIES
@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.e2e)], indirect=True)
def test_a_process_that_ends_at_any_step_leaves_all_or_nothing(
    platform: Platform, prepare: Callable[[Platform, int], Try], crash: Callable[[Crash], int]
) -> None:
    for number in itertools.count(1):
        attempt = prepare(platform, number)
        status = crash(Crash(platform.settings, number, attempt.do, attempt.arguments))
        if status != EXITED:
            assert (0, "after", True) == (status, attempt.outcome(platform), number > 5)
            return
        check(platform, attempt, {"before", "after"}, f"step {number}")
