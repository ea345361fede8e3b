from dataclasses import replace

import numpy as np
import pytest

from bioseg.datasets.augment_picture import PictureView, picture_view

STILL = PictureView(
    least_area=1.0, flip_horizontal=0, flip_vertical=0, gray=0, gamma=0, contrast=0, brightness=0, blur=0, noise=0
)
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def view(picture=PICTURE, ranges=STILL, seed=0, side=24):
    return picture_view(picture, side, ranges, np.random.default_rng(seed))


def whole_seed(square):
    """A seed whose view covers the whole picture."""
    return next(seed for seed in range(50) if np.allclose(view(square, seed=seed), square / 255, atol=1e-6))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shape", [(40, 60, 3), (8, 300, 3), (1, 1, 3)])
@pytest.mark.parametrize("ranges", [PictureView(), PictureView(wider=1, shading=0.9)], ids=["usual", "wider"])
def test_a_view_is_a_square_of_intensities(shape, ranges, seed):
    found = view(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8), ranges, seed)
    assert found.shape == (24, 24, 3)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1


def test_the_same_generator_gives_the_same_view():
    np.testing.assert_array_equal(view(ranges=PictureView(), seed=3), view(ranges=PictureView(), seed=3))


def test_three_views_in_ten_show_the_whole_picture():
    square = PICTURE[:24, :24]
    ranges = replace(STILL, least_area=0.2)
    whole = [np.allclose(view(square, ranges, seed), square / 255, atol=1e-6) for seed in range(400)]
    assert np.mean(whole) == pytest.approx(0.3, abs=0.06)


def test_flips_and_transposes_turn_the_whole_picture():
    turned = replace(STILL, flip_horizontal=1, flip_vertical=1, transpose=1)
    square = np.zeros((24, 24, 3), np.uint8)
    square[:4, :12] = 255
    found = view(square, turned, whole_seed(square))
    assert (found[12:, 20:].min(), found[:, :20].max(), found[:12].max()) == (1.0, 0.0, 0.0)


def test_gray_views_have_three_equal_channels():
    found = view(ranges=replace(STILL, gray=1))
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_a_shaded_view_darkens_with_the_distance_to_some_place():
    white = np.full((40, 40, 3), 255, np.uint8)
    views = [view(white, replace(STILL, shading=0.8), seed) for seed in range(60)]
    shaded = [each for each in views if np.ptp(each) > 0]
    assert 5 < len(shaded) < 30
    assert 0.2 - 1e-6 <= min(each.min() for each in shaded) < 0.4
    for each in shaded:
        lightest, row = np.unravel_index(each[..., 0].argmax(), (24, 24))[1], each[0, :, 0]
        assert (np.diff(row[lightest:]) <= 0).all()
        assert (np.diff(row[: lightest + 1]) >= 0).all()
    assert all(each.max() > 0.99 for each in shaded)
    assert all(
        {np.unravel_index(each[..., 0].argmin(), (24, 24))} <= {(0, 0), (0, 23), (23, 0), (23, 23)} for each in shaded
    )


def test_a_wider_view_shows_the_picture_and_its_mirror_images_half_as_large():
    square = np.zeros((24, 24, 3), np.uint8)
    square[:12, :12] = 255
    seen = [view(square, replace(STILL, wider=1), seed) for seed in range(50)]
    expected = np.zeros((24, 24))
    expected[:6, :6] = expected[:6, 18:] = expected[18:, :6] = expected[18:, 18:] = 1
    assert any(np.allclose(each[..., 0], expected, atol=1e-6) for each in seen)


def test_a_quarter_of_the_views_are_wider_when_told():
    left = np.zeros((24, 24, 3), np.uint8)
    left[:, :12] = 255
    seen = [view(left, replace(STILL, wider=0.25), seed) for seed in range(400)]
    both_sides = [each[:, 0].min() > 0.9 and each[:, -1].min() > 0.9 and each.min() == 0 for each in seen]
    # three views in ten are of the whole; of a part of the mirrored picture other halves may be seen
    assert 0.25 * 0.3 - 0.05 <= np.mean(both_sides) <= 0.25


def test_an_inverted_view_is_the_negative():
    np.testing.assert_allclose(view(ranges=replace(STILL, invert=1)), 1 - view(), atol=1e-6)


def test_a_rotation_turns_the_picture_about_its_middle():
    picture = np.zeros((33, 33, 3), np.uint8)
    picture[14:19, 14:19] = picture[3:6, 15:18] = 255
    still = PictureView(least_area=1.0, rotation=180.0, flip_horizontal=0.0, flip_vertical=0.0, gamma=0.0)
    still = replace(still, contrast=0.0, brightness=0.0, blur=0.0, noise=0.0)
    seen = [picture_view(picture, 33, still, np.random.default_rng(seed))[..., 0] for seed in range(24)]
    outer = np.hypot(*np.mgrid[-16:17, -16:17]) > 6
    assert sum(view[16, 16] > 0.9 for view in seen) > 12  # the others are of a part of the picture
    assert len({int(np.where(outer, view, 0).argmax()) for view in seen}) > 12
