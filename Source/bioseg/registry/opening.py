"""The registry that the settings name, and how its studies stand."""

from bioseg.database import location
from bioseg.registry import Registry, standing
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.registry.standing import Aliases
from bioseg.settings import Settings


def open_registry(settings: Settings) -> Registry:
    """Open the registry; nothing is written."""
    if settings.registry == "mlflow":
        from bioseg.telemetry import tracking_server

        tracking_server.limit_patience()
        from bioseg.registry.mlflow_models import MlflowModels
        from bioseg.registry.mlflow_registry import MlflowRegistry

        models = MlflowModels(settings.tracking_uri)
        return MlflowRegistry(models, settings.models_dir, settings.state_dir / "models-from-mlflow")
    return FolderRegistry(settings.models_dir, settings.state_dir / "models")


def standings(settings: Settings, registry: Registry) -> Aliases:
    """How studies stand now; without a database nothing is loaded that would read one."""
    if not location.exists(settings.resolved_database_url):
        return standing.shipped(registry)
    from bioseg.registry import aliases

    return aliases.looked_up(registry, settings.resolved_database_url)
