"""Drawn sections of electron microscopy: what may be shown and shipped where no real section may.

They stand for no tissue; cells, membranes and organelles are as large and as dark as in the ISBI 2012 sections.
"""

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

NAME = "synthetic_sections"
LABEL = "membrane EM"

Gray = NDArray[np.uint8]
Field = NDArray[np.float64]
Mask = NDArray[np.bool_]

CELL = 36
HALF_MEMBRANE = 2.5
FIRST_SEED = 10_000_000


def draw(index: int, side: int = 256) -> Gray:
    """Draw picture number `index`, always the same: a section from nearer or further away; shape (side, side, 3), RGB.

    Its sections are others than those that `membrane_section` draws for small seeds.

    >>> draw(7).shape
    (256, 256, 3)
    """
    rng = np.random.default_rng([index, 0x5EC7])
    wide = int(side / np.exp(rng.uniform(np.log(0.5), np.log(1.6))))
    section, _ = membrane_section(FIRST_SEED + index, wide)
    seen = cv2.resize(section, (side, side), interpolation=cv2.INTER_AREA if wide > side else cv2.INTER_CUBIC)
    return np.repeat(np.asarray(seen, np.uint8)[..., np.newaxis], 3, axis=2)


def membrane_section(seed: int, side: int = 256) -> tuple[Gray, Mask]:
    """Draw an EM section: Voronoi cells with dark membranes about five pixels wide, organelles, noise.

    Returns
    -------
    image
        Shape (side, side), values 0 to 255; membranes are dark, as in the ISBI 2012 sections.
    interior
        Shape (side, side), true inside cells, organelles included, and false on membranes.
    """
    rng = np.random.default_rng([seed, 1])
    cells = _cells(rng, side)
    distance = _distance_to_border(cells)
    dark = 68 + 12 * field(rng, side, side // 24)
    shade = rng.normal(168, 10, int(cells.max()) + 1)[cells] + 7 * field(rng, side, side // 8)
    inside = np.clip((distance - 1) / (HALF_MEMBRANE - 1), 0, 1)
    image = np.asarray(dark + inside * (shade - dark), dtype=np.float64)
    for _ in range(side * side // 300):
        _vesicle(rng, image, distance)
    for _ in range(side * side // 6000):
        _mitochondrion(rng, image, distance)
    grain = cv2.GaussianBlur(rng.normal(0, 50, (side, side)), (0, 0), 0.9)
    return pixels(cv2.GaussianBlur(image, (0, 0), 0.9) + grain), distance > HALF_MEMBRANE


def field(rng: Generator, side: int, knots: int) -> Field:
    """Draw a smooth random field with about `knots` waves across, values about -2 to 2."""
    coarse = rng.normal(size=(knots + 1, knots + 1))
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.float64)


def pixels(values: NDArray[np.floating[Any]]) -> Gray:
    """Round to gray values, what is too dark or too bright to the last of them."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _cells(rng: Generator, side: int) -> NDArray[np.int64]:
    """Draw a warped Voronoi tessellation and number its cells; a nucleus lies in most squares of a grid."""
    margin = CELL
    wide = side + 2 * margin
    starts = np.arange(0, wide, CELL)
    corners = np.stack(np.meshgrid(starts, starts), axis=-1).reshape(-1, 2)
    nuclei = np.clip(corners + rng.integers(0, CELL, corners.shape), 0, wide - 1)
    nuclei = nuclei[rng.random(len(nuclei)) < 0.6]
    ground = np.ones((wide, wide), dtype=np.uint8)
    ground[nuclei[:, 1], nuclei[:, 0]] = 0
    _, label = cv2.distanceTransformWithLabels(ground, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    y, x = np.indices((side, side)) + float(margin)
    waves = max(2, side // 24)
    x, y = (axis + np.clip(5 * field(rng, side, waves), -margin, margin - 1) for axis in (x, y))
    return np.asarray(label[np.rint(y).astype(int), np.rint(x).astype(int)], dtype=np.int64)


def _distance_to_border(cells: NDArray[np.int64]) -> Field:
    padded = np.pad(cells, 1, mode="edge")
    border = (padded[1:-1, 1:-1] != padded[2:, 1:-1]) | (padded[1:-1, 1:-1] != padded[1:-1, 2:])
    if not border.any():
        return np.full(cells.shape, float(cells.shape[0]))
    return np.asarray(cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, 5), dtype=np.float64)


def _vesicle(rng: Generator, image: Field, distance: Field) -> None:
    y, x = rng.integers(0, image.shape[0], 2).tolist()
    if distance[y, x] > HALF_MEMBRANE + 3:
        cv2.circle(
            image, (x, y), int(rng.integers(1, 4)), float(rng.uniform(95, 140)), int(rng.choice([1, cv2.FILLED]))
        )


def _mitochondrion(rng: Generator, image: Field, distance: Field) -> None:
    y, x = rng.integers(0, image.shape[0], 2).tolist()
    room = distance[y, x] - HALF_MEMBRANE - 2
    if room < 4:
        return
    axes = (int(min(room, rng.uniform(6, 12))), int(min(room, rng.uniform(4, 8))))
    angle = float(rng.uniform(0, 180))
    cv2.ellipse(image, (x, y), axes, angle, 0, 360, float(rng.uniform(105, 130)), cv2.FILLED)
    cv2.ellipse(image, (x, y), axes, angle, 0, 360, 80.0, 1)
