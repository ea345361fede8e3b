"""Libraries see of a file what its pixels need, in parts that are counted before."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bioseg.decoding import essentials
from bioseg.errors import StackNotAllowed, UnreadableImage
from bioseg.testing import hostile

GOOD = hostile.good()
CRAFTED = hostile.crafted()
NOTE = b"told in confidence"


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[270] = NOTE.decode()
    exif[274] = orientation
    return exif


def text() -> PngInfo:
    made = PngInfo()
    made.add_text("Comment", NOTE.decode())
    made.add_text("Comment", NOTE.decode(), zip=True)
    return made


def pixels(data: bytes) -> object:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.mode, picture.info.get("transparency"), np.asarray(picture).tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_png_keeps_its_pixels_and_orientation_and_loses_its_text(orientation: int) -> None:
    data = hostile.saved("PNG", exif=turned(orientation), pnginfo=text(), dpi=(72, 72), icc_profile=NOTE)
    smaller, found = essentials.png(data)

    assert (orientation, pixels(data), False) == (found, pixels(smaller), NOTE in smaller)


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("png")])
def test_every_png_keeps_its_colours_and_transparency(name: str) -> None:
    assert pixels(GOOD[name]) == pixels(essentials.png(GOOD[name])[0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_keeps_its_pixels_and_orientation_and_loses_its_comments(orientation: int) -> None:
    data = hostile.saved("JPEG", exif=turned(orientation), comment=NOTE, icc_profile=NOTE, xmp=NOTE)
    smaller, found = essentials.jpeg(data)

    assert (orientation, pixels(data), False) == (found, pixels(smaller), NOTE in smaller)


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("jpeg")])
def test_every_jpeg_keeps_its_colours(name: str) -> None:
    assert pixels(GOOD[name]) == pixels(essentials.jpeg(GOOD[name])[0])


def test_a_gif_keeps_its_pixels_and_transparency_and_loses_its_comments() -> None:
    picture = Image.fromarray(hostile.NOISE).quantize(16)
    data = hostile.saved("GIF", picture, comment=NOTE, transparency=3)

    assert (pixels(data), False) == (pixels(essentials.gif(data)), NOTE in essentials.gif(data))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_orientation_is_read_in_both_byte_orders(order: str, prefix: bytes) -> None:
    block = struct.pack(f"{order}2sHIHHHIHH", b"II" if order == "<" else b"MM", 42, 8, 1, 274, 3, 1, 6, 0)

    assert 6 == essentials.orientation(prefix + block)


@given(st.binary(max_size=100))
def test_exif_of_random_bytes_turns_nothing_or_something_and_raises_nothing(data: bytes) -> None:
    assert 0 <= essentials.orientation(b"MM\0*\0\0\0\x08" + data) < 65_536


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_a_second_frame_makes_a_stack(kind: str) -> None:
    with pytest.raises(StackNotAllowed, match=f"animated {kind}"):
        getattr(essentials, kind.lower())(hostile.animated(kind))


@pytest.mark.parametrize(
    ("read", "name", "what"),
    [
        ("png", "png of many chunks", "more than 65,536 chunks"),
        ("jpeg", "jpeg of many scans", "more than 64 scans"),
        ("jpeg", "jpeg of many segments", "more than 4,096 segments"),
        ("jpeg", "jpeg of many tables", "more than 262,144 bytes of tables"),
        ("gif", "gif of short blocks", "more than 300,000 blocks"),
        ("check_tiff", "tiff of 60,000 tags", "more than 512 tags"),
        ("check_tiff", "tiff of overlapping offsets", "more than 32,768 strips or tiles"),
        ("check_tiff", "tiff of overlapping values", "more bytes than the file has"),
    ],
)
def test_parts_without_end_are_refused(read: str, name: str, what: str) -> None:
    arguments = (64,) if read == "check_tiff" else ()
    with pytest.raises(UnreadableImage, match=what):
        getattr(essentials, read)(CRAFTED[name], *arguments)


def test_a_long_compressed_bmp_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="run-length encoded and longer than 1,000,000 bytes"):
        essentials.check_bmp(hostile.rle_bmp(bytes(1_000_000)))


@pytest.mark.parametrize(("size", "is_more"), [(1000, False), (1001, True), (30_000_000, True)])
@pytest.mark.parametrize("pieces", [1, 7])
def test_pixels_beyond_the_announced_ones_are_refused_before_a_library_inflates_them(
    size: int, is_more: bool, pieces: int
) -> None:
    packed = zlib.compress(bytes(size))
    step = -(-len(packed) // pieces)
    png = hostile.png((1, 1, 8, 0), *[(b"IDAT", packed[i : i + step]) for i in range(0, len(packed), step)])
    try:
        essentials.check_inflated(png, 1000)
    except UnreadableImage as error:
        assert (True, True) == (is_more, "more pixels than its header says" in str(error))  # noqa: PT017
    else:
        assert not is_more


@given(st.binary(max_size=200))
def test_random_bytes_end_in_pieces_or_in_an_image_error(data: bytes) -> None:
    for read, magic in (
        (essentials.png, hostile.PNG_MAGIC),
        (essentials.jpeg, b"\xff\xd8"),
        (essentials.gif, b"GIF89a"),
    ):
        with pytest.raises((UnreadableImage, StackNotAllowed)):
            read(magic + data)
