from dataclasses import replace

import numpy as np
import pytest
import torch

from bioseg.errors import InvalidInput
from bioseg.study import SegmenterRecipe
from bioseg.training import torch_segmenter
from bioseg.training.torch_learner import Learner
from bioseg.training.torch_losses import loss_of

RECIPE = SegmenterRecipe(framework="torch", filters=(2, 4), averaging=0.5)
RNG = np.random.default_rng(5)
IMAGE = RNG.standard_normal((2, 1, 8, 8), np.float32)
TARGET = np.stack([IMAGE[:, 0] > 0, np.ones((2, 8, 8))], axis=1).astype(np.float32)


def learner(recipe=RECIPE, seed=1):
    start = torch_segmenter.built(recipe, seed).get_weights()
    return Learner(torch_segmenter.learnable(recipe, start), recipe)


def taught(own, steps, rate=1e-2):
    return [own.learn(IMAGE, TARGET, rate) for _ in range(steps)]


def tensor(*rows):
    return torch.tensor([[list(rows)]])


def test_the_loss_falls():
    losses = taught(learner(), 20)
    assert losses[-1] < 0.9 * losses[0]


def test_cross_entropy_is_a_weighted_mean():
    probability, truth, weight = tensor([0.5, 0.25]), tensor([1.0, 0.0]), tensor([3.0, 1.0])
    expected = (3 * np.log(2) + np.log(4 / 3)) / 4
    assert loss_of(probability, torch.cat([truth, weight], dim=1), "bce").item() == pytest.approx(expected)


def test_the_dice_loss_knows_no_weights_and_can_be_added():
    probability, truth, weight = tensor([0.5, 0.25]), tensor([1.0, 0.0]), tensor([3.0, 1.0])
    target = torch.cat([truth, weight], dim=1)
    alone = 1 - (2 * 0.5 + 1) / (1 + 0.75 + 1)
    added = loss_of(probability, target, "bce+dice") - loss_of(probability, target, "bce")
    assert [loss_of(probability, target, "dice").item(), added.item()] == pytest.approx([alone, alone])


def test_the_first_step_is_in_the_average_by_ten_in_eleven():
    own = learner(replace(RECIPE, averaging=0.999))
    start = own.averaged()[0].copy()
    taught(own, 1)
    end = own._weights[next(iter(own._weights))].detach().numpy()
    np.testing.assert_allclose(own.averaged()[0], start / 11 + end * 10 / 11, rtol=1e-5)


def test_without_averaging_the_average_is_the_last_weight():
    own = learner(replace(RECIPE, averaging=0.0))
    taught(own, 3)
    np.testing.assert_array_equal(own.averaged()[0], own._weights[next(iter(own._weights))].detach().numpy())


def test_a_saved_fit_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole, first, second = learner(), learner(), learner(seed=2)
    expected = taught(whole, 6)[-1]
    taught(first, 3)
    first.save(tmp_path / "last.safetensors", {"seed": "1"}, {"done": ".5"})
    assert second.restore(tmp_path / "last.safetensors", {"seed": "1"}) == {"done": ".5"}
    assert second.steps == 3
    assert taught(second, 3)[-1] == expected
    for one, other in zip(whole.averaged(), second.averaged(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_file_of_another_fit_is_refused(tmp_path):
    own = learner()
    taught(own, 1)
    own.save(tmp_path / "last.safetensors", {"seed": "1"}, {})
    with pytest.raises(InvalidInput, match=r"last\.safetensors is of a fit with other settings or data"):
        learner().restore(tmp_path / "last.safetensors", {"seed": "2"})


def test_without_a_file_a_fit_begins_at_the_beginning(tmp_path):
    own = learner()
    assert own.restore(tmp_path / "last.safetensors", {"seed": "1"}) == {}
    assert own.steps == 0


def test_a_file_is_replaced_whole(tmp_path):
    own = learner()
    taught(own, 1)
    for _ in range(2):
        own.save(tmp_path / "last.safetensors", {}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]
