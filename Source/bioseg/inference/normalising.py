"""Channels, range and scale in which a network wants an image, with no float copy of a large one."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

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


def intensities(image: images.Image, channels: Literal[1, 3]) -> Floats:
    """(H, W[, 3]) gray or RGB -> (H, W, channels) float32 in 0..1 of the dtype's range."""
    if channels == 1:
        return images.grayscale(image)[..., np.newaxis]
    rgb = image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=2)
    return np.divide(rgb, np.iinfo(image.dtype).max, dtype=np.float32)


def standard_scale(image: images.Image, channels: Literal[1, 3]) -> Scale:
    """Scale that gives all intensities of an image mean 0 and variance 1; a constant image becomes zeros.

    The same as `images.standardise`, band by band.
    """
    size = image.shape[0] * image.shape[1] * channels
    mean = math.fsum(float(band.sum(dtype=np.float64)) for band in _bands(image, channels)) / size
    if all((band == band.flat[0]).all() and band.flat[0] == np.float32(mean) for band in _bands(image, channels)):
        return Scale(mean, 1.0)
    variance = math.fsum(float(np.square(band - mean, dtype=np.float64).sum()) for band in _bands(image, channels))
    return Scale(mean, math.sqrt(variance / size))


def normalised(image: images.Image, channels: Literal[1, 3], scale: Scale) -> Floats:
    """(H, W[, 3]) -> (H, W, channels) float32, intensities on a scale."""
    values = intensities(image, channels)
    values -= np.float32(scale.mean)
    values /= np.float32(scale.deviation)
    return values


def _bands(image: images.Image, channels: Literal[1, 3]) -> Iterator[Floats]:
    return (intensities(image[top : top + BAND], channels) for top in range(0, len(image), BAND))
