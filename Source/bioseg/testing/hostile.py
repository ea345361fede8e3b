"""Hostile files: damaged, lying or without end, in the ways that image libraries stumble over. Everything is seeded."""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, TiffTags

NOISE: Final = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
BYTE, ASCII, SHORT, LONG = 1, 2, 3, 4


def saved(kind: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    """Encode a picture, or 32 x 24 pixels of coloured noise, with Pillow."""
    buffer = io.BytesIO()
    (picture or Image.fromarray(NOISE)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(samples: NDArray[Any], **options: Any) -> bytes:
    """Encode an array with tifffile."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    """Two frames: GIF, PNG or WebP."""
    frames = [Image.fromarray(np.roll(NOISE, shift)) for shift in (0, 50)]
    return saved(kind, frames[0], save_all=True, append_images=frames[1:])


def good() -> dict[str, bytes]:
    """One small good file, or more, of each format and variant that is read, all of 32 x 24 pixels."""
    picture = Image.fromarray(NOISE)
    exif = Image.Exif()
    exif[274] = 1
    gray16 = NOISE[..., 0].astype(np.uint16) * 257
    return {
        "png": saved("PNG"),
        "png gray": saved("PNG", picture.convert("L")),
        "png palette": saved("PNG", picture.quantize(16), transparency=0),
        "png 16-bit": saved("PNG", Image.fromarray(gray16)),
        "png exif": saved("PNG", exif=exif),
        "jpeg": saved("JPEG", quality=80, exif=exif),
        "jpeg progressive": saved("JPEG", progressive=True),
        "jpeg cmyk": saved("JPEG", picture.convert("CMYK")),
        "mpo": saved("MPO", save_all=True, append_images=[picture]),
        "bmp": saved("BMP"),
        "bmp palette": saved("BMP", picture.quantize(16)),
        "bmp rle": rle_bmp(b"\x20\x07\0\0" * 24 + b"\0\1"),
        "gif": saved("GIF", comment=b"hello"),
        "webp": saved("WebP"),
        "webp lossless": saved("WebP", lossless=True, exif=exif),
        "tiff": tiff(NOISE, photometric="rgb"),
        "tiff ome": tiff(NOISE, photometric="rgb", ome=True),
        "tiff bigtiff": tiff(gray16, bigtiff=True, byteorder=">"),
        "tiff palette": saved("TIFF", picture.quantize(16)),
        "tiff bit": saved("TIFF", picture.convert("1"), compression="group4"),
        "tiff lzw": saved("TIFF", compression="tiff_lzw", tiffinfo={317: 2}),
        "tiff packbits": saved("TIFF", compression="packbits"),
        "tiff jpeg": saved("TIFF", compression="jpeg"),
        "tiff float": tiff(NOISE.astype(np.float32), photometric="rgb"),
        "tiff tiled": tiff(gray16, tile=(16, 16)),
        "tiff tiled deflate": tiff(gray16, tile=(16, 16), compression="zlib"),
        "tiff deflate float": tiff(gray16.astype(np.float64), compression="zlib"),
    }


def mutations(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Good files with bits flipped, ends cut, parts repeated or exchanged, and numbers made huge."""
    random = np.random.default_rng(seed)
    files = good()
    names = sorted(files)
    for _ in range(count):
        name, other = random.choice(names, 2)
        data = bytearray(files[name])
        for _ in range(int(random.integers(1, 6))):
            _mutate(data, files[other], random)
        yield str(name), bytes(data)


def _mutate(data: bytearray, other: bytes, random: np.random.Generator) -> None:
    reach = len(data) if random.random() < 0.5 else min(len(data), 250)
    place, what = int(random.integers(0, max(1, reach))), int(random.integers(0, 6))
    length = int(random.integers(1, 40))
    if what == 0:
        data[place : place + 1] = bytes([int(random.integers(0, 256))])
    elif what == 1:
        huge = random.choice([0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x00100000])
        order = "<>"[int(random.integers(0, 2))]
        field = (
            struct.pack(order + "I", int(huge)) if random.random() < 0.5 else struct.pack(order + "H", huge & 0xFFFF)
        )
        data[place : place + len(field)] = field
    elif what == 2:
        del data[place : place + length]
    elif what == 3:
        data[place:place] = data[place : place + length] * int(random.integers(1, 30))
    elif what == 4:
        data[place : place + length] = other[place : place + length]
    elif len(data) > 60:
        del data[max(60, place) :]


def png(header: tuple[int, int, int, int], *chunks: tuple[bytes, bytes]) -> bytes:
    """Write a PNG of a header (width, height, bit depth, colour type) and further chunks (name, body)."""
    first = (b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    parts = ((struct.pack(">I", len(body)), name, body) for name, body in (first, *chunks, (b"IEND", b"")))
    return PNG_MAGIC + b"".join(
        size + name + body + struct.pack(">I", zlib.crc32(name + body)) for size, name, body in parts
    )


def rle_bmp(runs: bytes, width: int = 32, height: int = 24) -> bytes:
    """Write a gray BMP of 8 bits, run-length encoded."""
    palette = b"".join(bytes([value, value, value, 0]) for value in range(256))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(runs), 0, 0, 54 + 1024) + info + palette + runs


def raw_tiff(entries: Sequence[tuple[int, int, int, int]], after: bytes = b"", following: int = 0) -> bytes:
    """Write a little-endian TIFF of one directory, its entries (code, type, count, value or offset), and the rest."""
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", following) + after


def page(width: int, height: int, offset: int, length: int, **changes: int) -> list[tuple[int, int, int, int]]:
    """Entries of a gray page of 8 bits in one strip; `changes` by their names."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: offset, 277: 1, 278: height, 279: length}
    codes = {tag.name: code for code, tag in TiffTags.TAGS_V2.items()}
    return [
        (code, LONG, 1, value) for code, value in sorted((tags | {codes[n]: v for n, v in changes.items()}).items())
    ]


def exif(entries: int, size: int) -> bytes:
    """Write a block of Exif with so many entries whose values, of so many bytes each, all lie in the same place."""
    field = struct.pack("<HHII", 270, BYTE, size, 8) * entries
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, entries) + field + bytes(4)


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    """Put segments (marker, body) behind the beginning of a good JPEG."""
    data = saved("JPEG")
    put = b"".join(bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body for marker, body in segments)
    return data[:2] + put + data[2:]


def many_scans(side: int, scans: int) -> bytes:
    """Write a progressive JPEG whose last scan, a pass over all pixels, is repeated."""
    data = saved("JPEG", Image.new("L", (side, side)), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def crafted() -> dict[str, bytes]:
    """Files made to crash, to bloat, to take long or to lie; small ones."""
    zeros = zlib.compress(bytes(20_000_000))
    pixels = zlib.compress(bytes(33 * 24))
    gray, text = (32, 24, 8, 0), zlib.compress(b"x" * 900_000)
    gif, strip = saved("GIF"), 8 + 2 + 9 * 12 + 4
    comment = b"!\xfe" + b"\xff" + b"c" * 255
    nan = np.full((8, 8), np.nan, np.float32)
    return {
        "png ztxt bombs": png(gray, *[(b"zTXt", b"a\0\0" + text)] * 80, (b"IDAT", pixels)),
        "png ztxt bomb": png(gray, (b"zTXt", b"a\0\0" + zeros), (b"IDAT", pixels)),
        "png iccp bomb": png(gray, (b"iCCP", b"a\0\0" + zeros), (b"IDAT", pixels)),
        "png itxt bomb": png(gray, (b"iTXt", b"a\0\1\0\0\0" + zeros), (b"IDAT", pixels)),
        "png pixel bomb": png(gray, (b"IDAT", zeros)),
        "png deep bomb": png((900, 900, 16, 2), (b"iCCP", b"a\0\0" + zeros), (b"IDAT", zeros)),
        "png of many chunks": png(gray, *[(b"tEXt", b"a\0b")] * 70_000, (b"IDAT", pixels)),
        "png of many pieces": png(gray, *[(b"IDAT", pixels[i : i + 1]) for i in range(len(pixels))]),
        "png without colours": png((32, 24, 8, 3), (b"IDAT", pixels)),
        "png 0 x 0": png((0, 0, 8, 0), (b"IDAT", pixels)),
        "png 65535 x 1": png((65_535, 1, 8, 0), (b"IDAT", zlib.compress(bytes(100)))),
        "png 1 x 65535": png((1, 65_535, 16, 6), (b"IDAT", pixels)),
        "png 2**31": png((2**31 - 1, 2**31 - 1, 16, 6), (b"IDAT", pixels)),
        "apng": animated("PNG"),
        "jpeg of many scans": many_scans(64, 3_000),
        "jpeg of many tables": jpeg_with(*[(0xDB, bytes(65) * 900)] * 15),
        "jpeg of many comments": jpeg_with(*[(0xFE, b"c" * 60_000)] * 15),
        "jpeg of many segments": jpeg_with(*[(0xE3, b"")] * 200_000),
        "jpeg of padding": b"\xff\xd8" + b"\xff" * 900_000 + saved("JPEG")[2:],
        "jpeg of exif in pieces": jpeg_with(*[(0xE1, exif(5_000, 60_000)[:60_000])] * 12),
        "jpeg exif loop": jpeg_with((0xE1, b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8769, LONG, 1, 8, 8))),
        "jpeg exif of everything": jpeg_with((0xE1, exif(5_000, 60_000))),
        "jpeg 65535 x 65535": saved("JPEG").replace(struct.pack(">HH", 24, 32), b"\xff\xff\xff\xff", 1),
        "gif of many comments": gif[:-1] + (comment + b"\0") * 3_000 + b";",
        "gif of one long comment": gif[:781] + comment + comment[2:] * 3_000 + b"\0" + gif[781:],
        "gif of short blocks": gif[:-2] + b"\1\0" * 400_000 + b"\0;",
        "gif of many frames": gif[:-1] + gif[gif.index(b",") : -1] * 500 + b";",
        "gif 0 x 0": gif[:6] + bytes(4) + gif[10:],
        "bmp 0 x 0": saved("BMP")[:18] + bytes(8) + saved("BMP")[26:],
        "bmp of jumps": rle_bmp(b"\0\2\xff\xff" * 200_000, 900, 900),
        "bmp of runs": rle_bmp(b"\1\7" * 450_000, 900, 900),
        "bmp wide jump": rle_bmp(b"\0\2\0\xff" * 5, 990_000, 1),
        "tiff of 60,000 tags": raw_tiff([(60_000, BYTE, 1, 0)] * 60_000),
        "tiff of overlapping values": raw_tiff([(270, ASCII, 800_000, 8)] * 400, bytes(800_000)),
        "tiff of overlapping offsets": raw_tiff([(273, LONG, 200_000, 8)] * 400, bytes(800_000)),
        "tiff of many strips": raw_tiff(
            [
                *((256, LONG, 1, 1), (257, LONG, 1, 32_000), (273, LONG, 32_000, 70)),
                *((278, LONG, 1, 1), (279, LONG, 32_000, 128_070)),
            ],
            bytes(800_000),
        ),
        "tiff that points at itself": raw_tiff(page(32, 24, strip, 768), bytes(768), following=8),
        "tiff whose children are itself": raw_tiff(page(32, 24, strip + 12, 768, SubIFDs=8), bytes(768)),
        "tiff of 60 thumbnails": _many_pages(60),
        "tiff 0 x 0": raw_tiff(page(0, 0, strip, 768), bytes(768)),
        "tiff 2**32": raw_tiff(page(2**32 - 1, 2**32 - 1, strip, 768), bytes(768)),
        "tiff of a huge tile": raw_tiff(
            page(32, 24, strip + 48, 768, TileWidth=2**20, TileLength=2**20, TileOffsets=200, TileByteCounts=768),
            bytes(768),
        ),
        **{
            f"tiff bomb {code}": raw_tiff(page(900, 900, strip, len(bomb), Compression=code), bomb)
            for code, bomb in ((8, zeros), (32946, zeros), (5, b"\x80\0" * 9_000), (32773, b"\x81\0" * 9_000))
        },
        **{
            f"tiff of kind {code}": raw_tiff(page(32, 24, strip, 768, Compression=code), NOISE.tobytes()[:768])
            for code in (2, 3, 4, 6, 7, 34712, 34925, 50000, 50001, 50002, 34887, 65000)
        },
        "tiff without colours": raw_tiff(page(32, 24, strip, 768, PhotometricInterpretation=3), bytes(768)),
        "tiff with an odd predictor": raw_tiff(page(32, 24, strip + 12, 768, Predictor=3, Compression=8), pixels * 9),
        "tiff of NaN": tiff(nan),
        "tiff of NaN deflated": tiff(nan, compression="zlib"),
    }


def _many_pages(count: int) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for _ in range(count):
            writer.write(NOISE, photometric="rgb", subfiletype=1, metadata=None)
    return buffer.getvalue()
