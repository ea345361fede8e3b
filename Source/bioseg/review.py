"""The blind review of a rollout: people judge a random sample of its pairs and do not learn which arm is which.

Only what is judged here is evidence of live quality. The sample is uniform because it is taken by rank, which was drawn
when the pair was made; what somebody picked, such as a disagreement between the arms, trains models and proves nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy.orm import Session

from bioseg import images, metrics, records, studies
from bioseg.database import engine, reviews
from bioseg.database.tables import Pair, RequestRecord
from bioseg.errors import AlreadyJudged, BlobNotFound, InvalidInput, NoRollout, UnknownPair, WrongTask
from bioseg.platform import Platform
from bioseg.records import Feedback
from bioseg.registry import ledger
from bioseg.study import Study, Task

Side = Literal["left", "right"]
Choice = Literal["left", "right", "same"]
Shown = Literal["image", "left", "right", "start"]

ARMS = ("champion", "challenger")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A pair as a reviewer gets to see it; nothing that is shown of it tells the arms apart."""

    pair: Pair
    record: RequestRecord
    study: Study

    def arm(self, shown: Side | Literal["start"]) -> str:
        """Whose result stands on a side, or is given to be corrected; not for the reviewer."""
        if shown == "start":
            return self.pair.corrected_from
        return self.pair.left if (shown == "left") else next(arm for arm in ARMS if arm != self.pair.left)

    def answer(self, side: Side) -> str | None:
        """Class that the arm on a side told (classification)."""
        return _of(self.pair, "answer", self.arm(side))


def next_pair(platform: Platform, study: str) -> Exhibit | None:
    """The pair of a study's rollout that is to be judged next; None when none waits.

    Raises
    ------
    UnknownStudy, NoRollout
        When there is no such study, or it has no rollout.
    """
    known = studies.get(study)
    with engine.reading(platform.sessions) as session:
        found = reviews.first_unjudged(session, _rollout(session, study))
    return None if found is None else Exhibit(*found, known)


def progress(platform: Platform, study: str) -> tuple[int, int]:
    """How many pairs of a study's rollout were judged, and how many wait; raises as `next_pair` does."""
    studies.get(study)
    with engine.reading(platform.sessions) as session:
        return reviews.counts(session, _rollout(session, study))


def disagreements(platform: Platform, study: str, limit: int = 50) -> list[Exhibit]:
    """Pairs of a study's rollout on which the arms agree least, for looking and for labelling their requests.

    Labels of theirs are given by `records.give_feedback`, which no verdict looks at. Raises as `next_pair` does.
    """
    known = studies.get(study)
    with engine.reading(platform.sessions) as session:
        found = reviews.disagreements(session, _rollout(session, study), limit)
    return [Exhibit(*each, known) for each in found]


def find(platform: Platform, pair_id: int) -> Exhibit:
    """Look a pair up.

    Raises
    ------
    UnknownPair
        When there is none, an arm gave no result, or its pictures were deleted.
    """
    with engine.reading(platform.sessions) as session:
        found = reviews.find(session, pair_id)
        if found is None:
            raise UnknownPair("no such pair, or its pictures were deleted: go on with the next one")
        return Exhibit(*found, studies.get(reviews.study_of(session, found[0].rollout)))


def picture(platform: Platform, pair_id: int, shown: Shown) -> bytes:
    """Give the image of a pair, the mask on a side, or the one to correct (`start`) as PNG; masks: 255 = foreground.

    Raises
    ------
    UnknownPair, BlobNotFound
        When there is no such pair; when its study classifies, so that there are no masks.
    """
    exhibit = find(platform, pair_id)
    key = exhibit.record.image_blob if shown == "image" else _of(exhibit.pair, "blob", exhibit.arm(shown))
    if key is None:
        raise BlobNotFound(f"the pair has no {shown}: {exhibit.study.name} is a {exhibit.study.task} study")
    return platform.pictures.get(key)


def prefer(platform: Platform, pair_id: int, choice: Choice) -> None:
    """Keep on which side a reviewer saw the better mask (segmentation).

    Raises
    ------
    UnknownPair, WrongTask, AlreadyJudged
        When there is no such pair, its study classifies, or somebody has chosen.
    """
    exhibit = find(platform, pair_id)
    _require_task(exhibit.study, "segmentation")
    arm = "same" if choice == "same" else exhibit.arm(choice)
    with platform.sessions.begin() as session:
        pair = _locked(session, exhibit.pair)
        if pair.preferred_at is not None:
            raise _judged()
        pair.preference, pair.preferred_at = arm, datetime.now(UTC)
        pair.preference_number = reviews.preferences(session, pair.rollout) + 1


def correct(platform: Platform, pair_id: int, mask: bytes) -> None:
    """Score both arms by their Dice against a corrected mask (segmentation), and keep it with the request.

    Parameters
    ----------
    mask
        An image of the upload's width and height; brighter than half is foreground.

    Raises
    ------
    UnknownPair, WrongTask, AlreadyJudged
        When there is no such pair, its study classifies, or somebody has corrected it.
    InvalidInput, ImageError
        When the mask has another size, or is no image.
    """
    exhibit = find(platform, pair_id)
    _require_task(exhibit.study, "segmentation")
    if exhibit.pair.corrected_at is not None:
        raise _judged()
    feedback = records.check(platform, exhibit.record, Feedback(mask=mask))
    truth = images.decode_png(feedback.mask or b"") > 0
    drawn = {arm: images.decode_png(platform.pictures.get(_of(exhibit.pair, "blob", arm) or "")) > 0 for arm in ARMS}
    _score(platform, exhibit, {arm: metrics.confusion_counts(drawn[arm], truth).dice for arm in ARMS}, feedback)


def label(platform: Platform, pair_id: int, label: str) -> None:
    """Score both arms by the class that a reviewer tells (classification): 1 is right, 0 wrong.

    It is kept with the request when that was sent to the same study: a request that was only screened has other labels.

    Raises
    ------
    UnknownPair, WrongTask, AlreadyJudged, InvalidInput
        When there is no such pair, its study segments, somebody has told its class, or the class is none of the
        study's.
    """
    exhibit = find(platform, pair_id)
    study, record = exhibit.study, exhibit.record
    _require_task(study, "classification")
    if label not in study.classes:
        raise InvalidInput(f"label {label!r} is none of: {', '.join(study.classes)}")
    feedback = Feedback(label=label) if record.study == study.name else None
    _score(platform, exhibit, {arm: float(_of(exhibit.pair, "answer", arm) == label) for arm in ARMS}, feedback)


def _score(platform: Platform, exhibit: Exhibit, quality: Mapping[str, float], feedback: Feedback | None) -> None:
    """Keep the figure of each arm, and what it comes from, in one transaction."""
    with platform.sessions.begin() as session:
        if feedback is not None:  # its request is locked first: a deletion does so too
            records.keep(platform, session, exhibit.record, feedback)
        pair = _locked(session, exhibit.pair)
        if pair.corrected_at is not None:
            raise _judged()
        pair.champion_quality, pair.challenger_quality = (quality[arm] for arm in ARMS)
        pair.corrected_at = datetime.now(UTC)
        pair.quality_number = reviews.qualities(session, pair.rollout) + 1


def _locked(session: Session, pair: Pair) -> Pair:
    """The row of a pair, while nobody else judges one of its rollout."""
    reviews.lock(session, pair.rollout)
    return session.get_one(Pair, pair.id, with_for_update=True)


def _of(pair: Pair, what: Literal["answer", "blob"], arm: str) -> str | None:
    value: str | None = getattr(pair, f"{arm}_{what}")
    return value


def _rollout(session: Session, study: str) -> str:
    standing = ledger.standing(session, study)
    if standing is None or standing.rollout is None:
        raise NoRollout(f"{study} has no rollout whose masks could be compared; start one first")
    return standing.rollout


def _require_task(study: Study, task: Task) -> None:
    if study.task != task:
        wanted = "tell the class of the image" if study.task == "classification" else "choose or correct a mask"
        raise WrongTask(f"{study.name} is a {study.task} study: {wanted}")


def _judged() -> AlreadyJudged:
    return AlreadyJudged("somebody has judged this pair, and evidence does not change: go on with the next one")
