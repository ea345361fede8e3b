"""Random views of an image and its mask, geometry shared by both, for training."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a random view may stray from the original; zero switches a part off.

    Parameters
    ----------
    rotation
        Largest angle either way, degrees.
    shift
        Largest shift either way, as a fraction of the view's side.
    shear
        Largest shear angle either way, degrees.
    zoom
        The scale is drawn from 1 - zoom to 1 + zoom.
    flip_horizontal, flip_vertical
        Probabilities.
    elastic
        Standard deviation of the smooth displacement, pixels.
    gain, bias
        Contrast is multiplied by 1 +- gain, then +- bias is added, in standard deviations of the image.
    gamma
        Intensities, their range taken as 0 to 1, are raised to a power from exp(-gamma) to exp(gamma).
    colour
        Each channel for itself is multiplied by 1 +- colour, then +- colour is added, in standard deviations.
    shading
        Amplitude of a slow brightness drift across the view, in standard deviations of the image.
    blur, noise
        Largest Gaussian blur (pixels) and noise (standard deviations), each applied to a third of the views.
    outside
        What a view shows beyond the image: it `mirrored`, or the pixels of its rim `extended`. The first makes more
        tissue where an image is a window onto it, and a third lung where it is a whole chest.
    """

    rotation: float = 180.0
    shift: float = 0.0
    shear: float = 5.0
    zoom: float = 0.2
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.5
    elastic: float = 3.0
    gain: float = 0.3
    bias: float = 0.3
    gamma: float = 0.0
    colour: float = 0.0
    shading: float = 0.3
    blur: float = 1.2
    noise: float = 0.3
    outside: Literal["mirrored", "extended"] = "mirrored"


ELASTIC_PERIOD = 48
SHADING_NODES = 3
OCCASIONAL = 1 / 3
OUTSIDE = {"mirrored": cv2.BORDER_REFLECT_101, "extended": cv2.BORDER_REPLICATE}


def view(
    image: Floats, target: Floats, size: int, ranges: Augmentation, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Cut one random view out of an image and the same view out of what is wanted of it.

    Parameters
    ----------
    image
        (H, W, channels) standardised intensities.
    target
        (H, W, C) values of each pixel, such as a label; they are sampled by nearest neighbour, so no new value appears.
    size
        Side of the square view, pixels.

    Returns
    -------
    The view of the image (size, size, channels) and of the target (size, size, C).
    """
    height, width = image.shape[:2]
    centre = np.array([rng.uniform(0, max(width - size, 0)), rng.uniform(0, max(height - size, 0))]) + size / 2
    centre = np.minimum(centre, np.array([max(width, size), max(height, size)]) - size / 2)
    x, y = _sampling_map(size, centre, ranges, rng)
    outside = OUTSIDE[ranges.outside]
    warped = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=outside).reshape(size, size, -1)
    wanted = cv2.remap(target, x, y, cv2.INTER_NEAREST, borderMode=outside).reshape(size, size, -1)
    return _intensity(np.asarray(warped, np.float32), ranges, rng), np.asarray(wanted, np.float32)


def _sampling_map(
    size: int, centre: NDArray[np.float64], ranges: Augmentation, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Source coordinates (x, y), each (size, size), of an affine map with an elastic displacement on top."""
    angle = np.deg2rad(rng.uniform(-ranges.rotation, ranges.rotation))
    shear = np.tan(np.deg2rad(rng.uniform(-ranges.shear, ranges.shear)))
    scale = 1 / rng.uniform(1 - ranges.zoom, 1 + ranges.zoom)
    mirror = np.where(rng.random(2) < (ranges.flip_horizontal, ranges.flip_vertical), -1.0, 1.0)
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * rotate @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag(mirror)
    offset = centre + rng.uniform(-ranges.shift, ranges.shift, 2) * size
    axis = np.arange(size) - (size - 1) / 2
    u, v = np.meshgrid(axis, axis)
    x = matrix[0, 0] * u + matrix[0, 1] * v + offset[0] - 0.5
    y = matrix[1, 0] * u + matrix[1, 1] * v + offset[1] - 0.5
    if ranges.elastic:
        nodes = size // ELASTIC_PERIOD + 3
        x = x + ranges.elastic * _smooth_field(size, nodes, rng)
        y = y + ranges.elastic * _smooth_field(size, nodes, rng)
    return x.astype(np.float32), y.astype(np.float32)


def _smooth_field(size: int, nodes: int, rng: np.random.Generator) -> Floats:
    """Cubic interpolation of standard normal values on a coarse grid, (size, size)."""
    grid = rng.standard_normal((nodes, nodes)).astype(np.float32)
    return np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _intensity(image: Floats, ranges: Augmentation, rng: np.random.Generator) -> Floats:
    if ranges.gamma:
        image = _to_a_power(image, np.float32(np.exp(rng.uniform(-ranges.gamma, ranges.gamma))))
    image = image * np.float32(1 + rng.uniform(-ranges.gain, ranges.gain))
    image = image + np.float32(rng.uniform(-ranges.bias, ranges.bias))
    if ranges.colour:
        gain, bias = rng.uniform(-ranges.colour, ranges.colour, (2, image.shape[-1])).astype(np.float32)
        image = image * (1 + gain) + bias
    if ranges.shading:
        drift = np.float32(ranges.shading * rng.random()) * _smooth_field(len(image), SHADING_NODES, rng)
        image = image + drift[..., np.newaxis]
    if ranges.blur and rng.random() < OCCASIONAL:
        blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, ranges.blur))
        image = np.asarray(blurred, np.float32).reshape(image.shape)
    if ranges.noise and rng.random() < OCCASIONAL:
        image = image + np.float32(rng.uniform(0, ranges.noise)) * rng.standard_normal(image.shape, np.float32)
    return image


def _to_a_power(image: Floats, power: np.float32) -> Floats:
    low, high = image.min(), image.max()
    return image if low == high else (high - low) * ((image - low) / (high - low)) ** power + low
