import numpy as np
import pytest

from bioseg.datasets import kinds, synthetic_sections


def test_a_drawn_section_is_given_by_its_number():
    np.testing.assert_array_equal(synthetic_sections.draw(40), synthetic_sections.draw(40))
    assert not np.array_equal(synthetic_sections.draw(40), synthetic_sections.draw(60))


@pytest.mark.parametrize("side", [64, 256])
def test_a_drawn_section_is_gray_and_as_large_as_asked(side):
    picture = synthetic_sections.draw(3, side)
    assert (picture.shape, picture.dtype) == ((side, side, 3), np.uint8)
    assert (picture == picture[..., :1]).all()


def test_one_drawn_picture_in_twenty_is_a_section_and_says_so():
    origins = [kinds.origin(number) for number in range(40)]
    assert origins.count(("synthetic_sections", "membrane EM")) == 2
    assert set(origins) == {("synthetic_sections", "membrane EM"), ("synthetic_other", "other")}
    np.testing.assert_array_equal(kinds.draw(20), synthetic_sections.draw(20))
