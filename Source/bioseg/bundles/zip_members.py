"""Zip archives from a stranger: their members are known by name, plain, and bounded once inflated."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from bioseg.bundles.json_text import shown
from bioseg.errors import BundleError

END = struct.Struct("<4s4H2LH")
"""The record that ends an archive: mark, disks, entries, size and offset of the directory, length of the comment."""
END_MARK = b"PK\x05\x06"
ZIP64_LOCATOR = 20
"""Bytes before the end in which a large archive gives the real sizes, and begins so:"""
ZIP64_MARK = b"PK\x06\x07"
DIRECTORY = 2**14
"""Bytes of the directory; a member needs about a hundred."""
ENCRYPTED = 1
UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError, ValueError)


def open_archive(file: Path, largest: Mapping[str, int]) -> zipfile.ZipFile:
    """Open an archive after its directory was checked; nothing was inflated yet, and nothing is ever extracted.

    Parameters
    ----------
    file
        The archive.
    largest
        Its members, all of them and no other, each with the bytes that it may inflate to.

    Raises
    ------
    BundleError
        When the file is no plain zip archive, or a member is missing, unexpected, doubled, encrypted, a link, packed
        in another way than deflate, or too large.
    """
    _check_end(file)
    try:
        archive = zipfile.ZipFile(file)
    except UNREADABLE as error:
        raise _malformed(file, error) from error
    members = archive.infolist()
    names = [member.filename for member in members]
    if sorted(names) != sorted(largest):
        expected = ", ".join(largest)
        archive.close()
        raise BundleError(f"{file} holds {shown(sorted(names))}, not {expected}; export the bundle again")
    for member in members:
        if not _is_plain(member) or member.file_size > largest[member.filename]:
            archive.close()
            raise BundleError(
                f"{file}: {member.filename} is no plain file of at most {largest[member.filename]} bytes; "
                "export the bundle again"
            )
    return archive


def content(archive: zipfile.ZipFile, name: str) -> bytes:
    """Inflate a member; never more than the size that its directory entry gives.

    Raises
    ------
    BundleError
        When its bytes are damaged.
    """
    try:
        return archive.read(name)
    except UNREADABLE as error:
        raise _malformed(archive.filename, error) from error


def _check_end(file: Path) -> None:
    """Bound the directory before `zipfile` reads it, which makes an object of each entry."""
    with file.open("rb") as stream:
        length = stream.seek(0, 2)
        stream.seek(max(0, length - END.size - ZIP64_LOCATOR))
        tail = stream.read()
    if len(tail) < END.size:
        raise _malformed(file, "it is too short")
    mark, *_, directory, _, comment = END.unpack(tail[-END.size :])
    if mark != END_MARK or comment:
        raise _malformed(file, "it does not end as a zip archive does")
    if tail.startswith(ZIP64_MARK) or directory > DIRECTORY:
        raise _malformed(file, "its directory is too large")


def _is_plain(member: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(member.external_attr >> 16)
    packed = member.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    return packed and kind in {0, stat.S_IFREG} and not member.flag_bits & ENCRYPTED


def _malformed(file: object, reason: object) -> BundleError:
    return BundleError(f"{file} is no archive of a bundle: {shown(reason)}; export the bundle again")
