import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from bioseg.inference.instances import instances

DIAGONAL = np.array([[1, 0], [0, 1]], bool)
MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def membrane(gap=0):
    """Two cells of 10 x 10 pixels, a membrane of 2 pixels between them, with a gap in the middle."""
    mask = np.zeros((10, 22), bool)
    mask[:, 10:12] = True
    mask[5 - gap // 2 : 5 - gap // 2 + gap, 10:12] = False
    return mask


@pytest.mark.parametrize(("foreground_is", "things"), [("boundary", 2), ("object", 1)])
def test_regions_between_a_boundary_do_not_join_at_corners_and_objects_do(foreground_is, things):
    assert instances(DIAGONAL, foreground_is).max() == things


def test_a_membrane_parts_two_cells():
    labels = instances(membrane(), "boundary")
    assert [set(labels[:, column].tolist()) for column in (0, 9, 10, 12, 21)] == [{1}, {1}, {0}, {2}, {2}]


def test_a_narrow_gap_in_a_membrane_joins_no_cells():
    labels = instances(membrane(gap=2), "boundary")
    assert [set(labels[:, column].tolist()) for column in (0, 8, 13, 21)] == [{1}, {1}, {2}, {2}]


def test_a_wide_gap_does():
    assert instances(membrane(gap=6), "boundary").max() == 1


def test_a_cell_that_is_narrow_all_along_is_one_thing():
    mask = np.ones((5, 9), bool)
    mask[2, 1:8] = False
    np.testing.assert_array_equal(instances(mask, "boundary"), ~mask)


def test_the_rim_of_the_image_is_no_boundary():
    mask = np.zeros((2, 9), bool)
    np.testing.assert_array_equal(instances(mask, "boundary"), np.ones((2, 9)))


@settings(deadline=None)
@given(mask=MASKS)
def test_objects_are_those_of_an_independent_labelling_whatever_their_numbers(mask):
    actual = instances(mask, "object")
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    pairs = set(zip(expected.ravel().tolist(), actual.ravel().tolist(), strict=True))
    assert (np.uint16, count) == (actual.dtype, actual.max())
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


@settings(deadline=None)
@given(mask=MASKS)
def test_each_region_is_parted_among_things_of_its_own(mask):
    labels = instances(mask, "boundary")
    regions, count = ndimage.label(~mask)
    homes = set(zip(labels[labels > 0], regions[labels > 0], strict=True))
    assert sorted({int(thing) for thing, _ in homes}) == list(range(1, labels.max(initial=0) + 1))
    assert len(homes) == labels.max(initial=0)
    assert {int(region) for _, region in homes} == set(range(1, count + 1))
    assert not labels[mask].any()


@pytest.mark.parametrize(("count", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_more_things_than_16_bits_count_take_32(count, dtype):
    mask = np.zeros((512, 512), bool)
    mask[::2, ::2] = np.arange(256 * 256).reshape(256, 256) < count
    labels = instances(mask, "object")
    assert (count, dtype) == (labels.max(), labels.dtype)
