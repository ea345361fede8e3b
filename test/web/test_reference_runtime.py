"""Over HTTP, the frameworks that trained the networks give what OpenVINO gives."""

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests

from bioseg import images, processes
from bioseg.decoding import formats
from bioseg.testing import twins

SIZES = ((64, 64), (80, 96), (256, 200))
LEVELS = 1  # one of the 256 gray levels of a probability image, where rounding falls to the other side
BUSY = 503


@dataclass(frozen=True)
class Server:
    """A running gunicorn."""

    address: str
    pid: int

    def libraries(self) -> set[str]:
        """Names of the files that its worker has mapped."""
        (worker,) = psutil.Process(self.pid).children()
        return {Path(mapped.path).name for mapped in worker.memory_maps()}


@pytest.fixture(scope="module")
def reference_server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Runs Keras and torch on the bundles that `server` runs with OpenVINO."""
    state = tmp_path_factory.mktemp("reference")
    given = {
        "BIOSEG_STATE_DIR": str(state),
        "BIOSEG_MODELS_DIR": str(tiny_models),
        "BIOSEG_RUNTIME": "reference",
        "BIOSEG_THREADS": "1",
    }
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = processes.web("127.0.0.1", port, 1)
    with (
        (state / "log").open("wb") as log,
        subprocess.Popen(command.arguments, env=command.environment | given, stdout=log, stderr=log) as process,
    ):
        address = f"http://127.0.0.1:{port}"
        _wait(address, process, state / "log")
        yield Server(address, process.pid)
        process.terminate()


@pytest.fixture
def reference(reference_server: Server) -> str:
    """Its address."""
    return reference_server.address


def _wait(address: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    """Wait until both networks are loaded."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{address}/readyz", timeout=60).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    process.terminate()
    pytest.fail(f"gunicorn did not start: {log.read_text()[-2000:]}")


def segmented(server: str, image: images.Image) -> tuple[dict[str, Any], dict[str, images.Image]]:
    """The answer to an upload, and its pictures."""
    with requests.Session() as session:
        answer = _post(session, f"{server}/api/v1/segment", image)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        address = server + body["mask_url"].removesuffix("mask.png")
        pictures = {what: session.get(f"{address}{what}.png", timeout=30).content for what in ("mask", "probability")}
    return body, {what: formats.decode(data, images.Limits(10**7, 10**7)) for what, data in pictures.items()}


def _post(session: requests.Session, address: str, image: images.Image, **fields: str) -> requests.Response:
    for _ in range(20):
        files = {"image": ("section.png", images.encode_png(image), "image/png")}
        answer = session.post(address, files=files, data=fields, timeout=60)
        if answer.status_code != BUSY:
            break
        time.sleep(0.5)
    return answer


def test_the_reference_is_the_framework_itself(reference_server: Server) -> None:
    libraries = reference_server.libraries()
    assert "libtorch_cpu.so" in libraries
    assert [] == [name for name in libraries if name.startswith("libopenvino")]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_both_runtimes_draw_the_same_mask(server: str, reference: str, height: int, width: int) -> None:
    image = np.ascontiguousarray(twins.membrane_section(11, max(height, width))[0][:height, :width])
    (_, ours), (_, theirs) = segmented(server, image), segmented(reference, image)
    assert theirs["mask"].tobytes() == ours["mask"].tobytes()
    difference = np.abs(theirs["probability"].astype(int) - ours["probability"].astype(int))
    assert (theirs["mask"].shape, True) == ((height, width), bool(difference.max() <= LEVELS))
    assert {0, 255} == set(np.unique(theirs["mask"]))


def test_both_runtimes_screen_alike(server: str, reference: str) -> None:
    image = twins.membrane_section(12, 96)[0]
    ours, theirs = (segmented(address, image)[0]["screen"] for address in (server, reference))
    assert (ours["verdict"], ours["kind"], ours["version"]) == (theirs["verdict"], theirs["kind"], theirs["version"])
    assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)


def test_both_runtimes_tell_the_same_kind(server: str, reference: str) -> None:
    image = twins.membrane_section(13, 96)[0]
    with requests.Session() as session:
        ours, theirs = (
            _post(session, f"{address}/api/v1/classify", image, study="kinds").json() for address in (server, reference)
        )
    assert ours["label"] == theirs["label"]
    assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-4)
