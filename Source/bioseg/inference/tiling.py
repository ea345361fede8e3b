"""Segmenting images of any size with bounded memory: overlapping windows whose seams cannot be seen."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioseg.errors import InvalidInput

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


def tiled(
    predict: Callable[[NDArray[Any]], Floats], image: NDArray[Any], *, tile: int, halo: int, multiple: int
) -> Floats:
    """Run a network over an image in windows and join what is exact in each of them.

    The image is reflected on its right and bottom side up to `multiple`. All windows have one shape, so that a runtime
    plans once; at the image's border they end with the image, where the network pads as it would pad the whole. With
    a `halo` of at least the receptive radius the result equals that of one run over the whole image.

    Parameters
    ----------
    predict
        Maps (1, h, w, C) of the image's own type to (1, h, w, 1) float32; h and w are multiples of `multiple`.
    image
        (H, W, C) of any type and size.
    tile
        Side of the square that each window contributes, pixels.
    halo
        Context around it on each side, pixels.
    multiple
        What tile, halo and the windows' sides are multiples of.

    Returns
    -------
    (H, W, 1) float32.

    Raises
    ------
    InvalidInput
        When tile or halo is no multiple of `multiple`, the tile is empty, or the image is.
    """
    if tile < 1 or halo < 0 or tile % multiple or halo % multiple:
        raise InvalidInput(f"tile {tile} and halo {halo} must be multiples of {multiple}, the tile above 0")
    height, width = image.shape[:2]
    if height < 1 or width < 1:
        raise InvalidInput(f"an image of {height} x {width} pixels holds nothing to segment; each side needs 1")
    rows, columns = _reflected(height, multiple), _reflected(width, multiple)
    joined = np.empty((height, width, 1), np.float32)
    for core_y, y in _windows(len(rows), tile, halo):
        for core_x, x in _windows(len(columns), tile, halo):
            window = image[_run(rows[y])][:, _run(columns[x])]
            core = joined[core_y, core_x]
            inner = predict(window[np.newaxis])[0, core_y.start - y.start :, core_x.start - x.start :]
            core[...] = inner[: core.shape[0], : core.shape[1]]
    return joined


def _reflected(length: int, multiple: int) -> Indices:
    """Index of the pixel that stands at each place of a side that is reflected up to a multiple."""
    return np.pad(np.arange(length), (0, -length % multiple), mode="reflect")


def _run(places: Indices) -> slice | Indices:
    """Places as a slice where nothing is reflected: that copies no pixels."""
    runs_on = places[-1] - places[0] == len(places) - 1
    return slice(places[0], places[-1] + 1) if runs_on else places


def _windows(length: int, tile: int, halo: int) -> list[tuple[slice, slice]]:
    """Tiles of a side, each with the window around it; all windows have one length and end within the side."""
    size = tile + 2 * halo
    if size >= length:
        return [(slice(0, length), slice(0, length))]
    origins = range(0, length, tile)
    starts = (min(max(origin - halo, 0), length - size) for origin in origins)
    return [
        (slice(origin, origin + tile), slice(start, start + size))
        for origin, start in zip(origins, starts, strict=True)
    ]
