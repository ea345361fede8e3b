"""What one process holds: settings, registry, networks, database and stores, wired once."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from bioseg import images, studies
from bioseg.database import engine
from bioseg.errors import BiosegError
from bioseg.registry import Registry
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.runtime import Runtime
from bioseg.settings import Settings
from bioseg.storage import Blobs, open_blobs

Decoder = Callable[[bytes, images.Limits], images.Image]
"""Makes an image of the bytes that somebody sent; returns and raises as `images.decode` does."""


@dataclass(frozen=True, slots=True)
class Models:
    """The networks, and how large an image they are given: all that a command on files needs."""

    settings: Settings
    registry: Registry
    runtime: Runtime

    @property
    def limits(self) -> images.Limits:
        """What an upload may measure."""
        return images.Limits(self.settings.max_upload_mb * 2**20, self.settings.max_pixels)


@dataclass(frozen=True, slots=True)
class Platform(Models):
    """Everything a request needs, wired once per process."""

    sessions: sessionmaker[Session]
    blobs: Blobs
    decode: Decoder


def open_models(settings: Settings) -> Models:
    """Open the registry; nothing is written, and models load on first use."""
    registry = FolderRegistry(settings.models_dir, settings.state_dir / "models")
    return Models(settings, registry, Runtime(settings, registry))


def open_platform(settings: Settings) -> Platform:
    """Migrate the database and open the stores; models load on first use."""
    engine.migrate(settings.resolved_database_url)
    sessions = sessionmaker(engine.connect(settings.resolved_database_url), expire_on_commit=False)
    models = open_models(settings)
    return Platform(
        settings, models.registry, models.runtime, sessions, open_blobs(settings.resolved_blobs), images.decode
    )


def describe_studies(registry: Registry) -> list[dict[str, object]]:
    """Every study with its versions and aliases, as `bioseg studies --json` prints it."""
    return [
        {
            "name": study.name,
            "title": study.title,
            "task": study.task,
            "classes": list(study.classes),
            "versions": list(registry.versions(study.name)),
            "champion": registry.champion(study.name),
            "challenger": None,
            "screened_by": study.screened_by,
            "accepts": list(study.accepts),
        }
        for study in studies.all_studies().values()
    ]


def ready(platform: Platform) -> dict[str, str]:
    """`ok`, or why not, for the database and for the champion of each study."""
    checks = {"database": "ok"}
    try:
        with engine.reading(platform.sessions) as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        checks["database"] = str(error)
    for name in studies.all_studies():
        try:
            platform.runtime.champion(name)
            checks[name] = "ok"
        except BiosegError as error:
            checks[name] = str(error)
    return checks
