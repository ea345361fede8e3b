"""How far the output of a network looks, from its architecture alone."""


def unet_halo(levels: int) -> int:
    """Context, pixels, that makes a tile of `keras_unet.unet` equal to the whole image.

    Follows the path through the bottom, which sees most, from the first and the last pixel of a cell of the pooling
    grid to the pixels that they depend on. Tiles begin and end with such cells, so the halo holds for them and not for
    a pixel in the middle of a cell; it is rounded up to a multiple of the grid.

    Parameters
    ----------
    levels
        Number of resolutions, 1 or more; the side of an image is a multiple of 2**(levels - 1).

    >>> unet_halo(5)
    96
    """
    grid = 1 << (levels - 1)
    first, last = 0, grid - 1
    reach = max(first - _seen(first, levels)[0], _seen(last, levels)[1] - last)
    return -(-reach // grid) * grid


def _seen(place: int, levels: int) -> tuple[int, int]:
    """First and last pixel that the output at a place depends on."""
    low = high = place
    for level in range(levels - 1):
        low, high = (low - _radius(level)) // 2, (high + _radius(level)) // 2
    low, high = low - 2, high + 2
    for level in reversed(range(levels - 1)):
        low, high = 2 * low - _radius(level), 2 * high + 1 + _radius(level)
    return low, high


def _radius(level: int) -> int:
    """Number of 3x3 convolutions on each side of a level above the bottom: one at full resolution, else two."""
    return min(level + 1, 2)
