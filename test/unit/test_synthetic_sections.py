from collections import Counter

import numpy as np
import pytest

from bioseg.datasets import kinds, synthetic_cells, synthetic_sections


@pytest.mark.parametrize("drawings", [synthetic_sections, synthetic_cells])
class TestMicroscopy:
    def test_a_picture_is_given_by_its_number(self, drawings):
        np.testing.assert_array_equal(drawings.draw(40), drawings.draw(40))
        assert not np.array_equal(drawings.draw(40), drawings.draw(60))

    @pytest.mark.parametrize("side", [64, 256])
    def test_a_picture_is_gray_and_as_large_as_asked(self, drawings, side):
        picture = drawings.draw(3, side)
        assert (picture.shape, picture.dtype) == ((side, side, 3), np.uint8)
        assert (picture == picture[..., :1]).all()


def test_one_drawn_picture_in_twenty_is_a_section_one_shows_cells_and_all_say_so():
    origins = Counter(kinds.origin(number) for number in range(40))
    assert origins == {
        ("synthetic_sections", "membrane EM"): 2,
        ("synthetic_cells", "membrane EM"): 2,
        ("synthetic_other", "other"): 36,
    }
    np.testing.assert_array_equal(kinds.draw(20), synthetic_sections.draw(20))
    np.testing.assert_array_equal(kinds.draw(30), synthetic_cells.draw(30))
