"""One request: decode, screen, assign, run, store, record. No web in it."""

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import numpy as np
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bioseg import analysis, errors, helped, images, studies
from bioseg.analysis import Classified, Screening, Segmented
from bioseg.arms import Served
from bioseg.database import engine, exclusive, moves, pairs, requests, tasks
from bioseg.database.tables import RequestRecord
from bioseg.errors import BiosegError, Busy, IdempotencyConflict, ImageError, InvalidInput, Refused, WrongTask
from bioseg.pictures import key_of
from bioseg.platform import Platform
from bioseg.study import Study, Task
from bioseg.telemetry.resources import Meter

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02
OUR_FAULT = "something failed on this side; the operator finds the reason in the log"


@dataclass(frozen=True, slots=True)
class Upload:
    """What a caller sends.

    Parameters
    ----------
    data
        The file's bytes.
    study
        Name of the study.
    owner
        Who sends it, 32 hexadecimal digits; only they and operators see the request.
    received
        `time.perf_counter()` when the request arrived.
    label
        The user's own label, one of the study's classes.
    override
        Go on when the screen asks.
    idempotency_key
        A repeated call of the same owner with the same key and body gives the stored answer.
    """

    data: bytes
    study: str
    owner: str
    received: float
    label: str | None = None
    override: bool = False
    idempotency_key: str | None = None


@dataclass(slots=True)
class _Stopwatch:
    """Milliseconds of each stage of a request."""

    received: float
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + 1e3 * (time.perf_counter() - start)

    def total(self) -> float:
        return 1e3 * (time.perf_counter() - self.received)


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a request takes: time by stage, CPU and memory."""

    watch: _Stopwatch
    meter: Meter

    def note(self, record: RequestRecord) -> None:
        """Write what was spent so far into the record."""
        resources = self.meter.read()
        record.cpu_seconds, record.cpu_percent = resources.cpu_seconds, resources.cpu_percent
        record.memory_rss_mb, record.latency_ms = resources.memory_rss_mb, self.watch.total()
        stages = self.watch.stages | {"total": record.latency_ms}
        record.timings_ms = {name: round(value, 3) for name, value in stages.items()}


class _Key(NamedTuple):
    """An idempotency key, whose it is, and the sha256 of all that decides the answer."""

    owner: str
    key: str
    body: str


def segment(platform: Platform, upload: Upload) -> RequestRecord:
    """Screen an image and draw its mask.

    Returns
    -------
    The stored record; `records.picture` gives its mask, probability and overlay.

    Raises
    ------
    Refused
        When the screen stops the image; the record is kept.
    ImageError
        When the upload cannot be used; a record without pixels is kept.
    Busy
        When too many requests wait.
    UnknownStudy, WrongTask, InvalidInput, IdempotencyConflict
        When the call itself is wrong; nothing is kept.
    Exception
        Whatever else fails here, the disk or a network; a record without pixels and without the reason is kept.
    """
    return _serve(platform, upload, "segmentation")


def classify(platform: Platform, upload: Upload) -> RequestRecord:
    """Screen an image, where the study names a screen, and tell its class; raises as `segment` does."""
    return _serve(platform, upload, "classification")


def _serve(platform: Platform, upload: Upload, task: Task) -> RequestRecord:
    study = _study(upload, task)
    key = _key(upload)
    if key is None:
        return _answer(_first(platform, upload, study, None))
    known = _known(platform, key)
    if known is None:
        with _alone(platform, key):
            known = _known(platform, key) or _first(platform, upload, study, key)
    return _answer(known)


@contextmanager
def _alone(platform: Platform, key: _Key) -> Iterator[None]:
    """Wait until no other request with this key is being served: its answer is this one's."""
    name = f"key {key.owner} {key.key}"
    patience = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < patience:
        with exclusive.attempt(platform.sessions, platform.locks, name) as alone:
            if alone:
                yield
                return
        time.sleep(POLL_SECONDS)
    raise Busy(f"another request with the idempotency key {key.key!r} is still being served; send it again")


def _first(platform: Platform, upload: Upload, study: Study, key: _Key | None) -> RequestRecord:
    """Serve a request that was not served before; gives the stored record, also of one that the screen refused."""
    record = RequestRecord(
        id=secrets.token_hex(16),
        created_at=datetime.now(UTC),
        owner=upload.owner,
        study=study.name,
        task=study.task,
        label=upload.label,
        status="done",
        overridden=False,
        probabilities={},
    )
    cost = _Cost(_Stopwatch(upload.received), Meter())
    try:
        with platform.queue.place():
            with cost.watch.stage("decode"):
                image = platform.decode(upload.data, platform.limits)
            copying = helped.submit(platform.pool, partial(images.encode_png, image))  # while the networks run
            pictures, failures = _process(platform, image, upload, study, record, cost)
            pictures["image_blob"] = helped.result(copying)
            _store(platform, record, pictures, failures, cost, key)
    except (Busy, IdempotencyConflict, SQLAlchemyError):
        raise
    except Exception as error:  # whatever it is, what the request cost has to be on record
        _store_failure(platform, record, error, cost, key)
        raise
    return record


def _study(upload: Upload, task: Task) -> Study:
    study = studies.get(upload.study)
    if study.task != task:
        call = "segment" if study.task == "segmentation" else "classify"
        raise WrongTask(f"{study.name} is a {study.task} study: call /api/v1/{call}")
    if upload.label is not None and upload.label not in study.classes:
        raise InvalidInput(f"label {upload.label!r} is none of: {', '.join(study.classes)}")
    return study


def _key(upload: Upload) -> _Key | None:
    if not upload.idempotency_key:
        return None
    fields = (upload.study, upload.label or "", str(upload.override))
    body = hashlib.sha256("\0".join(fields).encode() + b"\0" + upload.data).hexdigest()
    return _Key(upload.owner, upload.idempotency_key, body)


def _known(platform: Platform, key: _Key | None) -> RequestRecord | None:
    if key is None:
        return None
    with engine.reading(platform.sessions) as session:
        return requests.by_key(session, *key)


def _answer(record: RequestRecord) -> RequestRecord:
    """Give a stored record, or raise what its first answer raised."""
    if record.status == "refused":
        raise Refused(f"not accepted: {record.screen_reason}", record.id, screen_of(record))
    if record.status == "failed":
        error: BiosegError = getattr(errors, str(record.error))(record.detail)
        error.request_id = record.id
        raise error
    return record


def screen_of(record: RequestRecord) -> dict[str, str | float | None]:
    """The screen's answer as it is shown: verdict, score, kind, reason and version."""
    return {
        "verdict": record.screen_verdict,
        "score": record.screen_score,
        "kind": record.screen_kind,
        "reason": record.screen_reason,
        "version": record.screen_version,
    }


def _process(
    platform: Platform, image: images.Image, upload: Upload, study: Study, record: RequestRecord, cost: _Cost
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Screen and run; fills the record in.

    Returns
    -------
    The results as PNG, by the column that is to hold their key; and why challengers failed, by their rollout.
    """
    watch, arms = cost.watch, list[Served]()
    record.height, record.width = image.shape[:2]
    result: Segmented | Classified | None = None
    with platform.queue.turn(), cost.meter.inference():
        if study.screened_by is not None:
            with watch.stage("screen"):
                served, answer = platform.arms.serve(
                    study.screened_by, upload.owner, lambda arm: analysis.screen(arm, study, image)
                )
            _note_screen(answer, served, upload, record)
            arms.append(served)
        if record.status == "done":
            with watch.stage("model"):
                served, result = platform.arms.serve(study.name, upload.owner, lambda arm: analysis.run(arm, image))
            record.arm, record.rollout = served.name, served.rollout
            record.version, record.precision = served.arm.contract.version, served.arm.contract.precision
            arms.append(served)
    failures = {str(each.rollout): each.failure for each in arms if each.failure is not None}
    if result is None:
        return {}, failures
    with watch.stage("encode"):
        if isinstance(result, Segmented):
            return _encode(platform, result, record), failures
        return _encode_class(result, image, record), failures


def _encode(platform: Platform, result: Segmented, record: RequestRecord) -> dict[str, bytes]:
    mask = result.mask
    record.foreground_fraction = np.count_nonzero(mask) / mask.size
    encoding = helped.submit(platform.pool, partial(images.encode_probability, result.probability))
    return {"mask_blob": images.encode_mask(mask), "probability_blob": helped.result(encoding)}


def _encode_class(result: Classified, image: images.Image, record: RequestRecord) -> dict[str, bytes]:
    record.predicted, record.probabilities = result.label, result.probabilities
    if result.heat is None:
        return {}
    return {"heatmap_blob": images.encode_png(images.heat_overlay(images.to_uint8(image), result.heat))}


def _note_screen(answer: Screening, served: Served, upload: Upload, record: RequestRecord) -> None:
    record.screen_verdict, record.screen_score = answer.verdict, answer.score
    record.screen_kind, record.screen_reason = answer.kind, answer.reason
    record.screen_version, record.screen_rollout = answer.version, served.rollout
    record.overridden = upload.override and answer.verdict == "ask"
    if answer.verdict != "accept" and not record.overridden:
        record.status = "refused"


def _store(
    platform: Platform,
    record: RequestRecord,
    pictures: Mapping[str, bytes],
    failures: Mapping[str, str],
    cost: _Cost,
    key: _Key | None,
) -> None:
    """Keep pictures, record, failures of challengers and what must follow in one transaction."""
    keys = {column: key_of(data) for column, data in pictures.items()}
    for column, blob in keys.items():
        setattr(record, column, blob)
    cost.note(record)
    with platform.sessions.begin() as session:
        moves.into_store(session, {keys[column]: data for column, data in pictures.items()}, record.created_at)
        _add(session, record, key)
        for rollout, failure in failures.items():
            pairs.stepped_in(session, rollout, record.seq, failure)
        if _is_sampled(platform, record):
            tasks.add(session, "shadow", record.seq)
        if platform.settings.blobs_mirror:
            tasks.add(session, "mirror", record.seq)


def _is_sampled(platform: Platform, record: RequestRecord) -> bool:
    """Whether both arms of a rollout are to be run on this image."""
    in_rollout = record.rollout is not None or record.screen_rollout is not None
    drawn = int(record.id[:8], 16) / 2**32  # an id is nothing but random bits
    return in_rollout and drawn < platform.settings.shadow_sample


def _store_failure(platform: Platform, record: RequestRecord, error: Exception, cost: _Cost, key: _Key | None) -> None:
    """Keep the record of a request that failed, without pictures; only what is wrong with the upload stays so."""
    theirs = isinstance(error, ImageError)
    record.status, record.error = "failed", type(error).__name__
    record.image_blob = record.mask_blob = record.probability_blob = record.heatmap_blob = None
    record.detail = str(error) if theirs else OUR_FAULT
    cost.note(record)
    with platform.sessions.begin() as session:
        _add(session, record, key if theirs else None)
    if isinstance(error, BiosegError):
        error.request_id = record.id
    error.add_note(f"request {record.id}")


def _add(session: Session, record: RequestRecord, key: _Key | None) -> None:
    requests.add(session, record)
    if key is not None:
        requests.remember_key(session, *key, record.id)
    tasks.add(session, "telemetry", record.seq)
