import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from bioseg.inference.instances import instances

DIAGONAL = np.array([[1, 0], [0, 1]], bool)


@pytest.mark.parametrize(("foreground_is", "things"), [("boundary", 2), ("object", 1)])
def test_regions_between_a_boundary_do_not_join_at_corners_and_objects_do(foreground_is, things):
    assert instances(DIAGONAL, foreground_is).max() == things


def test_a_membrane_parts_two_cells():
    mask = np.zeros((5, 7), bool)
    mask[:, 3] = True

    labels = instances(mask, "boundary")

    assert [set(labels[:, column]) for column in (0, 3, 6)] == [{1}, {0}, {2}]


@given(
    mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)),
    foreground_is=st.sampled_from(["boundary", "object"]),
)
def test_the_things_are_those_of_an_independent_labelling_whatever_their_numbers(mask, foreground_is):
    actual = instances(mask, foreground_is)
    expected, count = ndimage.label(~mask) if foreground_is == "boundary" else ndimage.label(mask, np.ones((3, 3)))
    pairs = set(zip(expected.ravel().tolist(), actual.ravel().tolist(), strict=True))
    assert (np.uint16, count) == (actual.dtype, actual.max())
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


@pytest.mark.parametrize(("count", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_more_things_than_16_bits_count_take_32(count, dtype):
    mask = np.zeros((512, 512), bool)
    mask[::2, ::2] = np.arange(256 * 256).reshape(256, 256) < count
    labels = instances(mask, "object")
    assert (count, dtype) == (labels.max(), labels.dtype)
