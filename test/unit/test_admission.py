"""The screen's verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioseg.errors import InvalidInput
from bioseg.policy.admission import Admission, admit

KINDS = ("membrane EM", "chest X-ray", "photo", "dermoscopy", "other")
EM = ("membrane EM",)


def judged(*probabilities: float, accepts: tuple[str, ...] = EM) -> Admission:
    return admit(np.array(probabilities, np.float32), KINDS, accepts, 0.9, 0.5)


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(1.0, "accept"), (0.91, "accept"), (0.89, "ask"), (0.51, "ask"), (0.49, "reject"), (0.0, "reject")],
)
def test_the_score_decides(score, verdict):
    assert judged(score, 1 - score, 0, 0, 0).verdict == verdict


def test_thresholds_belong_to_the_kinder_side():
    exact = [admit(np.array([p, 1 - p]), ("a", "b"), ("a",), 0.75, 0.5).verdict for p in (0.75, 0.5)]
    assert exact == ["accept", "ask"]


def test_probabilities_of_accepted_kinds_add_up():
    assert judged(0.5, 0, 0.45, 0.05, 0, accepts=("membrane EM", "photo")).score == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (0, "looks like membrane EM, 0.97"),
        (1, "looks like a chest X-ray, 0.97"),
        (2, "looks like a photo, 0.97"),
        (3, "looks like dermoscopy, 0.97"),
        (4, "looks like none of the known kinds, 0.97"),
    ],
)
def test_the_reason_names_the_likeliest_kind(place, reason):
    probabilities = [0.0075] * 5
    probabilities[place] = 0.97
    assert judged(*probabilities).reason == reason


def test_the_kind_is_the_likeliest():
    assert judged(0.3, 0.4, 0.3, 0, 0).kind == "chest X-ray"


def test_an_unsure_screen_never_accepts():
    assert judged(0.2, 0.2, 0.2, 0.2, 0.2).verdict == "reject"


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_of_an_accepted_kind_is_never_judged_worse(first, second):
    order = ("reject", "ask", "accept")
    low, high = sorted((first, second))
    worse, better = (order.index(judged(p, 1 - p, 0, 0, 0).verdict) for p in (low, high))
    assert worse <= better


def test_an_unknown_accepted_kind_is_refused():
    with pytest.raises(InvalidInput, match="unknown kinds lungs; the screen knows: membrane EM"):
        judged(1, 0, 0, 0, 0, accepts=("lungs",))


def test_a_wrong_number_of_probabilities_is_refused():
    with pytest.raises(InvalidInput, match="2 probabilities for 5 classes"):
        judged(0.5, 0.5)


@pytest.mark.parametrize("values", [(2.0, 1, 0, 0, 0), (0.1, 0, 0, 0, 0), (float("nan"), 0, 0, 0, 1)])
def test_what_does_not_sum_to_one_is_refused(values):
    with pytest.raises(InvalidInput, match="softmax"):
        judged(*values)


@pytest.mark.parametrize(("accept_at", "reject_below"), [(0.4, 0.5), (1.1, 0.5), (0.9, -0.1)])
def test_thresholds_out_of_order_are_refused(accept_at, reject_below):
    with pytest.raises(InvalidInput, match="rejecting below"):
        admit(np.array([1.0]), ("a",), ("a",), accept_at, reject_below)
