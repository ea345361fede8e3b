"""The mirror agrees with the request records: after uploads, judgements and deletions, and after every outage."""

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from bioseg import mirroring, worker
from bioseg.database import requests, tasks
from bioseg.database.engine import connect, migrate, reading
from bioseg.database.tables import RequestRecord, Task
from bioseg.diagnosis import examine
from bioseg.errors import StoreUnavailable
from bioseg.settings import Settings
from bioseg.storage import Blobs, open_blobs
from bioseg.storage.dropbox_mirror import DropboxMirror
from bioseg.storage.dropbox_mirror import connect as connect_dropbox
from bioseg.testing import dropbox_emulator
from bioseg.testing.dropbox_emulator import DropboxEmulator, Fault
from bioseg.testing.fake_blobs import MemoryBlobs
from bioseg.testing.fake_mirror import MemoryMirror

MOMENT = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)
PICTURES = {"image_blob": b"image", "mask_blob": b"mask", "probability_blob": b"probability"}


@contextmanager
def opened(url: str) -> Iterator[sessionmaker[Session]]:
    migrate(url)
    engine = connect(url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()


@pytest.fixture
def sessions(database_url: str) -> Iterator[sessionmaker[Session]]:
    with opened(database_url) as sessions:
        yield sessions


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def mirror() -> MemoryMirror:
    return MemoryMirror()


def add_record(
    sessions: sessionmaker[Session], blobs: Blobs, pictures: Mapping[str, bytes] = PICTURES
) -> RequestRecord:
    """Add a request with its pictures and its task."""
    record = RequestRecord(
        id=secrets.token_hex(16),
        created_at=MOMENT,
        owner="a" * 32,
        study="membrane",
        task="segmentation",
        status="done",
        screen_verdict="accept",
        label="membrane",
        version="1.0.0",
        comment="for the operators alone",
        latency_ms=100.0,
        cpu_seconds=0.2,
        cpu_percent=50.0,
        memory_rss_mb=300.0,
        **{column: blobs.put(data) for column, data in pictures.items()},
    )
    with sessions.begin() as session:
        session.add(record)
        session.flush()
        tasks.add(session, "mirror", record.seq)
    return record


def delete(sessions: sessionmaker[Session], blobs: MemoryBlobs, record: RequestRecord) -> None:
    with sessions.begin() as session:
        for key in requests.forget(session, record.seq, datetime.now(UTC)):
            blobs.delete(key)
        tasks.add(session, "mirror", record.seq)


def judge(sessions: sessionmaker[Session], blobs: MemoryBlobs, record: RequestRecord, mask: bytes) -> None:
    with sessions.begin() as session:
        judged = session.get_one(RequestRecord, record.seq)
        judged.feedback_label, judged.corrected_mask_blob = "other", blobs.put(mask)
        tasks.add(session, "mirror", record.seq)


def folder(record: RequestRecord) -> str:
    return f"membrane/2026-11-21/{record.id}"


def path(sessions: sessionmaker[Session], record: RequestRecord) -> str | None:
    with reading(sessions) as session:
        return session.get_one(RequestRecord, record.seq).mirror_path


def names(mirror: MemoryMirror, record: RequestRecord) -> list[str]:
    return sorted(file.removeprefix(f"{folder(record)}/") for file in mirror.files)


class TestAgree:
    """One record on a mirror in memory."""

    @pytest.fixture
    def record(self, sessions: sessionmaker[Session], blobs: MemoryBlobs) -> RequestRecord:
        return add_record(sessions, blobs)

    @pytest.fixture
    def agree(self, sessions: sessionmaker[Session], blobs: MemoryBlobs, mirror: MemoryMirror, record: RequestRecord):
        return lambda: mirroring.agree(sessions, blobs, mirror, record.seq)

    def test_the_pictures_lie_in_a_folder_by_study_day_and_request(self, agree, mirror, record) -> None:
        agree()
        pictures = {name: data for name, data in mirror.files.items() if name.endswith(".png")}
        assert pictures == {f"{folder(record)}/{what}.png": what.encode() for what in ("image", "mask", "probability")}

    def test_the_description_tells_this_and_no_more(self, agree, mirror, record) -> None:
        agree()
        assert json.loads(mirror.files[f"{folder(record)}/request.json"]) == {
            "study": "membrane",
            "label": "membrane",
            "verdict": "accept",
            "feedback_label": None,
            "created_at": "2026-11-21T23:59:00+00:00",
            "version": "1.0.0",
        }

    def test_the_record_knows_the_path(self, agree, sessions, record) -> None:
        agree()
        assert f"memory:/{folder(record)}" == path(sessions, record)

    def test_a_judgement_is_added(self, agree, mirror, record, sessions, blobs) -> None:
        agree()
        judge(sessions, blobs, record, b"better mask")
        agree()
        description = json.loads(mirror.files[f"{folder(record)}/request.json"])
        corrected = mirror.files[f"{folder(record)}/corrected-mask.png"]
        assert (description["feedback_label"], corrected) == ("other", b"better mask")

    def test_what_is_deleted_is_removed_and_has_no_path(self, agree, mirror, record, sessions, blobs) -> None:
        agree()
        delete(sessions, blobs, record)
        agree()
        assert ({}, None) == (mirror.files, path(sessions, record))

    def test_what_is_deleted_while_it_is_copied_is_removed(self, agree, mirror, record, sessions, blobs) -> None:
        mirror.meanwhile = lambda: delete(sessions, blobs, record)
        agree()
        assert ({}, None) == (mirror.files, path(sessions, record))

    def test_what_a_copy_left_that_died_before_the_path_was_noted_is_removed(
        self, agree, mirror, record, sessions, blobs
    ) -> None:
        mirror.files[f"{folder(record)}/image.png"] = b"image"
        delete(sessions, blobs, record)
        agree()
        assert mirror.files == {}

    def test_what_is_judged_while_it_is_copied_is_copied_again(self, agree, mirror, record, sessions, blobs) -> None:
        mirror.meanwhile = lambda: judge(sessions, blobs, record, b"better mask")
        agree()
        assert "corrected-mask.png" in names(mirror, record)

    def test_a_lost_picture_does_not_hold_back_the_others(self, agree, mirror, record, blobs) -> None:
        blobs.delete(record.mask_blob)
        agree()
        assert ["image.png", "probability.png", "request.json"] == names(mirror, record)

    def test_a_mirror_that_fails_leaves_no_path(self, agree, mirror, record, sessions) -> None:
        mirror.failure = StoreUnavailable("down")
        with pytest.raises(StoreUnavailable):
            agree()
        assert path(sessions, record) is None

    def test_a_request_without_pictures_has_no_folder(self, sessions, blobs, mirror) -> None:
        failed = add_record(sessions, blobs, {})
        mirroring.agree(sessions, blobs, mirror, failed.seq)
        assert ({}, None) == (mirror.files, path(sessions, failed))


class TestWorker:
    """The worker's own loop on a server that speaks Dropbox's API."""

    @pytest.fixture
    def sessions(self, tmp_path: Path) -> Iterator[sessionmaker[Session]]:
        with opened(f"sqlite:///{tmp_path / 'bioseg.db'}") as sessions:
            yield sessions

    @pytest.fixture
    def emulator(self) -> Iterator[DropboxEmulator]:
        with DropboxEmulator() as emulator:
            yield emulator

    @pytest.fixture
    def drain(self, sessions: sessionmaker[Session], blobs: MemoryBlobs, emulator: DropboxEmulator):
        settings = Settings.model_validate(dropbox_emulator.settings(emulator.url))
        mirror = DropboxMirror(connect_dropbox(settings, timeout=(0.3, 0.3)), "/Bioseg", patience=0)
        handlers = [worker.mirrored(sessions, blobs, mirror)]
        return lambda: worker.drain(sessions, handlers, "worker", threading.Event())

    def test_what_is_due_is_copied(self, drain, sessions, blobs, emulator) -> None:
        record = add_record(sessions, blobs)
        drain()
        assert (f"dropbox:/Bioseg/{folder(record)}", 4) == (path(sessions, record), len(emulator.files))

    @pytest.mark.parametrize("fault", ["error", "silence", "limit", "contention", "lost answer", "quote"])
    def test_all_is_delivered_once_after_an_outage(self, drain, sessions, blobs, emulator, fault: Fault) -> None:
        records = [add_record(sessions, blobs, {"image_blob": secrets.token_bytes(9)}) for _ in range(3)]
        emulator.down = fault
        drain()
        assert [True] * 3 == [task.done_at is None for task in all_tasks(sessions)]
        emulator.down = None
        forget_waits(sessions)
        drain()
        expected = {f"/Bioseg/{folder(record)}/{name}" for record in records for name in ("image.png", "request.json")}
        assert expected == set(emulator.files)
        assert [True] * 3 == [task.done_at is not None for task in all_tasks(sessions)]

    @pytest.mark.parametrize("fault", ["lost answer", "error after"])
    def test_what_arrived_though_it_failed_is_not_there_twice(
        self, drain, sessions, blobs, emulator, fault: Fault
    ) -> None:
        add_record(sessions, blobs)
        emulator.faults["files/upload"].append(fault)
        emulator.faults["files/get_metadata"].append("error")
        drain()
        forget_waits(sessions)
        drain()
        assert ["image.png", "mask.png", "probability.png", "request.json"] == sorted(
            file.rsplit("/", 1)[-1] for file in emulator.files
        )

    def test_what_was_deleted_in_an_outage_never_appears(self, drain, sessions, blobs, emulator) -> None:
        record = add_record(sessions, blobs)
        emulator.down = "error"
        drain()
        delete(sessions, blobs, record)
        emulator.down = None
        forget_waits(sessions)
        drain()
        assert ({}, 0) == (emulator.files, emulator.calls[-1].count("upload"))

    def test_what_is_deleted_is_removed(self, drain, sessions, blobs, emulator) -> None:
        record = add_record(sessions, blobs)
        drain()
        delete(sessions, blobs, record)
        drain()
        assert ({}, None) == (emulator.files, path(sessions, record))

    def test_one_request_that_fails_does_not_hold_back_the_others(self, drain, sessions, blobs, emulator) -> None:
        add_record(sessions, blobs)
        other = add_record(sessions, blobs, {"image_blob": b"other"})
        emulator.faults["files/upload"].append("contention")
        drain()
        drain()
        assert f"/Bioseg/{folder(other)}/image.png" in emulator.files

    def test_a_pause_that_is_asked_for_reaches_the_loop_and_the_task(self, drain, sessions, blobs, emulator) -> None:
        add_record(sessions, blobs)
        emulator.down, emulator.retry_after = "limit", 240
        before = datetime.now(UTC)
        assert drain() == 240
        (task,) = all_tasks(sessions)
        assert (task.not_before - before).total_seconds() >= 240

    @pytest.mark.parametrize("fault", ["quote", "silence", "expired", "error"])
    def test_no_secret_reaches_the_log_or_the_task(
        self, drain, sessions, blobs, emulator, caplog: pytest.LogCaptureFixture, fault: Fault
    ) -> None:
        add_record(sessions, blobs)
        emulator.down = fault
        with caplog.at_level("DEBUG"):
            drain()
        told = caplog.text + "".join(task.error or "" for task in all_tasks(sessions))
        assert [] == [
            secret
            for secret in ("Bearer", dropbox_emulator.REFRESH_TOKEN, dropbox_emulator.APP_SECRET)
            if secret in told
        ]


def all_tasks(sessions: sessionmaker[Session]) -> list[Task]:
    with reading(sessions) as session:
        return list(session.scalars(select(Task).order_by(Task.id)))


def forget_waits(sessions: sessionmaker[Session]) -> None:
    """Let all open tasks be due."""
    with sessions.begin() as session:
        session.execute(update(Task).values(not_before=MOMENT.replace(year=2020)))


def test_the_command_copies_what_is_due(tmp_path: Path, free_port: int) -> None:
    with opened(f"sqlite:///{tmp_path / 'bioseg.db'}") as sessions, DropboxEmulator() as emulator:
        record = add_record(sessions, open_blobs(f"folder:{tmp_path / 'blobs'}"))
        given = dropbox_emulator.settings(emulator.url) | {
            "state_dir": str(tmp_path),
            "mlflow_uri": f"http://127.0.0.1:{free_port}",
            "blobs_mirror": "dropbox:/Bioseg",
        }
        environment = {f"BIOSEG_{name.upper()}": value for name, value in given.items()}
        command = [sys.executable, "-m", "bioseg.cli", "worker", "--once"]
        ended = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, timeout=120, check=False
        )
        assert (0, f"dropbox:/Bioseg/{folder(record)}") == (ended.returncode, path(sessions, record)), ended.stderr
        assert b"image" == emulator.files[f"/Bioseg/{folder(record)}/image.png"]


def test_the_doctor_tries_the_mirror_and_leaves_nothing_there(tmp_path: Path) -> None:
    with DropboxEmulator() as emulator:
        given = dropbox_emulator.settings(emulator.url) | {"blobs_mirror": "dropbox:/Bioseg", "state_dir": tmp_path}
        findings = {finding.what: finding for finding in examine(Settings.model_validate(given))}
        assert (True, "keeps what it is given, in dropbox:/Bioseg/") == (
            findings["mirror"].ok,
            findings["mirror"].found,
        )
        assert ({}, 1) == (emulator.files, emulator.calls.count("files/upload"))


def test_the_doctor_says_what_to_do_about_a_mirror_that_does_not_answer(tmp_path: Path, free_port: int) -> None:
    given = dropbox_emulator.settings(f"http://127.0.0.1:{free_port}")
    settings = Settings.model_validate(given | {"blobs_mirror": "dropbox:/Bioseg", "state_dir": tmp_path})
    (finding,) = (finding for finding in examine(settings) if finding.what == "mirror")
    assert (False, True) == (finding.ok, "BIOSEG_BLOBS_MIRROR" in finding.remedy)
