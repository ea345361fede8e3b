"""The web application on stand-in networks, in this process, and on tiny real ones, behind gunicorn."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text
from werkzeug.test import TestResponse

from application import create_app
from bioseg import images
from bioseg.database import engine
from bioseg.decoding.confined import Confined
from bioseg.platform import Platform, open_platform
from bioseg.settings import Settings
from bioseg.testing import stand_ins, twins
from bioseg.testing.running import web

SECRET = "a key that only tests know"


@pytest.fixture(scope="session")
def stand_in_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sealed bundles without networks."""
    return stand_ins.write(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def confined() -> Iterator[Confined]:
    """The decoder of all platforms: a child for each would take half a second of every test."""
    made = Confined(2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def template(postgres_url: str) -> str:
    """A PostgreSQL database with all tables; as long as it is copied, nobody may be connected to it."""
    admin = create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE migrated"))
    admin.dispose()
    engine.migrate(postgres_url.replace("/postgres?", "/migrated?"))
    return "migrated"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with all tables, and nothing in them: making them is most of what a platform's start costs."""
    file = tmp_path_factory.mktemp("migrated") / "bioseg.db"
    engine.migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def make_platform(tmp_path: Path, stand_in_models: Path, confined: Confined, migrated: Path) -> Callable[..., Platform]:
    """Build a platform on stand-in networks, with settings of the test's own."""

    def make(**given: object) -> Platform:
        chosen = {"state_dir": tmp_path, "models_dir": stand_in_models, "secret_key": SECRET} | given
        settings = Settings.model_validate(chosen)
        database = settings.state_dir / migrated.name
        if not settings.database_url and not database.exists():
            database.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(migrated, database)
        opened = open_platform(settings, stand_ins.load, stand_ins.confine)
        return replace(opened, decode=confined)

    return make


@pytest.fixture
def platform(make_platform: Callable[..., Platform]) -> Platform:
    return make_platform()


@pytest.fixture
def app(platform: Platform) -> Flask:
    return create_app(platform)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser: it keeps its cookie."""
    return app.test_client()


@pytest.fixture(scope="session")
def section() -> bytes:
    """A drawn EM section, 96 x 80 pixels."""
    return images.encode_png(np.ascontiguousarray(twins.membrane_section(7, 96)[0][:80]))


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A colourful picture, which the screen rejects."""
    return _tinted(200)


@pytest.fixture(scope="session")
def doubtful() -> bytes:
    """A faintly tinted section, of which the screen asks."""
    return _tinted(20)


def _tinted(strength: int) -> bytes:
    gray = twins.membrane_section(8, 64)[0].astype(int)
    rgb = np.stack([gray + strength, gray, gray // (1 + strength // 100)], axis=-1)
    return images.encode_png(np.minimum(rgb, 255).astype(np.uint8))


@pytest.fixture
def upload(client: FlaskClient) -> Callable[..., TestResponse]:
    """Post an image as this browser does; further fields by name."""

    def post(data: bytes, call: str = "segment", headers: dict[str, str] | None = None, **fields: str) -> TestResponse:
        form = {"image": (io.BytesIO(data), "upload.png"), **fields}
        return client.post(f"/api/v1/{call}", data=form, headers=headers)

    return post


@dataclass(frozen=True)
class Guarded:
    """A running server that asks for tokens, what it was told, and what it says."""

    address: str
    log: Path
    api_token: str = "api-token-of-the-tests"
    operator_token: str = "operator-token-of-the-tests"
    secret_key: str = "cookie-key-of-the-tests"


@pytest.fixture(scope="session")
def server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real gunicorn with one worker and tiny real bundles."""
    with _serving(tiny_models, tmp_path_factory.mktemp("state")) as address:
        yield address


@pytest.fixture(scope="session")
def guarded_server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The same, with an API token, an operators' token and a key of its own."""
    state = tmp_path_factory.mktemp("guarded")
    given = {
        "BIOSEG_API_TOKEN": Guarded.api_token,
        "BIOSEG_OPERATOR_TOKEN": Guarded.operator_token,
        "BIOSEG_SECRET_KEY": Guarded.secret_key,
    }
    with _serving(tiny_models, state, **given) as address:
        yield Guarded(address, state / "log")


@pytest.fixture(scope="session")
def browser(missing_tool: Callable[[str], None]) -> Iterator[Any]:
    """A running Chromium."""
    from bioseg.testing import browsing

    if not browsing.CHROMIUM.exists():
        missing_tool(str(browsing.CHROMIUM))
    with browsing.launched() as running:
        yield running


@contextmanager
def _serving(models: Path, state: Path, **environment: str) -> Iterator[str]:
    stores = {"BIOSEG_STATE_DIR": str(state), "BIOSEG_MODELS_DIR": str(models)}
    with web(1, stores | {"BIOSEG_QUEUE": "0", "BIOSEG_THREADS": "1"} | environment, state / "log") as address:
        yield address


@pytest.fixture(scope="session")
def missing_tool() -> Callable[[str], None]:
    """Skip for want of a tool; in CI, where every tool must be there, fail."""

    def missing(tool: str) -> None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{tool} is missing")
        pytest.skip(f"{tool} is missing")

    return missing
