"""Aliases of MLflow's registered models: a projection of the ledger, for whoever looks there."""

from bioseg.bundles import Bundle
from bioseg.errors import BundleError
from bioseg.registry import Registry
from bioseg.registry.mlflow_models import SHA256, MlflowModels
from bioseg.registry.standing import Standing

ALIASES = ("champion", "challenger")


def reconcile(models: MlflowModels, registry: Registry, standing: Standing) -> list[str]:
    """Let MLflow's aliases of a study stand for what the ledger says, whoever changed them by hand; others stay.

    A version that MLflow does not hold, because it ships or lives in a folder, is uploaded first.

    Returns
    -------
    What was changed, in words; nothing when all was right.

    Raises
    ------
    TrackingError
        When MLflow does not answer or refuses; nothing is half done that a later call does not complete.
    UnknownVersion, BundleError
        When a version cannot be opened, or MLflow holds another bundle under its name.
    """
    versions = {alias: getattr(standing, alias) for alias in ALIASES}
    wanted = {
        alias: _number(models, registry.open(standing.study, version))
        for alias, version in versions.items()
        if version is not None
    }
    known = models.aliases(standing.study)
    changed = []
    for alias in ALIASES:
        if wanted.get(alias) == known.get(alias):
            continue
        if alias in wanted:
            models.set_alias(standing.study, alias, wanted[alias])
        else:
            models.delete_alias(standing.study, alias)
        changed.append(f"{alias} of {standing.study} is {versions[alias] or 'nobody'}")
    return changed


def _number(models: MlflowModels, bundle: Bundle) -> str:
    """Number of a bundle among the versions of its registered model."""
    study, version = bundle.contract.study, bundle.contract.version
    held = models.versions(study).get(version) or models.upload(bundle)
    if held.tags.get(SHA256) != bundle.digest:
        raise BundleError(f"MLflow holds another bundle as {study} {version}; publish yours under another name")
    return str(held.version)
