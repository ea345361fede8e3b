import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.segmentation import watershed

from bioseg import metrics
from bioseg.inference.instances import instances

DIAGONAL = np.array([[1, 0], [0, 1]], bool)
MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def membrane(gap=0):
    """Two cells of 10 x 10 pixels, a membrane of 2 pixels between them, with a gap in the middle."""
    mask = np.zeros((10, 22), bool)
    mask[:, 10:12] = True
    mask[5 - gap // 2 : 5 - gap // 2 + gap, 10:12] = False
    return mask


def parted(mask):
    """The cells of a membrane that is certain."""
    return instances(mask.astype(np.float32), mask, "boundary")


@pytest.mark.parametrize(("foreground_is", "things"), [("boundary", 2), ("object", 1)])
def test_regions_between_a_boundary_do_not_join_at_corners_and_objects_do(foreground_is, things):
    assert instances(DIAGONAL.astype(np.float32), DIAGONAL, foreground_is).max() == things


def test_a_membrane_parts_two_cells_and_belongs_to_them():
    labels = parted(membrane())
    assert [set(labels[:, column].tolist()) for column in (0, 9, 12, 21)] == [{1}, {1}, {2}, {2}]
    assert set(np.unique(labels)) == {1, 2}


def test_a_membrane_with_a_gap_does_not():
    assert parted(membrane(gap=1)).max() == 1


def test_cells_meet_where_the_membrane_is_surest_and_not_in_its_middle():
    probability = np.zeros((6, 20), np.float32)
    probability[:, 6:14] = [0.95, 0.99, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65]
    labels = instances(probability, probability > 0.5, "boundary")
    assert [set(labels[:, column].tolist()) for column in (6, 8, 13)] == [{1}, {2}, {2}]


def test_an_image_without_a_membrane_is_one_cell_and_one_of_membrane_alone_holds_none():
    assert (parted(np.zeros((2, 9), bool)) == 1).all()
    assert not parted(np.ones((2, 9), bool)).any()


@settings(deadline=None)
@given(mask=MASKS)
def test_each_cell_is_one_region_with_its_share_of_the_membrane(mask):
    labels = parted(mask)
    regions, count = ndimage.label(~mask)
    homes = set(zip(labels[~mask].tolist(), regions[~mask].tolist(), strict=True))
    assert len(homes) == len({cell for cell, _ in homes}) == count
    assert set(np.unique(labels).tolist()) == (set(range(1, count + 1)) or {0})
    assert [ndimage.label(labels == cell)[1] for cell in range(1, count + 1)] == [1] * count


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 7])
def test_cells_are_those_of_an_independent_watershed(seed):
    rough = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(96, 80)), 2)
    probability = ((rough - rough.min()) / np.ptp(rough)).astype(np.float32)
    mask = probability > 0.5
    expected = watershed(probability, ndimage.label(~mask)[0])
    labels = instances(probability, mask, "boundary")
    assert labels.max() == expected.max() > 10
    # skimage orders steps by the height of their end alone; growth by distance has .67 to .93 here
    assert metrics.v_rand(labels, expected) > 0.98


@settings(deadline=None)
@given(mask=MASKS)
def test_objects_are_those_of_an_independent_labelling_whatever_their_numbers(mask):
    actual = instances(mask.astype(np.float32), mask, "object")
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    pairs = set(zip(expected.ravel().tolist(), actual.ravel().tolist(), strict=True))
    assert (np.uint16, count) == (actual.dtype, actual.max())
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


@pytest.mark.parametrize(("count", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_more_things_than_16_bits_count_take_32(count, dtype):
    mask = np.zeros((512, 512), bool)
    mask[::2, ::2] = np.arange(256 * 256).reshape(256, 256) < count
    labels = instances(mask.astype(np.float32), mask, "object")
    assert (count, dtype) == (labels.max(), labels.dtype)
