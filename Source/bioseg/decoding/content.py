"""Which format a file is, told by its first bytes and never by its name."""

from typing import Final

from bioseg.errors import ImageTooLarge, StackNotAllowed, UnreadableImage, UnsupportedFormat
from bioseg.images import Limits

ALLOWED: Final = "PNG, JPEG, TIFF, BMP, WebP or GIF"

_MAGICS: Final = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
    "WebP": (b"RIFF",),
    "GIF": (b"GIF87a", b"GIF89a"),
}
_DICOM: Final = (b"DICM", 128)
_FOREIGN: Final = (
    *(("PDF", 0, b"%PDF"), ("gzip", 0, b"\x1f\x8b"), ("HDF5", 0, b"\x89HDF")),
    *(("JPEG 2000", 0, b"\0\0\0\x0cjP"), ("HEIF, AVIF or video", 4, b"ftyp")),
)


def sniff(data: bytes) -> str:
    """Tell the format: `PNG`, `JPEG`, `TIFF`, `BMP`, `WebP` or `GIF`.

    Raises
    ------
    StackNotAllowed
        The file is a ZIP.
    UnsupportedFormat
        A known format that is not read.
    UnreadableImage
        The bytes are empty or no image.
    """
    if not data:
        raise UnreadableImage(f"The upload is empty (0 bytes); send one {ALLOWED} image.")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise stack("a ZIP archive")
    # the 128 bytes before it are free: in a file of two formats they begin a TIFF
    if data.startswith(*_DICOM):
        raise UnsupportedFormat(
            "DICOM files are not read: they name the patient. Export the picture, windowed as you look at it, and send "
            "that as PNG or TIFF."
        )
    for kind, magics in _MAGICS.items():
        if data.startswith(magics):
            return kind
    for kind, start, magic in _FOREIGN:
        if data.startswith(magic, start):
            raise UnsupportedFormat(f"{kind} files are not read; convert the image to {ALLOWED}.")
    raise UnreadableImage(f"The content is no known image; send {ALLOWED}.")


def check_bytes(data: bytes, limits: Limits) -> None:
    """Raise ImageTooLarge when a file has more bytes than are allowed."""
    if len(data) > limits.max_bytes:
        allowed = f"at most {limits.max_bytes:,} are allowed"
        raise ImageTooLarge(f"The file has {len(data):,} bytes; {allowed}. Compress, crop or shrink it.")


def stack(what: str) -> StackNotAllowed:
    """Say that a file holds several images where one is expected, and where stacks go."""
    return StackNotAllowed(f"The file is {what}; one image is expected here. Stacks go to POST /api/v1/jobs.")


def damaged(kind: str, what: str = "damaged, incomplete or of a rare variant") -> UnreadableImage:
    """Say what is wrong with a file of a format, and the remedy; nothing of the file is told."""
    return UnreadableImage(f"The {kind} data is {what}. Save it again as a plain {ALLOWED} image.")
