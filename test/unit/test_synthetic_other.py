"""Drawn pictures of the kind `other`."""

import numpy as np
import pytest

from bioseg.datasets import synthetic_other


def test_drawn_picture_is_given_by_its_number():
    assert np.array_equal(synthetic_other.draw(12), synthetic_other.draw(12))
    assert not np.array_equal(synthetic_other.draw(12), synthetic_other.draw(12 + len(synthetic_other.PAINTERS)))


@pytest.mark.parametrize("side", [64, 96, 256])
@pytest.mark.parametrize("index", range(2 * len(synthetic_other.PAINTERS)))
def test_drawn_picture_has_the_asked_shape(index, side):
    picture = synthetic_other.draw(index, side)
    assert (picture.shape, picture.dtype) == ((side, side, 3), np.uint8)


def test_drawn_pictures_are_gray_and_coloured():
    gray = [bool((p == p[..., :1]).all()) for p in (synthetic_other.draw(number, 64) for number in range(64))]
    assert 16 < sum(gray) < 48


def test_numbers_of_the_three_parts_are_disjoint():
    fit, choose, score = synthetic_other.FIT, synthetic_other.CHOOSE, synthetic_other.SCORE
    assert fit.stop <= choose.start < choose.stop <= score.start
