"""From an image to its class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bioseg import bundles, images
from bioseg.bundles import Contract
from bioseg.datasets import synthetic_other
from bioseg.errors import BundleError
from bioseg.inference import openvino_runtime
from bioseg.inference.classifying import Classified, class_probabilities, classify, crops, softmax
from bioseg.policy.admission import admit
from bioseg.testing import twins
from bioseg.testing.fakes import fake_classifier


def contract(**changes: object) -> Contract:
    fields = {
        "study": "kinds",
        "version": "1",
        "task": "classification",
        "framework": "torch",
        "architecture": "fake",
        "axes": "NCHW",
        "channels": 3,
        "normalisation": "unit",
        "side": 16,
        "classes": ("a", "b", "c"),
    }
    return Contract(**{**fields, **changes})


GRAY = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)
PICTURES = {
    "gray": GRAY.astype(np.uint8),
    "deep gray": GRAY * 20,
    "colour": np.stack([GRAY.astype(np.uint8)] * 3, axis=2),
    "deep colour": np.stack([GRAY * 20] * 3, axis=2),
    "one pixel": np.zeros((1, 1), np.uint8),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_network_sees_a_square_of_colours_in_the_unit_range(name):
    seen = []

    def predict(batch):
        seen.append((batch.shape, batch.dtype, bool(0 <= batch.min() <= batch.max() <= 1)))
        return np.zeros((1, 3), np.float32)

    class_probabilities(predict, contract(), PICTURES[name])
    assert seen == [((1, 16, 16, 3), np.dtype(np.float32), True)]


@given(st.integers(1, 40), st.integers(1, 40))
def test_crops_are_the_picture_its_middle_and_its_corners_each_mirrored_too(height, width):
    picture = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    found = crops(picture)
    down, across = max(1, round(0.8 * height)), max(1, round(0.8 * width))
    assert [each.shape for each in found] == 2 * [(height, width), *5 * [(down, across)]]
    assert [corner[y, x] for corner, (y, x) in zip(found[2:6], [(0, 0), (0, -1), (-1, 0), (-1, -1)], strict=True)] == [
        picture[0, 0],
        picture[0, -1],
        picture[-1, 0],
        picture[-1, -1],
    ]
    for each, mirrored in zip(found[:6], found[6:], strict=True):
        np.testing.assert_array_equal(each[:, ::-1], mirrored)


def test_a_contract_of_crops_takes_the_mean_logits_and_the_evidence_of_the_whole():
    sight = np.random.default_rng(2).normal(size=(12, 2, 2, 3)).astype(np.float32)
    told = classify(lambda _batch: sight, contract(judged="crops", evidence="place"), PICTURES["colour"])
    np.testing.assert_allclose(told.probabilities, softmax(sight.mean(axis=(0, 1, 2))), rtol=1e-5)
    np.testing.assert_array_equal(told.evidence, sight[0])


def test_a_contract_of_crops_shows_the_network_all_of_them():
    seen = []

    def predict(batch):
        seen.append(batch)
        return np.zeros((len(batch), 3), np.float32)

    class_probabilities(predict, contract(judged="crops"), PICTURES["gray"])
    expected = [images.resize_square(crop, 16) for crop in crops(PICTURES["gray"])]
    np.testing.assert_allclose(seen[0][..., 0] * 255, expected, atol=1e-3)


def test_the_network_sees_the_resized_picture():
    picture = PICTURES["colour"]
    seen = []

    def predict(batch):
        seen.append(batch[0])
        return np.zeros((1, 3), np.float32)

    class_probabilities(predict, contract(), picture)
    np.testing.assert_allclose(seen[0], images.resize_square(picture, 16) / 255, rtol=1e-6)


def test_logits_become_probabilities():
    found = class_probabilities(fake_classifier(0, np.log(2), np.log(5)), contract(), PICTURES["gray"])
    np.testing.assert_allclose(found, [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)


def test_logits_are_divided_by_the_temperature():
    cool = class_probabilities(fake_classifier(0, 1, 2), contract(), PICTURES["gray"])
    warm = class_probabilities(fake_classifier(0, 2, 4), contract(temperature=2), PICTURES["gray"])
    np.testing.assert_allclose(warm, cool, rtol=1e-6)


@given(arrays(np.float32, 9, elements=st.floats(-1e6, 1e6, width=32)))
def test_probabilities_sum_to_one_for_any_logits(logits):
    assert softmax(logits).sum() == pytest.approx(1, abs=1e-5)


def test_each_row_of_logits_is_a_softmax_of_its_own_in_its_precision():
    found = softmax(np.log([[1.0, 1.0, 2.0], [1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(found, [[1 / 4, 1 / 4, 2 / 4], [1 / 8, 2 / 8, 5 / 8]], rtol=1e-12)


def test_a_wrong_number_of_logits_is_refused():
    with pytest.raises(BundleError, match="2 logits for 3 classes"):
        class_probabilities(fake_classifier(0, 1), contract(), PICTURES["gray"])


def test_a_contract_without_side_is_refused():
    with pytest.raises(BundleError, match="names no side"):
        class_probabilities(fake_classifier(0, 1, 2), contract(side=None), PICTURES["gray"])


def by_place(*evidence):
    """A predictor that gives this evidence, (h, w, classes), whatever it is shown."""
    return lambda batch: np.tile(np.array(evidence, np.float32), (len(batch), 1, 1, 1))


PLACES = ([[0, 0, 0], [2, 0, 0]], [[0, 0, 8], [0, 0, 0]])


def test_evidence_by_place_is_averaged_to_logits():
    found = class_probabilities(by_place(*PLACES), contract(evidence="place"), PICTURES["gray"])
    np.testing.assert_allclose(found, softmax(np.array([0.5, 0, 2])), rtol=1e-6)


def test_the_heat_of_the_told_class_is_most_where_its_evidence_is():
    heat = classify(by_place(*PLACES), contract(evidence="place"), PICTURES["gray"]).heat
    np.testing.assert_allclose(heat, [[0, 0], [1, 0]], atol=1e-6)


def test_evidence_that_all_classes_share_gives_no_heat():
    shared = np.broadcast_to(np.arange(4, dtype=np.float32).reshape(2, 2, 1), (2, 2, 3))
    assert Classified(np.array([0.4, 0.3, 0.3], np.float32), shared).heat.max() == 0


def test_logits_of_the_whole_image_have_no_heat():
    assert classify(fake_classifier(0, 1, 2), contract(), PICTURES["gray"]).heat is None


def test_evidence_of_no_place_is_refused():
    with pytest.raises(BundleError, match="0 logits for 3 classes"):
        classify(
            lambda batch: np.zeros((len(batch), 0, 2, 3), np.float32), contract(evidence="place"), PICTURES["gray"]
        )


def test_a_network_that_gives_places_against_its_contract_is_refused():
    with pytest.raises(BundleError, match="12 logits for 3 classes"):
        classify(by_place(*PLACES), contract(), PICTURES["gray"])


class TestTinyBundle:
    @pytest.fixture
    def screen(self, tiny_models):
        bundle = bundles.read(tiny_models / "kinds/tiny")
        predict, its = openvino_runtime.load(bundle, 1), bundle.contract

        def verdict(picture):
            probabilities = class_probabilities(predict, its, picture)
            return admit(probabilities, its.classes, ("membrane EM",), its.accept_at, its.reject_below).verdict

        return verdict

    @pytest.mark.parametrize("side", [64, 128, 256, 512])
    def test_accepts_drawn_sections(self, screen, side):
        assert [screen(twins.membrane_section(seed, side)[0]) for seed in range(4)] == ["accept"] * 4

    def test_rejects_text_plots_and_barcodes(self, screen):
        numbers = (150_003, 150_004, 150_006)
        assert [screen(synthetic_other.draw(number)) for number in numbers] == ["reject"] * 3
