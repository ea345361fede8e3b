"""Losses, on values that follow by arithmetic."""

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from bioseg.study import SegmenterRecipe
from bioseg.training.torch_losses import LOSSES, THINNINGS, centreline_dice, focal, loss_of, soft_skeleton


def tensor(*rows):
    return torch.tensor([[list(rows)]])


def bar(width, height=15, length=21):
    """A horizontal bar of ones in the middle of a picture, from rim to rim."""
    picture = torch.zeros(1, 1, height, length)
    first = (height - width) // 2
    picture[:, :, first : first + width] = 1
    return picture


ONES = torch.ones_like(bar(1))


def test_a_recipe_may_name_each_loss():
    assert set(get_args(get_type_hints(SegmenterRecipe)["loss"])) == set(LOSSES)


def test_focal_loss_is_cross_entropy_where_a_pixel_is_wrong_and_little_where_it_is_right():
    probability, truth, weight = tensor([0.5, 0.9]), tensor([1.0, 1.0]), tensor([1.0, 3.0])
    expected = (0.25 * np.log(2) - 3 * 0.01 * np.log(0.9)) / 4
    assert focal(probability, truth, weight).item() == pytest.approx(expected, rel=1e-5)


def test_the_skeleton_of_a_bar_is_its_middle_line():
    skeleton = soft_skeleton(bar(5))[0, 0, :, 3:-3]
    np.testing.assert_array_equal(skeleton, bar(1)[0, 0, :, 3:-3])


def test_a_bar_wider_than_the_thinnings_reach_has_no_middle_line():
    assert soft_skeleton(bar(2 * THINNINGS + 3, height=31)).sum() == 0


def test_a_membrane_of_another_width_in_its_place_is_right_to_centreline_dice():
    assert centreline_dice(bar(5), bar(3), ONES).item() == pytest.approx(0, abs=1e-6)


def test_a_gap_costs_centreline_dice_its_share_of_the_line():
    broken = bar(3)
    broken[..., 6:15] = 0
    whole, gap = 21, 9
    sensitivity = (whole - gap + 1) / (whole + 1)
    expected = 1 - 2 * sensitivity / (1 + sensitivity)
    assert centreline_dice(broken, bar(3), ONES).item() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_falls_towards_the_truth_and_can_be_followed_down(name):
    target = torch.cat([bar(3), ONES], dim=1)
    losses = []
    for share in (0.2, 0.8):
        probability = (share * bar(3) + (1 - share) * 0.5).requires_grad_()
        loss = loss_of(probability, target, name)
        loss.backward()
        assert probability.grad.isfinite().all()
        losses.append(loss.item())
    assert losses[1] < losses[0]


def test_the_sum_with_centreline_dice_halves_both_dice_losses():
    probability, truth = 0.7 * bar(3) + 0.1, bar(3)
    parts = {name: LOSSES[name](probability, truth, ONES).item() for name in ("bce", "dice", "bce+cldice")}
    halves = (parts["dice"] + centreline_dice(probability, truth, ONES).item()) / 2
    assert parts["bce+cldice"] == pytest.approx(parts["bce"] + halves, rel=1e-5)
