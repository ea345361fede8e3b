import numpy as np
import pytest

from bioseg.training.borders import closeness


def walls(*columns, shape=(7, 40)):
    boundary = np.zeros(shape, bool)
    boundary[:, columns] = True
    return boundary


def test_the_middle_of_a_wall_three_pixels_wide_is_two_pixels_from_either_region():
    near = closeness(walls(19, 20, 21), width=5.0)
    assert near[3, 20] == pytest.approx(np.exp(-(4**2) / (2 * 5**2)), rel=1e-6)


def test_a_thin_wall_counts_more_than_a_thick_one():
    near = closeness(walls(10, 26, 27, 28, 29, 30), width=5.0)
    assert near[3, 10] > near[3, 28] > 0


def test_regions_themselves_do_not_count():
    boundary = walls(10, 20)
    np.testing.assert_array_equal(closeness(boundary, width=5.0)[~boundary], 0)


def test_what_parts_no_two_regions_does_not_count():
    speck = np.zeros((16, 16), bool)
    speck[8, 8] = True
    np.testing.assert_array_equal(closeness(speck, width=5.0), 0)


def test_a_region_beyond_four_widths_does_not_count():
    assert closeness(walls(*range(10, 30)), width=2.0)[3, 10] == 0


@pytest.mark.parametrize("filled", [True, False])
def test_one_value_everywhere_parts_nothing(filled):
    np.testing.assert_array_equal(closeness(np.full((8, 8), filled), width=5.0), 0)
