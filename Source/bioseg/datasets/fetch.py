"""Datasets on disk: what is known of each, whether a copy is complete, and downloads verified by sha256.

The catalogue ships as `catalogue.json` beside this file; `data/README.md` says the same in prose.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pooch

from bioseg.errors import DatasetError

HOST = "https://raw.githubusercontent.com"
TIMEOUT_SECONDS = 60

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a dataset: `path` under the data directory, `source` in the repository it comes from."""

    path: str
    sha256: str
    bytes: int
    source: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset of the catalogue: what it is, whose, and how to get it; without `files`, a person follows `steps`."""

    name: str
    folder: str
    title: str
    source: str
    citation: str
    licence: str
    layout: str
    steps: str
    repository: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def automatic(self) -> bool:
        """Whether `fetch` can download it; otherwise a person follows `steps`."""
        return bool(self.files)


@dataclass(frozen=True, slots=True)
class Report:
    """What `fetch` found and did: files verified by sha256, downloaded, and present without a known sha256."""

    name: str
    folder: Path
    verified: int
    downloaded: int
    unverified: int


@cache
def known() -> tuple[Entry, ...]:
    """List every dataset of the catalogue.

    >>> [entry.name for entry in known() if entry.automatic]
    ['isbi2012']
    """
    entries = json.loads(files("bioseg.datasets").joinpath("catalogue.json").read_text(encoding="utf-8"))
    return tuple(Entry(**{**entry, "files": tuple(RemoteFile(**file) for file in entry["files"])}) for entry in entries)


def find(name: str) -> Entry:
    """Look a dataset up by name.

    Raises
    ------
    DatasetError
        When the catalogue has no such name.
    """
    for entry in known():
        if entry.name == name:
            return entry
    raise DatasetError(f"unknown dataset {name!r}: known are {', '.join(entry.name for entry in known())}")


def fetch(name: str, data_dir: Path, progress: Progress | None = None, host: str = HOST) -> Report:
    """Verify a dataset of the catalogue under `data_dir` and download what is missing.

    A complete copy may be read-only: nothing is written when every file verifies.

    Parameters
    ----------
    name
        One of the names in `known()`.
    progress
        Called with (files done, files in all) after each file.
    host
        Address in front of `/{repository}/{commit}/{path}`.

    Raises
    ------
    DatasetError
        When the name is unknown, a file has other contents than the catalogue says (it is never overwritten), a
        download fails, or a set that needs manual steps is missing: the message names the steps.
    """
    return fetch_entry(find(name), data_dir, progress, host)


def fetch_entry(entry: Entry, data_dir: Path, progress: Progress | None = None, host: str = HOST) -> Report:
    """Do the same as `fetch` for an entry that need not be in the catalogue."""
    return _fetch_files(entry, data_dir, progress, host) if entry.automatic else _look(entry, data_dir)


def matches(file: Path, sha256: str) -> bool:
    """Tell whether the file's contents have this sha256 (hexadecimal)."""
    return bool(pooch.file_hash(str(file), alg="sha256") == sha256)


def _fetch_files(entry: Entry, data_dir: Path, progress: Progress | None, host: str) -> Report:
    verified = downloaded = 0
    for wanted in entry.files:
        target = data_dir / wanted.path
        if not target.exists():
            _download(_address(entry, wanted, host), target, wanted.sha256)
            downloaded += 1
        elif matches(target, wanted.sha256):
            verified += 1
        else:
            raise DatasetError(
                f"{target} differs from the published file (sha256 {wanted.sha256}): move it away and fetch again"
            )
        if progress:
            progress(verified + downloaded, len(entry.files))
    return Report(entry.name, data_dir / entry.folder, verified, downloaded, unverified=0)


def _look(entry: Entry, data_dir: Path) -> Report:
    folder = data_dir / entry.folder
    if not folder.is_dir():
        raise DatasetError(
            f"{entry.name} has to be put into {folder} by hand. {entry.steps} Source: {entry.source}. "
            f"Layout: {entry.layout}. Licence: {entry.licence}"
        )
    present = sum(file.is_file() for file in folder.rglob("*"))
    return Report(entry.name, folder, verified=0, downloaded=0, unverified=present)


def _address(entry: Entry, wanted: RemoteFile, host: str) -> str:
    return f"{host}/{entry.repository}/{entry.commit}/{quote(wanted.source)}"


def _download(address: str, target: Path, sha256: str) -> None:
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS)
    try:
        pooch.retrieve(
            address, known_hash=f"sha256:{sha256}", fname=target.name, path=target.parent, downloader=downloader
        )
    except PermissionError as error:
        raise DatasetError(
            f"{target} is missing and {target.parent} cannot be written: point BIOSEG_DATA_DIR at a writable folder"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{address} has other contents than expected: {error}") from error
    except OSError as error:
        raise DatasetError(
            f"cannot download {address} ({error}): check the connection and try again, or put the file at {target}"
        ) from error
