import cv2
import numpy as np
import pytest

from bioseg import studies
from bioseg.datasets import Sample
from bioseg.evaluation.corruptions import CORRUPTIONS, corrupted
from bioseg.training.contracts import draft

KINDS = studies.get("kinds")
CONTRACT = draft(KINDS, KINDS.recipes["default"], "v1").model_copy(update={"accept_at": 0.9, "reject_below": 0.5})
PICTURE = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 256, (64, 96), dtype=np.uint8), (0, 0), 1)


def bright_is_membrane(batch):
    """A predictor that takes bright images for membranes and dark ones for photos."""
    logits = np.zeros((len(batch), len(CONTRACT.classes)), np.float32)
    bright = batch.mean(axis=(1, 2, 3)) > 0.5
    logits[bright, CONTRACT.classes.index("membrane EM")] = 9
    logits[~bright, CONTRACT.classes.index("photo")] = 9
    return logits


@pytest.fixture
def samples(tmp_path):
    found = []
    for label, value in (("membrane EM", 230), ("photo", 30)):
        file = tmp_path / f"{label}.png"
        cv2.imwrite(str(file), np.full((40, 40), value, np.uint8))
        found.append(Sample(file, source="own", group=label, label=label))
    return found


def test_a_classifier_by_brightness_fails_on_inverted_images_alone(samples):
    table = corrupted(KINDS, CONTRACT, bright_is_membrane, samples)
    accuracies = {name: row["accuracy"] for name, row in table.items()}
    assert accuracies == dict.fromkeys(CORRUPTIONS, 1.0) | {"inversion": 0.0}
    assert table["inversion"]["membrane balanced_accuracy"] == 0.0
    assert table["blur"]["membrane asked"] == 0.0


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("colour", [False, True])
def test_a_corruption_changes_an_image_the_same_way_each_time(name, colour):
    picture = np.repeat(PICTURE[..., np.newaxis], 3, axis=2) if colour else PICTURE
    first, second = (CORRUPTIONS[name](picture) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first.dtype, first.ndim) == (np.uint8, picture.ndim)
    assert first.shape != picture.shape or (first != picture).any()


def test_a_crop_keeps_the_middle_half():
    np.testing.assert_array_equal(CORRUPTIONS["crop"](PICTURE), PICTURE[16:48, 24:72])


def test_contrast_halves_the_spread_and_keeps_the_mean():
    flat = CORRUPTIONS["contrast"](PICTURE)
    assert flat.std() == pytest.approx(PICTURE.std() / 2, rel=0.05)
    assert flat.mean() == pytest.approx(PICTURE.mean(), abs=1)


def test_sixteen_bits_are_taken_as_eight():
    assert CORRUPTIONS["inversion"](np.array([[0, 65535]], np.uint16)).tolist() == [[255, 0]]
