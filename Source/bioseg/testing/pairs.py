"""Pairs of a rollout as the worker leaves them, without running anything."""

import secrets
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioseg import images
from bioseg.database import moves
from bioseg.database.tables import Pair, RequestRecord
from bioseg.pictures import key_of
from bioseg.platform import Platform
from bioseg.registry import aliases, ledger
from bioseg.registry.ledger import Move


def start(platform: Platform, study: str, challenger: str = "2") -> str:
    """Begin a shadow rollout in the ledger; gives its id. No bundle of the challenger is needed."""
    rollout = secrets.token_hex(16)
    before = aliases.kept(platform.registry, platform.sessions)(study)
    move = Move("start", "ann", "a test")
    with platform.sessions.begin() as session:
        ledger.append(session, before, move, challenger=challenger, strategy="shadow", rollout=rollout)
    return rollout


def add(
    platform: Platform, rollout: str, record: RequestRecord, masks: dict[str, NDArray[np.bool_]], **columns: Any
) -> int:
    """Add the pair of a request; gives its id.

    Parameters
    ----------
    masks
        (H, W) by arm; empty for a classification, whose `champion_answer` and `challenger_answer` are columns.
    columns
        Of the row; by default it is done, first in the queue, and the champion is on the left and to be corrected.
    """
    now = datetime.now(UTC)
    stored = {arm: images.encode_mask(mask) for arm, mask in masks.items()}
    given: dict[str, Any] = {"status": "done", "rank": 0.0, "left": "champion", "corrected_from": "champion"}
    given |= {f"{arm}_blob": key_of(data) for arm, data in stored.items()} | columns
    with platform.sessions.begin() as session:
        moves.into_store(session, {key_of(data): data for data in stored.values()}, now)
        pair = Pair(rollout=rollout, request_seq=record.seq, created_at=now, **given)
        session.add(pair)
        session.flush()
        return pair.id
