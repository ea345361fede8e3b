"""What is judged, deleted or uploaded while a picture of it is being moved leaves neither orphans nor gaps."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from sqlalchemy import event

from bioseg import images, records, service
from bioseg.database.tables import RequestRecord
from bioseg.errors import StoreUnavailable, UnknownRequest
from bioseg.locks import Locks
from bioseg.platform import Platform
from bioseg.records import Feedback
from bioseg.service import Upload
from bioseg.storage import Blobs
from bioseg.testing.soundness import flaws, settle

ALICE = "a" * 32
Action = Callable[[], object]


@dataclass
class Overtaken:
    """A blob store; something else happens just before its first put or its first delete."""

    blobs: Blobs
    before_put: list[Action] = field(default_factory=list)
    before_delete: list[Action] = field(default_factory=list)

    def put(self, data: bytes) -> str:
        while self.before_put:
            self.before_put.pop()()
        return self.blobs.put(data)

    def get(self, key: str) -> bytes:
        return self.blobs.get(key)

    def delete(self, key: str) -> None:
        while self.before_delete:
            self.before_delete.pop()()
        self.blobs.delete(key)

    def exists(self, key: str) -> bool:
        return self.blobs.exists(key)


def overtaken(platform: Platform, **before: list[Action]) -> Platform:
    return replace(platform, pictures=replace(platform.pictures, blobs=Overtaken(platform.pictures.blobs, **before)))


def upload(platform: Platform, data: bytes) -> RequestRecord:
    return service.segment(platform, Upload(data, "membrane", ALICE, time.perf_counter()))


def judge(platform: Platform, record: RequestRecord, seed: int) -> RequestRecord:
    mask = images.encode_mask(np.random.default_rng(seed).random((80, 96)) > 0.5)
    return records.give_feedback(platform, record.id, ALICE, Feedback(mask=mask))


@pytest.fixture
def platform(make_platform: Callable[..., Platform], database_url: str) -> Platform:
    return make_platform(database_url=database_url)


@pytest.fixture
def record(platform: Platform, section: bytes) -> RequestRecord:
    """A request with a corrected mask, whose pictures are all in the store."""
    stored = judge(platform, upload(platform, section), 1)
    settle(platform)
    return stored


@contextmanager
def beside(do: Action, seconds: float) -> Iterator[Action]:
    """Give an action that begins to do something in a thread and waits so long for it; at the end it is done."""
    thread = threading.Thread(target=do)

    def begin() -> None:
        if thread.ident is None:
            thread.start()
            thread.join(seconds)

    yield begin
    thread.join()


def test_a_judgement_while_a_request_is_being_deleted_leaves_no_picture(
    platform: Platform, record: RequestRecord
) -> None:
    def judge_if_it_is_there() -> None:
        with suppress(UnknownRequest):
            judge(platform, record, 2)
            settle(platform)

    database = platform.sessions.kw["bind"]
    with beside(judge_if_it_is_there, 1) as begin:

        def before_the_write(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if statement.startswith("UPDATE requests"):
                begin()

        event.listen(database, "before_cursor_execute", before_the_write)
        records.delete(platform, record.id, ALICE)
        event.remove(database, "before_cursor_execute", before_the_write)
    settle(platform)
    assert [] == flaws(platform)


def test_pictures_that_are_deleted_while_they_are_being_stored_go(platform: Platform, section: bytes) -> None:
    record = upload(platform, section)
    settle(overtaken(platform, before_put=[lambda: records.delete(platform, record.id, ALICE)]))
    assert [] == flaws(platform)


def test_a_mask_that_is_replaced_while_it_is_being_stored_goes(platform: Platform, record: RequestRecord) -> None:
    judge(platform, record, 2)
    settle(overtaken(platform, before_put=[lambda: judge(platform, record, 3)]))
    assert [] == flaws(platform)


def test_a_picture_that_is_uploaded_again_while_it_is_being_removed_stays(
    platform: Platform, record: RequestRecord, section: bytes
) -> None:
    with beside(lambda: upload(platform, section), 0.5) as begin:
        records.delete(overtaken(platform, before_delete=[begin]), record.id, ALICE)
    settle(platform)
    assert [] == flaws(platform)


def test_a_picture_that_is_uploaded_again_just_before_it_is_removed_stays(platform: Platform, section: bytes) -> None:
    waiting = upload(platform, section)
    records.delete(overtaken(platform, before_delete=[be_away]), waiting.id, ALICE)
    database = platform.sessions.kw["bind"]
    again = [lambda: upload(platform, section)]

    def after_the_look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        while again and "EXISTS (SELECT" in statement:
            again.pop()()

    event.listen(database, "after_cursor_execute", after_the_look)
    settle(platform)
    event.remove(database, "after_cursor_execute", after_the_look)
    assert ([], []) == (again, flaws(platform))


def be_away() -> None:
    raise StoreUnavailable("the store does not answer")


@pytest.fixture
def lockless(platform: Platform) -> Platform:
    """A platform whose locks are given to everybody, as to one who lost the connection that held them."""

    class Given(Locks):
        @contextmanager
        def attempt(self, name: str) -> Iterator[bool]:
            yield True

    return replace(platform, pictures=replace(platform.pictures, locks=Given(platform.settings.state_dir / "given")))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_loses_the_lock_while_storing_a_picture_leaves_no_orphan(lockless: Platform, section: bytes) -> None:
    record = upload(lockless, section)

    def be_quicker() -> None:
        settle(lockless)
        records.delete(lockless, record.id, ALICE)

    settle(overtaken(lockless, before_put=[be_quicker]))
    assert [] == flaws(lockless)
