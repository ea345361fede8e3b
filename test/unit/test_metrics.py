"""Scores against values worked out by hand, brute force, identities and simulations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bioseg import metrics
from bioseg.errors import InvalidInput
from bioseg.metrics import Counts, Interval

TINY = (3, 4)
masks = arrays(np.bool_, TINY)
partitions = arrays(np.int64, TINY, elements=st.integers(1, 4))
truths = arrays(np.int64, TINY, elements=st.integers(0, 3)).filter(np.any)

EMPTY = np.zeros(TINY, bool)
FULL = np.ones(TINY, bool)
HALVES = np.array([[1, 1, 2, 2]] * 4)
WHOLE = np.ones((4, 4), int)
QUARTERS = np.array([[1, 1, 2, 2]] * 2 + [[3, 3, 4, 4]] * 2)


def simulated_logits(temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 3) whose true classes were drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 4, (n, 3))
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


class TestOverlap:
    def test_counts_each_outcome(self):
        predicted, truth = np.array([[1, 1, 1, 0, 0, 0]], bool), np.array([[1, 1, 0, 1, 0, 0]], bool)
        assert metrics.confusion_counts(predicted, truth) == Counts(2, 1, 1, 2)

    def test_scores_follow_from_counts(self):
        counts = Counts(true_positive=6, false_positive=2, false_negative=4, true_negative=8)
        scores = (counts.dice, counts.iou, counts.precision, counts.recall, counts.accuracy)
        assert scores == (12 / 18, 6 / 12, 6 / 8, 6 / 10, 14 / 20)

    @pytest.mark.parametrize("score", ["dice", "iou", "precision", "recall", "accuracy"])
    def test_two_empty_masks_agree_perfectly(self, score):
        assert getattr(metrics.confusion_counts(EMPTY, EMPTY), score) == 1.0

    def test_empty_prediction_of_something_has_no_precision(self):
        assert metrics.confusion_counts(EMPTY, FULL).precision == 0.0

    def test_prediction_where_nothing_is_has_no_recall(self):
        assert metrics.confusion_counts(FULL, EMPTY).recall == 0.0

    @given(masks, masks)
    def test_jaccard_is_dice_over_two_minus_dice(self, predicted, truth):
        counts = metrics.confusion_counts(predicted, truth)
        assert counts.iou == pytest.approx(counts.dice / (2 - counts.dice))

    @given(masks, masks)
    def test_dice_is_harmonic_mean_of_precision_and_recall(self, predicted, truth):
        counts = metrics.confusion_counts(predicted, truth)
        total = counts.precision + counts.recall
        assert counts.dice == pytest.approx(2 * counts.precision * counts.recall / total if total else 0.0)

    @given(masks, masks)
    def test_exchanging_masks_exchanges_precision_and_recall(self, predicted, truth):
        forth, back = metrics.confusion_counts(predicted, truth), metrics.confusion_counts(truth, predicted)
        assert (forth.precision, forth.recall, forth.dice) == (back.recall, back.precision, back.dice)

    def test_shapes_must_agree(self):
        with pytest.raises(InvalidInput, match=r"\(3, 4\) and \(4, 3\)"):
            metrics.confusion_counts(EMPTY, EMPTY.T)

    def test_mask_of_bytes_is_refused(self):
        with pytest.raises(InvalidInput, match="uint8"):
            metrics.confusion_counts(EMPTY.astype(np.uint8), EMPTY)


class TestClasses:
    def test_table_has_truth_in_rows(self):
        table = metrics.confusion_table(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1]), 3)
        assert table.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]

    def test_table_refuses_unknown_class(self):
        with pytest.raises(InvalidInput, match=r"\[0, 1\]"):
            metrics.confusion_table(np.array([0, 2]), np.array([0, 1]), 2)


class TestRegions:
    def test_components_grow_to_the_middle(self):
        interior = np.array([[1, 0, 0, 0, 0, 1]] * 3, bool)
        assert metrics.regions(interior).tolist() == [[1, 1, 1, 2, 2, 2]] * 3

    def test_diagonal_neighbours_are_separate(self):
        assert metrics.regions(np.eye(2, dtype=bool)).max() == 2

    def test_no_interior_is_one_region(self):
        assert metrics.regions(EMPTY).tolist() == np.ones(TINY).tolist()

    @given(masks)
    def test_no_background_is_left(self, interior):
        assert metrics.regions(interior).min() == 1

    @given(masks.filter(np.any))
    def test_every_pixel_joins_a_nearest_component(self, interior):
        grown, seeds = metrics.regions(interior), np.argwhere(interior)
        for pixel in np.ndindex(TINY):
            distances = ((seeds - pixel) ** 2).sum(axis=1)
            nearest = {grown[tuple(seed)] for seed in seeds[distances == distances.min()]}
            assert grown[pixel] in nearest


class TestPartitionScores:
    """p, s and t below are the shares in the definition of V_rand."""

    @pytest.mark.parametrize("score", [metrics.v_rand, metrics.v_info])
    def test_equal_partitions_are_perfect_whatever_their_labels(self, score):
        assert score(9 - QUARTERS, QUARTERS) == pytest.approx(1, abs=1e-12)

    def test_rand_of_a_split(self):
        # p = s = (1/2, 1/2), t = 1
        assert metrics.v_rand(HALVES, WHOLE) == pytest.approx((1 / 2) / (0.5 * 1 / 2 + 0.5))

    def test_rand_of_a_merge(self):
        assert metrics.v_rand(WHOLE, HALVES) == pytest.approx(2 / 3)

    def test_info_of_a_split_of_one_cell_is_zero(self):
        assert metrics.v_info(HALVES, WHOLE) == pytest.approx(0, abs=1e-12)

    def test_info_of_halves_against_quarters(self):
        # I = 1 bit, H = 1 and 2 bits
        assert metrics.v_info(HALVES, QUARTERS) == pytest.approx(2 / 3)

    def test_three_by_three_example(self):
        predicted = np.array([[1, 1, 2], [1, 1, 2], [1, 2, 2]])
        truth = np.array([[1, 0, 2], [1, 0, 2], [1, 1, 2]])
        # seven pixels count: pairs (1,1) 3, (2,1) 1, (2,2) 3; s = 3, 4; t = 4, 3
        mutual = sum(n / 7 * math.log(7 * n / (s * t)) for n, s, t in [(3, 3, 4), (1, 4, 4), (3, 4, 3)])
        entropy = -(3 / 7 * math.log(3 / 7) + 4 / 7 * math.log(4 / 7))
        scores = (metrics.v_rand(predicted, truth), metrics.v_info(predicted, truth))
        assert scores == pytest.approx((19 / 25, mutual / entropy))

    def test_single_regions_carry_full_information(self):
        assert metrics.v_info(WHOLE, WHOLE) == 1.0

    def test_background_of_the_truth_does_not_count(self):
        truth = np.where(HALVES == 1, 1, 0)
        assert (metrics.v_rand(HALVES, truth), metrics.v_info(HALVES, truth)) == (1.0, 1.0)

    def test_background_of_the_prediction_counts_as_a_region(self):
        assert metrics.v_rand(HALVES - 1, WHOLE) == metrics.v_rand(HALVES, WHOLE)

    @given(partitions, truths)
    def test_rand_equals_brute_force_over_pairs_of_pixels(self, predicted, truth):
        s, t = predicted[truth > 0], truth[truth > 0]
        # all ordered pairs of foreground pixels, a pixel with itself too: together in S, in T, in both
        in_s, in_t = s[:, None] == s, t[:, None] == t
        expected = (in_s & in_t).sum() / (0.5 * in_s.sum() + 0.5 * in_t.sum())
        assert metrics.v_rand(predicted, truth) == pytest.approx(expected)

    @given(partitions, partitions)
    def test_exchange_changes_nothing_without_background(self, one, other):
        forth = (metrics.v_rand(one, other), metrics.v_info(one, other))
        assert forth == pytest.approx((metrics.v_rand(other, one), metrics.v_info(other, one)))

    @given(partitions, truths)
    def test_scores_stay_in_range(self, predicted, truth):
        rand, info = metrics.v_rand(predicted, truth), metrics.v_info(predicted, truth)
        assert 0 < rand <= 1
        assert 0 <= info <= 1

    @given(partitions, truths)
    def test_rand_is_perfect_only_for_equal_partitions(self, predicted, truth):
        s, t = predicted[truth > 0], truth[truth > 0]
        equal = bool(((s[:, None] == s) == (t[:, None] == t)).all())
        assert (metrics.v_rand(predicted, truth) > 1 - 1e-9) == equal

    def test_truth_without_foreground_is_refused(self):
        with pytest.raises(InvalidInput, match="foreground"):
            metrics.v_rand(WHOLE, np.zeros((4, 4), int))

    def test_negative_label_is_refused(self):
        with pytest.raises(InvalidInput, match="-1"):
            metrics.v_info(-WHOLE, WHOLE)


class TestThresholds:
    # two cells of 4 x 3 pixels; the membrane between them is faint in its middle rows
    TRUTH = np.array([[1, 1, 1, 0, 1, 1, 1]] * 4, bool)
    MEMBRANE = np.where(TRUTH, 0.1, np.array([[0.9], [0.4], [0.4], [0.9]]))

    def test_weak_membrane_merges_below_its_threshold_only(self):
        scores = metrics.rand_and_info(self.MEMBRANE, self.TRUTH, [0.5, 0.7])
        np.testing.assert_allclose(scores, [[2 / 3, 0], [1, 1]], atol=1e-12)

    def test_nothing_interior_scores_as_one_region(self):
        scores = metrics.rand_and_info(np.ones(self.TRUTH.shape), self.TRUTH, [0.5])
        np.testing.assert_allclose(scores, [[2 / 3, 0]], atol=1e-12)

    def test_threshold_is_exclusive(self):
        scores = metrics.rand_and_info(np.where(self.TRUTH, 0.0, 0.5), self.TRUTH, [0.5])
        np.testing.assert_allclose(scores, [[1, 1]])

    def test_no_thresholds_no_rows(self):
        assert metrics.rand_and_info(self.MEMBRANE, self.TRUTH, []).shape == (0, 2)

    @pytest.mark.parametrize("bad", [1.5, math.nan])
    def test_values_that_are_no_probabilities_are_refused(self, bad):
        with pytest.raises(InvalidInput, match="membrane probabilities"):
            metrics.rand_and_info(np.where(self.TRUTH, 0.0, bad), self.TRUTH, [0.5])


class TestCalibration:
    def test_error_weighs_bins_by_samples(self):
        probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
        # bin of .9: 2 of 3 right; bin of .6: none right
        expected = (3 * abs(0.9 - 2 / 3) + 0.6) / 4
        assert metrics.expected_calibration_error(probabilities, np.array([0, 0, 1, 0])) == pytest.approx(expected)

    def test_gaps_of_opposite_sign_cancel_within_a_bin_only(self):
        probabilities, labels = np.array([[0.6, 0.4], [0.9, 0.1]]), np.array([0, 1])
        fine, coarse = (metrics.expected_calibration_error(probabilities, labels, bins) for bins in (15, 1))
        assert (fine, coarse) == pytest.approx(((0.4 + 0.9) / 2, 0.25))

    def test_upper_edge_belongs_to_its_bin(self):
        probabilities, labels = np.array([[0.5, 0.5], [0.6, 0.4]]), np.array([1, 0])
        assert metrics.expected_calibration_error(probabilities, labels, 2) == pytest.approx((0.5 + 0.4) / 2)

    def test_certain_and_right_is_calibrated(self):
        assert metrics.expected_calibration_error(np.eye(3), np.arange(3)) == 0.0

    def test_probability_rounded_above_one_is_taken(self):
        assert metrics.expected_calibration_error(np.eye(2, dtype=np.float32) * 1.0000001, np.arange(2)) < 1e-6

    def test_likelihood_of_equal_logits_is_log_of_classes(self):
        assert metrics.negative_log_likelihood(np.zeros((5, 4)), np.arange(5) % 4) == pytest.approx(math.log(4))

    def test_likelihood_of_extreme_logits_is_finite(self):
        assert metrics.negative_log_likelihood(np.array([[1000.0, 0.0]]), np.array([1])) == 1000.0

    def test_temperature_divides_logits(self):
        logits, labels = np.array([[2.0, 0.0]]), np.array([0])
        assert metrics.negative_log_likelihood(logits, labels, 2) == pytest.approx(math.log(1 + math.exp(-1)))

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
    def test_fit_recovers_the_temperature_of_a_simulation(self, temperature):
        assert metrics.fit_temperature(*simulated_logits(temperature)) == pytest.approx(temperature, rel=0.05)

    def test_fitted_temperature_calibrates(self):
        logits, labels = simulated_logits(3.0)
        scaled = logits / metrics.fit_temperature(logits, labels)
        probabilities = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
        assert metrics.expected_calibration_error(probabilities, labels) < 0.015

    def test_faultless_logits_go_to_the_lower_limit(self):
        assert metrics.fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(0.05, rel=0.01)

    @pytest.mark.parametrize(
        ("logits", "labels"),
        [(np.zeros((2, 3)), np.zeros(3, int)), (np.zeros((1, 3)), np.array([3])), (np.zeros((0, 3)), np.zeros(0, int))],
    )
    def test_labels_must_match_logits(self, logits, labels):
        with pytest.raises(InvalidInput):
            metrics.fit_temperature(logits, labels)

    def test_infinite_logit_is_refused(self):
        with pytest.raises(InvalidInput, match="NaN or infinity"):
            metrics.fit_temperature(np.array([[math.inf, 0.0]]), np.array([0]))

    def test_temperature_must_be_positive(self):
        with pytest.raises(InvalidInput, match="temperature 0"):
            metrics.negative_log_likelihood(np.zeros((1, 2)), np.array([0]), 0)


class TestIntervals:
    def test_five_values_use_the_t_quantile_of_four_degrees(self):
        interval = metrics.mean_interval([1, 2, 3, 4, 5])
        half = 2.7764451051977987 * math.sqrt(2.5 / 5)
        assert (interval.low, interval.high) == pytest.approx((3 - half, 3 + half))

    def test_interval_says_n_and_method(self):
        interval = metrics.mean_interval([1, 2, 3])
        assert (interval.mean, interval.n, interval.method) == (2.0, 3, "Student t")

    def test_more_confidence_is_wider(self):
        half = metrics.mean_interval([1, 2, 3, 4, 5], confidence=0.99).high - 3
        assert half == pytest.approx(4.604094871415897 * math.sqrt(2.5 / 5))

    def test_bounds_clip(self):
        interval = metrics.mean_interval([0.0, 1.0], bounds=(0, 1))
        assert (interval.low, interval.high) == (0, 1)

    def test_one_value_leaves_the_whole_range(self):
        expected = Interval(0.9, 0, 1, 1, "one value: the whole range")
        assert metrics.mean_interval([0.9], bounds=(0, 1)) == expected

    def test_wilson_matches_published_example(self):
        # Newcombe, Statistics in Medicine 1998: 81 of 263
        interval = metrics.wilson(81, 263)
        assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)

    def test_wilson_without_failures_stays_below_certainty(self):
        interval = metrics.wilson(20, 20)
        assert (round(interval.low, 4), interval.high) == (0.8389, 1.0)

    @given(st.integers(1, 200), st.data())
    def test_wilson_holds_the_share_and_mirrors(self, n, data):
        hits = data.draw(st.integers(0, n))
        interval, mirror = metrics.wilson(hits, n), metrics.wilson(n - hits, n)
        assert 0 <= interval.low <= interval.mean + 1e-12
        assert interval.low == pytest.approx(1 - mirror.high, abs=1e-12)

    def test_t_interval_of_five_covers_at_its_confidence(self):
        samples = np.random.default_rng(3).normal(0.5, 0.1, (3000, 5))
        intervals = [metrics.mean_interval(sample) for sample in samples]
        assert np.mean([i.low <= 0.5 <= i.high for i in intervals]) == pytest.approx(0.95, abs=0.012)

    @pytest.mark.parametrize("values", [[], [math.nan, 1.0]])
    def test_values_that_give_no_mean_are_refused(self, values):
        with pytest.raises(InvalidInput, match="values"):
            metrics.mean_interval(values)

    @pytest.mark.parametrize("confidence", [0, 1, 95])
    def test_confidence_is_a_share(self, confidence):
        with pytest.raises(InvalidInput, match="confidence"):
            metrics.mean_interval([1, 2], confidence)

    @pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
    def test_wilson_refuses_impossible_counts(self, successes, n):
        with pytest.raises(InvalidInput, match="trials"):
            metrics.wilson(successes, n)


def test_reliability_counts_sums_and_hits_by_bin():
    probability = np.array([[0.1, 0.5], [0.6, 0.9]])
    truth = np.array([[False, True], [False, True]])
    np.testing.assert_allclose(metrics.reliability(probability, truth, bins=2), [[2, 0.6, 1], [2, 1.5, 1]])


def test_reliability_of_certain_pixels_is_in_the_outer_bins():
    table = metrics.reliability(np.array([0.0, 1.0]), np.array([False, True]), bins=4)
    assert table[:, 0].tolist() == [1, 0, 0, 1]


def test_the_characteristic_of_a_perfect_score_goes_by_the_corner():
    corners = metrics.roc(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False]))
    assert corners.tolist() == [[0, 0], [0, 1], [1, 1]]


def test_a_wrong_order_cuts_the_corner_of_the_characteristic():
    corners = metrics.roc(np.array([0.1, 0.9, 0.8, 0.2]), np.array([True, True, False, False]))
    assert corners.tolist() == [[0, 0], [0, 0.5], [1, 0.5], [1, 1]]


def test_equal_scores_pass_together():
    corners = metrics.roc(np.array([0.5, 0.5, 0.5, 0.5]), np.array([True, False, True, False]))
    assert corners.tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("positive", [True, False])
def test_a_characteristic_takes_both_sides(positive):
    with pytest.raises(InvalidInput, match=r"no (positives|negatives)"):
        metrics.roc(np.array([0.5, 0.6]), np.full(2, positive))
