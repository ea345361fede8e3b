"""The blind review: which pair comes next, what a judgement becomes, and what it cannot change."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bioseg import images, records, review, service
from bioseg.database.tables import Pair, RequestRecord
from bioseg.errors import (
    AlreadyJudged,
    BlobNotFound,
    InvalidInput,
    NoRollout,
    UnknownPair,
    UnknownStudy,
    UnreadableImage,
    WrongTask,
)
from bioseg.platform import Platform
from bioseg.testing import pairs

SIZE = (80, 96)
"""Height and width of the fixture `section`."""


def drawn(rows: int) -> NDArray[np.bool_]:
    """A mask whose first rows are foreground."""
    mask = np.zeros(SIZE, bool)
    mask[:rows] = True
    return mask


def png(mask: NDArray[np.bool_]) -> bytes:
    return images.encode_mask(mask)


MASKS = {"champion": drawn(20), "challenger": drawn(40)}
ANSWERS = {"champion_answer": "photo", "challenger_answer": "texture"}


def send(platform: Platform, image: bytes, study: str = "membrane") -> RequestRecord:
    call = service.segment if study == "membrane" else service.classify
    return call(platform, service.Upload(image, study, "a" * 32, time.perf_counter()))


def row(platform: Platform, pair_id: int) -> Pair:
    with platform.sessions() as session:
        return session.get_one(Pair, pair_id)


class Trial:
    """A rollout whose pairs the test makes."""

    def __init__(self, platform: Platform, image: bytes, study: str = "membrane") -> None:
        self.platform, self.study, self.image = platform, study, image
        self.rollout = pairs.start(platform, study)

    def pair(self, **columns: Any) -> int:
        masks = MASKS if self.study == "membrane" else {}
        answers = {} if self.study == "membrane" else ANSWERS
        record = send(self.platform, self.image, self.study)
        return pairs.add(self.platform, self.rollout, record, masks, **answers | columns)

    def next(self) -> int | None:
        found = review.next_pair(self.platform, self.study)
        return None if found is None else found.pair.id


@pytest.fixture
def trial(platform: Platform, section: bytes) -> Trial:
    return Trial(platform, section)


@pytest.fixture
def kinds(platform: Platform, section: bytes) -> Trial:
    return Trial(platform, section, "kinds")


class TestNextPair:
    def test_has_the_lowest_rank(self, trial: Trial) -> None:
        made = {rank: trial.pair(rank=rank) for rank in (0.5, 0.2, 0.9)}
        assert made[0.2] == trial.next()

    def test_follows_when_one_was_judged(self, trial: Trial) -> None:
        first, second, third = (trial.pair(rank=rank) for rank in (0.1, 0.2, 0.3))
        review.prefer(trial.platform, first, "left")
        review.correct(trial.platform, second, png(drawn(30)))
        assert third == trial.next()
        assert (2, 1) == review.progress(trial.platform, "membrane")

    def test_is_none_when_all_were_judged(self, trial: Trial) -> None:
        review.prefer(trial.platform, trial.pair(), "same")
        assert trial.next() is None

    @pytest.mark.parametrize(
        "columns",
        [
            {"status": "stale", "champion_blob": None, "challenger_blob": None},
            {"champion_failed": True, "champion_blob": None},
            {"challenger_failed": True, "challenger_blob": None},
            {"challenger_failed": True},
            {"challenger_blob": None},
        ],
    )
    def test_is_none_of_which_an_arm_gave_nothing(self, trial: Trial, columns: dict[str, Any]) -> None:
        made = trial.pair(**columns)
        assert (None, (0, 0)) == (trial.next(), review.progress(trial.platform, "membrane"))
        with pytest.raises(UnknownPair):
            review.prefer(trial.platform, made, "left")

    def test_is_none_whose_pictures_were_deleted(self, trial: Trial) -> None:
        made = trial.pair()
        found = review.find(trial.platform, made)
        records.delete(trial.platform, found.record.id, None)
        assert trial.next() is None
        for judge in (
            lambda: review.prefer(trial.platform, made, "left"),
            lambda: review.picture(trial.platform, made, "image"),
        ):
            with pytest.raises(UnknownPair):
                judge()

    def test_is_one_of_the_rollout_that_runs(self, trial: Trial) -> None:
        trial.pair()
        trial.rollout = pairs.start(trial.platform, "membrane")
        assert trial.next() is None

    def test_needs_a_rollout(self, platform: Platform) -> None:
        with pytest.raises(NoRollout, match="no rollout"):
            review.next_pair(platform, "membrane")

    def test_needs_a_study(self, platform: Platform) -> None:
        with pytest.raises(UnknownStudy):
            review.next_pair(platform, "nerves")


class TestPreference:
    @pytest.mark.parametrize("left", ["champion", "challenger"])
    def test_is_kept_as_the_arm_that_stood_there(self, trial: Trial, left: str) -> None:
        right = "challenger" if left == "champion" else "champion"
        made = [trial.pair(left=left) for _ in range(3)]
        for pair, choice in zip(made, ("left", "right", "same"), strict=True):
            review.prefer(trial.platform, pair, choice)
        assert [left, right, "same"] == [row(trial.platform, pair).preference for pair in made]

    def test_counts_from_one_in_the_order_given(self, trial: Trial) -> None:
        made = [trial.pair() for _ in range(3)]
        for pair in reversed(made):
            review.prefer(trial.platform, pair, "same")
        assert [3, 2, 1] == [row(trial.platform, pair).preference_number for pair in made]

    def test_is_given_once(self, trial: Trial) -> None:
        made = trial.pair()
        review.prefer(trial.platform, made, "left")
        with pytest.raises(AlreadyJudged, match="evidence does not change"):
            review.prefer(trial.platform, made, "right")
        assert "champion" == row(trial.platform, made).preference

    def test_may_follow_a_correction(self, trial: Trial) -> None:
        made = trial.pair()
        review.correct(trial.platform, made, png(drawn(20)))
        review.prefer(trial.platform, made, "left")
        assert ("champion", 1.0) == (row(trial.platform, made).preference, row(trial.platform, made).champion_quality)

    def test_is_of_masks(self, kinds: Trial) -> None:
        with pytest.raises(WrongTask, match="classification study"):
            review.prefer(kinds.platform, kinds.pair(), "left")

    def test_is_not_of_an_unknown_pair(self, platform: Platform) -> None:
        with pytest.raises(UnknownPair):
            review.prefer(platform, 7, "left")


class TestCorrection:
    def test_scores_both_arms_by_dice(self, trial: Trial) -> None:
        made = trial.pair()
        review.correct(trial.platform, made, png(drawn(30)))
        kept = row(trial.platform, made)
        assert (2 * 20 / (20 + 30), 2 * 30 / (40 + 30)) == (kept.champion_quality, kept.challenger_quality)
        assert (1, True, None) == (kept.quality_number, kept.corrected_at is not None, kept.preference)

    def test_is_kept_with_its_request(self, trial: Trial) -> None:
        made = trial.pair()
        review.correct(trial.platform, made, png(drawn(30)))
        record = review.find(trial.platform, made).record
        stored = trial.platform.pictures.get(str(record.corrected_mask_blob))
        np.testing.assert_array_equal(images.decode_png(stored) > 0, drawn(30))

    def test_is_given_once(self, trial: Trial) -> None:
        made = trial.pair()
        review.correct(trial.platform, made, png(drawn(30)))
        before = review.find(trial.platform, made).record.corrected_mask_blob
        with pytest.raises(AlreadyJudged):
            review.correct(trial.platform, made, png(drawn(50)))
        assert (0.8, before) == (
            row(trial.platform, made).champion_quality,
            review.find(trial.platform, made).record.corrected_mask_blob,
        )

    @pytest.mark.parametrize(
        ("data", "error"), [(png(np.ones((8, 8), bool)), InvalidInput), (b"no image", UnreadableImage)]
    )
    def test_that_cannot_be_used_changes_nothing(self, trial: Trial, data: bytes, error: type[Exception]) -> None:
        made = trial.pair()
        with pytest.raises(error):
            review.correct(trial.platform, made, data)
        assert (None, made) == (row(trial.platform, made).corrected_at, trial.next())

    def test_is_of_masks(self, kinds: Trial) -> None:
        with pytest.raises(WrongTask):
            review.correct(kinds.platform, kinds.pair(), png(drawn(30)))

    @pytest.mark.parametrize("start", ["champion", "challenger"])
    def test_starts_from_the_mask_of_the_arm_that_was_drawn(self, trial: Trial, start: str) -> None:
        made = trial.pair(corrected_from=start)
        shown = images.decode_png(review.picture(trial.platform, made, "start")) > 0
        np.testing.assert_array_equal(shown, MASKS[start])


class TestLabel:
    @pytest.mark.parametrize(
        ("label", "scores"), [("photo", (1.0, 0.0)), ("texture", (0.0, 1.0)), ("other", (0.0, 0.0))]
    )
    def test_scores_both_arms(self, kinds: Trial, label: str, scores: tuple[float, float]) -> None:
        made = kinds.pair()
        review.label(kinds.platform, made, label)
        kept = row(kinds.platform, made)
        assert (*scores, 1) == (kept.champion_quality, kept.challenger_quality, kept.quality_number)
        assert label == review.find(kinds.platform, made).record.feedback_label

    def test_is_one_of_the_study(self, kinds: Trial) -> None:
        made = kinds.pair()
        with pytest.raises(InvalidInput, match="'liver' is none of"):
            review.label(kinds.platform, made, "liver")
        assert made == kinds.next()

    def test_is_given_once(self, kinds: Trial) -> None:
        made = kinds.pair()
        review.label(kinds.platform, made, "photo")
        with pytest.raises(AlreadyJudged):
            review.label(kinds.platform, made, "texture")

    def test_is_of_classes(self, trial: Trial) -> None:
        with pytest.raises(WrongTask, match="segmentation study"):
            review.label(trial.platform, trial.pair(), "membrane")

    def test_of_an_image_that_was_only_screened_scores_the_arms_alone(self, kinds: Trial) -> None:
        record = send(kinds.platform, kinds.image)
        made = pairs.add(kinds.platform, kinds.rollout, record, {}, **ANSWERS)
        review.label(kinds.platform, made, "texture")
        assert 1.0 == row(kinds.platform, made).challenger_quality
        assert review.find(kinds.platform, made).record.feedback_label is None


class TestPicture:
    @pytest.mark.parametrize(("left", "right"), [("champion", "challenger"), ("challenger", "champion")])
    def test_of_a_side_is_the_mask_that_stands_there(self, trial: Trial, left: str, right: str) -> None:
        made = trial.pair(left=left)
        for side, arm in (("left", left), ("right", right)):
            shown = images.decode_png(review.picture(trial.platform, made, side)) > 0
            np.testing.assert_array_equal(shown, MASKS[arm])

    def test_is_the_upload(self, trial: Trial, section: bytes) -> None:
        shown = images.decode_png(review.picture(trial.platform, trial.pair(), "image"))
        np.testing.assert_array_equal(shown, images.decode_png(section))

    def test_of_a_classification_is_the_upload_alone(self, kinds: Trial) -> None:
        made = kinds.pair()
        assert review.picture(kinds.platform, made, "image")
        with pytest.raises(BlobNotFound, match="classification study"):
            review.picture(kinds.platform, made, "left")


class TestDisagreements:
    def shown(self, trial: Trial) -> list[int]:
        return [each.pair.id for each in review.disagreements(trial.platform, trial.study)]

    def test_come_in_the_order_of_the_agreement(self, trial: Trial) -> None:
        made = {agreement: trial.pair(agreement=agreement) for agreement in (0.9, 0.3, 0.6)}
        assert [made[0.3], made[0.6], made[0.9]] == self.shown(trial)

    def test_are_not_those_that_agree_or_that_nobody_compared(self, trial: Trial) -> None:
        trial.pair(agreement=1.0)
        trial.pair(agreement=None)
        assert [] == self.shown(trial)

    def test_leave_the_queue_when_their_request_is_labelled(self, trial: Trial) -> None:
        made = trial.pair(agreement=0.3)
        request = review.find(trial.platform, made).record.id
        records.give_feedback(trial.platform, request, None, records.Feedback(mask=png(drawn(30))))
        assert [] == self.shown(trial)

    def test_enter_no_verdict_when_they_are_labelled(self, trial: Trial) -> None:
        made = trial.pair(agreement=0.3)
        request = review.find(trial.platform, made).record.id
        records.give_feedback(trial.platform, request, None, records.Feedback(label="membrane", mask=png(drawn(30))))
        kept = row(trial.platform, made)
        assert (None, None, None) == (kept.preference, kept.champion_quality, kept.quality_number)
        assert made == trial.next()


@pytest.fixture
def on_each_database(make_platform: Callable[..., Platform], database_url: str, section: bytes) -> Trial:
    return Trial(make_platform(database_url=database_url), section)


def test_judgements_at_once_are_counted_one_after_the_other(on_each_database: Trial) -> None:
    trial = on_each_database
    made = [trial.pair() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for _ in pool.map(lambda pair: review.correct(trial.platform, pair, png(drawn(30))), made):
            pass
        for _ in pool.map(lambda pair: review.prefer(trial.platform, pair, "left"), made):
            pass
    kept = [row(trial.platform, pair) for pair in made]
    assert [1, 2, 3, 4, 5, 6] == sorted(pair.quality_number or 0 for pair in kept)
    assert [1, 2, 3, 4, 5, 6] == sorted(pair.preference_number or 0 for pair in kept)


def test_of_two_reviewers_at_once_one_is_told(on_each_database: Trial) -> None:
    trial = on_each_database
    made = trial.pair()

    def judge(choice: Any) -> bool:
        try:
            review.prefer(trial.platform, made, choice)
        except AlreadyJudged:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert [False, False, False, True] == sorted(pool.map(judge, ["left", "right", "left", "right"]))
    assert 1 == row(trial.platform, made).preference_number
