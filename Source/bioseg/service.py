"""One request: decode, screen, assign, run, store, record. No web in it."""

import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from bioseg import errors, images, studies
from bioseg.database import engine, requests, tasks
from bioseg.database.tables import RequestRecord
from bioseg.errors import BiosegError, BlobNotFound, Busy, InvalidInput, Refused, UnknownRequest, WrongTask
from bioseg.inference import classifying, segmenting
from bioseg.policy import admission
from bioseg.policy.admission import Admission
from bioseg.registry import Registry
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.runtime import Arm, Runtime
from bioseg.settings import Settings
from bioseg.storage import Blobs, open_blobs
from bioseg.study import Study, Task
from bioseg.telemetry.resources import Meter

Picture = Literal["image", "mask", "overlay", "probability"]


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything a request needs, wired once per process."""

    settings: Settings
    sessions: sessionmaker[Session]
    blobs: Blobs
    registry: Registry
    runtime: Runtime

    @property
    def limits(self) -> images.Limits:
        """What an upload may measure."""
        return images.Limits(self.settings.max_upload_mb * 2**20, self.settings.max_pixels)


def open_platform(settings: Settings) -> Platform:
    """Migrate the database and open the stores; models load on first use."""
    engine.migrate(settings.resolved_database_url)
    sessions = sessionmaker(engine.connect(settings.resolved_database_url), expire_on_commit=False)
    registry = FolderRegistry(settings.models_dir, settings.state_dir / "models")
    return Platform(settings, sessions, open_blobs(settings.resolved_blobs), registry, Runtime(settings, registry))


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
        A repeated call with the same key and body gives the stored answer.
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


def segment(platform: Platform, upload: Upload) -> RequestRecord:
    """Screen an image and draw its mask.

    Returns
    -------
    The stored record; `picture` gives its mask, probability and overlay.

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
    """
    return _serve(platform, upload, "segmentation")


def classify(platform: Platform, upload: Upload) -> RequestRecord:
    """Screen an image, where the study names a screen, and tell its class; raises as `segment` does."""
    return _serve(platform, upload, "classification")


def _serve(platform: Platform, upload: Upload, task: Task) -> RequestRecord:
    study = _study(upload, task)
    body = _body_hash(upload)
    with engine.reading(platform.sessions) as session:
        known = requests.by_key(session, upload.owner, upload.idempotency_key, body) if upload.idempotency_key else None
    if known is not None:
        return _answer(known)
    record = RequestRecord(
        id=secrets.token_hex(16),
        created_at=datetime.now(UTC),
        owner=upload.owner,
        study=study.name,
        task=study.task,
        label=upload.label,
        status="done",
        overridden=False,
    )
    watch, meter = _Stopwatch(upload.received), Meter()
    try:
        _process(platform, upload, study, record, watch, meter)
    except Busy:
        raise
    except BiosegError as error:
        record.status, record.error, record.detail = "failed", type(error).__name__, str(error)
        _store(platform, upload, record, watch, meter, body)
        error.request_id = record.id
        raise
    _store(platform, upload, record, watch, meter, body)
    return _answer(record)


def _study(upload: Upload, task: Task) -> Study:
    study = studies.get(upload.study)
    if study.task != task:
        call = "segment" if study.task == "segmentation" else "classify"
        raise WrongTask(f"{study.name} is a {study.task} study: call /api/v1/{call}")
    if upload.label is not None and upload.label not in study.classes:
        raise InvalidInput(f"label {upload.label!r} is none of: {', '.join(study.classes)}")
    return study


def _body_hash(upload: Upload) -> str:
    """Sha256 of all that decides the answer, to tell a repeated call from another one under the same key."""
    fields = (upload.study, upload.label or "", str(upload.override))
    return hashlib.sha256("\0".join(fields).encode() + b"\0" + upload.data).hexdigest()


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
    platform: Platform, upload: Upload, study: Study, record: RequestRecord, watch: _Stopwatch, meter: Meter
) -> None:
    with watch.stage("decode"):
        image = images.decode(upload.data, platform.limits)
    record.height, record.width = image.shape[:2]
    probability: NDArray[np.float32] | None = None
    with platform.runtime.slot(), meter.inference():
        with watch.stage("screen"):
            answer = screen(platform, study, image)
        if answer is not None:
            _note_screen(platform, study, answer, upload, record)
        if record.status == "done":
            arm = platform.runtime.champion(study.name)
            record.arm, record.version, record.precision = "champion", arm.contract.version, arm.contract.precision
            with watch.stage("model"):
                if study.task == "segmentation":
                    probability = segmenting.foreground_probability(arm.predict, arm.contract, image)
                else:
                    _classify(arm, image, record)
    with watch.stage("encode"):
        pictures = {"image_blob": images.encode_png(image)}
        if probability is not None:
            mask = probability > arm.contract.threshold
            record.foreground_fraction = float(mask.mean())
            pictures["mask_blob"] = images.encode_mask(mask)
            pictures["probability_blob"] = images.encode_probability(probability)
    with watch.stage("store"):
        for column, data in pictures.items():
            setattr(record, column, platform.blobs.put(data))


def screen(platform: Platform, study: Study, image: images.Image) -> Admission | None:
    """Tell whether a study accepts an image, by the champion of the study that screens it; None without a screen."""
    if study.screened_by is None:
        return None
    arm = platform.runtime.champion(study.screened_by)
    probabilities = classifying.class_probabilities(arm.predict, arm.contract, image)
    contract = arm.contract
    return admission.admit(probabilities, contract.classes, study.accepts, contract.accept_at, contract.reject_below)


def _note_screen(platform: Platform, study: Study, answer: Admission, upload: Upload, record: RequestRecord) -> None:
    record.screen_verdict, record.screen_score = answer.verdict, answer.score
    record.screen_kind, record.screen_reason = answer.kind, answer.reason
    record.screen_version = platform.registry.champion(str(study.screened_by))
    record.overridden = upload.override and answer.verdict == "ask"
    if answer.verdict != "accept" and not record.overridden:
        record.status = "refused"


def _classify(arm: Arm, image: images.Image, record: RequestRecord) -> None:
    probabilities = classifying.class_probabilities(arm.predict, arm.contract, image)
    record.probabilities = dict(zip(arm.contract.classes, map(float, probabilities), strict=True))
    record.predicted = arm.contract.classes[int(probabilities.argmax())]


def _store(
    platform: Platform, upload: Upload, record: RequestRecord, watch: _Stopwatch, meter: Meter, body: str
) -> None:
    """Write the record and what must follow it in one transaction."""
    resources = meter.read()
    record.cpu_seconds, record.cpu_percent = resources.cpu_seconds, resources.cpu_percent
    record.memory_rss_mb = resources.memory_rss_mb
    record.latency_ms = watch.total()
    record.timings_ms = {name: round(value, 3) for name, value in watch.stages.items()} | {
        "total": round(record.latency_ms, 3)
    }
    with platform.sessions.begin() as session:
        requests.add(session, record)
        if upload.idempotency_key:
            requests.remember_key(session, upload.owner, upload.idempotency_key, body, record.id)
        tasks.add(session, "telemetry", record.seq)


def find(platform: Platform, request_id: str, owner: str | None) -> RequestRecord:
    """Look a request up for its owner, or for an operator (owner None).

    Raises
    ------
    UnknownRequest
        When there is none, it was deleted, or it is somebody else's.
    """
    with engine.reading(platform.sessions) as session:
        record = requests.by_id(session, request_id)
    if record is None or record.deleted_at is not None or owner not in (None, record.owner):
        raise UnknownRequest(f"no request {request_id!r} of yours")
    return record


def history(
    platform: Platform,
    owner: str | None,
    *,
    study: str | None = None,
    label: str | None = None,
    verdict: str | None = None,
    since: datetime | None = None,
    cursor: int | None = None,
    limit: int = 50,
) -> tuple[list[RequestRecord], int | None]:
    """Page through the requests of an owner, or of all (owner None), newest first; gives the next cursor, if any."""
    with engine.reading(platform.sessions) as session:
        return requests.page(
            session, owner, study=study, label=label, verdict=verdict, since=since, cursor=cursor, limit=limit
        )


@dataclass(frozen=True, slots=True)
class Feedback:
    """A user's judgement: the right label, whether the mask is right, a comment, or a corrected mask's bytes."""

    label: str | None = None
    mask_ok: bool | None = None
    comment: str | None = None
    mask: bytes | None = None


def give_feedback(platform: Platform, request_id: str, owner: str | None, feedback: Feedback) -> RequestRecord:
    """Keep a judgement with its request; what is None leaves the former judgement as it is.

    Raises
    ------
    UnknownRequest, InvalidInput, ImageError
        When the request is not the caller's, the label is none of the study's, or the mask has another size.
    """
    record = find(platform, request_id, owner)
    classes = studies.get(record.study).classes
    if feedback.label is not None and feedback.label not in classes:
        raise InvalidInput(f"label {feedback.label!r} is none of: {', '.join(classes)}")
    corrected = None if feedback.mask is None else platform.blobs.put(_corrected_mask(platform, record, feedback.mask))
    given = {
        "feedback_label": feedback.label,
        "mask_ok": feedback.mask_ok,
        "comment": feedback.comment,
        "corrected_mask_blob": corrected,
        "feedback_at": datetime.now(UTC),
    }
    with platform.sessions.begin() as session:
        record = session.merge(record)
        for column, value in given.items():
            if value is not None:
                setattr(record, column, value)
    return record


def _corrected_mask(platform: Platform, record: RequestRecord, data: bytes) -> bytes:
    mask = images.grayscale(images.decode(data, platform.limits)) > 0.5
    if mask.shape != (record.height, record.width):
        raise InvalidInput(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} pixels and the image {record.width}x{record.height}: "
            "send a mask of the image's size"
        )
    return images.encode_mask(mask)


def delete(platform: Platform, request_id: str, owner: str | None) -> None:
    """Remove the pictures of a request and keep its numbers; pictures that other requests share stay."""
    record = find(platform, request_id, owner)
    with platform.sessions.begin() as session:
        orphans = requests.forget(session, record.seq, datetime.now(UTC))
    for key in orphans:
        platform.blobs.delete(key)


def picture(platform: Platform, record: RequestRecord, what: Picture) -> bytes:
    """Give a stored picture of a request as PNG, in the upload's own width and height after EXIF rotation.

    Raises
    ------
    BlobNotFound
        When the request has none: it was refused, failed or deleted.
    """
    if what == "overlay":
        image = images.to_uint8(_pixels(platform, record, "image"))
        return images.encode_png(images.overlay(image, _pixels(platform, record, "mask") > 0))
    key = {"image": record.image_blob, "mask": record.mask_blob, "probability": record.probability_blob}[what]
    if key is None:
        raise BlobNotFound(f"request {record.id} has no {what}")
    return platform.blobs.get(key)


def _pixels(platform: Platform, record: RequestRecord, what: Picture) -> images.Image:
    data = picture(platform, record, what)
    return images.decode(data, images.Limits(len(data), (record.width or 0) * (record.height or 0)))


def describe_studies(platform: Platform) -> list[dict[str, object]]:
    """Every study with its versions and aliases, as `bioseg studies --json` prints it."""
    return [
        {
            "name": study.name,
            "title": study.title,
            "task": study.task,
            "classes": list(study.classes),
            "versions": list(platform.registry.versions(study.name)),
            "champion": platform.registry.champion(study.name),
            "challenger": None,
            "screened_by": study.screened_by,
            "accepts": list(study.accepts),
        }
        for study in studies.all_studies().values()
    ]


def ready(platform: Platform) -> dict[str, str]:
    """`ok`, or why not, for the database and for the champion of each study that has one."""
    checks = {"database": "ok"}
    try:
        with engine.reading(platform.sessions) as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        checks["database"] = str(error)
    for name in studies.all_studies():
        if platform.registry.champion(name) is None:
            continue
        try:
            platform.runtime.champion(name)
            checks[name] = "ok"
        except BiosegError as error:
            checks[name] = str(error)
    return checks
