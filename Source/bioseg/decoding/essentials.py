"""What the pixels of a file need: only that is handed to a library, never metadata, and never parts without end.

Libraries parse Exif, text, colour profiles and comments, some in time that grows with the square of their number, and
all of it for nothing.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from bioseg.decoding.content import damaged, stack
from bioseg.errors import UnreadableImage

MAX_CHUNKS: Final = 65_536
"""Chunks of a PNG; writers put 8 KiB or more into each."""
MAX_SEGMENTS: Final = 4_096
"""Segments of a JPEG before its first scan; each holds at most 64 KiB."""
MAX_TABLE_BYTES: Final = 262_144
"""Tables and the like of a JPEG before its first scan."""
MAX_SCANS: Final = 64
"""Scans of a progressive JPEG, each a pass over all its pixels; encoders write at most about 20."""
MAX_BLOCKS: Final = 300_000
"""Blocks of a GIF, of at most 255 bytes each."""
MAX_TAGS: Final = 512
MAX_SEGMENTS_OF_A_PAGE: Final = 32_768
"""Strips or tiles of a TIFF page."""
MAX_RLE_BYTES: Final = 1_000_000
"""Compressed BMP: Pillow decodes it byte by byte in Python."""

ZLIB_STEP: Final = 65_536
_ORIENTATION: Final = 274
_PIXEL_CHUNKS: Final = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PIXEL_MARKERS: Final = {0xE0, 0xEE}
"""APP0 (JFIF) and APP14 (Adobe) tell the colour space."""
_BARE_MARKERS: Final = {0x00, 0x01, *range(0xD0, 0xD8)}
_GIF_TRAILER: Final = b";"
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value by its TIFF type (TIFF 6.0, section 2, and BigTIFF)."""
_SEGMENT_TAGS: Final = {273, 279, 324, 325}


def png(data: bytes) -> tuple[bytes, int]:
    """Keep the chunks that hold pixels, colours and transparency; gives the smaller PNG and its Exif orientation.

    Raises
    ------
    StackNotAllowed
        The PNG is animated.
    UnreadableImage
        A chunk is longer than the file, the last one is missing, or there are more than `MAX_CHUNKS`.
    """
    kept, turned, offset = [data[:8]], 1, 8
    for _ in range(MAX_CHUNKS):
        name, end = data[offset + 4 : offset + 8], offset + 12 + _big(data, offset, 4)
        if end > len(data):
            raise damaged("PNG", "truncated: one of its chunks ends beyond the file")
        if name == b"acTL":
            raise stack("an animated PNG")
        if name == b"eXIf":
            turned = orientation(data[offset + 8 : end - 4])
        if name in _PIXEL_CHUNKS:
            kept.append(data[offset:end])
        if name == b"IEND":
            return b"".join(kept), turned
        offset = end
    raise _too_many("PNG", MAX_CHUNKS, "chunks")


def check_inflated(png_of_pixels: bytes, most: int) -> None:
    """Raise UnreadableImage when the pixels of a PNG inflate to more than so many bytes: libpng would read them all."""
    stream, inflated, offset = zlib.decompressobj(), 0, 8
    while offset < len(png_of_pixels) and not stream.eof:
        start, end = offset + 8, offset + 8 + _big(png_of_pixels, offset, 4)
        is_pixels = png_of_pixels[offset + 4 : start] == b"IDAT"
        for place in range(start, end, ZLIB_STEP) if is_pixels else ():
            packed = png_of_pixels[place : min(place + ZLIB_STEP, end)]
            while packed and not stream.eof:
                inflated += len(stream.decompress(packed, 16 * ZLIB_STEP))
                packed = stream.unconsumed_tail
                if inflated > most:
                    raise damaged("PNG", "damaged: it holds more pixels than its header says")
        offset = end + 4


def jpeg(data: bytes) -> tuple[bytes, int]:
    """Keep what a decoder needs of the first picture; gives the smaller JPEG and its Exif orientation.

    Raises
    ------
    UnreadableImage
        There is no scan, there are more than `MAX_SCANS` of them, or more than `MAX_SEGMENTS` or `MAX_TABLE_BYTES`
        before them.
    """
    kept, turned, offset = [data[:2]], 1, 2
    for _ in range(MAX_SEGMENTS):
        if data[offset : offset + 1] != b"\xff" or offset + 1 >= len(data):
            raise damaged("JPEG")
        marker = data[offset + 1]
        if marker == 0xDA:
            if data.count(b"\xff\xda", offset) > MAX_SCANS:
                raise _too_many("JPEG", MAX_SCANS, "scans")
            if sum(map(len, kept)) > MAX_TABLE_BYTES:
                raise _too_many("JPEG", MAX_TABLE_BYTES, "bytes of tables")
            return b"".join([*kept, data[offset:]]), turned
        if marker == 0xFF or marker in _BARE_MARKERS:
            offset += 1 if marker == 0xFF else 2
            continue
        end = offset + 2 + _big(data, offset + 2, 2)
        if data.startswith(b"Exif\0\0", offset + 4) and marker == 0xE1:
            turned = orientation(data[offset + 4 : end])
        if marker in _PIXEL_MARKERS or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[offset:end])
        offset = end
    raise _too_many("JPEG", MAX_SEGMENTS, "segments")


def gif(data: bytes) -> bytes:
    """Keep the one frame and what tells its transparency.

    Raises
    ------
    StackNotAllowed
        There is a second frame.
    UnreadableImage
        There is no frame, it is truncated, or there are more than `MAX_BLOCKS`.
    """
    start = 13 + _colours(data, 10)
    kept, frame, blocks = [data[:start]], b"", iter(range(MAX_BLOCKS))
    while data[start : start + 1] in (b"!", b","):
        is_frame = data[start : start + 1] == b","
        if is_frame and frame:
            raise stack("an animated GIF")
        end = _after_blocks(data, start + (11 + _colours(data, start + 9) if is_frame else 2), blocks)
        if is_frame:
            frame = data[start:end]
        elif not frame and data[start + 1 : start + 2] == b"\xf9":
            kept[1:] = [data[start:end]]
        start = end
    if not frame:
        raise damaged("GIF")
    return b"".join([*kept, frame, _GIF_TRAILER])


def _colours(data: bytes, place: int) -> int:
    """Bytes of the colour table that the flags at a place announce (GIF89a, sections 18 and 20)."""
    flags = int.from_bytes(data[place : place + 1])
    return 3 * 2 ** (1 + (flags & 7)) if flags & 0x80 else 0


def _after_blocks(data: bytes, offset: int, blocks: Iterator[int]) -> int:
    for _ in blocks:
        if offset >= len(data):
            raise damaged("GIF", "truncated: its last block is missing")
        if data[offset] == 0:
            return offset + 1
        offset += 1 + data[offset]
    raise _too_many("GIF", MAX_BLOCKS, "blocks")


def orientation(exif: bytes) -> int:
    """Orientation in a block of Exif, 1 to 8 (EXIF 2.32, tag 274); 1 when it has none that can be read."""
    block = exif.removeprefix(b"Exif\0\0")
    order = _order(block)
    start = _number(block[4:8], order)
    for place in range(start + 2, start + 2 + 12 * min(MAX_TAGS, _number(block[start : start + 2], order)), 12):
        if _number(block[place : place + 2], order) == _ORIENTATION:
            return _number(block[place + 8 : place + 10], order)
    return 1


def check_bmp(data: bytes) -> None:
    """Raise UnreadableImage for a run-length encoded BMP (compression 1 or 2) of more than `MAX_RLE_BYTES`."""
    if int.from_bytes(data[30:34], "little") in (1, 2) and len(data) > MAX_RLE_BYTES:
        raise damaged("BMP", f"run-length encoded and longer than {MAX_RLE_BYTES:,} bytes")


def check_tiff(data: bytes, most: int) -> None:
    """Check the first `most` directories of a TIFF before a library loads their values.

    Raises
    ------
    UnreadableImage
        A directory has more than `MAX_TAGS` entries, a page more than `MAX_SEGMENTS_OF_A_PAGE` strips or tiles, or
        the values of all take more bytes than the file has: several lie in the same place.
    """
    order, is_big = _order(data), b"+" in data[2:4]
    width, counted, entry = (8, 8, 20) if is_big else (4, 2, 12)
    place, seen, held = _number(data[8:16] if is_big else data[4:8], order), set[int](), 0
    while 0 < place < len(data) and place not in seen and len(seen) < most:
        seen.add(place)
        entries = _number(data[place : place + counted], order)
        if entries > MAX_TAGS:
            raise _too_many("TIFF", MAX_TAGS, "tags in one directory")
        first, last = place + counted, place + counted + entry * entries
        for tag in range(first, last, entry):
            count = _number(data[tag + 4 : tag + 4 + width], order)
            if _number(data[tag : tag + 2], order) in _SEGMENT_TAGS and count > MAX_SEGMENTS_OF_A_PAGE:
                raise _too_many("TIFF", MAX_SEGMENTS_OF_A_PAGE, "strips or tiles")
            size = count * _SIZES.get(_number(data[tag + 2 : tag + 4], order), 0)
            # tifffile leaves out values beyond the end.
            held += size if width < size <= len(data) else 0
        if held > len(data):
            raise damaged("TIFF", "damaged: its tags claim more bytes than the file has")
        place = _number(data[last : last + width], order)


def _too_many(kind: str, most: int, parts: str) -> UnreadableImage:
    return damaged(kind, f"of a rare variant with more than {most:,} {parts}")


def _order(data: bytes) -> str:
    return "big" if data.startswith(b"MM") else "little"


def _number(field: bytes, order: str) -> int:
    return int.from_bytes(field, "big" if order == "big" else "little")


def _big(data: bytes, offset: int, width: int) -> int:
    return int.from_bytes(data[offset : offset + width])
