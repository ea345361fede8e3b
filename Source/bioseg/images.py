"""Bytes to array and back: allow-listed decoding within limits, normalising, and fast encoders.

The format is told from the content, never from a file name, and the limits are checked on the header before any
pixel is allocated. Deep TIFF (more than 8 bits per sample) goes through tifffile or OpenCV's libtiff, 16-bit colour
PNG through OpenCV, and everything else through Pillow.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.Image import DecompressionBombError, DecompressionBombWarning
from PIL.ImageFile import ImageFile

from bioseg import tiff_pages
from bioseg.errors import ImageTooLarge, InvalidInput, StackNotAllowed, UnreadableImage, UnsupportedFormat

Image: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W) gray or (H, W, 3) RGB."""

ALLOWED: Final = "PNG, JPEG, TIFF, BMP, WebP or GIF"

_FORMATS: Final[dict[str, tuple[Callable[[io.BytesIO], ImageFile], tuple[bytes, ...]]]] = {
    "PNG": (PngImagePlugin.PngImageFile, (b"\x89PNG\r\n\x1a\n",)),
    "JPEG": (JpegImagePlugin.JpegImageFile, (b"\xff\xd8\xff",)),
    "TIFF": (TiffImagePlugin.TiffImageFile, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    "BMP": (BmpImagePlugin.BmpImageFile, (b"BM",)),
    "WebP": (WebPImagePlugin.WebPImageFile, (b"RIFF",)),
    "GIF": (GifImagePlugin.GifImageFile, (b"GIF87a", b"GIF89a")),
}
_FOREIGN: Final = (
    *(("PDF", 0, b"%PDF"), ("gzip", 0, b"\x1f\x8b"), ("HDF5", 0, b"\x89HDF"), ("DICOM", 128, b"DICM")),
    *(("JPEG 2000", 0, b"\0\0\0\x0cjP"), ("HEIF, AVIF or video", 4, b"ftyp")),
)
_ORIENTATION: Final = 274
_PLAIN_TIFF: Final = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
_HOSTILE: Final = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, cv2.error, struct.error, zlib.error),
    *(DecompressionBombError, DecompressionBombWarning, tifffile.TiffFileError),
)
"""What the libraries were seen or are documented to raise on damaged bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one upload may cost: file size in bytes, and width x height in pixels."""

    max_bytes: int
    max_pixels: int


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
        The bytes are empty, no image, damaged or truncated.
    """
    if len(data) > limits.max_bytes:
        allowed = f"at most {limits.max_bytes:,} are allowed"
        raise ImageTooLarge(f"The file has {len(data):,} bytes; {allowed}. Compress, crop or shrink it.")
    kind = sniff(data)
    with damage_named(kind):
        return _only_page(data, limits) if kind == "TIFF" else _decode_pillow(data, kind, limits)


@contextmanager
def damage_named(kind: str) -> Iterator[None]:
    """Turn whatever the decoders raise on damaged bytes of a format into UnreadableImage."""
    try:
        yield
    except _HOSTILE as error:
        damage = f"The {kind} data is damaged, incomplete or of a rare variant ({type(error).__name__}: {error})"
        raise UnreadableImage(f"{damage[:300]}. Save it again as a plain {ALLOWED} image.") from error


def sniff(data: bytes) -> str:
    """Tell the format by its first bytes; raises StackNotAllowed for a ZIP, and as `decode` for what is not read."""
    if not data:
        raise UnreadableImage(f"The upload is empty (0 bytes); send one {ALLOWED} image.")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise _stack("a ZIP archive")
    for kind, (_, magics) in _FORMATS.items():
        if data.startswith(magics):
            return kind
    for kind, start, magic in _FOREIGN:
        if data.startswith(magic, start):
            raise UnsupportedFormat(f"{kind} files are not read; convert the image to {ALLOWED}.")
    raise UnreadableImage(f"The content is no known image, it begins with {data[:8]!r}; send {ALLOWED}.")


def _stack(what: str) -> StackNotAllowed:
    return StackNotAllowed(f"The file is {what}; one image is expected here. Stacks go to POST /api/v1/jobs.")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"The header says {width} x {height} pixels; each side needs at least 1.")
    if width * height > limits.max_pixels:
        size = f"{width:,} x {height:,} = {width * height:,} pixels"
        raise ImageTooLarge(f"The image has {size}; at most {limits.max_pixels:,} are allowed. Crop or shrink it.")


def _decode_pillow(data: bytes, kind: str, limits: Limits, frame: int = 0) -> Image:
    if kind == "WebP":
        _check_pixels(*_webp_size(data), limits)
    with _FORMATS[kind][0](io.BytesIO(data)) as picture:
        picture.seek(frame)
        _check_pixels(*picture.size, limits)
        if kind != "TIFF" and getattr(picture, "is_animated", False):
            raise _stack(f"an animated {kind}")
        picture.load()
        deep_colour = kind == "PNG" and data[24] == 16 and data[25] != 0
        image = _deep_colour_png(data) if deep_colour else _pixels(picture)
        # Pillow turns a TIFF while loading and drops its orientation, so nothing is turned twice.
        return _usable(_upright(image, picture.getexif().get(_ORIENTATION, 1)))


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
    raise UnreadableImage(f"The WebP file begins with the unknown chunk {chunk!r}; save it again as {ALLOWED}.")


def _pixels(picture: ImageFile) -> Image:
    gray = picture.mode in {"1", "L", "LA"}
    if picture.mode == "I;16":
        return np.asarray(picture)
    if picture.has_transparency_data:
        return _composite(np.asarray(picture.convert("LA" if gray else "RGBA")))
    return np.asarray(picture if picture.mode in {"L", "RGB"} else picture.convert("L" if gray else "RGB"))


def _deep_colour_png(data: bytes) -> Image:
    offset = 8
    while offset < len(data) and data[offset + 4 : offset + 8] != b"IEND":
        offset += 12 + int.from_bytes(data[offset : offset + 4])
    # OpenCV allocates what a chunk claims to hold.
    if offset >= len(data):
        raise UnreadableImage(f"The PNG has {len(data):,} bytes and its chunks claim {offset:,}; save it again.")
    return _composite(_opencv(data))


def _opencv(data: bytes) -> NDArray[Any]:
    return _rgb_order(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def _opencv_page(data: bytes, number: int) -> NDArray[Any]:
    wanted = (number, number + 1)
    _, found = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=wanted)
    return _rgb_order(found[0] if found else None)


def _rgb_order(image: NDArray[Any] | None) -> NDArray[Any]:
    """What OpenCV decoded with every bit kept, if it did: (H, W) or (H, W, 3 or 4), blue first -> red first."""
    if image is None:
        raise UnreadableImage(f"The pixels cannot be decoded; save the image again as a plain {ALLOWED} image.")
    return image if image.ndim == 2 else image[..., [2, 1, 0, 3][: image.shape[2]]]


def _composite(image: NDArray[Any]) -> Image:
    """Lay (H, W, 2) gray + alpha or (H, W, 4) RGBA, unsigned, on white; without alpha the image stays as it is."""
    if image.ndim == 2 or image.shape[2] == 3:
        return image
    white = np.float32(np.iinfo(image.dtype).max)
    opacity = image[..., -1:] / white
    mixed = np.rint(image[..., :-1] * opacity + white * (1 - opacity)).astype(image.dtype)
    return mixed[..., 0] if mixed.shape[2] == 1 else mixed


def _upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation (EXIF 2.32, tag 274): flip rows, flip columns, then swap the two axes."""
    turns = {2: (1, -1, 0), 3: (-1, -1, 0), 4: (-1, 1, 0), 5: (1, 1, 1), 6: (-1, 1, 1), 7: (-1, -1, 1), 8: (1, -1, 1)}
    rows, columns, swap = turns.get(orientation, (1, 1, 0))
    return image[::rows, ::columns].swapaxes(0, swap)


def _only_page(data: bytes, limits: Limits) -> Image:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        stack = tiff_pages.stack_in(file)
        if stack:
            raise _stack(stack)
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
        return _decode_pillow(data, "TIFF", limits, page.index)
    tiff_pages.colours(page)
    orientation = page.tags.valueof(_ORIENTATION, default=1)
    # OpenCV turns a TIFF while decoding, so nothing is turned twice.
    samples = _upright(tiff_pages.stored(page), orientation) if unpacked else _opencv_page(data, page.index)
    _check_pixels(samples.shape[1], samples.shape[0], limits)
    image = _composite(tiff_pages.unsigned(samples, page))
    return _usable(np.invert(image) if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE else image)


def grayscale(image: Image) -> NDArray[np.float32]:
    """(H, W[, 3]) -> (H, W) in 0..1 of the dtype's range; RGB by the luma of ITU-R BT.601, section 2.5.1."""
    values = image.astype(np.float32)
    luma = values if values.ndim == 2 else np.asarray(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY), np.float32)
    gray: NDArray[np.float32] = np.minimum(luma / np.float32(np.iinfo(image.dtype).max), np.float32(1))
    return gray


def standardise(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) -> (H, W) of mean 0 and variance 1 over the whole image; a constant image becomes zeros."""
    if gray.min() == gray.max():
        return np.zeros_like(gray)
    mean, deviation = gray.mean(dtype=np.float64), gray.std(dtype=np.float64)
    return ((gray - np.float32(mean)) / np.float32(deviation)).astype(np.float32)


def to_uint8(image: Image) -> NDArray[np.uint8]:
    """(H, W[, 3]) for display and the classifier: 8 bits stay, 16 bits are stretched between percentiles 0.1 and 99.9.

    One stretch serves all channels; an image without spread keeps its high byte.
    """
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False)
    counts = np.cumsum(np.bincount(image.ravel(), minlength=65536))
    low, high = np.searchsorted(counts, counts[-1] * np.array([0.001, 0.999]))
    values = np.arange(65536)
    stretched = np.clip((values - low) / (high - low) * 255, 0, 255) if high > low else values >> 8
    table: NDArray[np.uint8] = np.rint(stretched).astype(np.uint8)
    return np.asarray(table[image])


def resize_square(image8: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(H, W[, 3]) -> (side, side[, 3]) without keeping the aspect: area means when shrinking, else bilinear."""
    method = cv2.INTER_AREA if min(image8.shape[:2]) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image8, (side, side), interpolation=method), np.uint8)


def encode_png(image: Image, level: int = 1) -> bytes:
    """Encode (H, W) gray or (H, W, 3) RGB, uint8 or uint16, without loss; `level` 0 (fast) to 9 (small)."""
    ordered = image if image.ndim == 2 else image[..., ::-1]
    return _png(ordered, cv2.IMWRITE_PNG_COMPRESSION, level)


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Encode (H, W) as a 1-bit PNG that decodes to 255 = foreground, 0 = background."""
    strategy = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
    return _png(mask.astype(np.uint8) * np.uint8(255), cv2.IMWRITE_PNG_BILEVEL, 1, *strategy)


def encode_probability(probability: NDArray[np.float32]) -> bytes:
    """Encode (H, W) in 0..1 as an 8-bit gray PNG, 255 = certainly foreground."""
    return encode_png(probability_uint8(probability))


def probability_uint8(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W) in 0..1 -> (H, W), 255 = certainly foreground."""
    return np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8)


def _png(image: NDArray[Any], *parameters: int) -> bytes:
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(image), parameters)
    return bytes(encoded)


def overlay(
    image8: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    colour: tuple[int, int, int] = (255, 64, 64),
    opacity: float = 0.45,
) -> NDArray[np.uint8]:
    """Tint the foreground: (H, W[, 3]) and mask (H, W) -> (H, W, 3) RGB; `opacity` 0 (unseen) to 1 (opaque).

    Raises
    ------
    InvalidInput
        Mask and image differ in height or width.
    """
    if mask.shape != image8.shape[:2]:
        raise InvalidInput(f"The mask is {mask.shape}, the image {image8.shape[:2]}; both need one height and width.")
    rgb = image8 if image8.ndim == 3 else np.repeat(image8[..., None], 3, axis=2)
    tinted = cv2.addWeighted(rgb, 1 - opacity, np.full_like(rgb, colour), opacity, 0)
    return np.where(mask[..., None], tinted, rgb)
