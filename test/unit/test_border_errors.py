import numpy as np
import pytest

from bioseg.evaluation.border_errors import border_errors


def walls(*columns):
    boundary = np.zeros((9, 30), bool)
    boundary[:, columns] = True
    return boundary


def test_equal_partitions_have_no_errors():
    merges, splits = border_errors(walls(10, 20), walls(10, 20))
    assert (merges.any(), splits.any()) == (False, False)


def test_a_border_that_is_a_little_off_is_no_error():
    merges, splits = border_errors(walls(11, 12), walls(10))
    assert (merges.any(), splits.any()) == (False, False)


def test_a_missed_border_is_a_false_merge_along_the_true_one():
    merges, splits = border_errors(walls(10), walls(10, 20))
    assert set(np.flatnonzero(merges.any(axis=0))) <= {19, 20, 21}
    assert merges.any(axis=1).all()
    assert not splits.any()


def test_a_border_too_many_is_a_false_split_along_it():
    merges, splits = border_errors(walls(10, 20), walls(10))
    assert set(np.flatnonzero(splits.any(axis=0))) <= {19, 20, 21}
    assert splits.any(axis=1).all()
    assert not merges.any()


def test_one_open_pixel_merges_two_cells():
    leaking = walls(10)
    leaking[4, 10] = False
    assert border_errors(leaking, walls(10)).merges.any()


@pytest.mark.parametrize("filled", [True, False])
def test_a_prediction_without_any_border_merges_all(filled):
    merges, splits = border_errors(np.full((9, 30), filled), walls(10, 20))
    assert merges.any(axis=0).sum() == 4
    assert not splits.any()
