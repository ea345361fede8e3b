"""Tiles that cannot be told from the whole image."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioseg import bundles
from bioseg.errors import InvalidInput
from bioseg.inference import openvino_runtime
from bioseg.inference.tiling import tiled
from bioseg.models import keras_torch_backend
from bioseg.models.receptive_field import unet_halo
from bioseg.testing.fakes import FakeSegmenter

TILE = 16


def drawn(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).normal(size=(height, width, 1)).astype(np.float32)


def whole(predict, image: np.ndarray, multiple: int) -> np.ndarray:
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="reflect")
    return predict(padded[np.newaxis])[0, :height, :width]


@pytest.fixture(scope="module")
def unet(tiny_models):
    bundle = bundles.read(tiny_models / "membrane/tiny")
    return openvino_runtime.load(bundle, 1), bundle.contract


sides = st.integers(1, 90)


class TestTiled:
    @given(sides, sides)
    def test_equals_the_whole_at_any_size(self, height, width):
        fake, image = FakeSegmenter(), drawn(height, width)
        found = tiled(fake, image, tile=TILE, halo=fake.halo, multiple=fake.multiple)
        np.testing.assert_allclose(found, whole(fake, image, fake.multiple), atol=1e-6)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(sides, sides)
    def test_equals_the_whole_for_a_real_network(self, unet, height, width):
        predict, contract = unet
        image = drawn(height, width)
        found = tiled(predict, image, tile=TILE, halo=contract.halo, multiple=contract.multiple)
        np.testing.assert_allclose(found, whole(predict, image, contract.multiple), atol=1e-5)

    def test_without_halo_the_seams_show(self):
        fake, image = FakeSegmenter(), drawn(64, 64)
        found = tiled(fake, image, tile=TILE, halo=0, multiple=fake.multiple)
        assert np.abs(found - whole(fake, image, fake.multiple)).max() > 0.01

    @given(sides, sides)
    def test_all_windows_have_one_shape(self, height, width):
        fake = FakeSegmenter()
        tiled(fake, drawn(height, width), tile=TILE, halo=fake.halo, multiple=fake.multiple)
        assert len(set(fake.shapes)) == 1

    def test_windows_are_no_larger_than_tile_and_halo(self):
        fake = FakeSegmenter()
        tiled(fake, drawn(200, 300), tile=TILE, halo=fake.halo, multiple=fake.multiple)
        assert set(fake.shapes) == {(1, TILE + 2 * fake.halo, TILE + 2 * fake.halo, 1)}

    def test_the_network_is_given_the_images_own_type(self):
        types = []

        def predict(windows):
            types.append(windows.dtype)
            return windows.astype(np.float32)

        tiled(predict, np.zeros((20, 20, 1), np.uint16), tile=16, halo=0, multiple=4)
        assert set(types) == {np.dtype(np.uint16)}

    @pytest.mark.parametrize("wrong", [{"tile": 10}, {"halo": 6}, {"tile": 0}, {"halo": -4}])
    def test_refuses_sides_off_the_grid(self, wrong):
        with pytest.raises(InvalidInput, match="multiples of 4"):
            tiled(FakeSegmenter(), drawn(20, 20), **{"tile": 16, "halo": 12, "multiple": 4, **wrong})

    def test_refuses_an_image_without_pixels(self):
        with pytest.raises(InvalidInput, match="0 x 5"):
            tiled(FakeSegmenter(), np.zeros((0, 5, 1)), tile=16, halo=12, multiple=4)


class TestHalo:
    @pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
    def test_no_pixel_beyond_it_matters_to_a_cell(self, levels):
        predict = random_unet(levels)
        grid, halo = 2 ** (levels - 1), unet_halo(levels)
        side = 2 * halo + 3 * grid
        rng = np.random.default_rng(levels)
        image = rng.normal(size=(side, side)).astype(np.float32)
        other = rng.normal(size=(side, side)).astype(np.float32)
        near, core = slice(grid, side - grid), slice(halo + grid, halo + 2 * grid)
        other[near, near] = image[near, near]
        np.testing.assert_allclose(predict(other)[core, core], predict(image)[core, core], atol=1e-5)

    @pytest.mark.parametrize("levels", [1, 2, 3, 4])
    def test_a_smaller_one_would_not_do(self, levels):
        predict = random_unet(levels)
        grid, halo = 2 ** (levels - 1), unet_halo(levels)
        centre, reach = 2 * halo, halo - grid
        image = np.zeros((4 * halo, 4 * halo), np.float32)
        other = image.copy()
        other[: centre - reach] = 1000.0
        band = slice(centre, centre + grid)
        assert np.abs(predict(other)[band] - predict(image)[band]).max() > 0

    @pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 6])
    def test_it_lies_on_the_grid(self, levels):
        assert unet_halo(levels) % 2 ** (levels - 1) == 0


def random_unet(levels: int):
    """A U-Net with positive weights, whose output shows every pixel that it sees."""
    keras_torch_backend.use_torch()
    import keras

    from bioseg.models.keras_unet import unet

    keras.utils.set_random_seed(levels)
    model = unet((2,) * levels)
    for weight in model.trainable_weights:
        if "kernel" in weight.path:
            weight.assign(np.abs(keras.ops.convert_to_numpy(weight)) / 4)
    return lambda image: model.predict_on_batch(image[np.newaxis, np.newaxis])[0, 0]
