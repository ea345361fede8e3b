"""Encoding a mask and decoding a picture, in this process: ours beside the usual ways."""

import io
from collections.abc import Callable
from contextlib import closing

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bioseg import images
from bioseg.benchmark import figures, ways
from bioseg.benchmark.figures import Summary
from bioseg.decoding import formats
from bioseg.decoding.confined import Confined

SIDE = 1024
FORMATS = ("PNG", "JPEG", "TIFF")


def compare(rounds: int) -> dict[str, dict[str, Summary]]:
    """Time what a picture of 1024x1024 costs, ms: `mask_png`, and `decode_...` of each format, by library."""
    gray = cv2.imdecode(np.frombuffer(ways.section(SIDE), np.uint8), cv2.IMREAD_GRAYSCALE)
    picture = np.asarray(gray, np.uint8)
    compared = {"mask_png": _encoders(picture > np.median(picture))}
    with closing(Confined(1)) as confined:
        for name in FORMATS:
            compared[f"decode_{name.lower()}"] = _decoders(_saved(picture, name), confined)
        times = {what: figures.interleaved(calls, rounds) for what, calls in compared.items()}
    return {what: {how: figures.summary(values) for how, values in found.items()} for what, found in times.items()}


def _encoders(mask: NDArray[np.bool_]) -> dict[str, Callable[[], object]]:
    pixels = mask.astype(np.uint8) * np.uint8(255)
    return {
        "ours": lambda: images.encode_mask(mask),
        "pillow": lambda: _saved(pixels, "PNG"),
        "pillow_optimize": lambda: _saved(pixels, "PNG", optimize=True),
    }


def _decoders(data: bytes, confined: Confined) -> dict[str, Callable[[], object]]:
    limits = images.Limits(len(data), SIDE * SIDE)
    return {
        "ours": lambda: confined(data, limits),
        "ours_unconfined": lambda: formats.decode(data, limits),
        "pillow": lambda: np.asarray(Image.open(io.BytesIO(data))),
        "opencv": lambda: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED),
    }


def _saved(pixels: NDArray[np.uint8], kind: str, **options: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()
