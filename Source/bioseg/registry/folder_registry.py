"""The embedded registry: folders `<study>/<version>`, shipped ones read only, trained ones in the state folder."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bioseg import bundles
from bioseg.bundles import MANIFEST, VERSION_NAME, Bundle
from bioseg.errors import BundleError, UnknownVersion

CHAMPIONS = "champions.json"
_Champions = TypeAdapter(dict[str, str])


class FolderRegistry:
    """Bundles in two folders; each may hold `champions.json`, the version that serves by study.

    Parameters
    ----------
    shipped
        Read only. Its versions go before trained ones of the same name.
    trained
        Takes what `add` brings. Its `champions.json` goes before the shipped one, study by study.
    """

    def __init__(self, shipped: Path, trained: Path) -> None:
        self._shipped = shipped
        self._trained = trained

    def versions(self, study: str) -> tuple[str, ...]:
        """Versions of a study by name."""
        return tuple(sorted(self._folders(study)))

    def champion(self, study: str) -> str | None:
        """Version that serves, or None."""
        return {**_champions(self._shipped), **_champions(self._trained)}.get(study)

    def open(self, study: str, version: str) -> Bundle:
        """Open a version, every file checked; raises UnknownVersion and BundleError."""
        folders = self._folders(study)
        if version not in folders:
            raise unknown(study, version, folders)
        bundle = bundles.read(folders[version])
        named = (bundle.contract.study, bundle.contract.version)
        if named != (study, version):
            raise BundleError(f"{bundle.path} holds {' '.join(named)}; move it to the folder of that name")
        return bundle

    def add(self, folder: Path) -> Bundle:
        """Copy the files of a sealed bundle in; raises BundleError, and then nothing stays behind."""
        bundle = bundles.read(folder)
        contract = bundle.contract
        if not (is_name(contract.study) and is_name(contract.version)):
            raise BundleError(f"{contract.study!r} {contract.version!r} cannot be a folder; export under another name")
        if contract.version in self._folders(contract.study):
            raise BundleError(f"{contract.study} {contract.version} exists and a version never changes; rename yours")
        target = self._trained / contract.study / contract.version
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="_new-", dir=target.parent) as temporary:
            staged = Path(temporary) / target.name
            staged.mkdir()
            for name in (MANIFEST, *bundle.manifest.files):
                shutil.copyfile(folder / name, staged / name, follow_symlinks=False)
            bundles.read(staged)
            staged.rename(target)
        return self.open(contract.study, contract.version)

    def _folders(self, study: str) -> dict[str, Path]:
        if not is_name(study):
            return {}
        manifests = (file for root in (self._trained, self._shipped) for file in (root / study).glob(f"*/{MANIFEST}"))
        return {file.parent.name: file.parent for file in manifests if is_name(file.parent.name)}


def is_name(name: str) -> bool:
    """Tell whether a study or a version can have this name: it cannot lead out of a folder, or end a query."""
    return VERSION_NAME.fullmatch(name) is not None and name.strip(".") != ""


def unknown(study: str, version: str, known: Iterable[str]) -> UnknownVersion:
    """What is said of a version that is not there, given those that are."""
    return UnknownVersion(f"{study} has no version {version!r}; there are: {', '.join(sorted(known)) or 'none'}")


def champions(text: bytes, where: str) -> dict[str, str]:
    """Read what a `champions.json` says, the version that serves by study; raises BundleError that names `where`."""
    try:
        return _Champions.validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{where} must map studies to versions: {error}") from error


def _champions(root: Path) -> dict[str, str]:
    try:
        return champions((root / CHAMPIONS).read_bytes(), str(root / CHAMPIONS))
    except FileNotFoundError:
        return {}
