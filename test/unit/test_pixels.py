import cv2
import numpy as np
import pytest

from bioseg.datasets import Sample, pixels
from bioseg.errors import DatasetError


def sample(folder, *labels):
    files = []
    for number, values in enumerate(labels):
        files.append(folder / f"{number}.png")
        cv2.imwrite(str(files[-1]), np.array(values, np.uint8))
    return Sample(folder / "image.png", "own", "a", masks=tuple(files))


def test_several_label_images_are_united(tmp_path):
    found = pixels.foreground(sample(tmp_path, [[255, 0, 0]], [[0, 0, 255]]), 255)
    assert found.tolist() == [[True, False, True]]


def test_a_gray_label_image_saved_in_colour_is_read(tmp_path):
    found = pixels.foreground(sample(tmp_path, [[[255] * 3, [0] * 3]]), 0)
    assert found.tolist() == [[False, True]]


def test_a_coloured_label_image_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="in colour"):
        pixels.foreground(sample(tmp_path, [[[255, 0, 0]]]), 255)


def test_label_images_of_two_sizes_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="differ in size"):
        pixels.foreground(sample(tmp_path, [[0]], [[0, 0]]), 255)


def test_a_sample_without_label_image_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no label image"):
        pixels.foreground(sample(tmp_path), 255)
