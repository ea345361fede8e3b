"""Every bad upload ends in a named error that says what to do, and nothing else."""

import io
import re
import struct
import time
import zipfile
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from bioseg import images
from bioseg.decoding import content, formats
from bioseg.errors import ImageError, ImageTooLarge, StackNotAllowed, UnreadableImage, UnsupportedFormat
from bioseg.testing.hostile import NOISE, animated, mutations, saved, tiff

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

LIMITS = images.Limits(max_bytes=1_000_000, max_pixels=1_000_000)


def opencv_tiff(samples: Any, compression: int) -> bytes:
    return bytes(cv2.imencode(".tif", samples, [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1])


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("a.png", saved("PNG"))
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Give a PNG whose header promises width x height and whose data is a few compressed zeros."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9_999))) + chunk(b"IEND", b"")


def patched(data: bytes, offset: int, replacement: bytes) -> bytes:
    return data[:offset] + replacement + data[offset + len(replacement) :]


def huge_tiff() -> bytes:
    data = tiff(NOISE[..., 0])
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        tags = opened.pages.first.tags
        offsets = [tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    side = struct.pack("<H", 20_000)
    return patched(patched(data, offsets[0], side), offsets[1], side)


GOOD = {
    "png": saved("PNG"),
    "png palette": saved("PNG", Pillow.fromarray(NOISE).quantize(16)),
    "png 16-bit": images.encode_png(NOISE.astype(np.uint16) * 257),
    "jpeg": saved("JPEG", quality=80),
    "jpeg progressive": saved("JPEG", progressive=True),
    "jpeg cmyk": saved("JPEG", Pillow.fromarray(NOISE).convert("CMYK")),
    "mpo": saved("MPO", save_all=True, append_images=[Pillow.fromarray(NOISE)]),
    "bmp": saved("BMP"),
    "gif": saved("GIF"),
    "webp": saved("WebP"),
    "webp lossless": saved("WebP", lossless=True, exif=Pillow.Exif()),
    "tiff": tiff(NOISE, photometric="rgb"),
    "tiff lzw": saved("TIFF", compression="tiff_lzw"),
    "tiff jpeg": saved("TIFF", compression="jpeg"),
    "tiff float": tiff(NOISE.astype(np.float32), photometric="rgb"),
    "tiff tiled 16-bit": tiff(NOISE[..., 0].astype(np.uint16), tile=(16, 16)),
    "tiff deflate 16-bit": opencv_tiff(NOISE.astype(np.uint16), 8),
    "tiff lzw float": opencv_tiff(NOISE[..., 0].astype(np.float32), 5),
}


def refusal(data: bytes, limits: images.Limits = LIMITS) -> ImageError:
    with pytest.raises(ImageError) as caught:
        formats.decode(data, limits)
    return caught.value


@pytest.mark.parametrize("name", GOOD)
def test_the_samples_to_be_damaged_are_good(name: str) -> None:
    assert formats.decode(GOOD[name], LIMITS).shape[:2] == (24, 32)


def test_empty_upload_is_unreadable() -> None:
    error = refusal(b"")

    assert type(error) is UnreadableImage
    assert "empty (0 bytes)" in str(error)
    assert content.ALLOWED in str(error)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file_is_unreadable(name: str, share: float) -> None:
    data = GOOD[name]
    first_picture = len(data) // 2 if name == "mpo" else len(data)

    assert type(refusal(data[: int(share * first_picture)])) is UnreadableImage


def test_renamed_text_is_unreadable_and_nothing_of_it_is_told() -> None:
    error = refusal(b"patient,label\n1,membrane\n")

    assert type(error) is UnreadableImage
    assert f"The content is no known image; send {content.ALLOWED}." == str(error)


def test_hundreds_of_damages_are_told_in_a_few_sentences_of_ours_and_their_numbers() -> None:
    said = set()
    for _, data in mutations(5, 500):
        try:
            formats.decode(data, LIMITS)
        except ImageError as error:
            said.add(re.sub(r"[0-9,]+", "N", str(error)))

    assert 5 < len(said) < 25
    assert [] == [text for text in said if not re.fullmatch(r"[\w .:;()=/]+", text)]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7 ...", "PDF"),
        (b"\0\0\0\x1cftypheic", "HEIF"),
        (b"\x1f\x8b\x08\0", "gzip"),
    ],
)
def test_foreign_format_is_named(data: bytes, name: str) -> None:
    error = refusal(data)

    assert type(error) is UnsupportedFormat
    assert str(error).startswith(name)


@pytest.mark.parametrize("preamble", [bytes(128), GOOD["tiff"][:128]], ids=["empty", "of a TIFF"])
def test_dicom_is_refused_with_the_remedy(preamble: bytes) -> None:
    error = refusal(preamble + b"DICM" + bytes(50))

    assert type(error) is UnsupportedFormat
    assert re.fullmatch(r"DICOM files are not read: .*Export the picture, .* as PNG or TIFF\.", str(error))


def test_file_over_the_byte_limit_is_too_large() -> None:
    error = refusal(GOOD["bmp"], images.Limits(max_bytes=1_000, max_pixels=1_000_000))

    assert type(error) is ImageTooLarge
    assert f"{len(GOOD['bmp']):,} bytes; at most 1,000" in str(error)


@pytest.mark.parametrize("name", GOOD)
def test_each_format_obeys_the_pixel_limit(name: str) -> None:
    error = refusal(GOOD[name], images.Limits(max_bytes=1_000_000, max_pixels=767))

    assert type(error) is ImageTooLarge
    assert "32 x 24 = 768 pixels; at most 767" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        png_header(20_000, 20_000),
        patched(saved("BMP"), 18, struct.pack("<ii", 20_000, 20_000)),
        patched(saved("GIF"), 6, struct.pack("<HH", 20_000, 20_000)),
        patched(saved("WebP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"), 24, b"\x1f\x4e\0\x1f\x4e\0"),
        huge_tiff(),
    ],
    ids=["png", "bmp", "gif", "webp", "tiff"],
)
def test_a_20000_by_20000_bomb_is_refused_from_its_header(data: bytes) -> None:
    started = time.process_time()
    error = refusal(data)

    assert type(error) is ImageTooLarge
    assert "20,000 x 20,000 = 400,000,000 pixels" in str(error)
    assert time.process_time() - started < 0.2


def test_a_deep_png_chunk_that_claims_gigabytes_is_refused_without_allocating_them() -> None:
    started = time.process_time()
    error = refusal(patched(GOOD["png 16-bit"], 33, b"\x90"))

    assert type(error) is UnreadableImage
    assert time.process_time() - started < 0.2


def test_bomb_within_the_pixel_limit_is_still_not_an_image() -> None:
    assert type(refusal(png_header(900, 900))) is UnreadableImage


def test_all_nan_tiff_says_so() -> None:
    error = refusal(tiff(np.full((4, 4), np.nan, np.float32)))

    assert type(error) is UnreadableImage
    assert "Every sample" in str(error)
    assert "NaN" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        tiff(np.zeros((3, 8, 8), np.uint8), photometric="minisblack"),
        tiff(np.zeros((3, 8, 8), np.uint16), imagej=True),
        tiff(np.zeros((3, 8, 8), np.float32), photometric="minisblack", bigtiff=True),
        tiff(np.zeros((4, 16, 16), np.uint8), photometric="minisblack", volumetric=True, tile=(16, 16, 16)),
        tiff(np.zeros((8, 8), np.uint8), description="ImageJ=1.54f\nimages=3\nslices=3\n", metadata=None),
        saved("TIFF", save_all=True, append_images=[Pillow.fromarray(NOISE)]),
        animated("GIF"),
        animated("PNG"),
        animated("WebP"),
        archive(),
    ],
    ids=["pages", "imagej", "bigtiff", "volume", "single-imagej", "lzw-pages", "gif", "apng", "webp", "zip"],
)
def test_stacks_are_sent_to_the_jobs_call(data: bytes) -> None:
    error = refusal(data)

    assert type(error) is StackNotAllowed
    assert "POST /api/v1/jobs" in str(error)


@pytest.mark.parametrize(
    "samples",
    [np.zeros((8, 8, 5), np.uint16), np.zeros((8, 8, 2), np.float32), np.zeros((8, 8), np.complex64)],
    ids=["5 channels", "2 channels", "complex"],
)
def test_other_tiff_layouts_are_unsupported(samples: Any) -> None:
    data = tiff(samples, photometric="minisblack", planarconfig="contig" if samples.ndim == 3 else None)

    assert type(refusal(data)) is UnsupportedFormat


def test_tiff_that_points_at_itself_ends() -> None:
    data = tiff(NOISE[..., 0])
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        first = opened.pages.first
        next_page = first.offset + 2 + 12 * len(first.tags)

    assert type(refusal(patched(data, next_page, struct.pack("<I", first.offset)))) is StackNotAllowed


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(sorted(GOOD)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    header_flips=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 255)), max_size=3),
    length=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_files_decode_within_limits_or_raise_an_image_error(
    name: str, flips: list[tuple[float, int]], header_flips: list[tuple[int, int]], length: float
) -> None:
    data = bytearray(GOOD[name])
    for place, value in flips:
        data[int(place * len(data))] = value
    for offset, value in header_flips:
        data[offset % len(data)] = value
    try:
        image = formats.decode(bytes(data[: int(length * len(data))]), LIMITS)
    except ImageError as error:
        assert str(error)  # noqa: PT017
    else:
        assert image.dtype in (np.uint8, np.uint16)
        assert image.ndim == 2 or image.shape[2] == 3
        assert 0 < image.shape[0] * image.shape[1] <= LIMITS.max_pixels


@settings(max_examples=100, deadline=None)
@given(magic=st.sampled_from([data[:12] for data in GOOD.values()]), rest=st.binary(max_size=200))
def test_a_right_beginning_with_random_bytes_raises_an_image_error(magic: bytes, rest: bytes) -> None:
    assert isinstance(refusal(magic + rest), ImageError)
