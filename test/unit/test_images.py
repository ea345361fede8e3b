"""What good images decode to, and what the conversions and encoders promise."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow
from PIL import ImageOps

from bioseg import images, png
from bioseg.decoding import formats
from bioseg.errors import InvalidInput, UnreadableImage

LIMITS = images.Limits(max_bytes=10_000_000, max_pixels=1_000_000)
RANDOM = np.random.default_rng(7)
GRAY = RANDOM.integers(0, 256, (12, 20), np.uint8)
RGB = RANDOM.integers(0, 256, (12, 20, 3), np.uint8)
GRAY16 = RANDOM.integers(0, 65536, (12, 20), np.uint16)
RGB16 = RANDOM.integers(0, 65536, (12, 20, 3), np.uint16)
SMOOTH = np.linspace(0, 255, 24 * 32).reshape(24, 32).astype(np.uint8)


def decode(data: bytes) -> images.Image:
    return formats.decode(data, LIMITS)


def saved(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(samples: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def described(image: images.Image) -> tuple[str, tuple[int, ...], list[int]]:
    return str(image.dtype), image.shape, np.ravel(image[0, 0]).tolist()


@pytest.mark.parametrize("picture", [GRAY, RGB, GRAY16, RGB16], ids=["gray", "rgb", "gray16", "rgb16"])
def test_png_round_trip_keeps_every_pixel(picture: images.Image) -> None:
    actual = decode(images.encode_png(picture))

    assert actual.dtype == picture.dtype
    np.testing.assert_array_equal(actual, picture)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WebP"])
def test_lossless_formats_keep_every_rgb_pixel(kind: str) -> None:
    np.testing.assert_array_equal(decode(saved(Pillow.fromarray(RGB), kind, lossless=True)), RGB)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_gray_pixel(kind: str) -> None:
    np.testing.assert_array_equal(decode(saved(Pillow.fromarray(GRAY), kind)), GRAY)


def test_a_gray_gif_becomes_rgb_of_equal_channels() -> None:
    np.testing.assert_array_equal(decode(saved(Pillow.fromarray(GRAY), "GIF")), np.stack([GRAY] * 3, -1))


def test_jpeg_stays_close_to_the_original() -> None:
    actual = decode(saved(Pillow.fromarray(SMOOTH), "JPEG", quality=95))

    assert actual.shape == SMOOTH.shape
    assert np.abs(actual.astype(int) - SMOOTH).max() <= 6


def test_a_decoded_image_is_contiguous_and_writeable() -> None:
    actual = decode(images.encode_png(RGB))

    assert (actual.flags.c_contiguous, actual.flags.writeable) == (True, True)


@pytest.mark.parametrize(
    "options",
    [{}, {"tile": (16, 16)}, {"byteorder": ">"}, {"rowsperstrip": 5}, {"bigtiff": True}, {"imagej": True}],
    ids=["plain", "tiled", "big-endian", "strips", "bigtiff", "imagej"],
)
@pytest.mark.parametrize("samples", [GRAY, GRAY16], ids=["uint8", "uint16"])
def test_tiff_layouts_keep_every_gray_pixel(samples: images.Image, options: dict[str, Any]) -> None:
    actual = decode(tiff(samples, photometric="minisblack", **options))

    assert actual.dtype == samples.dtype
    np.testing.assert_array_equal(actual, samples)


@pytest.mark.parametrize("compression", [1, 5, 8, 32773], ids=["none", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("samples", [GRAY, RGB, GRAY16, RGB16], ids=["gray", "rgb", "gray16", "rgb16"])
def test_tiff_compressions_keep_every_pixel(samples: images.Image, compression: int) -> None:
    written = samples if samples.ndim == 2 else samples[..., ::-1]
    _, data = cv2.imencode(".tif", np.ascontiguousarray(written), [cv2.IMWRITE_TIFF_COMPRESSION, compression])

    actual = decode(bytes(data))

    assert actual.dtype == samples.dtype
    np.testing.assert_array_equal(actual, samples)


def test_planar_tiff_becomes_interleaved_rgb() -> None:
    data = tiff(np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate")

    np.testing.assert_array_equal(decode(data), RGB16)


@pytest.mark.parametrize("samples", [GRAY, GRAY16], ids=["uint8", "uint16"])
def test_min_is_white_tiff_is_inverted(samples: images.Image) -> None:
    np.testing.assert_array_equal(decode(tiff(samples, photometric="miniswhite")), np.invert(samples))


@pytest.mark.parametrize("kind", ["int16", "int32", "uint32", "float32", "float64"])
def test_other_tiff_numbers_are_spread_over_16_bits(kind: str) -> None:
    actual = decode(tiff(np.array([[10, 20], [60, 110]], kind)))

    assert actual.dtype == np.uint16
    assert actual.tolist() == [[0, 6554], [32768, 65535]]


def test_nan_becomes_black_and_infinity_takes_the_end() -> None:
    samples = np.array([[0.0, 1.0, 4.0], [np.nan, np.inf, -np.inf]], np.float32)

    assert decode(tiff(samples)).tolist() == [[0, 16384, 65535], [0, 65535, 0]]


def test_extreme_float64_neither_overflows_nor_warns() -> None:
    largest = np.finfo(np.float64).max

    assert decode(tiff(np.array([[-largest, 0.0, largest]]))).tolist() == [[0, 32768, 65535]]


def test_constant_float_tiff_is_black() -> None:
    assert decode(tiff(np.full((2, 2), 3.5, np.float32))).tolist() == [[0, 0], [0, 0]]


def test_thumbnails_behind_the_first_tiff_page_are_skipped() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(GRAY16, photometric="minisblack")
        writer.write(GRAY16[::2, ::2], photometric="minisblack")
        writer.write(GRAY16 // 2, photometric="minisblack", subfiletype=1)

    np.testing.assert_array_equal(decode(buffer.getvalue()), GRAY16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WebP", "TIFF"])
def test_exif_orientation_is_undone(kind: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[274] = orientation
    data = saved(Pillow.fromarray(RGB), kind, exif=exif)

    expected = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))))

    assert expected.shape[:2] == ((12, 20) if orientation < 5 else (20, 12))
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_deep_tiff_is_turned_like_a_shallow_one(compression: str | None, orientation: int) -> None:
    deep, shallow = (
        saved(Pillow.fromarray(samples), "TIFF", compression=compression, tiffinfo={274: orientation})
        for samples in (GRAY.astype(np.uint16), GRAY)
    )
    expected = np.asarray(Pillow.open(io.BytesIO(shallow)).copy())

    np.testing.assert_array_equal(decode(deep), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_deep_colours_are_turned_whatever_the_compression(compression: str | None, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[274] = orientation
    shallow = Pillow.open(io.BytesIO(saved(Pillow.fromarray(RGB), "PNG", exif=exif)))
    tag = (274, "H", 1, orientation, True)

    deep = tiff(RGB.astype(np.uint16), photometric="rgb", compression=compression, extratags=[tag])

    np.testing.assert_array_equal(decode(deep), np.asarray(ImageOps.exif_transpose(shallow)))


@pytest.mark.parametrize(
    ("picture", "kind", "expected"),
    [
        (Pillow.new("CMYK", (3, 2), (0, 255, 255, 0)), "TIFF", ("uint8", (2, 3, 3), [255, 0, 0])),
        (Pillow.new("RGB", (3, 2), (1, 2, 3)).quantize(4), "PNG", ("uint8", (2, 3, 3), [1, 2, 3])),
        (Pillow.new("RGBA", (3, 2), (10, 20, 30, 255)), "PNG", ("uint8", (2, 3, 3), [10, 20, 30])),
        (Pillow.new("RGBA", (3, 2), (10, 20, 30, 0)), "PNG", ("uint8", (2, 3, 3), [255, 255, 255])),
        (Pillow.new("RGBA", (3, 2), (0, 0, 0, 51)), "TIFF", ("uint8", (2, 3, 3), [204, 204, 204])),
        (Pillow.new("LA", (3, 2), (100, 255)), "PNG", ("uint8", (2, 3), [100])),
        (Pillow.new("1", (3, 2), 1), "PNG", ("uint8", (2, 3), [255])),
        (Pillow.new("1", (3, 2), 1), "TIFF", ("uint8", (2, 3), [255])),
        (Pillow.new("L", (1, 1), 9), "PNG", ("uint8", (1, 1), [9])),
        (Pillow.new("L", (1, 1), 9), "TIFF", ("uint8", (1, 1), [9])),
    ],
    ids=["cmyk", "palette", "opaque", "clear", "veil", "gray-alpha", "bit-png", "bit-tiff", "1x1-png", "1x1-tiff"],
)
def test_modes_become_gray_or_rgb(picture: Pillow.Image, kind: str, expected: Any) -> None:
    assert described(decode(saved(picture, kind))) == expected


def test_cmyk_jpeg_becomes_rgb() -> None:
    actual = decode(saved(Pillow.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100))

    assert actual.shape == (16, 16, 3)
    assert np.abs(actual[8, 8].astype(int) - [255, 0, 0]).max() <= 3


def test_transparent_palette_entry_becomes_white() -> None:
    picture = Pillow.new("P", (3, 2), 0)
    picture.putpalette([5, 6, 7, 8, 9, 10])
    picture.putpixel((2, 1), 1)

    actual = decode(saved(picture, "PNG", transparency=0))

    assert (actual[0, 0].tolist(), actual[1, 2].tolist()) == ([255, 255, 255], [8, 9, 10])


def test_16_bit_rgba_png_keeps_16_bits_on_white() -> None:
    rgba = np.zeros((2, 2, 4), np.uint16)
    rgba[0, 0] = (3000, 2000, 1000, 65535)

    actual = decode(bytes(cv2.imencode(".png", rgba)[1]))

    assert actual.dtype == np.uint16
    assert (actual[0, 0].tolist(), actual[1, 1].tolist()) == ([1000, 2000, 3000], [65535] * 3)


def test_16_bit_tiff_alpha_is_composited_and_unnamed_extra_channel_dropped() -> None:
    rgba = np.concatenate([RGB16, np.zeros_like(RGB16[..., :1])], -1)

    assert decode(tiff(rgba, photometric="rgb", extrasamples=["unassalpha"])).min() == 65535
    np.testing.assert_array_equal(decode(tiff(rgba, photometric="rgb", extrasamples=["unspecified"])), RGB16)


def test_the_first_picture_of_an_mpo_is_decoded() -> None:
    first, second = Pillow.new("RGB", (16, 8), (200, 0, 0)), Pillow.new("RGB", (16, 8), (0, 0, 200))

    actual = decode(saved(first, "MPO", save_all=True, append_images=[second]))

    assert actual.shape == (8, 16, 3)
    assert np.abs(actual[4, 4].astype(int) - [200, 0, 0]).max() <= 3


@pytest.mark.parametrize("picture", [GRAY, GRAY16], ids=["uint8", "uint16"])
def test_grayscale_divides_by_the_range_of_the_dtype(picture: images.Image) -> None:
    actual = images.grayscale(picture)

    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, picture / np.iinfo(picture.dtype).max, atol=1e-6)


def test_grayscale_weighs_colours_as_bt601() -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)

    np.testing.assert_allclose(images.grayscale(primaries), [[0.299, 0.587, 0.114, 1.0]], atol=1e-6)
    assert images.grayscale(primaries).max() <= 1


@given(arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=16)))
def test_standardised_images_have_mean_0_and_variance_1_or_are_zero(gray: np.ndarray) -> None:
    actual = images.standardise(gray)

    constant = gray.min() == gray.max()
    assert actual.dtype == np.float32
    assert (actual.mean(), actual.std()) == pytest.approx((0, 0 if constant else 1), abs=1e-3)


def test_8_bit_display_is_the_image_itself() -> None:
    np.testing.assert_array_equal(images.to_uint8(RGB), RGB)


def test_16_bit_display_ignores_a_hot_pixel() -> None:
    picture = np.tile(np.arange(1000, 2000, dtype=np.uint16), (20, 1))
    picture[0, 0] = 65535

    actual = images.to_uint8(picture)

    assert actual.dtype == np.uint8
    assert (actual[5, 0], actual[5, 500], actual[5, 999], actual[0, 0]) == (0, 128, 255, 255)


def test_constant_16_bit_display_keeps_the_high_byte() -> None:
    assert images.to_uint8(np.full((2, 2), 0x8100, np.uint16)).tolist() == [[0x81] * 2] * 2


@pytest.mark.parametrize("side", [1, 6, 40])
@pytest.mark.parametrize("picture", [GRAY, RGB], ids=["gray", "rgb"])
def test_resized_image_is_square(picture: np.ndarray, side: int) -> None:
    assert images.resize_square(picture, side).shape == (side, side, *picture.shape[2:])


def test_shrinking_averages_areas() -> None:
    board = np.kron(np.array([[0, 100], [200, 60]], np.uint8), np.ones((4, 4), np.uint8))
    board[0, 0] = 160

    assert images.resize_square(board, 2).tolist() == [[10, 100], [200, 60]]


@given(arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_mask_round_trip_gives_255_for_foreground(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(images.encode_mask(mask)), np.where(mask, 255, 0))


@pytest.mark.parametrize("picture", [GRAY, RGB, GRAY16, RGB16], ids=["gray", "rgb", "gray16", "rgb16"])
def test_a_stored_picture_comes_back_as_it_was(picture: images.Image) -> None:
    actual = images.decode_png(images.encode_png(picture))

    assert (picture.dtype, True) == (actual.dtype, actual.flags.c_contiguous)
    np.testing.assert_array_equal(actual, picture)


@pytest.mark.parametrize("shape", [(1, 1), (2 * png.BAND, 3), (png.BAND + 1, 9), (1, 1, 3), (png.BAND + 2, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_stored_picture_of_any_height_comes_back_as_it_was(shape: tuple[int, ...], dtype: type) -> None:
    picture = np.random.default_rng(shape).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)

    np.testing.assert_array_equal(images.decode_png(images.encode_png(picture)), picture)


def test_a_stored_mask_comes_back_as_0_and_255() -> None:
    np.testing.assert_array_equal(images.decode_png(images.encode_mask(GRAY > 99)), np.where(GRAY > 99, 255, 0))


@pytest.mark.parametrize("data", [b"", b"damaged", images.encode_png(GRAY)[:30]])
def test_a_damaged_stored_picture_is_named(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match=f"stored picture of {len(data)} bytes is damaged"):
        images.decode_png(data)


def test_mask_is_stored_with_one_bit_per_pixel() -> None:
    assert Pillow.open(io.BytesIO(images.encode_mask(GRAY > 99))).mode == "1"


def test_probability_is_rounded_and_clipped_to_8_bits() -> None:
    probability = np.array([[0.0, 0.5, 1.0], [-0.1, 0.002, 1.1]], np.float32)

    assert decode(images.encode_probability(probability)).tolist() == [[0, 128, 255], [0, 1, 255]]


@pytest.mark.parametrize("picture", [np.full((1, 2), 100, np.uint8), np.full((1, 2, 3), 100, np.uint8)])
def test_overlay_tints_the_foreground_only(picture: np.ndarray) -> None:
    actual = images.overlay(picture, np.array([[True, False]]), colour=(200, 0, 100), opacity=0.5)

    assert actual.dtype == np.uint8
    assert actual.tolist() == [[[150, 50, 100], [100, 100, 100]]]


def test_overlay_refuses_a_mask_of_another_size() -> None:
    with pytest.raises(InvalidInput, match=r"\(3, 3\).*\(12, 20\)"):
        images.overlay(GRAY, np.zeros((3, 3), np.bool_))


def test_a_heat_map_is_red_at_one_and_blue_at_zero() -> None:
    heat = np.array([[0.0, 1.0]], np.float32)
    shown = images.heat_overlay(np.zeros((8, 16), np.uint8), heat, opacity=1.0).astype(int)
    assert shown.shape == (8, 16, 3)
    cold, hot = shown[4, 0], shown[4, -1]
    assert (cold[2] > cold[0], hot[0] > hot[2]) == (True, True)


@pytest.mark.parametrize("picture", [np.full((2, 2), 100, np.uint8), np.full((2, 2, 3), 100, np.uint8)])
def test_a_heat_map_that_is_not_opaque_lets_the_picture_through(picture: np.ndarray) -> None:
    assert (images.heat_overlay(picture, np.zeros((1, 1), np.float32), opacity=0.0) == 100).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_labels_come_back_from_a_tiff_as_they_were(dtype: type) -> None:
    labels = np.linspace(0, np.iinfo(dtype).max, 6000).reshape(60, 100).astype(dtype)
    read = tifffile.imread(io.BytesIO(images.encode_labels(labels)))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, labels)
