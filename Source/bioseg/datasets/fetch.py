"""Datasets on disk: whether a copy is complete, and downloads verified by sha256.

What is known of a dataset stands beside its reader, as a `Dataset`; `data/README.md` says the same in prose.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pooch

from bioseg.datasets import Dataset
from bioseg.errors import DatasetError

HOST = "https://raw.githubusercontent.com"
TIMEOUT_SECONDS = 60

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a dataset: `path` under the data directory, `source` in the repository it comes from."""

    path: str
    sha256: str
    source: str


@dataclass(frozen=True, slots=True)
class Published:
    """Where the files of a dataset are published: a repository (`owner/name`) at a commit."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What `fetch` found and did: files verified by sha256, downloaded, and present without a known sha256."""

    name: str
    folder: Path
    verified: int
    downloaded: int
    unverified: int


def read(published: Path) -> Published:
    """Read the list of a dataset's files: JSON with the members of `Published`."""
    given = json.loads(published.read_text(encoding="utf-8"))
    files = tuple(RemoteFile(**file) for file in given["files"])
    return Published(given["repository"], given["commit"], files)


def fetch(dataset: Dataset, data_dir: Path, progress: Progress | None = None, host: str = HOST) -> Report:
    """Verify a dataset under `data_dir` and download what is missing.

    A complete copy may be read-only: nothing is written when every file verifies.

    Parameters
    ----------
    progress
        Called with (files done, files in all) after each file.
    host
        Address in front of `/{repository}/{commit}/{path}`.

    Raises
    ------
    DatasetError
        When a file has other contents than were published (it is never overwritten), a download fails, or a set that
        needs manual steps is missing: the message names the steps.
    """
    if dataset.published is None:
        return _look(dataset, data_dir)
    return _fetch_files(dataset, read(dataset.published), data_dir, progress, host)


def matches(file: Path, sha256: str) -> bool:
    """Tell whether the file's contents have this sha256 (hexadecimal)."""
    return bool(pooch.file_hash(str(file), alg="sha256") == sha256)


def _fetch_files(
    dataset: Dataset, published: Published, data_dir: Path, progress: Progress | None, host: str
) -> Report:
    verified = downloaded = 0
    for wanted in published.files:
        target = data_dir / wanted.path
        if not target.exists():
            _download(f"{host}/{published.repository}/{published.commit}/{quote(wanted.source)}", target, wanted.sha256)
            downloaded += 1
        elif matches(target, wanted.sha256):
            verified += 1
        else:
            raise DatasetError(
                f"{target} differs from the published file (sha256 {wanted.sha256}): move it away and fetch again"
            )
        if progress:
            progress(verified + downloaded, len(published.files))
    return Report(dataset.name, dataset.root(data_dir), verified, downloaded, unverified=0)


def _look(dataset: Dataset, data_dir: Path) -> Report:
    folder = dataset.root(data_dir)
    if not folder.is_dir():
        raise DatasetError(
            f"{dataset.name} has to be put into {folder} by hand. {dataset.steps} Source: {dataset.source}. "
            f"Layout: {dataset.layout}. Licence: {dataset.licence}"
        )
    present = sum(file.is_file() for file in folder.rglob("*"))
    return Report(dataset.name, folder, verified=0, downloaded=0, unverified=present)


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
