"""Bytes to array and back: allow-listed decoding within limits, normalising, and fast encoders.

The format is told from the content, never from a file name, and the limits are checked on the header before any
pixel is allocated. Deep TIFF (more than 8 bits per sample) goes through tifffile or OpenCV's libtiff, 16-bit colour
PNG through OpenCV, and everything else through Pillow.
"""

import io
import itertools
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.Image import DecompressionBombError, DecompressionBombWarning
from PIL.ImageFile import ImageFile

from bioseg.errors import ImageTooLarge, InvalidInput, StackNotAllowed, UnreadableImage, UnsupportedFormat

Image: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W) gray or (H, W, 3) RGB."""

ALLOWED: Final = "PNG, JPEG, TIFF, BMP, WebP or GIF"
MAX_TIFF_PAGES: Final = 64
"""How many directories of a TIFF are searched for a second full page: each costs time to read."""

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
_ALPHA: Final = ((1,), (2,))
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
    if not data:
        raise UnreadableImage(f"The upload is empty (0 bytes); send one {ALLOWED} image.")
    if len(data) > limits.max_bytes:
        allowed = f"at most {limits.max_bytes:,} are allowed"
        raise ImageTooLarge(f"The file has {len(data):,} bytes; {allowed}. Compress, crop or shrink it.")
    kind = _sniff(data)
    try:
        image = _decode_tiff(data, limits) if kind == "TIFF" else _decode_pillow(data, kind, limits)
    except _HOSTILE as error:
        damage = f"The {kind} data is damaged, incomplete or of a rare variant ({type(error).__name__}: {error})"
        raise UnreadableImage(f"{damage[:300]}. Save it again as a plain {ALLOWED} image.") from error
    return np.require(image, requirements=["C", "W"])


def _sniff(data: bytes) -> str:
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


def _decode_pillow(data: bytes, kind: str, limits: Limits) -> Image:
    if kind == "WebP":
        _check_pixels(*_webp_size(data), limits)
    with _FORMATS[kind][0](io.BytesIO(data)) as picture:
        _check_pixels(*picture.size, limits)
        if kind != "TIFF" and getattr(picture, "is_animated", False):
            raise _stack(f"an animated {kind}")
        picture.load()
        deep_colour = kind == "PNG" and data[24] == 16 and data[25] != 0
        image = _deep_colour_png(data) if deep_colour else _pixels(picture)
        # Pillow turns a TIFF while loading and drops its orientation, so nothing is turned twice.
        return _upright(image, picture.getexif().get(_ORIENTATION, 1))


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
    """Decode with every bit kept: (H, W) or (H, W, 3 or 4) in RGB order."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
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


def _decode_tiff(data: bytes, limits: Limits) -> Image:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        _check_pixels(page.imagewidth, page.imagelength, limits)
        if page.is_tiled:
            _check_pixels(page.tilewidth, page.tilelength, limits)
        _refuse_stack(tiff, page)
        if any(o + n > len(data) for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)):
            raise UnreadableImage("The TIFF is truncated: its pixels lie beyond the end of the file; send it again.")
        unpacked = page.compression == tifffile.COMPRESSION.NONE
        plain = page.photometric in _PLAIN_TIFF and page.bitspersample % 8 == 0
        deep = page.bitspersample > 8 or page.sampleformat != tifffile.SAMPLEFORMAT.UINT
        if not plain or not (unpacked or deep):
            return _decode_pillow(data, "TIFF", limits)
        colours = _colours(page)
        orientation = page.tags.valueof(_ORIENTATION, default=1)
        # OpenCV turns a TIFF while decoding, so nothing is turned twice.
        samples = _upright(_uncompressed(page), orientation) if unpacked else _opencv(data)
        _check_pixels(samples.shape[1], samples.shape[0], limits)
        has_alpha = page.samplesperpixel > colours and page.extrasamples[:1] in _ALPHA
        image = _unsigned(samples, colours, has_alpha=has_alpha)
        return np.invert(image) if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE else image


def _refuse_stack(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    slices = re.search(r"^images=(\d+)", page.description, re.MULTILINE)
    planes = int(slices[1]) if slices and page.is_imagej else page.imagedepth
    if planes > 1:
        raise _stack(f"a TIFF stack of {planes} planes")
    size = (page.imagewidth, page.imagelength)
    others = itertools.islice(tiff.pages, 1, MAX_TIFF_PAGES)
    full = (p for p in others if isinstance(p, tifffile.TiffPage) and not (p.is_reduced or p.is_mask))
    if any((p.imagewidth, p.imagelength) == size for p in full):
        raise _stack("a TIFF of several pages")


def _uncompressed(page: tifffile.TiffPage) -> NDArray[Any]:
    if sum(page.databytecounts) < page.nbytes:
        share = f"{sum(page.databytecounts):,} of {page.nbytes:,} bytes"
        raise UnreadableImage(f"The TIFF holds {share} of its pixels; send it again.")
    samples = page.asarray(maxworkers=1)
    separate = samples.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    return np.moveaxis(samples, 0, -1) if separate else samples


def _colours(page: tifffile.TiffPage) -> int:
    count = page.samplesperpixel
    colours = 3 if count == 3 or page.photometric == tifffile.PHOTOMETRIC.RGB else 1
    if count not in {colours, colours + 1} or (count == 2 and page.extrasamples[:1] not in _ALPHA):
        raise UnsupportedFormat(f"The TIFF has {count} channels; 1 (gray) or 3 (RGB), with or without alpha, are read.")
    if page.dtype is None or page.dtype.kind not in "uif":
        raise UnsupportedFormat(f"TIFF samples of type {page.dtype} are not read; save them as uint8 or uint16.")
    return colours


def _unsigned(samples: NDArray[Any], colours: int, *, has_alpha: bool) -> Image:
    """(H, W) or (H, W, samples) of any number type -> gray or RGB, uint8 or uint16."""
    kept = samples if samples.ndim == 2 else samples[..., 0] if colours == 1 else samples[..., :3]
    if samples.dtype.kind != "u" or samples.dtype.itemsize > 2:
        return _spread(kept)
    native = samples.dtype.newbyteorder("=")
    return _composite(samples.astype(native)) if has_alpha else kept.astype(native, copy=False)


def _spread(samples: NDArray[Any]) -> NDArray[np.uint16]:
    """Scale the finite minimum..maximum to 0..65535; infinities take the ends, NaN and a constant image become 0."""
    finite = samples[np.isfinite(samples)]
    if finite.size == 0:
        raise UnreadableImage("Every sample of the TIFF is NaN or infinite: it holds no picture; export it again.")
    # Beyond 1e300 the difference of two float64 could overflow.
    low, high = np.clip([float(finite.min()), float(finite.max())], -1e300, 1e300)
    if low == high:
        return np.zeros(samples.shape, np.uint16)
    share: NDArray[np.float64] = (np.clip(samples.astype(np.float64), low, high) - low) / (high - low)
    return np.rint(np.nan_to_num(share, nan=0.0) * 65535).astype(np.uint16)


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
    return encode_png(np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8))


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
