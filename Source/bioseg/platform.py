"""What one process holds: settings, registry, networks, database and stores, wired once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from bioseg import images, studies
from bioseg.arms import Arms
from bioseg.database import engine
from bioseg.decoding.confined import Confined
from bioseg.errors import BiosegError, BundleError
from bioseg.locks import Locks
from bioseg.pictures import Pictures
from bioseg.queueing import Queue
from bioseg.registry import Registry, aliases
from bioseg.registry.opening import open_registry
from bioseg.runtime import Confiner, Loader, Runtime
from bioseg.settings import Settings
from bioseg.storage import open_blobs

DECODERS = 2
"""Files that one process decodes at once."""
Decoder = Callable[[bytes, images.Limits], images.Image]
"""Makes an image of the bytes that somebody sent; returns and raises as `formats.decode` does."""


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
    """Everything a request needs, wired once per process; `pool` does what waits for a disk or for other C code."""

    sessions: sessionmaker[Session]
    pictures: Pictures
    decode: Decoder
    locks: Locks
    queue: Queue
    arms: Arms
    pool: ThreadPoolExecutor

    @property
    def expected_pairs(self) -> int | None:
        """Pairs that traffic can still bring a rollout: none where no request is sampled; None: nobody knows."""
        return None if self.settings.shadow_sample > 0 else 0


def open_models(settings: Settings, load: Loader | None = None) -> Models:
    """Open the registry; nothing is written, and models load on first use, by `load` or as the settings say."""
    registry = open_registry(settings)
    known = aliases.looked_up(registry, settings.resolved_database_url)
    return Models(settings, registry, Runtime(settings, registry, known, load))


def open_platform(settings: Settings, load: Loader | None = None, confine: Confiner | None = None) -> Platform:
    """Migrate the database and open the stores; models as in `open_models`, those under trial by `confine`."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    engine.migrate(settings.resolved_database_url)
    return _wired(settings, load, confine)


def open_before_database(settings: Settings) -> Platform:
    """As `open_platform`, though a database server may come up later.

    Somebody has to call `engine.migrate_patiently`; until that is through, `ready` says so and requests fail.
    """
    if not engine.is_server(settings.resolved_database_url):
        return open_platform(settings)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    return _wired(settings)


def _wired(settings: Settings, load: Loader | None = None, confine: Confiner | None = None) -> Platform:
    registry = open_registry(settings)
    locks = Locks(settings.state_dir.resolve() / "locks")
    sessions = sessionmaker(engine.connect(settings.resolved_database_url), expire_on_commit=False)
    runtime = Runtime(settings, registry, aliases.kept(registry, sessions), load, confine)
    return Platform(
        settings=settings,
        registry=registry,
        runtime=runtime,
        sessions=sessions,
        pictures=Pictures(sessions, open_blobs(settings.resolved_blobs, settings.s3_endpoint), locks),
        decode=Confined(DECODERS),
        locks=locks,
        queue=Queue(settings.state_dir.resolve(), settings.queue),
        arms=Arms(runtime),
        pool=ThreadPoolExecutor(thread_name_prefix="pool"),
    )


def ready(platform: Platform) -> dict[str, str]:
    """`ok`, or why not, for the database and each study in service, whose champion has to reproduce its sample."""
    checks = {"database": _database(platform)}
    if checks["database"] != "ok":
        return checks  # it names the champions
    for name in in_service(platform):
        try:
            platform.runtime.prove_again(platform.arms.champion(name))
            checks[name] = "ok"
        except BiosegError as error:
            checks[name] = str(error)
    return checks


def in_service(models: Models) -> list[str]:
    """Names of the studies that have a champion, of the lead one, and of what screens them.

    A study that is new and has no model yet is not among them: it keeps nobody from the others.
    """
    known = studies.all_studies()
    serving = {name for name in known if name == studies.DEFAULT or _may_serve(models, name)}
    screens = {known[name].screened_by for name in serving}
    return [name for name in known if name in serving | screens]


def _may_serve(models: Models, name: str) -> bool:
    try:
        return models.runtime.aliases(name).champion is not None
    except BundleError:  # where the champion is wanted it is told why there is none
        return True


def _database(platform: Platform) -> str:
    try:
        return "ok" if engine.is_current(platform.sessions.kw["bind"]) else "its tables are not up to date yet"
    except SQLAlchemyError as error:
        return str(error)


def warm_up(platform: Platform) -> None:
    """Load what the first request would wait for; what cannot be loaded is told by `ready`."""
    ready(platform)
    with suppress(BiosegError):
        platform.decode(images.encode_png(np.zeros((1, 1), np.uint8)), platform.limits)
