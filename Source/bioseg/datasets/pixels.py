"""The pixels of a sample, read exactly as an upload is."""

import numpy as np
from numpy.typing import NDArray

from bioseg import images
from bioseg.datasets import Sample
from bioseg.decoding import formats
from bioseg.errors import DatasetError

UNLIMITED = images.Limits(max_bytes=2**40, max_pixels=2**40)


def image(sample: Sample) -> images.Image:
    """Decode the image of a sample: (H, W) or (H, W, 3), uint8 or uint16. Raises as `formats.decode` does."""
    return formats.decode(sample.image.read_bytes(), UNLIMITED)


def foreground(sample: Sample, value: int) -> NDArray[np.bool_]:
    """Mark the pixels (H, W) where any label image of a sample has the foreground's value.

    Raises
    ------
    DatasetError
        When the sample has no label image, one is in colour, or they differ in size.
    """
    if not sample.masks:
        raise DatasetError(f"{sample.image} has no label image: give one of the same stem")
    marked = [_labels(sample, number) == value for number in range(len(sample.masks))]
    if len({mask.shape for mask in marked}) > 1:
        raise DatasetError(f"the label images of {sample.image} differ in size: give them all the size of the image")
    united: NDArray[np.bool_] = np.any(marked, axis=0)
    return united


def _labels(sample: Sample, number: int) -> images.Image:
    file = sample.masks[number]
    labels = formats.decode(file.read_bytes(), UNLIMITED)
    if labels.ndim == 2:
        return labels
    if not np.array_equal(labels.min(axis=2), labels.max(axis=2)):
        raise DatasetError(f"{file} is in colour: a label image is gray, one value per class")
    return labels[..., 0]
