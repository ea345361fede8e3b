"""Channels, range and scale in which a network wants an image, with no float copy of a large one."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import cv2
import numpy as np

from bioseg import images
from bioseg.inference import Floats

BAND = 256
"""Rows that are converted at a time."""


class Scale(NamedTuple):
    """What is subtracted from intensities, and what they are divided by then."""

    mean: float
    deviation: float


UNIT = Scale(0.0, 1.0)


def intensities(rgb: images.Image, channels: Literal[1, 3]) -> Floats:
    """(H, W, 3) -> (H, W, channels) float32 in 0..1 of the dtype's range."""
    if channels == 1:
        return images.grayscale(rgb)[..., np.newaxis]
    return np.divide(rgb, np.iinfo(rgb.dtype).max, dtype=np.float32)


def standard_scale(image: images.Image, channels: Literal[1, 3]) -> Scale:
    """Scale that gives all intensities of an image mean 0 and variance 1; a constant image becomes zeros.

    The same as `images.standardise`: of a gray image by how often each value occurs, else band by band.
    """
    if image.ndim == 2:
        return _gray_scale(image)
    size = image.shape[0] * image.shape[1] * channels
    mean = math.fsum(float(band.sum(dtype=np.float64)) for band in _bands(image, channels)) / size
    if all((band == band.flat[0]).all() and band.flat[0] == np.float32(mean) for band in _bands(image, channels)):
        return Scale(mean, 1.0)
    variance = math.fsum(float(np.square(band - mean, dtype=np.float64).sum()) for band in _bands(image, channels))
    return Scale(mean, math.sqrt(variance / size))


def _gray_scale(image: images.Image) -> Scale:
    counts, levels = _histogram(image), _levels(image.dtype).astype(np.float64)
    mean = float(counts @ levels) / image.size
    if counts.max() == image.size:
        return Scale(mean, 1.0)
    return Scale(mean, math.sqrt(float(counts @ np.square(levels - mean)) / image.size))


def normalised(image: images.Image, channels: Literal[1, 3], scale: Scale) -> Floats:
    """(H, W[, 3]) -> (H, W, channels) float32, intensities on a scale."""
    if image.ndim == 2:
        gray = np.asarray(cv2.LUT(image, _on(scale, _levels(image.dtype))), np.float32)[..., np.newaxis]
        return gray if channels == 1 else np.repeat(gray, channels, axis=2)
    return _on(scale, intensities(image, channels))


def _on(scale: Scale, values: Floats) -> Floats:
    values -= np.float32(scale.mean)
    values /= np.float32(scale.deviation)
    return values


def _levels(dtype: "np.dtype[np.uint8] | np.dtype[np.uint16]") -> Floats:
    """Intensity of each value of a type."""
    most = np.iinfo(dtype).max
    return np.arange(most + 1, dtype=np.float32) / np.float32(most)


def _histogram(image: images.Image) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """How often each value of its type occurs in a gray image."""
    values = np.iinfo(image.dtype).max + 1
    counts = np.zeros(values)
    for top in range(0, len(image), BAND):  # OpenCV counts in float32, exact up to 2^24 pixels
        counts += cv2.calcHist([image[top : top + BAND]], [0], None, [values], [0, values]).ravel()
    return counts


def _bands(image: images.Image, channels: Literal[1, 3]) -> Iterator[Floats]:
    return (intensities(image[top : top + BAND], channels) for top in range(0, len(image), BAND))
