"""Stacks: TIFF files of several pages, each of which is an image of its own."""

import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from bioseg.decoding import content, essentials, formats, tiff_pages
from bioseg.errors import ImageError, ImageTooLarge, UnsupportedFormat
from bioseg.images import Image, Limits

MAX_PAGES: Final = 10_000


def is_stack(data: bytes) -> bool:
    """Tell whether a file is a TIFF of several images; raises ImageError when it is none that is read, or damaged."""
    if content.sniff(data) != "TIFF":
        return False
    essentials.check_tiff(data, tiff_pages.MAX_SEARCHED)
    with formats.damage_named("TIFF"), tifffile.TiffFile(io.BytesIO(data)) as tiff:
        return tiff_pages.stack_in(tiff) is not None


def pages(data: bytes, limits: Limits) -> Iterator[Image]:
    """Decode the images of a TIFF one by one, each as `formats.decode` does one alone.

    Pages of another size than the first are thumbnails or pyramid levels, and skipped.

    Parameters
    ----------
    data
        The file's bytes.
    limits
        What each page may cost: its bytes as they are stored, and its pixels.

    Yields
    ------
    (H, W) gray or (H, W, 3) RGB, uint8 or uint16; height and width of all are equal.

    Raises
    ------
    ImageTooLarge, UnreadableImage
        Naming the page; or there are more than `MAX_PAGES`.
    UnsupportedFormat
        As well when several planes lie behind one page, or a page is turned otherwise than the first.
    """
    essentials.check_tiff(data, MAX_PAGES)
    with formats.damage_named("TIFF"), tifffile.TiffFile(io.BytesIO(data)) as tiff:
        size = None
        for number, page in enumerate(_listed(tiff), 1):
            try:
                image = _decoded(data, page, limits)
            except ImageError as error:
                raise type(error)(f"page {number}: {error}") from error
            size = size or image.shape[:2]
            if image.shape[:2] != size:
                raise UnsupportedFormat(f"page {number} is turned otherwise than page 1; turn all pages alike.")
            yield image


def _listed(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    if len(tiff.pages) > MAX_PAGES:
        raise ImageTooLarge(f"The TIFF has {len(tiff.pages):,} pages; at most {MAX_PAGES:,} are allowed. Split it.")
    full = tiff_pages.full_pages(tiff, MAX_PAGES)
    planes = tiff_pages.planes_within(full[0])
    if planes > len(full):
        held = f"The TIFF announces {planes:,} planes and has pages for {len(full):,}"
        raise UnsupportedFormat(f"{held}; save it with one page for each plane.")
    return full


def _decoded(data: bytes, page: tifffile.TiffPage, limits: Limits) -> Image:
    stored = sum(page.databytecounts)
    if stored > limits.max_bytes:
        raise ImageTooLarge(f"It takes {stored:,} bytes; at most {limits.max_bytes:,} are allowed. Crop or shrink it.")
    if page.imagedepth > 1:
        raise UnsupportedFormat(f"It holds {page.imagedepth} planes; save the TIFF with one page for each plane.")
    with formats.damage_named("TIFF"):
        return formats.decode_page(data, page, limits)


def encode(pictures: Sequence[NDArray[Any]]) -> bytes:
    """Encode pictures of one size, (H, W) gray or (H, W, 3) RGB, as the pages of a TIFF without loss.

    All pages get the widest of their unsigned types.
    """
    buffer = io.BytesIO()
    photometric = "rgb" if pictures[0].ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, np.stack(pictures), photometric=photometric, compression="zlib", metadata=None)
    return buffer.getvalue()
