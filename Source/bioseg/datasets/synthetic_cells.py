"""Drawn cells of a culture, as electron microscopy shows them: rounded bodies in blank resin, each with a nucleus.

They stand for no cell line. Tissue fills a section with membranes; here most of it is resin and smooth nuclei, and
without any such picture a screen that has seen tissue alone takes cultured cells for a texture or a photograph.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bioseg.datasets.synthetic_sections import Field, Gray, field, pixels

NAME = "synthetic_cells"
LABEL = "membrane EM"

WAVES = 14
"""Of an outline: how many bulges around a body have a size of their own."""
CORNERS = 120
SHARPNESS = 4
"""Bits of a pixel that OpenCV draws by."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Tones:
    """Gray values: resin is the brightest, membranes are the darkest but for a few granules."""

    resin: float
    cytoplasm: float
    nucleus: float
    membrane: float


def draw(index: int, side: int = 256) -> Gray:
    """Draw picture number `index`, always the same: one to a dozen cells; shape (side, side, 3), RGB.

    >>> draw(10).shape
    (256, 256, 3)
    """
    rng = np.random.default_rng([index, 0xCE11])
    resin = rng.uniform(150, 225)
    cytoplasm = resin - rng.uniform(18, 80)
    tones = _Tones(resin, cytoplasm, cytoplasm + rng.uniform(-14, 18), max(cytoplasm - rng.uniform(25, 90), 10))
    image = resin + rng.uniform(0, 10) * field(rng, side, 3)
    for _ in range(int(rng.integers(0, 5))):
        _fold_of_resin(rng, image)
    radius = side * np.exp(rng.uniform(np.log(0.1), np.log(0.5)))
    for centre in _centres(rng, side, radius):
        _cell(rng, image, tones, centre, radius * rng.uniform(0.75, 1.2))
    grain = cv2.GaussianBlur(rng.normal(0, rng.uniform(4, 30), (side, side)), (0, 0), rng.uniform(0.5, 1.1))
    seen = pixels(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0)) + grain)
    return np.repeat(seen[..., np.newaxis], 3, axis=2)


def _centres(rng: Generator, side: int, radius: float) -> list[Points]:
    """Places (x, y) of cells that hardly overlap; of large ones the middle may lie outside the picture."""
    tried = rng.uniform(-0.6 * radius, side + 0.6 * radius, (60, 2))
    kept: list[Points] = []
    for place in tried:
        if all(np.hypot(*(place - other)) > 1.9 * radius for other in kept):
            kept.append(place)
    inside = [place for place in kept if ((place > 0) & (place < side)).all()]
    wanted = int(rng.integers(1, 13))
    return (inside[:1] + [place for place in kept if place is not (inside[0] if inside else None)])[:wanted]


def _cell(rng: Generator, image: Field, tones: _Tones, centre: Points, radius: float) -> None:
    """Draw processes around the body, the body, its nucleus, and what lies between the two."""
    body = _outline(rng, radius, rng.uniform(0.03, 0.12))
    nucleus = _outline(rng, radius * rng.uniform(0.45, 0.78), rng.uniform(0.03, 0.12))
    aside = rng.uniform(-0.12, 0.12, 2) * radius
    for _ in range(int(rng.integers(0, 70))):
        _bleb(rng, image, tones, centre + body[rng.integers(CORNERS)] * rng.uniform(0.98, 1.3), radius)
    _area(image, centre + body, tones.cytoplasm, tones.membrane, rng.uniform(0.8, 2))
    for _ in range(int(rng.integers(20, 160))):
        toward = int(rng.integers(CORNERS))
        share = rng.uniform(0.12, 0.95)
        place = (1 - share) * (aside + nucleus[toward]) + share * body[toward]
        _organelle(rng, image, tones, centre + place, radius, float(np.arctan2(place[0], -place[1])))
    _area(image, centre + aside + nucleus, tones.nucleus, tones.membrane, rng.uniform(0.8, 2))
    for _ in range(int(rng.integers(0, 4))):
        _fold_of_nucleus(rng, image, tones, centre + aside, nucleus)
    for _ in range(int(rng.integers(0, 3))):
        _nucleolus(rng, image, tones, centre + aside + nucleus[rng.integers(CORNERS)] * rng.uniform(0, 0.6), radius)


def _outline(rng: Generator, radius: float, roughness: float) -> Points:
    """Corners (CORNERS, 2) of a wavy oval about the origin, in order."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    waves = np.arange(2, WAVES)
    sizes = rng.normal(0, roughness, waves.size) / np.sqrt(waves)
    bulge = 1 + np.cos(angle[:, np.newaxis] * waves + rng.uniform(0, 2 * np.pi, waves.size)) @ sizes
    oval = np.stack([np.cos(angle), rng.uniform(0.7, 1) * np.sin(angle)], axis=1) * (radius * bulge)[:, np.newaxis]
    turned = _turned(oval, rng.uniform(0, np.pi))
    return np.asarray(turned[np.argsort(np.arctan2(turned[:, 1], turned[:, 0]))], np.float64)


def _turned(points: Points, angle: float) -> Points:
    """Turn (N, 2) about the origin, radians."""
    return np.asarray(points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]))


def _bleb(rng: Generator, image: Field, tones: _Tones, place: Points, radius: float) -> None:
    """Draw a process of a cell, cut across."""
    size = radius * rng.uniform(0.015, 0.14)
    shape = place + _outline(rng, size, 0.1) * np.array([1, rng.uniform(0.3, 1)])
    _area(image, shape, tones.cytoplasm + rng.normal(0, 5), tones.membrane, rng.uniform(0.6, 1.5))


def _organelle(rng: Generator, image: Field, tones: _Tones, place: Points, radius: float, along: float) -> None:
    """Draw a mitochondrion, a cistern, a granule or a vacuole, long ones about along the envelope of the nucleus."""
    length = radius * rng.uniform(0.02, 0.1)
    kind = rng.choice(4, p=[0.45, 0.35, 0.1, 0.1])
    width = length * (1.0 if kind >= 2 else rng.uniform(0.15, 0.6))
    shape = _outline(rng, 1, 0.06) * np.array([length, width])
    shape = place + _turned(shape, along + rng.normal(0, 0.5))
    darker = tones.cytoplasm - 0.35 * (tones.cytoplasm - tones.membrane)
    inside = (darker, tones.cytoplasm, tones.membrane - 15, tones.resin)[kind]
    _area(image, shape, inside, tones.membrane, rng.uniform(0.5, 1.3))


def _fold_of_nucleus(rng: Generator, image: Field, tones: _Tones, centre: Points, nucleus: Points) -> None:
    """Draw the envelope where it dips in from the rim."""
    first = int(rng.integers(CORNERS))
    depth = np.linspace(1, rng.uniform(0.1, 0.8), 12)[:, np.newaxis]
    sway = np.cumsum(rng.normal(0, 0.02, (12, 2)), axis=0) * np.hypot(*nucleus[first])
    _line(image, centre + nucleus[first] * depth + sway, tones.membrane, rng.uniform(0.8, 2))


def _nucleolus(rng: Generator, image: Field, tones: _Tones, place: Points, radius: float) -> None:
    """Darken a round spot without a rim."""
    y, x = np.indices(image.shape)
    distance = np.hypot(x - place[0], y - place[1]) / (radius * rng.uniform(0.08, 0.2))
    image -= rng.uniform(0.1, 0.5) * (tones.nucleus - tones.membrane) / (1 + np.exp(8 * np.minimum(distance - 1, 5)))


def _fold_of_resin(rng: Generator, image: Field) -> None:
    """Add the soft streak of a wrinkle or of charge."""
    side = image.shape[0]
    streak = np.zeros_like(image)
    ends = rng.uniform(0, side, (2, 2))
    _line(
        streak, np.linspace(ends[0], ends[1], 8) + rng.normal(0, side / 40, (8, 2)), 1.0, side * rng.uniform(0.01, 0.05)
    )
    image += rng.uniform(-45, 30) * cv2.GaussianBlur(streak, (0, 0), side * rng.uniform(0.006, 0.03))


def _area(image: Field, outline: Points, inside: float, rim: float, width: float) -> None:
    cv2.fillPoly(image, [_fixed(outline)], inside, shift=SHARPNESS)
    cv2.polylines(image, [_fixed(outline)], isClosed=True, color=rim, thickness=max(1, round(width)), shift=SHARPNESS)


def _line(image: Field, points: Points, tone: float, width: float) -> None:
    cv2.polylines(image, [_fixed(points)], isClosed=False, color=tone, thickness=max(1, round(width)), shift=SHARPNESS)


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.rint(points * (1 << SHARPNESS)).astype(np.int32)
