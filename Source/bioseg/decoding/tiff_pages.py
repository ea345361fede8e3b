"""Pages of a TIFF: which of them are images, and their samples, of whatever type, as gray or RGB in uint8 or uint16."""

import itertools
import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from bioseg.errors import UnreadableImage, UnsupportedFormat

Unsigned = NDArray[np.uint8] | NDArray[np.uint16]

MAX_SEARCHED: Final = 64
"""How many directories of a TIFF are searched for a second full page: each costs time to read."""
BAND_SAMPLES: Final = 2**20
_ALPHA: Final = ((1,), (2,))


def stack_in(tiff: tifffile.TiffFile) -> str | None:
    """What kind of stack a TIFF is, in words, or None for a single image."""
    planes = planes_within(tiff.pages.first)
    if planes > 1:
        return f"a TIFF stack of {planes} planes"
    return "a TIFF of several pages" if len(full_pages(tiff, MAX_SEARCHED)) > 1 else None


def planes_within(page: tifffile.TiffPage) -> int:
    """How many planes the first page of a TIFF announces: ImageJ tells of all pages, a volume of those in the page."""
    slices = re.search(r"^images=(\d+)", page.description, re.MULTILINE)
    return int(slices[1]) if slices and page.is_imagej else int(page.imagedepth)


def full_pages(tiff: tifffile.TiffFile, most: int) -> list[tifffile.TiffPage]:
    """The first page and those of its size among the first `most`; others are thumbnails, masks, pyramid levels."""
    first = tiff.pages.first
    size = (first.imagewidth, first.imagelength)
    others = (page for page in itertools.islice(tiff.pages, 1, most) if isinstance(page, tifffile.TiffPage))
    full = (page for page in others if not (page.is_reduced or page.is_mask))
    return [first, *(page for page in full if (page.imagewidth, page.imagelength) == size)]


def stored(page: tifffile.TiffPage) -> NDArray[Any]:
    """Read an uncompressed page as it is: (H, W) or (H, W, samples); raises UnreadableImage when some are missing."""
    if sum(page.databytecounts) < page.nbytes:
        share = f"{sum(page.databytecounts):,} of {page.nbytes:,} bytes"
        raise UnreadableImage(f"The TIFF holds {share} of its pixels; send it again.")
    samples = page.asarray(maxworkers=1)
    separate = samples.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    return np.moveaxis(samples, 0, -1) if separate else samples


def colours(page: tifffile.TiffPage) -> int:
    """Tell whether a page is gray, 1, or RGB, 3; raises UnsupportedFormat for other channels and number types."""
    count = page.samplesperpixel
    number = 3 if count == 3 or page.photometric == tifffile.PHOTOMETRIC.RGB else 1
    if count not in {number, number + 1} or (count == 2 and page.extrasamples[:1] not in _ALPHA):
        raise UnsupportedFormat(f"The TIFF has {count} channels; 1 (gray) or 3 (RGB), with or without alpha, are read.")
    if page.dtype is None or page.dtype.kind not in "uif":
        raise UnsupportedFormat(f"TIFF samples of type {page.dtype} are not read; save them as uint8 or uint16.")
    return number


def unsigned(samples: NDArray[Any], page: tifffile.TiffPage) -> Unsigned:
    """Make uint8 or uint16 of the samples of a page, (H, W) or (H, W, samples).

    Returns
    -------
    (H, W) gray or (H, W, 3) RGB, with the opacity as one channel more where the page has one and keeps its numbers;
    numbers of other types are scaled from their finite minimum..maximum to 0..65535.

    Raises
    ------
    UnreadableImage
        No number is finite.
    UnsupportedFormat
        As `colours` does.
    """
    count = colours(page)
    kept = samples if samples.ndim == 2 else samples[..., 0] if count == 1 else samples[..., :3]
    if samples.dtype.kind != "u" or samples.dtype.itemsize > 2:
        return _spread(kept)
    has_alpha = page.samplesperpixel > count and page.extrasamples[:1] in _ALPHA
    return (samples if has_alpha else kept).astype(samples.dtype.newbyteorder("="), copy=False)


def _spread(samples: NDArray[Any]) -> NDArray[np.uint16]:
    """Scale the finite minimum..maximum to 0..65535; infinities take the ends, NaN and a constant image become 0."""
    low, high = _finite_range(samples)
    spread = np.zeros(samples.shape, np.uint16)
    for rows in bands(samples) if low < high else ():
        with np.errstate(invalid="ignore"):  # signalling NaN
            wide = samples[rows].astype(np.float64)
        share: NDArray[np.float64] = (np.clip(wide, low, high) - low) / (high - low)
        spread[rows] = np.rint(np.nan_to_num(share, nan=0.0) * 65535)
    return spread


def _finite_range(samples: NDArray[Any]) -> tuple[float, float]:
    finite = (band[np.isfinite(band)] for band in (samples[rows] for rows in bands(samples)))
    ranges = [(float(band.min()), float(band.max())) for band in finite if band.size]
    if not ranges:
        raise UnreadableImage("Every sample of the TIFF is NaN or infinite: it holds no picture; export it again.")
    # Beyond 1e300 the difference of two float64 could overflow.
    low, high = np.clip([min(ranges)[0], max(high for _, high in ranges)], -1e300, 1e300)
    return float(low), float(high)


def bands(samples: NDArray[Any]) -> Iterator[slice]:
    """Rows of (H, ...) in turns of about a million samples: what is computed from them stays small."""
    step = max(1, BAND_SAMPLES * len(samples) // samples.size)
    return (slice(start, start + step) for start in range(0, len(samples), step))
