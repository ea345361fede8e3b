"""The registry in MLflow: published bundles live there; shipped ones, and a copy of each that was opened, live here.

What was opened once serves on while MLflow is away.
"""

import logging
import tempfile
from pathlib import Path

from bioseg import bundles
from bioseg.bundles import Bundle
from bioseg.errors import BundleError, RegistryUnavailable, TrackingError
from bioseg.registry.folder_registry import FolderRegistry, is_name, unknown
from bioseg.registry.mlflow_models import MlflowModels

log = logging.getLogger(__name__)


class MlflowRegistry:
    """Bundles in MLflow's model registry.

    Parameters
    ----------
    models
        MLflow's.
    shipped
        Folder of bundles, read only, with `champions.json`. They go before those in MLflow of the same name.
    copies
        Folder for what was opened.
    """

    def __init__(self, models: MlflowModels, shipped: Path, copies: Path) -> None:
        self._models = models
        self._here = FolderRegistry(shipped, copies)
        self._copies = copies

    def versions(self, study: str) -> tuple[str, ...]:
        """Versions of a study by name; while MLflow is away, those that are here."""
        try:
            published = self._models.versions(study)
        except TrackingError as error:
            log.warning("only the versions of %s that are here are listed: %s", study, error)
            return self._here.versions(study)
        return tuple(sorted({*self._here.versions(study), *published}))

    def champion(self, study: str) -> str | None:
        """Version that ships as the champion, or None."""
        return self._here.champion(study)

    def open(self, study: str, version: str) -> Bundle:
        """Open a version, every file checked; raises UnknownVersion, BundleError, and RegistryUnavailable."""
        if is_name(study) and is_name(version) and version not in self._here.versions(study):
            self._fetch(study, version)
        return self._here.open(study, version)

    def add(self, folder: Path) -> Bundle:
        """Upload the files of a sealed bundle, and fetch them back; raises BundleError and TrackingError."""
        bundle = bundles.read(folder)
        contract = bundle.contract
        if not (is_name(contract.study) and is_name(contract.version)):
            raise BundleError(f"{contract.study!r} {contract.version!r} is no name here; export under another one")
        if contract.version in self._here.versions(contract.study):
            raise BundleError(f"{contract.study} {contract.version} exists and a version never changes; rename yours")
        self._models.upload(bundle)
        return self.open(contract.study, contract.version)

    def _fetch(self, study: str, version: str) -> None:
        """Copy a version that MLflow holds to here."""
        self._copies.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="_fetched-", dir=self._copies) as temporary:
            try:
                published = self._models.versions(study)
                if version not in published:
                    raise unknown(study, version, {*published, *self._here.versions(study)})
                folder = self._models.download(published[version], Path(temporary))
            except TrackingError as error:
                raise RegistryUnavailable(f"{study} {version} has no copy here, and: {error}") from error
            self._keep(study, version, folder)

    def _keep(self, study: str, version: str, folder: Path) -> None:
        contract = bundles.read(folder).contract
        if (contract.study, contract.version) != (study, version):
            raise BundleError(f"MLflow holds {contract.study} {contract.version} as {study} {version}; mend its tags")
        try:
            self._here.add(folder)
        except (BundleError, OSError):
            if version not in self._here.versions(study):  # else another process was faster
                raise
