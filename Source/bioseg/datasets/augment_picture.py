"""Random views of a whole picture, for training a classifier."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

LEAST_SIDE = 16
WHOLE = 0.3
TONES = 0.8
OCCASIONAL = 0.25


@dataclass(frozen=True, slots=True)
class PictureView:
    """How far a random view of a picture may stray from the original.

    Parameters
    ----------
    least_area
        The view covers this share of the picture at least, with sides up to 4:3 apart; three in ten views cover all.
    wider
        Probability that the picture is seen with its mirror images beside and below it, of which the view is cut then:
        all in it is half as large where the view covers them all, as in a field of view wider than any source's.
    rotation
        The picture is turned by up to this many degrees either way, its edge repeated outside.
    flip_horizontal, flip_vertical, transpose, gray, invert
        Probabilities that it is mirrored, that its axes are swapped, that it loses its colours, and that it becomes its
        negative.
    gamma
        Intensities are raised to a power from exp(-gamma) to exp(gamma).
    contrast, brightness
        Contrast is multiplied by 1 +- contrast, then +- brightness is added. Four in five views change their tones.
    shading
        A quarter of the views lose up to this share of their intensity towards the corner that is farthest
        from a random place: uneven light, a dark rim.
    blur, noise
        Largest Gaussian blur (pixels) and noise (in units of [0, 1]), each applied to a quarter of the views.
    """

    least_area: float = 0.2
    wider: float = 0.0
    rotation: float = 0.0
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.5
    transpose: float = 0.0
    gray: float = 0.08
    invert: float = 0.0
    gamma: float = 0.35
    contrast: float = 0.4
    brightness: float = 0.12
    shading: float = 0.0
    blur: float = 1.3
    noise: float = 0.08


def picture_view(picture: Picture, side: int, ranges: PictureView, rng: np.random.Generator) -> Floats:
    """Draw one random view: RGB picture (H, W, 3) of 0 to 255 -> (side, side, 3) in [0, 1]."""
    if ranges.wider and rng.random() < ranges.wider:
        height, width = picture.shape[:2]
        picture = np.asarray(cv2.copyMakeBorder(picture, 0, height, 0, width, cv2.BORDER_REFLECT), np.uint8)
    view = _mirrored(_cropped(picture, side, ranges.least_area, rng), ranges, rng)
    if ranges.rotation:
        view = _rotated(view, rng.uniform(-ranges.rotation, ranges.rotation))
    values = np.divide(view, 255, dtype=np.float32)
    if rng.random() < ranges.gray:
        values = np.repeat(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)[..., np.newaxis], 3, axis=2)
    if ranges.invert and rng.random() < ranges.invert:
        values = 1 - values
    if rng.random() < TONES:
        values = values ** np.float32(np.exp(rng.uniform(-ranges.gamma, ranges.gamma)))
        mean, gain = values.mean(), np.float32(1 + rng.uniform(-ranges.contrast, ranges.contrast))
        values = (values - mean) * gain + mean + np.float32(rng.uniform(-ranges.brightness, ranges.brightness))
    if ranges.shading and rng.random() < OCCASIONAL:
        values = values * _shade(values.shape[:2], rng.uniform(0, ranges.shading), rng)
    if ranges.blur and rng.random() < OCCASIONAL:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), rng.uniform(0.3, ranges.blur)), np.float32)
    if rng.random() < OCCASIONAL:
        grain = rng.standard_normal(values.shape[:2], np.float32)[..., np.newaxis]
        values = values + np.float32(rng.uniform(0, ranges.noise)) * grain
    return np.clip(values, 0, 1)


def _shade(shape: tuple[int, ...], depth: float, rng: np.random.Generator) -> Floats:
    """Factors (H, W, 1), 1 at a random place, down to 1 - depth with the square of the distance to it."""
    down, across = (np.linspace(0, 1, length, dtype=np.float32) - np.float32(rng.random()) for length in shape)
    squares = down[:, np.newaxis] ** 2 + across[np.newaxis] ** 2
    return np.asarray(1 - depth * squares / squares.max(), np.float32)[..., np.newaxis]


def _cropped(picture: Picture, side: int, least_area: float, rng: np.random.Generator) -> Picture:
    """Cut out a random rectangle and squeeze it to the square."""
    height, width = picture.shape[:2]
    area = rng.uniform(least_area, 1) * height * width
    ratio = np.exp(rng.uniform(-np.log(4 / 3), np.log(4 / 3)))
    across = int(np.clip(np.sqrt(area * ratio), min(LEAST_SIDE, width), width))
    down = int(np.clip(np.sqrt(area / ratio), min(LEAST_SIDE, height), height))
    if rng.random() < WHOLE:
        across, down = width, height
    left, top = int(rng.integers(width - across + 1)), int(rng.integers(height - down + 1))
    method = cv2.INTER_AREA if max(across, down) > side else cv2.INTER_LINEAR
    window = picture[top : top + down, left : left + across]
    return np.asarray(cv2.resize(window, (side, side), interpolation=method), np.uint8)


def _mirrored(view: Picture, ranges: PictureView, rng: np.random.Generator) -> Picture:
    columns = -1 if rng.random() < ranges.flip_horizontal else 1
    rows = -1 if rng.random() < ranges.flip_vertical else 1
    turned = view[::rows, ::columns]
    return np.ascontiguousarray(turned.transpose(1, 0, 2) if rng.random() < ranges.transpose else turned)


def _rotated(view: Picture, degrees: float) -> Picture:
    height, width = view.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(view, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
