"""The web application on stand-in networks, in this process, and on tiny real ones, behind gunicorn."""

import io
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from application import create_app
from bioseg import bundles, images, processes
from bioseg.bundles import Bundle, Contract
from bioseg.datasets.kinds import KINDS
from bioseg.decoding.confined import Confined
from bioseg.inference import Floats, Predictor
from bioseg.platform import Platform, open_platform
from bioseg.registry.folder_registry import CHAMPIONS
from bioseg.settings import Settings
from bioseg.testing import twins

SECRET = "a key that only tests know"
MEMBRANE = Contract(
    study="membrane",
    version="1.2.3",
    task="segmentation",
    framework="keras",
    architecture="none",
    axes="NCHW",
    channels=1,
    normalisation="standard",
    multiple=16,
    halo=16,
    classes=("membrane",),
)
SCREEN = Contract(
    study="kinds",
    version="4.5.6",
    task="classification",
    framework="torch",
    architecture="none",
    axes="NCHW",
    channels=3,
    normalisation="unit",
    side=32,
    classes=KINDS,
)


def dark_is_membrane(batch: Floats) -> Floats:
    """(N, H, W, 1) standardised -> probability, high where it is dark."""
    return np.asarray(1 / (1 + np.exp(3 * batch + 3)), np.float32)


def gray_is_membrane(batch: Floats) -> Floats:
    """(N, H, W, 3) -> logits: gray is EM, strong colour a photo, faint colour leaves it open."""
    colour = float(np.abs(batch[..., 0] - batch[..., 2]).mean())
    photo = 12.0 if colour > 0.2 else 6.0 if colour < 0.02 else 8.0
    logits = np.zeros((len(batch), len(KINDS)), np.float32)
    logits[:, KINDS.index("membrane EM")] = 12.0 if colour < 0.02 else 9.0 if colour <= 0.2 else 0.0
    logits[:, KINDS.index("photo")] = photo
    return logits


def stand_in(bundle: Bundle, _threads: int) -> Predictor:
    return dark_is_membrane if bundle.contract.task == "segmentation" else gray_is_membrane


@pytest.fixture(scope="session")
def stand_in_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sealed bundles without networks."""
    root = tmp_path_factory.mktemp("models")
    for contract, side in ((MEMBRANE, 16), (SCREEN, 32)):
        folder = root / contract.study / contract.version
        folder.mkdir(parents=True)
        batch = np.random.default_rng(1).random((1, side, side, contract.channels), np.float32)
        predict = dark_is_membrane if contract.task == "segmentation" else gray_is_membrane
        np.savez(folder / bundles.SAMPLE, input=batch, output=predict(batch))
        bundles.seal(folder, contract, created="2026-01-01T00:00:00Z", metrics={}, provenance={})
    (root / CHAMPIONS).write_text(json.dumps({"membrane": MEMBRANE.version, "kinds": SCREEN.version}))
    return root


@pytest.fixture(scope="session")
def confined() -> Iterator[Confined]:
    """The decoder of all platforms: a child for each would take half a second of every test."""
    made = Confined(2)
    yield made
    made.close()


@pytest.fixture
def make_platform(tmp_path: Path, stand_in_models: Path, confined: Confined) -> Callable[..., Platform]:
    """Build a platform on stand-in networks, with settings of the test's own."""

    def make(**given: object) -> Platform:
        chosen = {"state_dir": tmp_path, "models_dir": stand_in_models, "secret_key": SECRET} | given
        return replace(open_platform(Settings.model_validate(chosen), stand_in), decode=confined)

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


@contextmanager
def _serving(models: Path, state: Path, **environment: str) -> Iterator[str]:
    port = _free_port()
    command = processes.web("127.0.0.1", port, 1)
    stores = {"BIOSEG_STATE_DIR": str(state), "BIOSEG_MODELS_DIR": str(models)}
    given = stores | {"BIOSEG_QUEUE": "0", "BIOSEG_THREADS": "1"} | environment
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(command.arguments, env=command.environment | given, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/readyz", process, state / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        try:
            with urlopen(address):
                return
        except URLError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="session")
def missing_tool() -> Callable[[str], None]:
    """Skip for want of a tool; in CI, where every tool must be there, fail."""

    def missing(tool: str) -> None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{tool} is missing")
        pytest.skip(f"{tool} is missing")

    return missing
