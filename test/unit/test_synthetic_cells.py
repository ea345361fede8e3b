import numpy as np
import pytest

from bioseg.datasets import synthetic_cells


def test_drawn_cells_are_given_by_their_number():
    np.testing.assert_array_equal(synthetic_cells.draw(10), synthetic_cells.draw(10))
    assert not np.array_equal(synthetic_cells.draw(10), synthetic_cells.draw(30))


@pytest.mark.parametrize("side", [64, 256])
def test_a_picture_of_cells_is_gray_and_as_large_as_asked(side):
    picture = synthetic_cells.draw(3, side)
    assert (picture.shape, picture.dtype) == ((side, side, 3), np.uint8)
    assert (picture == picture[..., :1]).all()


@pytest.mark.parametrize("index", range(10, 250, 20))
def test_resin_is_the_brightest_and_cells_are_there(index):
    gray = synthetic_cells.draw(index).astype(float)[..., 0].reshape(32, 8, 32, 8).mean(axis=(1, 3))
    resin = np.percentile(gray, 95)
    assert resin > 120
    # a hundredth of the picture and more lies well below it
    assert np.mean(gray < resin - 15) > 0.01
