"""From an image to its foreground."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioseg import bundles, images, metrics
from bioseg.bundles import Contract
from bioseg.inference import openvino_runtime, segmenting
from bioseg.inference.normalising import BAND, normalised, standard_scale
from bioseg.inference.segmenting import TILE, WHOLE_LIMIT, foreground_probability
from bioseg.testing import twins
from bioseg.testing.fakes import FakeSegmenter


def contract(**changes: object) -> Contract:
    fields = {
        "study": "membrane",
        "version": "1",
        "task": "segmentation",
        "framework": "keras",
        "architecture": "fake",
        "axes": "NCHW",
        "channels": 1,
        "normalisation": "standard",
        "multiple": 4,
        "halo": 12,
        "classes": ("membrane",),
    }
    return Contract(**{**fields, **changes})


class Spy(FakeSegmenter):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch)
        return super().__call__(batch)


def picture(height: int, width: int, dtype: type = np.uint8, *colours: int) -> np.ndarray:
    rng = np.random.default_rng([height, width])
    return rng.integers(0, np.iinfo(dtype).max, (height, width, *colours), dtype, endpoint=True)


KINDS_OF_IMAGES = [(np.uint8, ()), (np.uint8, (3,)), (np.uint16, ()), (np.uint16, (3,))]


class TestNormalising:
    @pytest.mark.parametrize(("dtype", "colours"), KINDS_OF_IMAGES)
    def test_equals_standardising_the_gray_image(self, dtype, colours):
        image = picture(2 * BAND + 7, 40, dtype, *colours)
        expected = images.standardise(images.grayscale(image))
        found = normalised(image, 1, standard_scale(image, 1))
        np.testing.assert_allclose(found[..., 0], expected, atol=1e-6)

    @pytest.mark.parametrize("value", [0, 1, 77, 255])
    def test_a_constant_image_becomes_zeros(self, value):
        image = np.full((BAND + 3, 31), value, np.uint8)
        assert not normalised(image, 1, standard_scale(image, 1)).any()

    def test_almost_constant_images_stay_finite(self):
        image = np.full((400, 400), 60_000, np.uint16)
        image[0, 0] += 1
        assert np.isfinite(normalised(image, 1, standard_scale(image, 1))).all()

    def test_gray_becomes_three_equal_channels(self):
        image = picture(5, 6)
        expected = np.repeat(image[..., np.newaxis] / np.float32(255), 3, axis=2)
        np.testing.assert_allclose(normalised(image, 3, segmenting.UNIT), expected, rtol=1e-6)


class TestForegroundProbability:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 70), st.integers(1, 70))
    def test_has_the_height_and_width_of_the_image(self, height, width):
        assert foreground_probability(FakeSegmenter(), contract(), picture(height, width)).shape == (height, width)

    @pytest.mark.parametrize(("dtype", "colours"), KINDS_OF_IMAGES)
    def test_the_network_sees_the_standardised_gray_image(self, dtype, colours):
        spy, image = Spy(), picture(32, 40, dtype, *colours)
        foreground_probability(spy, contract(), image)
        expected = images.standardise(images.grayscale(image))[np.newaxis, ..., np.newaxis]
        np.testing.assert_allclose(spy.batches[0], expected, atol=1e-6)

    def test_a_unit_network_sees_intensities(self):
        spy, image = Spy(), picture(32, 40)
        foreground_probability(spy, contract(normalisation="unit"), image)
        np.testing.assert_allclose(spy.batches[0][0, ..., 0], images.grayscale(image), atol=1e-7)

    def test_images_off_the_grid_are_reflected_at_right_and_bottom(self):
        spy, image = Spy(), picture(30, 37)
        foreground_probability(spy, contract(normalisation="unit"), image)
        expected = np.pad(images.grayscale(image), ((0, 2), (0, 3)), mode="reflect")
        np.testing.assert_allclose(spy.batches[0][0, ..., 0], expected, atol=1e-7)

    def test_a_version_that_judges_eightfold_says_the_mean_over_all_turns(self):
        image, lit_from_the_left = (
            picture(16, 16),
            lambda batch: np.ones_like(batch) * np.linspace(0, 1, batch.shape[2])[:, None],
        )
        once = foreground_probability(lit_from_the_left, contract(), image)
        eight = foreground_probability(lit_from_the_left, contract(judged="eightfold"), image)
        assert np.ptp(once) == 1
        np.testing.assert_allclose(eight, 0.5, atol=1e-6)

    def test_small_images_run_whole(self):
        spy = Spy()
        foreground_probability(spy, contract(), picture(576, 576))
        assert spy.shapes == [(1, 576, 576, 1)]

    def test_large_images_run_in_windows(self):
        spy = Spy()
        foreground_probability(spy, contract(), picture(1100, 700))
        assert set(spy.shapes) == {(1, TILE + 24, TILE + 24, 1)}

    @pytest.mark.parametrize(("height", "width"), [(9000, 50), (150_000, 1), (3, 100_000)])
    def test_a_long_strip_never_exceeds_the_limit(self, height, width):
        spy = Spy()
        foreground_probability(spy, contract(), picture(height, width))
        assert max(shape[1] * shape[2] for shape in spy.shapes) <= WHOLE_LIMIT

    def test_windows_do_not_change_the_result(self):
        image, fake = picture(1100, 700), FakeSegmenter()
        values = images.standardise(images.grayscale(image))[np.newaxis, ..., np.newaxis]
        np.testing.assert_allclose(foreground_probability(fake, contract(), image), fake(values)[0, ..., 0], atol=1e-5)

    def test_a_squeezing_network_sees_its_square(self):
        spy = Spy()
        foreground_probability(spy, contract(side=64), picture(100, 300))
        assert spy.shapes == [(1, 64, 64, 1)]

    def test_a_squeezing_network_of_colours_sees_three_channels(self):
        spy = Spy()
        foreground_probability(spy, contract(side=64, channels=3), np.zeros((100, 300, 3), np.uint8))
        assert spy.shapes == [(1, 64, 64, 3)]

    def test_between_the_pixels_of_the_square_the_probability_is_interpolated(self):
        ramp = np.linspace(0, 1, 8, dtype=np.float32)[np.newaxis, np.newaxis, :, np.newaxis].repeat(8, axis=1)
        found = foreground_probability(lambda _: ramp, contract(side=8), picture(80, 80))
        steps = np.diff(found[40])
        assert (steps.min() >= 0, steps.max() < 0.02) == (True, True)

    def test_only_the_largest_regions_keep_their_probability(self):
        probability = np.zeros((1, 8, 8, 1), np.float32)
        probability[0, :3, :3], probability[0, 5, 5:7], probability[0, 7, 0] = 0.9, 0.8, 0.4
        limited = contract(side=8, most_regions=1)
        found = foreground_probability(lambda _: probability, limited, picture(8, 8))
        assert (found[1, 1], found[5, 5], found[7, 0]) == pytest.approx((0.9, 0, 0.4))

    @pytest.mark.parametrize("value", [0.0, 0.9])
    def test_no_region_and_one_region_stay_as_they_are(self, value):
        probability = np.full((1, 8, 8, 1), value, np.float32)
        found = foreground_probability(lambda _: probability, contract(side=8, most_regions=1), picture(8, 8))
        np.testing.assert_array_equal(found, probability[0, ..., 0])

    def test_a_squeezed_result_is_stretched_back(self):
        found = foreground_probability(FakeSegmenter(), contract(side=64), picture(100, 300))
        assert found.shape == (100, 300)

    def test_squeezing_keeps_the_place_of_things(self):
        image = np.zeros((200, 100), np.uint8)
        image[:100] = 255

        def identity(batch):
            return batch

        found = foreground_probability(identity, contract(side=64, normalisation="unit"), image)
        assert (found[:90].min(), found[110:].max()) == pytest.approx((1, 0))


@pytest.fixture(scope="module")
def tiny(tiny_models):
    bundle = bundles.read(tiny_models / "membrane/tiny")
    return openvino_runtime.load(bundle, 1), bundle.contract


@pytest.mark.parametrize("side", [64, 250, 800])
def test_the_tiny_bundle_marks_membranes(tiny, side):
    predict, its_contract = tiny
    image, interior = twins.membrane_section(3, side)
    mask = foreground_probability(predict, its_contract, image) > its_contract.threshold
    assert metrics.confusion_counts(mask, ~interior).dice > 0.85
