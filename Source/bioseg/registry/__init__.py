"""Where bundles live: versions by study, and which of them serves before the first move."""

from pathlib import Path
from typing import Protocol

from bioseg import bundles
from bioseg.bundles import Bundle
from bioseg.errors import BundleError


class Registry(Protocol):
    """Bundles by study and version; a version never changes."""

    def versions(self, study: str) -> tuple[str, ...]:
        """Versions of a study by name; empty for a study without any."""
        ...

    def champion(self, study: str) -> str | None:
        """Version that serves as long as the study's ledger has no row, or None."""
        ...

    def open(self, study: str, version: str) -> Bundle:
        """Open a version, every file checked.

        Raises
        ------
        UnknownVersion
            Naming the versions there are.
        BundleError
            When the bundle is damaged or was made for another name.
        """
        ...

    def add(self, folder: Path) -> Bundle:
        """Take a copy of a sealed bundle in, under the name in its contract.

        Raises
        ------
        BundleError
            When the folder holds no intact bundle, or the version exists.
        """
        ...


def publish(registry: Registry, folder: Path) -> Bundle:
    """Take a copy of a sealed bundle in, unless the registry has the very same one.

    Raises
    ------
    BundleError
        When the folder holds no intact bundle, or the registry has another one under its name.
    """
    manifest = bundles.read(folder).manifest
    contract = manifest.contract
    if contract.version not in registry.versions(contract.study):
        return registry.add(folder)
    known = registry.open(contract.study, contract.version)
    if known.manifest != manifest:
        raise BundleError(
            f"{contract.study} {contract.version} is another bundle than {folder}, and a version never changes; "
            "publish yours under another name"
        )
    return known
