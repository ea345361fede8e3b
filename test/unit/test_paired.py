"""Paired differences on numbers that can be followed by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bioseg.errors import InvalidInput
from bioseg.policy.paired import Unit, compare_hits, compare_scores, median_interval

SCORES = st.floats(0, 1)
UNITS = st.lists(st.tuples(st.integers(0, 5), SCORES, SCORES), min_size=1, max_size=40).map(
    lambda rows: [Unit(str(number), str(cluster), *scores) for number, (cluster, *scores) in enumerate(rows)]
)


def units(*differences: float, champion: float = 0.5) -> list[Unit]:
    """A unit and cluster of its own for each difference."""
    return [Unit(f"unit {n}", f"cluster {n}", champion, champion + each) for n, each in enumerate(differences)]


def hits(better: int, worse: int, same: int) -> list[Unit]:
    """Images that the candidate alone, the champion alone, and both got right."""
    rows = [(0.0, 1.0)] * better + [(1.0, 0.0)] * worse + [(1.0, 1.0)] * same
    return [Unit(str(number), str(number), *row) for number, row in enumerate(rows)]


def mirrored(rows: list[Unit]) -> list[Unit]:
    """The same with the two versions exchanged."""
    return [Unit(row.name, row.cluster, row.candidate, row.champion) for row in rows]


def test_the_interval_is_students_over_the_clusters():
    found = compare_scores(units(0.1, 0.2, 0.3))
    half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert pytest.approx((0.2, 0.2 - half, 0.2 + half)) == (found.mean, found.low, found.high)


def test_units_of_one_cluster_count_once():
    rows = [Unit(str(n), "a", 0.0, 0.1) for n in range(100)] + [Unit("b", "b", 0.0, 0.3)]
    found = compare_scores(rows)
    assert (pytest.approx(0.2), 101, 2) == (found.mean, found.units, found.clusters)


def test_more_units_of_the_same_clusters_prove_no_more():
    rows = units(0.1, 0.2, 0.3)
    assert compare_scores(rows).low == pytest.approx(compare_scores(rows * 50).low)


def test_one_cluster_tells_nothing_of_the_spread():
    found = compare_scores([Unit("a", "one", 0.2, 0.9), Unit("b", "one", 0.2, 0.8)])
    assert (-1.0, 1.0, None) == (found.low, found.high, found.detectable)


def test_a_version_against_itself_differs_nowhere():
    found = compare_scores(units(0.0, 0.0, 0.0))
    assert (0.0, 0.0) == (found.low, found.high)


def test_fewer_than_ten_clusters_are_listed():
    assert {"cluster 0": pytest.approx(0.1), "cluster 1": pytest.approx(0.2)} == compare_scores(units(0.1, 0.2)).values


def test_ten_clusters_are_not_listed():
    assert {} == compare_scores(units(*[0.1] * 10)).values


def test_no_units_are_no_comparison():
    with pytest.raises(InvalidInput, match="no units"):
        compare_scores([])


@pytest.mark.parametrize("compare", [compare_scores, compare_hits])
@given(rows=UNITS)
def test_exchanged_versions_mirror_the_interval(compare, rows):
    found, mirror = compare(rows), compare(mirrored(rows))
    assert pytest.approx((-found.high, -found.low), abs=1e-12) == (mirror.low, mirror.high)


@pytest.mark.parametrize("compare", [compare_scores, compare_hits])
@given(rows=UNITS)
def test_the_interval_stays_where_differences_can_lie(compare, rows):
    found = compare(rows)
    assert -1 <= found.low <= found.high <= 1


def test_a_difference_of_the_detectable_size_is_told_in_four_of_five():
    rng = np.random.default_rng(3)
    rows = units(*rng.normal(0, 0.02, 5))
    spread = np.std([row.difference for row in rows], ddof=1)
    size = compare_scores(rows).detectable
    drawn = rng.normal(size, spread, (4000, 5))
    told = drawn.mean(axis=1) > stats.t.ppf(0.975, 4) * drawn.std(axis=1, ddof=1) / math.sqrt(5)
    assert 0.75 <= told.mean() <= 0.85


def test_four_images_won_and_none_lost_prove_nothing():
    # the sign test gives 2 * 0.5**4 = 0.125; a plain t interval would exclude 0
    assert compare_scores(hits(4, 0, 596)).low > 0 > compare_hits(hits(4, 0, 596)).low


def test_ten_images_won_and_none_lost_prove_it():
    assert compare_hits(hits(10, 0, 590)).low > 0


def test_images_that_both_get_right_leave_room_for_a_difference():
    found = compare_hits(hits(0, 0, 600))
    half = stats.t.ppf(0.975, 599) * math.sqrt(1 / 602) / math.sqrt(602)
    assert pytest.approx((-half, half)) == (found.low, found.high)


def test_equal_classifiers_are_told_apart_in_at_most_one_of_twenty():
    rng = np.random.default_rng(5)
    told = 0
    for better in rng.binomial(10, 0.5, 2000):
        found = compare_hits(hits(int(better), 10 - int(better), 90))
        told += found.low > 0 or found.high < 0
    assert told / 2000 <= 0.05


def test_the_median_lies_between_order_statistics():
    found = median_interval(range(1, 17))
    # P(Binomial(16, 1/2) < 4) = 0.0106, P(... < 5) = 0.0384
    assert (8.5, 4.0, 13.0, 16) == (found.mean, found.low, found.high, found.n)


def test_under_six_values_the_median_may_lie_anywhere():
    found = median_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (-math.inf, math.inf) == (found.low, found.high)


def test_one_wild_value_moves_no_median():
    assert 13.0 == median_interval([*range(1, 16), 1e9]).high


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf]])
def test_the_median_of_no_numbers_is_undefined(values):
    with pytest.raises(InvalidInput, match="undefined"):
        median_interval(values)
