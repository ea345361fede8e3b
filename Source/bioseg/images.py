"""Arrays of pixels: limits, normalising, resizing, and fast encoders. Bytes that others sent are for `decoding`."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from bioseg import png
from bioseg.errors import InvalidInput, UnreadableImage

ADOBE_DEFLATE = 8
"""The compression of TIFF that every reader knows."""

Image: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W) gray or (H, W, 3) RGB."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one upload may cost: file size in bytes, and width x height in pixels."""

    max_bytes: int
    max_pixels: int


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


def encode_png(image: Image) -> bytes:
    """Encode (H, W) gray or (H, W, 3) RGB, uint8 or uint16, without loss: fast rather than small."""
    return png.encode(image)


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Encode (H, W) as a 1-bit PNG that decodes to 255 = foreground, 0 = background."""
    return png.encode_bits(mask)


def encode_labels(labels: NDArray[np.uint16] | NDArray[np.uint32]) -> bytes:
    """Encode the numbers of things (H, W) as a TIFF of one page without loss."""
    return cv2.imencode(".tif", labels, [cv2.IMWRITE_TIFF_COMPRESSION, ADOBE_DEFLATE])[1].tobytes()


def encode_probability(probability: NDArray[np.float32]) -> bytes:
    """Encode (H, W) in 0..1 as an 8-bit gray PNG, 255 = certainly foreground."""
    return encode_png(probability_uint8(probability))


def probability_uint8(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W) in 0..1 -> (H, W), 255 = certainly foreground."""
    return np.asarray(cv2.convertScaleAbs(np.maximum(probability, 0), alpha=255), np.uint8)


def decode_png(data: bytes) -> Image:
    """Give back what was encoded here: (H, W) gray or (H, W, 3) RGB, uint8 or uint16; a mask as 255 = foreground.

    Raises
    ------
    UnreadableImage
        The stored bytes are damaged.
    """
    image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise UnreadableImage(f"The stored picture of {len(data):,} bytes is damaged; restore it from a backup.")
    return np.ascontiguousarray(image if image.ndim == 2 else image[..., ::-1])


def heat_overlay(image8: NDArray[np.uint8], heat: NDArray[np.float32], opacity: float = 0.4) -> NDArray[np.uint8]:
    """Lay a heat map over an image, blue for 0 to red for 1: (H, W[, 3]) and any (h, w) -> (H, W, 3) RGB.

    `opacity` is 0 (unseen) to 1 (opaque). The map is stretched to the image between its places.
    """
    height, width = image8.shape[:2]
    rgb = image8 if image8.ndim == 3 else np.repeat(image8[..., None], 3, axis=2)
    smooth = cv2.resize(probability_uint8(heat), (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(smooth, cv2.COLORMAP_TURBO)[..., ::-1]
    return np.asarray(cv2.addWeighted(rgb, 1 - opacity, np.ascontiguousarray(colours), opacity, 0), np.uint8)


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
