"""Decoding in this process: what pixels need is taken out of the file, and given to the library that reads it.

The limits are checked on the header before any pixel is allocated. Deep TIFF (more than 8 bits per sample) goes
through tifffile or OpenCV's libtiff, 16-bit colour PNG through OpenCV, and everything else through Pillow.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.Image import DecompressionBombError, DecompressionBombWarning
from PIL.ImageFile import ImageFile

from bioseg.decoding import content, essentials, tiff_pages
from bioseg.errors import ImageTooLarge, UnreadableImage
from bioseg.images import Image, Limits

_PILLOW: Final[dict[str, Callable[[io.BytesIO], ImageFile]]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}
_ORIENTATION: Final = 274
_PLAIN_TIFF: Final = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
_HOSTILE: Final = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, cv2.error, struct.error, zlib.error),
    *(DecompressionBombError, DecompressionBombWarning, tifffile.TiffFileError),
)
"""What the libraries were seen or are documented to raise on damaged bytes."""


def decode(data: bytes, limits: Limits) -> Image:
    """Decode the one image that an uploaded file holds.

    Formats: PNG, JPEG (of an MPO its first picture), TIFF, BMP, WebP, GIF, each with one frame. TIFF thumbnails and
    pyramid levels are skipped. EXIF and TIFF orientation are applied. Gray and RGB of 8 or 16 bits keep their values;
    palettes and CMYK become RGB, 1-bit becomes 0 and 255, transparency is composited on white, and TIFF samples of any
    other type (signed, 32-bit, float) are scaled from their finite minimum..maximum to 0..65535 (NaN becomes 0).

    Returns
    -------
    Image
        (H, W) gray or (H, W, 3) RGB, uint8 or uint16, contiguous, height and width after rotation.

    Raises
    ------
    ImageTooLarge
        The file or its pixels exceed `limits`.
    StackNotAllowed
        The file holds several frames, or is a ZIP.
    UnsupportedFormat
        A format, sample type or channel layout outside the allow-list.
    UnreadableImage
        The bytes are empty, no image, damaged, truncated, or decoding them takes more memory than there is. Nothing
        of the file is told in the message.
    """
    content.check_bytes(data, limits)
    kind = content.sniff(data)
    with damage_named(kind):
        return _DECODERS[kind](data, limits)


@contextmanager
def damage_named(kind: str) -> Iterator[None]:
    """Turn whatever the decoders raise on damaged bytes of a format into UnreadableImage."""
    try:
        yield
    except MemoryError as error:
        raise content.damaged(kind, "such that it takes more memory to decode than is allowed") from error
    except _HOSTILE as error:
        raise content.damaged(kind) from error


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"The header says {width} x {height} pixels; each side needs at least 1.")
    if width * height > limits.max_pixels:
        size = f"{width:,} x {height:,} = {width * height:,} pixels"
        raise ImageTooLarge(f"The image has {size}; at most {limits.max_pixels:,} are allowed. Crop or shrink it.")


def _png(data: bytes, limits: Limits) -> Image:
    if data[12:16] != b"IHDR":
        raise content.damaged("PNG")
    _check_pixels(int.from_bytes(data[16:20]), int.from_bytes(data[20:24]), limits)
    pixels, orientation = essentials.png(data)
    with _opened("PNG", pixels, limits) as picture:
        is_deep_colour = pixels[24] == 16 and pixels[25] != 0
        image = _deep_colour_png(pixels, *picture.size) if is_deep_colour else _pixels(picture)
    return _usable(_upright(image, orientation))


def _jpeg(data: bytes, limits: Limits) -> Image:
    pixels, orientation = essentials.jpeg(data)
    with _opened("JPEG", pixels, limits) as picture:
        return _usable(_upright(_pixels(picture), orientation))


def _gif(data: bytes, limits: Limits) -> Image:
    with _opened("GIF", essentials.gif(data), limits) as picture:
        return _usable(_pixels(picture))


def _bmp(data: bytes, limits: Limits) -> Image:
    essentials.check_bmp(data)
    with _opened("BMP", data, limits) as picture:
        return _usable(_pixels(picture))


def _webp(data: bytes, limits: Limits) -> Image:
    _check_pixels(*_webp_size(data), limits)
    with _opened("WebP", data, limits) as picture:
        if getattr(picture, "is_animated", False):
            raise content.stack("an animated WebP")
        return _usable(_upright(_pixels(picture), essentials.orientation(picture.info.get("exif", b""))))


@contextmanager
def _opened(kind: str, data: bytes, limits: Limits, frame: int = 0) -> Iterator[ImageFile]:
    with _PILLOW[kind](io.BytesIO(data)) as picture:
        picture.seek(frame)
        _check_pixels(*picture.size, limits)
        yield picture


def _usable(image: Image) -> Image:
    return np.require(image, requirements=["C", "W"])


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from the first chunk (RFC 9649, sections 2.5 to 2.7): Pillow allocates the canvas on opening."""
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise content.damaged("WebP", "of a kind that is not read: its first part is unknown")


def _pixels(picture: ImageFile) -> Image:
    picture.load()
    gray = picture.mode in {"1", "L", "LA"}
    if picture.mode == "I;16":
        return np.asarray(picture)
    if picture.has_transparency_data:
        return _composite(np.asarray(picture.convert("LA" if gray else "RGBA")))
    return np.asarray(picture if picture.mode in {"L", "RGB"} else picture.convert("L" if gray else "RGB"))


def _deep_colour_png(data: bytes, width: int, height: int) -> Image:
    # At most 8 bytes a pixel, and one byte a row in each of seven passes.
    essentials.check_inflated(data, 8 * width * height + 7 * (height + 1))
    return _composite(_rgb_order(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)))


def _opencv_page(data: bytes, number: int) -> NDArray[Any]:
    wanted = (number, number + 1)
    _, found = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=wanted)
    return _rgb_order(found[0] if found else None)


def _rgb_order(image: NDArray[Any] | None) -> NDArray[Any]:
    """What OpenCV decoded with every bit kept, if it did: (H, W) or (H, W, 3 or 4), blue first -> red first."""
    if image is None:
        raise UnreadableImage(f"The pixels cannot be decoded; save the image again as a plain {content.ALLOWED} image.")
    return image if image.ndim == 2 else image[..., [2, 1, 0, 3][: image.shape[2]]]


def _composite(image: NDArray[Any]) -> Image:
    """Lay (H, W, 2) gray + alpha or (H, W, 4) RGBA, unsigned, on white; without alpha the image stays as it is."""
    if image.ndim == 2 or image.shape[2] == 3:
        return image
    white = np.float32(np.iinfo(image.dtype).max)
    mixed = np.empty((*image.shape[:2], image.shape[2] - 1), image.dtype)
    for rows in tiff_pages.bands(image):
        opacity = image[rows, :, -1:] / white
        mixed[rows] = np.rint(image[rows, :, :-1] * opacity + white * (1 - opacity))
    return mixed[..., 0] if mixed.shape[2] == 1 else mixed


def _upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation (EXIF 2.32, tag 274): flip rows, flip columns, then swap the two axes."""
    turns = {2: (1, -1, 0), 3: (-1, -1, 0), 4: (-1, 1, 0), 5: (1, 1, 1), 6: (-1, 1, 1), 7: (-1, -1, 1), 8: (1, -1, 1)}
    rows, columns, swap = turns.get(orientation, (1, 1, 0))
    return image[::rows, ::columns].swapaxes(0, swap)


def _tiff(data: bytes, limits: Limits) -> Image:
    essentials.check_tiff(data, tiff_pages.MAX_SEARCHED)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        stack = tiff_pages.stack_in(file)
        if stack:
            raise content.stack(stack)
        return decode_page(data, file.pages.first, limits)


def decode_page(data: bytes, page: tifffile.TiffPage, limits: Limits) -> Image:
    """Decode one page of the TIFF file `data`; of `limits`, its pixels are checked. Returns and raises as `decode`."""
    _check_pixels(page.imagewidth, page.imagelength, limits)
    if page.is_tiled:
        _check_pixels(page.tilewidth, page.tilelength, limits)
    if any(o + n > len(data) for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)):
        raise UnreadableImage("The TIFF is truncated: its pixels lie beyond the end of the file; send it again.")
    unpacked = page.compression == tifffile.COMPRESSION.NONE
    plain = page.photometric in _PLAIN_TIFF and page.bitspersample % 8 == 0
    deep = page.bitspersample > 8 or page.sampleformat != tifffile.SAMPLEFORMAT.UINT
    if not plain or not (unpacked or deep):
        # Pillow turns a TIFF while loading it, so nothing is turned twice.
        with _opened("TIFF", data, limits, page.index) as picture:
            return _usable(_pixels(picture))
    tiff_pages.colours(page)
    orientation = page.tags.valueof(_ORIENTATION, default=1)
    # OpenCV turns a TIFF while decoding, so nothing is turned twice.
    samples = _upright(tiff_pages.stored(page), orientation) if unpacked else _opencv_page(data, page.index)
    _check_pixels(samples.shape[1], samples.shape[0], limits)
    image = _composite(tiff_pages.unsigned(samples, page))
    return _usable(np.invert(image) if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE else image)


_DECODERS: Final[dict[str, Callable[[bytes, Limits], Image]]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "TIFF": _tiff,
    "BMP": _bmp,
    "WebP": _webp,
    "GIF": _gif,
}
