import numpy as np
import pytest

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
