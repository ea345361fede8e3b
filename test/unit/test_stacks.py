"""Stacks are read page by page as single images are, and written so that nothing is lost."""

import io
import struct
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow

from bioseg import images
from bioseg.decoding import formats, stacks
from bioseg.errors import ImageError, ImageTooLarge, UnreadableImage, UnsupportedFormat

LIMITS = images.Limits(max_bytes=10_000, max_pixels=1000)
RANDOM = np.random.default_rng(5)
SHAPES = {"gray": (4, 12, 20), "rgb": (4, 12, 20, 3)}


def tiff(pages: Sequence[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in pages:
            writer.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None, **options)
    return buffer.getvalue()


def samples(kind: str, dtype: type) -> Any:
    return RANDOM.integers(0, np.iinfo(dtype).max, SHAPES[kind], dtype, endpoint=True)


def by_pillow(pages: Any) -> bytes:
    first, *rest = (Pillow.fromarray(page) for page in pages)
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=rest, compression="tiff_lzw")
    return buffer.getvalue()


def by_opencv(pages: Any) -> bytes:
    ordered = [np.ascontiguousarray(page[..., ::-1] if page.ndim == 3 else page) for page in pages]
    _, data = cv2.imencodemulti(".tif", ordered, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    return bytes(data)


def by_imagej(pages: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pages, imagej=True)
    return buffer.getvalue()


def refusal(data: bytes, limits: images.Limits = LIMITS) -> ImageError:
    with pytest.raises(ImageError) as raised:
        list(stacks.pages(data, limits))
    return raised.value


@pytest.mark.parametrize(
    ("write", "kind", "dtype"),
    [
        *((write, kind, dtype) for write in (tiff, by_opencv) for kind in SHAPES for dtype in (np.uint8, np.uint16)),
        *((write, kind, np.uint8) for write in (by_pillow, by_imagej) for kind in SHAPES),
        (by_imagej, "gray", np.uint16),
    ],
)
def test_every_pixel_of_every_page_is_kept_in_order(write: Any, kind: str, dtype: type) -> None:
    expected = samples(kind, dtype)
    data = write(expected)
    actual = list(stacks.pages(data, LIMITS))
    assert (True, [expected.dtype] * 4) == (stacks.is_stack(data), [page.dtype for page in actual])
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=["plain", "deflate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_page_is_decoded_as_the_same_image_alone(dtype: type, options: dict[str, Any], orientation: int) -> None:
    turned = {"extratags": [(274, "H", 1, orientation, True)], **options}
    pages = samples("gray", dtype)
    alone = [formats.decode(tiff([page], **turned), LIMITS) for page in pages]
    np.testing.assert_array_equal(list(stacks.pages(tiff(pages, **turned), LIMITS)), alone)


def test_numbers_that_are_scaled_are_scaled_page_by_page() -> None:
    ramp = np.linspace(0, 1, 240, dtype=np.float32).reshape(12, 20)
    first, second = stacks.pages(tiff([ramp, 7 * ramp - 3]), LIMITS)
    assert (0, 65535) == (first.min(), first.max())
    np.testing.assert_allclose(first.astype(int), second, atol=1)


def test_thumbnails_between_the_pages_are_skipped() -> None:
    first, second = samples("gray", np.uint8)[:2]
    data = tiff([first, first[::2, ::2], second])
    np.testing.assert_array_equal(list(stacks.pages(data, LIMITS)), [first, second])


@pytest.mark.parametrize(
    "data",
    [
        tiff([np.zeros((4, 4), np.uint8)]),
        tiff([np.zeros((4, 4), np.uint8), np.zeros((2, 2), np.uint8)]),
        images.encode_png(np.zeros((4, 4), np.uint8)),
    ],
    ids=["one page", "thumbnail", "png"],
)
def test_a_single_image_is_no_stack(data: bytes) -> None:
    assert not stacks.is_stack(data)


def test_the_limits_hold_for_each_page_and_not_for_the_file() -> None:
    pages = samples("gray", np.uint8)
    limits = images.Limits(max_bytes=240, max_pixels=240)
    assert len(tiff(pages)) > 4 * 240
    np.testing.assert_array_equal(list(stacks.pages(tiff(pages), limits)), pages)


@pytest.mark.parametrize(("max_bytes", "max_pixels"), [(239, 240), (240, 239)])
def test_a_page_beyond_a_limit_is_refused_by_its_number(max_bytes: int, max_pixels: int) -> None:
    error = refusal(tiff(samples("gray", np.uint8)), images.Limits(max_bytes, max_pixels))
    assert (ImageTooLarge, "page 1: ") == (type(error), str(error)[:8])


def test_a_damaged_page_is_named_after_the_whole_ones_before_it() -> None:
    data = tiff(samples("gray", np.uint8), compression="zlib")
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        offset = opened.pages[2].dataoffsets[0]
    pages = stacks.pages(data[:offset] + bytes(8) + data[offset + 8 :], LIMITS)
    assert [(12, 20)] * 2 == [next(pages).shape for _ in range(2)]
    with pytest.raises(UnreadableImage, match=r"^page 3: "):
        next(pages)


def test_a_page_that_is_turned_otherwise_is_refused() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for orientation in (1, 6):
            tag = (274, "H", 1, orientation, True)
            writer.write(np.zeros((12, 20), np.uint8), photometric="minisblack", metadata=None, extratags=[tag])
    error = refusal(buffer.getvalue())
    assert (UnsupportedFormat, True) == (type(error), "page 2 is turned" in str(error))


def test_planes_without_pages_of_their_own_are_refused_with_what_to_do() -> None:
    planes = np.zeros((4, 16, 16), np.uint8)
    volume, behind = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(volume, planes, photometric="minisblack", volumetric=True, tile=(16, 16, 16))
    tifffile.imwrite(behind, planes[0], description="ImageJ=1.54f\nimages=4\nslices=4\n", metadata=None)
    for data in (volume.getvalue(), behind.getvalue()):
        error = refusal(data)
        assert (True, UnsupportedFormat) == (stacks.is_stack(data), type(error))
        assert "one page for each plane" in str(error)


def test_a_tiff_that_points_at_itself_ends() -> None:
    data = tiff([np.zeros((8, 8), np.uint8)])
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        first = opened.pages.first
        following = first.offset + 2 + 12 * len(first.tags)
    looped = data[:following] + struct.pack("<I", first.offset) + data[following + 4 :]
    assert 1 == len(list(stacks.pages(looped, LIMITS)))


def test_more_pages_than_are_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "MAX_PAGES", 3)
    error = refusal(tiff(samples("gray", np.uint8)))
    assert (ImageTooLarge, True) == (type(error), "4 pages; at most 3" in str(error))


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.uint32]),
        st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    )
)
def test_encoding_keeps_every_number_with_one_page_for_each_picture(pictures: Any) -> None:
    with tifffile.TiffFile(io.BytesIO(stacks.encode(list(pictures)))) as opened:
        pages = [page.asarray() for page in opened.pages]
    np.testing.assert_array_equal(np.stack(pages).reshape(pictures.shape), pictures)
    assert (len(pictures), pictures.dtype) == (len(pages), pages[0].dtype)


def test_colours_are_encoded_as_colours() -> None:
    pictures = samples("rgb", np.uint8)
    np.testing.assert_array_equal(list(stacks.pages(stacks.encode(list(pictures)), LIMITS)), pictures)


def test_pages_of_two_types_are_widened_to_the_wider() -> None:
    data = stacks.encode([np.full((2, 2), 7, np.uint16), np.full((2, 2), 70_000, np.uint32)])
    assert [[[7, 7]] * 2, [[70_000] * 2] * 2] == tifffile.imread(io.BytesIO(data)).tolist()
