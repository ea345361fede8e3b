"""Groups drawn again, and McNemar's test."""

import numpy as np
import pytest

from bioseg.errors import InvalidInput
from bioseg.policy.resampling import mcnemar, mean_over_groups


def test_the_mean_is_that_of_the_values():
    assert mean_over_groups([0.0, 1.0, 1.0, 0.0, 1.0], list("abcde")).mean == pytest.approx(0.6)


def test_equal_values_have_an_interval_of_no_width():
    found = mean_over_groups([0.25] * 6, list("aabbcc"))
    assert (found.low, found.high, found.n) == (0.25, 0.25, 3)


def test_of_independent_values_the_interval_is_nearly_the_normal_one():
    values = np.random.default_rng(3).random(400)
    found = mean_over_groups(values.tolist(), [str(number) for number in range(400)])
    half = 1.96 * values.std() / 20
    assert [found.low, found.high] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.003)


def test_copies_of_an_image_prove_no_more_than_the_image():
    values, groups = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0], list("abcdef")
    once, thrice = mean_over_groups(values, groups), mean_over_groups(values * 3, groups * 3)
    assert (once.low, once.high) == (thrice.low, thrice.high)


def test_more_confidence_takes_a_wider_interval():
    values = np.random.default_rng(4).random(50).tolist()
    groups = [str(number) for number in range(50)]
    narrow, wide = mean_over_groups(values, groups, 0.9), mean_over_groups(values, groups, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(InvalidInput, match="no units"):
        mean_over_groups([], [])


@pytest.mark.parametrize(
    ("ours", "theirs", "p"),
    # two tails of Binomial(n, 1/2) by hand: 2 (1 + 5) / 2**5, 2 / 2**6
    [(4, 1, 12 / 32), (1, 4, 12 / 32), (0, 6, 2 / 64), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_looks_at_what_only_one_gets_right(ours, theirs, p):
    first = np.array([True] * 9 + [True] * ours + [False] * theirs)
    second = np.array([True] * 9 + [False] * ours + [True] * theirs)
    assert mcnemar(first, second) == pytest.approx(p)
