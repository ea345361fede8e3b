"""One request and what becomes of its record, where several things happen at once and where something breaks."""

import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from bioseg import images, records, service
from bioseg.arms import Arms
from bioseg.bundles import Bundle
from bioseg.database.engine import reading
from bioseg.database.tables import RequestRecord, Task
from bioseg.errors import Busy, IdempotencyConflict, UnknownRequest, UnknownVersion, UnreadableImage
from bioseg.inference import Floats, Predictor
from bioseg.locks import Locks
from bioseg.platform import Platform
from bioseg.records import Feedback
from bioseg.registry.folder_registry import CHAMPIONS
from bioseg.runtime import Runtime
from bioseg.service import Upload
from bioseg.storage import Blobs
from bioseg.testing.fake_blobs import MemoryBlobs

ALICE, BOB = "a" * 32, "b" * 32
Make = Callable[..., Platform]


def upload(data: bytes, owner: str = ALICE, key: str | None = None) -> Upload:
    return Upload(data, "membrane", owner, time.perf_counter(), idempotency_key=key)


def mask(*foreground: int) -> bytes:
    """A mask of the size of `section` with some pixels of its first row set."""
    pixels = np.zeros((80, 96), bool)
    pixels[0, list(foreground)] = True
    return images.encode_mask(pixels)


class WatchedBlobs(MemoryBlobs):
    """Calls out before each delete."""

    def __init__(self) -> None:
        super().__init__()
        self.before_delete: Callable[[], None] = lambda: None

    def delete(self, key: str) -> None:
        self.before_delete()
        super().delete(key)


class Overtaken(sessionmaker[Session]):
    """Lets something else happen first when a transaction is about to begin, once."""

    first: Callable[[], object] | None = None

    def begin(self):  # type: ignore[no-untyped-def]
        first, self.first = self.first, None
        if first is not None:
            first()
        return super().begin()


def keeping_in(blobs: Blobs, platform: Platform) -> Platform:
    return dataclasses.replace(platform, pictures=dataclasses.replace(platform.pictures, blobs=blobs))


def decoding_after(platform: Platform, first: Callable[[], object]) -> Platform:
    """The platform, where something else happens while a request is served: before its image is decoded, once."""
    others = [first]

    def decode(data: bytes, limits: images.Limits) -> images.Image:
        while others:
            others.pop()()
        return platform.decode(data, limits)

    return dataclasses.replace(platform, decode=decode)


def settle(platform: Platform) -> None:
    while platform.pictures.settle_waiting():
        pass


@pytest.fixture
def blobs() -> WatchedBlobs:
    return WatchedBlobs()


@pytest.fixture
def platform(make_platform: Make, blobs: WatchedBlobs) -> Platform:
    return keeping_in(blobs, make_platform())


@pytest.fixture
def shared(make_platform: Make, blobs: WatchedBlobs, database_url: str) -> Iterator[Platform]:
    """A platform on each kind of database."""
    platform = keeping_in(blobs, make_platform(database_url=database_url))
    yield platform
    platform.sessions.kw["bind"].dispose()


def stored(platform: Platform, request_id: str) -> RequestRecord:
    with reading(platform.sessions) as session:
        return session.scalars(select(RequestRecord).where(RequestRecord.id == request_id)).one()


def all_pictures(platform: Platform, record: RequestRecord) -> list[bool]:
    """Whether each picture of a record can be read, before and after the worker has moved them."""
    found = []
    for _ in range(2):
        found += [bool(records.picture(platform, record, what)) for what in ("image", "mask", "probability")]
        settle(platform)
    return found


class TestFeedback:
    def test_leaves_what_the_worker_writes_meanwhile(self, platform: Platform, section: bytes) -> None:
        record = service.segment(platform, upload(section))
        sessions = Overtaken(platform.sessions.kw["bind"], expire_on_commit=False)

        def ship() -> None:
            with platform.sessions.begin() as session:
                shipped = session.get_one(RequestRecord, record.seq)
                shipped.mlflow_run, shipped.shipped_at = "f" * 32, datetime.now(UTC)

        sessions.first = ship
        records.give_feedback(
            dataclasses.replace(platform, sessions=sessions), record.id, ALICE, Feedback(label="membrane")
        )
        kept = stored(platform, record.id)
        assert ("f" * 32, True, "membrane") == (kept.mlflow_run, kept.shipped_at is not None, kept.feedback_label)

    def test_does_not_revive_what_is_deleted_meanwhile(
        self, platform: Platform, blobs: WatchedBlobs, section: bytes
    ) -> None:
        record = service.segment(platform, upload(section))
        sessions = Overtaken(platform.sessions.kw["bind"], expire_on_commit=False)
        sessions.first = lambda: records.delete(platform, record.id, ALICE)
        with pytest.raises(UnknownRequest):
            records.give_feedback(
                dataclasses.replace(platform, sessions=sessions), record.id, ALICE, Feedback(mask=mask(1))
            )
        kept = stored(platform, record.id)
        settle(platform)
        assert (True, None, {}) == (kept.deleted_at is not None, kept.corrected_mask_blob, blobs.stored)

    def test_a_second_corrected_mask_takes_the_place_of_the_first(
        self, platform: Platform, blobs: WatchedBlobs, section: bytes
    ) -> None:
        record = service.segment(platform, upload(section))
        first, second = (
            str(records.give_feedback(platform, record.id, ALICE, Feedback(mask=mask(pixel))).corrected_mask_blob)
            for pixel in (1, 2)
        )
        settle(platform)
        assert (False, True) == (blobs.exists(first), blobs.exists(second))

    @pytest.mark.parametrize("again", [mask(1), mask(2)], ids=["the same", "another"])
    def test_a_corrected_mask_that_another_request_names_stays(
        self, platform: Platform, blobs: WatchedBlobs, section: bytes, again: bytes
    ) -> None:
        mine, other = (service.segment(platform, upload(section)) for _ in range(2))
        for record in (mine, other):
            records.give_feedback(platform, record.id, ALICE, Feedback(mask=mask(1)))
        records.give_feedback(platform, mine.id, ALICE, Feedback(mask=again))
        settle(platform)
        assert blobs.exists(str(stored(platform, other.id).corrected_mask_blob))


class TestDeletion:
    def test_before_the_record_of_an_equal_image_is_written_costs_that_one_no_picture(
        self, shared: Platform, blobs: WatchedBlobs, section: bytes
    ) -> None:
        first = service.segment(shared, upload(section))
        settle(shared)
        overtaken = decoding_after(shared, lambda: records.delete(shared, first.id, ALICE))
        second = service.segment(overtaken, upload(section, BOB))
        assert [True] * 6 == all_pictures(shared, second)

    def test_while_the_record_of_an_equal_image_is_written_costs_that_one_no_picture(
        self, shared: Platform, blobs: WatchedBlobs, section: bytes
    ) -> None:
        first = service.segment(shared, upload(section))
        settle(shared)
        answers: list[RequestRecord] = []
        equal = threading.Thread(target=lambda: answers.append(service.segment(shared, upload(section, BOB))))

        def let_the_other_go_on() -> None:
            blobs.before_delete = lambda: None
            equal.start()
            equal.join(0.5)  # it waits until the deletion has ended

        blobs.before_delete = let_the_other_go_on
        records.delete(shared, first.id, ALICE)
        equal.join(20)
        assert [True] * 6 == all_pictures(shared, answers[0])

    def test_ends_the_idempotency_key_of_the_request(self, platform: Platform, section: bytes) -> None:
        first = service.segment(platform, upload(section, key="k"))
        records.delete(platform, first.id, ALICE)
        again = service.segment(platform, upload(section, key="k"))
        assert ([True] * 6, True) == (all_pictures(platform, again), again.id != first.id)


class TestIdempotencyKey:
    def test_does_not_keep_a_fault_of_ours(self, make_platform: Make, tmp_path: Path, section: bytes) -> None:
        models = tmp_path / "shipped"
        platform = make_platform(models_dir=models)
        with pytest.raises(UnknownVersion):
            service.segment(platform, upload(section, key="k"))
        shutil.copytree(make_platform().settings.models_dir, models)
        assert service.segment(platform, upload(section, key="k")).status == "done"

    def test_keeps_what_is_wrong_with_the_image(self, platform: Platform) -> None:
        named = []
        for _ in range(2):
            with pytest.raises(UnreadableImage) as refusal:
                service.segment(platform, upload(b"hello", key="k"))
            named.append(refusal.value.request_id)
        assert named[0] is not None
        assert named[0] == named[1]

    def test_that_another_request_takes_meanwhile_leaves_no_pictures(
        self, platform: Platform, blobs: WatchedBlobs, tmp_path: Path, section: bytes
    ) -> None:
        other = images.encode_png(np.zeros((64, 64), np.uint8))
        elsewhere = dataclasses.replace(platform, locks=Locks(tmp_path / "the locks of a machine that shares none"))

        overtaken = decoding_after(platform, lambda: service.segment(elsewhere, upload(other, key="k")))
        with pytest.raises(IdempotencyConflict):
            service.segment(overtaken, upload(section, key="k"))
        (kept,) = records.history(platform, ALICE)[0]
        settle(platform)
        assert {kept.image_blob, kept.mask_blob, kept.probability_blob} == set(blobs.stored)


def full() -> None:
    raise OSError(28, "No space left on device", "/secret/place")


def loading(platform: Platform, change: Callable[[Predictor], Predictor], study: str) -> Platform:
    """The platform with the network of one study changed."""
    load = platform.runtime._load

    def changed(bundle: Bundle, threads: int) -> Predictor:
        predict = load(bundle, threads)
        return change(predict) if bundle.contract.study == study else predict

    runtime = Runtime(platform.settings, platform.registry, platform.runtime.aliases, changed)
    return dataclasses.replace(platform, runtime=runtime, arms=Arms(runtime))


def breaking(predict: Predictor) -> Predictor:
    """A network that passes its own sample and nothing larger."""

    def run(batch: Floats) -> Floats:
        if batch.shape[1] > 16:
            raise RuntimeError("out of memory at 0xdeadbeef")
        return predict(batch)

    return run


class TestCrash:
    def test_of_the_disk_is_on_record_without_its_reason(self, platform: Platform, section: bytes) -> None:
        with pytest.raises(OSError, match="No space left"):
            service.segment(decoding_after(platform, full), upload(section))
        (record,) = records.history(platform, ALICE)[0]
        assert ("failed", "OSError", service.OUR_FAULT) == (record.status, record.error, record.detail)

    def test_of_a_network_is_on_record_and_shipped(self, platform: Platform, section: bytes) -> None:
        with pytest.raises(RuntimeError, match="out of memory"):
            service.segment(loading(platform, breaking, "membrane"), upload(section))
        (record,) = records.history(platform, ALICE)[0]
        with reading(platform.sessions) as session:
            (task,) = session.scalars(select(Task)).all()
        assert ("failed", "telemetry", record.seq) == (record.status, task.kind, task.request_seq)
        assert record.latency_ms > 0

    def test_of_ours_tells_no_path(self, make_platform: Make, tmp_path: Path, section: bytes) -> None:
        platform = make_platform(models_dir=tmp_path / "none")
        with pytest.raises(UnknownVersion):
            service.segment(platform, upload(section))
        (record,) = records.history(platform, ALICE)[0]
        assert ("UnknownVersion", service.OUR_FAULT) == (record.error, record.detail)

    def test_can_be_found_by_the_number_of_its_request(self, platform: Platform, section: bytes) -> None:
        with pytest.raises(OSError, match="No space left") as crash:
            service.segment(decoding_after(platform, full), upload(section))
        (record,) = records.history(platform, ALICE)[0]
        assert [f"request {record.id}"] == crash.value.__notes__


class TestPlace:
    def test_is_taken_before_the_image_is_decoded(self, make_platform: Make) -> None:
        platform = make_platform(queue=0)
        with platform.queue.place(), pytest.raises(Busy):
            service.segment(platform, upload(b"no image"))
        with reading(platform.sessions) as session:
            assert session.scalar(select(func.count(RequestRecord.seq))) == 0

    def test_is_enough_to_decode_while_the_networks_run_for_another(self, platform: Platform) -> None:
        with platform.queue.turn(), pytest.raises(UnreadableImage):
            service.segment(platform, upload(b"no image"))

    def test_is_given_back_after_a_failure(self, make_platform: Make, section: bytes) -> None:
        platform = make_platform(queue=0)
        with pytest.raises(UnreadableImage):
            service.segment(platform, upload(b"no image"))
        assert service.segment(platform, upload(section)).status == "done"


def test_the_screens_version_is_the_one_that_screened(platform: Platform, tmp_path: Path, section: bytes) -> None:
    champions = tmp_path / "models" / CHAMPIONS

    def appointing_another(predict: Predictor) -> Predictor:
        def run(batch: Floats) -> Floats:
            champions.parent.mkdir(exist_ok=True)
            champions.write_text(json.dumps({"kinds": "4.5.7"}))
            return predict(batch)

        return run

    record = service.segment(loading(platform, appointing_another, "kinds"), upload(section))
    assert record.screen_version == "4.5.6"
