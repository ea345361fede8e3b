"""What becomes of a request afterwards: it is found, listed, judged, deleted, and its pictures are shown."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bioseg import images, studies
from bioseg.database import engine, moves, requests, tasks
from bioseg.database.tables import RequestRecord
from bioseg.errors import BlobNotFound, InvalidInput, StoreUnavailable, UnknownRequest
from bioseg.inference.instances import instances
from bioseg.pictures import key_of
from bioseg.platform import Platform

log = logging.getLogger(__name__)

Picture = Literal["image", "mask", "overlay", "probability", "heatmap"]


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
        raise _unknown(request_id)
    return record


def _unknown(request_id: str) -> UnknownRequest:
    return UnknownRequest(f"no request {request_id!r} of yours")


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
    checked = check(platform, record, feedback)
    with platform.sessions.begin() as session:
        return keep(platform, session, record, checked)


def check(platform: Platform, record: RequestRecord, feedback: Feedback) -> Feedback:
    """Make a judgement of a request fit to be kept: its mask is then PNG, 255 = foreground.

    Raises
    ------
    InvalidInput, ImageError
        When the label is none of the study's, or the mask has another size or is no image.
    """
    classes = studies.get(record.study).classes
    if feedback.label is not None and feedback.label not in classes:
        raise InvalidInput(f"label {feedback.label!r} is none of: {', '.join(classes)}")
    if feedback.mask is None:
        return feedback
    return replace(feedback, mask=images.encode_mask(_corrected_mask(platform, record, feedback.mask)))


def keep(platform: Platform, session: Session, record: RequestRecord, feedback: Feedback) -> RequestRecord:
    """Keep what `check` gave; the caller owns the transaction. Raises UnknownRequest when the request was deleted."""
    given = {
        "feedback_label": feedback.label,
        "mask_ok": feedback.mask_ok,
        "comment": feedback.comment,
        "feedback_at": datetime.now(UTC),
    }
    kept = session.get_one(RequestRecord, record.seq, with_for_update=True)
    if kept.deleted_at is not None:
        raise _unknown(record.id)
    for column, value in given.items():
        if value is not None:
            setattr(kept, column, value)
    if feedback.mask is not None:
        _replace_corrected_mask(session, kept, feedback.mask)
    _mirror(platform, session, kept)
    return kept


def _replace_corrected_mask(session: Session, record: RequestRecord, mask: bytes) -> None:
    now, former = datetime.now(UTC), record.corrected_mask_blob
    record.corrected_mask_blob = key_of(mask)
    moves.into_store(session, {record.corrected_mask_blob: mask}, now)
    if former is not None:
        moves.out_of_store(session, [former], now)


def _mirror(platform: Platform, session: Session, record: RequestRecord) -> None:
    """Let the mirror follow a change of a record; copies of a mirror that was switched off go when it is back."""
    if platform.settings.blobs_mirror or record.mirror_path:
        tasks.add(session, "mirror", record.seq)


def _corrected_mask(platform: Platform, record: RequestRecord, data: bytes) -> NDArray[np.bool_]:
    mask = images.grayscale(platform.decode(data, platform.limits)) > 0.5
    if mask.shape != (record.height, record.width):
        raise InvalidInput(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} pixels and the image {record.width}x{record.height}: "
            "send a mask of the image's size"
        )
    return mask


def delete(platform: Platform, request_id: str, owner: str | None) -> None:
    """Remove the pictures of a request and keep its numbers; pictures that other requests share stay.

    Raises
    ------
    UnknownRequest
        When there is none, it was deleted, or it is somebody else's.
    """
    record = find(platform, request_id, owner)
    now = datetime.now(UTC)
    with platform.sessions.begin() as session:
        keys = requests.forget(session, record.seq, now)
        moves.out_of_store(session, keys, now)
        _mirror(platform, session, record)
    try:
        for key in keys:
            platform.pictures.settle(key)
    except (StoreUnavailable, OSError, SQLAlchemyError) as error:  # the deletion itself is done
        log.warning("the pictures of request %s are left to the worker: %s", request_id, error)


def picture(platform: Platform, record: RequestRecord, what: Picture) -> bytes:
    """Give a stored picture of a request as PNG, in the upload's own width and height after EXIF rotation.

    Raises
    ------
    BlobNotFound
        When the request has none: it was refused, failed or deleted, or its model gives no such picture.
    """
    if what == "overlay":
        image = images.to_uint8(_pixels(platform, record, "image"))
        return images.encode_png(images.overlay(image, _pixels(platform, record, "mask") > 0))
    key: str | None = getattr(record, f"{what}_blob")
    if key is None:
        raise BlobNotFound(f"request {record.id} has no {what}")
    return platform.pictures.get(key)


def numbered(platform: Platform, record: RequestRecord) -> bytes:
    """Number the things in the stored mask of a request, as TIFF; see `inference.instances`.

    They are made of the stored probability at each call: they take longer than a network does, and few ask for them.

    Raises
    ------
    BlobNotFound
        As `picture` does for a mask.
    """
    mask = _pixels(platform, record, "mask") > 0
    probability = _pixels(platform, record, "probability").astype(np.float32) / np.float32(255)
    return images.encode_labels(instances(probability, mask, studies.get(record.study).foreground_is))


def _pixels(platform: Platform, record: RequestRecord, what: Picture) -> images.Image:
    data = picture(platform, record, what)
    return images.decode_png(data)
