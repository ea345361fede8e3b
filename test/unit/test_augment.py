"""Random views of an image and its mask."""

from dataclasses import fields, replace

import numpy as np
import pytest

from bioseg.datasets.augment import Augmentation, view

STILL = Augmentation(**{field.name: 0.0 for field in fields(Augmentation) if field.name != "outside"})
RNG = np.random.default_rng(4)
GRAY = RNG.standard_normal((16, 16, 1), np.float32)
RGB = RNG.standard_normal((16, 16, 3), np.float32)


def seen(image, target=None, **changes):
    wanted = (image[..., :1] > 0).astype(np.float32) if target is None else target
    return view(image, wanted, 16, replace(STILL, **changes), np.random.default_rng(1))


@pytest.mark.parametrize("image", [GRAY, RGB], ids=["gray", "colour"])
def test_without_any_range_a_view_is_the_image(image):
    found, target = seen(image)
    np.testing.assert_allclose(found, image, atol=1e-5)
    np.testing.assert_array_equal(target, image[..., :1] > 0)


@pytest.mark.parametrize("image", [GRAY, RGB], ids=["gray", "colour"])
def test_every_range_keeps_the_shape(image):
    moved = Augmentation(gamma=0.3, colour=0.1, outside="extended")
    for seed in range(8):
        found, _ = view(image, image[..., :1], 16, moved, np.random.default_rng(seed))
        assert (found.shape, found.dtype) == (image.shape, np.float32)


def test_an_image_and_its_mask_move_together():
    found, target = seen(GRAY, flip_horizontal=1.0)
    np.testing.assert_allclose(found, GRAY[:, ::-1], atol=1e-5)
    np.testing.assert_array_equal(target, GRAY[:, ::-1] > 0)


def test_gamma_keeps_the_darkest_and_the_brightest_place_and_the_order():
    found, _ = seen(GRAY, gamma=0.5)
    np.testing.assert_allclose([found.min(), found.max()], [GRAY.min(), GRAY.max()], atol=1e-5)
    np.testing.assert_array_equal(np.argsort(found, axis=None), np.argsort(GRAY, axis=None))
    assert np.abs(found - GRAY).max() > 0.05


def test_a_constant_image_has_no_gamma():
    blank = np.zeros((16, 16, 1), np.float32)
    np.testing.assert_array_equal(seen(blank, gamma=0.5)[0], blank)


def test_colour_changes_each_channel_for_itself():
    blank = np.zeros((16, 16, 3), np.float32)
    found, _ = seen(blank, colour=0.5)
    assert len(np.unique(found)) == 3


@pytest.mark.parametrize(("outside", "seen_twice"), [("mirrored", True), ("extended", False)])
def test_beyond_the_rim_lies_the_image_mirrored_or_the_rim_extended(outside, seen_twice):
    image = np.zeros((16, 16, 1), np.float32)
    image[:, 2:4] = 1
    shifted = [
        view(image, image, 16, replace(STILL, shift=0.5, outside=outside), np.random.default_rng(n)) for n in range(20)
    ]
    lungs = [np.count_nonzero(np.diff(target[8, :, 0]) > 0) for _, target in shifted]
    assert (max(lungs) > 1) == seen_twice
