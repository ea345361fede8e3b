"""Blobs in a folder, `ab/abcd...`, written so that a power cut leaves either all of them or nothing."""

import hashlib
import os
import tempfile
from pathlib import Path

from bioseg.errors import BlobNotFound
from bioseg.storage import checked_key


class FolderBlobs:
    """Blobs in a folder, which is created by the first one; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their key; storing them again changes nothing."""
        key = hashlib.sha256(data).hexdigest()
        path = self._path(key)
        if _holds(path, data):
            _synchronise(path)  # whoever wrote it may still be about to
        else:
            _make_folder(path.parent)
            _write(path, data)
        _remove_parts(path)
        _synchronise(path.parent)
        return key

    def get(self, key: str) -> bytes:
        """Return the bytes, or raise BlobNotFound when they are missing or no longer have this hash."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise BlobNotFound(f"no blob {key} in {self._root}; it was deleted or never stored") from None
        if hashlib.sha256(data).hexdigest() != key:
            raise BlobNotFound(f"{path} is damaged, its sha256 has changed; restore it from a backup")
        return data

    def delete(self, key: str) -> None:
        """Remove the bytes, and what a process left that died while it wrote them; missing ones are fine."""
        path = self._path(key)
        path.unlink(missing_ok=True)
        _remove_parts(path)

    def exists(self, key: str) -> bool:
        """Tell whether there are bytes under this key, without reading them."""
        return self._path(key).is_file()

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / checked_key(key)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents durably: each new name is synchronised in the folder above."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _synchronise(folder.parent)


def _write(path: Path, data: bytes) -> None:
    """Write beside the place, synchronise, then rename, which is atomic."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False) as file:
        part = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            if not _holds(path, data):  # else somebody stored the same bytes meanwhile, and removed this part
                raise


def _remove_parts(path: Path) -> None:
    """Remove what processes left that died while they wrote a file."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        part.unlink(missing_ok=True)


def _synchronise(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
